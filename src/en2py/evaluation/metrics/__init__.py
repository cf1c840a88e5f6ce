"""Metrics of programs and of tokens."""
