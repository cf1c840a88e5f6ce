"""Execution of generated programs against tests and oracles."""
