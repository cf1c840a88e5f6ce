"""Data sources; each module has one function that reads pairs."""
