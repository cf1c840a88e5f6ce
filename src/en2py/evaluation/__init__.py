"""Scores for generated code."""
