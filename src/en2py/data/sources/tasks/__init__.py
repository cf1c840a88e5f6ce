"""Described programming tasks made by a small grammar of our own: the default data.

A task combines primitives (filters, maps, reductions, searches, comparisons, string and dictionary
operations, recursion, classes) into a program, a few descriptions and at least three tests. The
description decides the program up to names: a loop is written where it asks for a loop.
"""

from en2py.data.sources.tasks.generate import read_tasks

__all__ = ["read_tasks"]
