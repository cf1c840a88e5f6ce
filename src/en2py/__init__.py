"""en2py: train Transformers from scratch that turn English descriptions into Python code."""
