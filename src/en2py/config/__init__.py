"""Compose, validate and instantiate configs, and name runs."""
