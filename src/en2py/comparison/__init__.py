"""Checkpoints and baselines against each other, scored on the same test pairs."""
