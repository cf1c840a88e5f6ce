"""Join Python tokens to text: lines, indents and spaces between tokens, close to PEP 8.

Two neighbours get a space unless a rule below removes it, and no rule removes a space that Python
needs; so every list of valid tokens becomes the same program.
"""

import keyword
from collections.abc import Sequence

NEWLINE, INDENT, DEDENT = "<nl>", "<indent>", "<dedent>"
LAYOUT_TOKENS = (NEWLINE, INDENT, DEDENT)
TAB = "    "

_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_PREFIXES = frozenset({"+", "-", "~", "*", "**"})
# After these an operator has no left operand: `return -1`, `in *a, b`; `True - 1` has one.
_KEYWORDS = frozenset(keyword.kwlist) - {"True", "False", "None"}
_BLOCKS = frozenset({"def", "class", "async", "@"})
_OPERATORS = frozenset(
    "+ - * / // % ** @ & | ^ ~ << >> < > <= >= == != = += -= *= /= //= %= **= @= &= |= ^= <<= >>="
    " -> := : , ; . <> !".split()
)


def write(tokens: Sequence[str]) -> str:
    """Return the text of Python tokens; never raises, because models generate the tokens.

    Args:
        tokens: Code tokens and layout tokens. A layout token ends its line; the indent is never
            negative.

    Returns:
        Lines indented by four spaces, blank lines around definitions, no newline at the end.
    """
    lines: list[tuple[int, list[str]]] = []
    depth, line = 0, list[str]()
    for token in [*tokens, NEWLINE]:
        if token not in LAYOUT_TOKENS:
            if token:
                line.append(token)
            continue
        if line:
            lines.append((depth, line))
            line = []
        depth = max(0, depth + {NEWLINE: 0, INDENT: 1, DEDENT: -1}[token])
    written = []
    for (depth, line), blank in zip(lines, _blank_lines(lines), strict=True):
        written += [""] * blank + [TAB * depth + write_line(line)]
    return "\n".join(written)


def _blank_lines(lines: list[tuple[int, list[str]]]) -> list[int]:
    """Return the blank lines before each line: two around definitions, one between methods."""
    counts: list[int] = []
    inside: list[int] = []  # depths of the definitions around the line before
    decorated, opened = False, False
    for depth, line in lines:
        left = [d for d in inside if d >= depth]
        inside = [d for d in inside if d < depth]
        starts = line[0] in _BLOCKS and (line[0] != "async" or line[1:2] == ["def"])
        continues = line[0] in ("else", "elif", "except", "finally")
        blank = starts or (left and depth == 0 and not continues)
        blank = blank and not decorated and not opened and bool(counts)
        counts.append((1 if depth else 2) if blank else 0)
        decorated = line[0] == "@"
        opened = line[-1] == ":"
        if starts and not decorated:
            inside.append(depth)
    return counts


class _Bracket:
    """State inside a bracket: its kind, open lambdas, whether an annotation came before."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.lambdas = 0
        self.annotated = False


def write_line(tokens: Sequence[str]) -> str:
    """Return one logical line, without its indent."""
    # Soft keywords are keywords only if they open a block: `match x:`, but `match(x)`.
    soft = tokens[0] in ("match", "case") and ":" in tokens[2:] and tokens[1] not in ("=", ".", ":")
    relative = tokens[0] == "from"  # dots after `from`, until `import`
    stack = [_Bracket("")]
    text, prev, glued = "", "", True  # glued: no space after the token before
    for i, token in enumerate(tokens):
        here = stack[-1]
        relative = relative and token != "import"
        after_keyword = prev in _KEYWORDS or (soft and i == 1)
        default = token == "=" and bool(
            here.lambdas or (here.kind == "(" and not here.annotated)
        )  # of an argument: `f(key=1)`, `lambda x=1: x`, but `def f(x: int = 1)`
        if not glued and not default and _needs_space(prev, token, after_keyword):
            text += " "
        text += token
        no_left_operand = prev == "" or prev in _OPEN or prev in _OPERATORS or after_keyword
        glued = (
            default
            or (token in _PREFIXES and no_left_operand)
            or (token == "@" and i == 0)
            or (token == ":" and here.kind == "[" and not here.lambdas)
            or (token in (".", "...") and relative and tokens[i + 1 : i + 2] != ["import"])
        )
        if token in _OPEN:
            stack.append(_Bracket(token))
        elif token in _CLOSE and len(stack) > 1:
            stack.pop()
        elif token == "lambda":
            here.lambdas += 1
        elif token == ":" and here.lambdas:
            here.lambdas -= 1
        elif token in ":,":
            here.annotated = token == ":"
        prev = token
    return text


def _needs_space(prev: str, token: str, after_keyword: bool) -> bool:
    """Return whether two neighbours get a space, without regard to the rest of the line."""
    if token in _CLOSE or token in (",", ";") or prev in _OPEN:
        return False
    if token == ":":
        return prev == ","  # `x[:, 0]` has none before its colon, `x[0, :]` has one
    if token == ".":
        # `1.real` is invalid, `1 .real` is valid; and `from .a` is no attribute of `from`.
        return after_keyword or prev[0].isdigit()
    if prev == ".":
        return token == "import"
    if token in ("(", "["):
        return after_keyword or prev in _OPERATORS
    return True
