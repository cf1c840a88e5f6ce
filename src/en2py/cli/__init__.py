"""The command line: training, evaluation, generation."""
