"""Generate described programming tasks by a small grammar: the default data.

A task combines primitives (filters, maps, reductions, searches, comparisons, string and dictionary
operations, recursion, classes) into a program, a few descriptions and at least three tests. The
description determines the program up to names: there is a loop if it requests a loop. With
`families="all"` there are also exercises, and programs that print their result and have no tests.
"""

from en2py.data.sources.tasks.generate import read_tasks

__all__ = ["read_tasks"]
