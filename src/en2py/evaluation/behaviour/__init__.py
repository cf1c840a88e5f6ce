"""Correctness by behaviour, for pairs without tests: a program is compared with its reference."""
