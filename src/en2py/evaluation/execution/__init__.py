"""Run generated programs and compare results."""
