"""Sweeps: plan, progress, summary."""
