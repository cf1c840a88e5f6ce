"""Training: module, losses, schedulers, callbacks, checkpoints, loggers."""
