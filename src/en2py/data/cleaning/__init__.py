"""Clean pairs: steps that rewrite or drop a pair, and the pipeline that counts them.

`characters` repairs wrong characters, `layout` changes white space, `content` removes code, and
`limits` drops pairs. A step is `step(pair, *, settings) -> Pair` and raises `Drop` to remove the
pair. A step keeps the syntax tree of code that parses, except for the code that it removes.
"""

from en2py.data.cleaning.pipeline import Drop, clean

__all__ = ["Drop", "clean"]
