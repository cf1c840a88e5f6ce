"""Text to text: small steps that rewrite a pair or drop it, and the pipeline that counts them.

`characters` repairs what is written wrongly, `layout` moves white space, `content` takes code
away, `limits` drops pairs. A step is `step(pair, *, settings) -> Pair` and raises `Drop` to remove
the pair. Where code parses, a step keeps its syntax tree, unless it says what it takes away.
"""

from en2py.data.cleaning.pipeline import Drop, clean

__all__ = ["Drop", "clean"]
