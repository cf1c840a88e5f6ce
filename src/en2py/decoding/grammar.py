r"""Restrict a search to the beginnings of Python programs, by Python's own compiler.

A token is allowed if the program so far and the token can be continued: first the compiler, which
reads a text that ends in a line continuation, has to report incomplete input and no error (the flag
`PyCF_ALLOW_INCOMPLETE_INPUT`, of the standard library's `codeop`); then a closing is searched, a
few tokens after which the whole text compiles. A hypothesis keeps its closing, and a token is
allowed only if its closing fits into the length that is left. So every output compiles. A program
has a statement: an empty text, or comments alone, would compile too.

Programs that need a longer closing than those tried here are not found.
"""

import functools
import itertools
import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from token import EXACT_TOKEN_TYPES

import torch
from torch import Tensor

from en2py.data.syntax import compile_error, parse
from en2py.data.tokenizers import PythonTokenizer
from en2py.data.tokenizers.detokenize import DEDENT, INDENT, LAYOUT_TOKENS, NEWLINE, TAB, write_line
from en2py.data.tokenizers.pieces import GLUE, PythonPieces, letters_of, split_marks, text_of
from en2py.data.tokenizers.protocol import Tokenizer
from en2py.data.vocab import Vocab

Tokens = tuple[str, ...]

_ALLOW_INCOMPLETE_INPUT = 0x4000  # PyCF_ALLOW_INCOMPLETE_INPUT, codeop's
_MOST_MEANINGLESS = 4  # closings that parse but do not compile, such as a `return` in a module
_DEFINED = re.compile(r"^ *(?:async def|def|class) (\w+)", re.MULTILINE)
_OPERANDS = ("", "r", "0", " r", " in r", " else r", " r else r", " r in r")  # in an f-string
_PREFIX = re.compile(r"(?i)[rbuft]{1,2}")
_STRING = re.compile(r"(?i)([rbuft]{0,2})('''|\"\"\"|'|\")")


@dataclass(frozen=True)
class State:
    """The program so far; that of `Grammar.start` is empty.

    Attributes:
        done: Text of the lines that have ended.
        depth: Indents before the current line.
        line: Tokens of the current line.
        letters: Letters of the last token's pieces.
        glued: Whether the next piece belongs to the last token.
        layout: The layout token before, if the line is empty.
        opens: Whether the line before opens a block.
        tries: Depths of the `try` blocks without handler.
        hint: Tokens of the closing without handlers of `try` blocks.
        closing: Ids after which the text compiles; none if it does now.
        n_missing: Ids of the closing that belong to the last token: an open string, or a keyword
            or an operator that is possible only as a beginning. Other pieces may not follow.
    """

    done: str = ""
    depth: int = 0
    line: Tokens = ()
    letters: str = ""
    glued: bool = False
    layout: str = ""
    opens: bool = False
    tries: tuple[int, ...] = ()
    hint: Tokens = ()
    closing: tuple[int, ...] = ()
    n_missing: int = 0


class Grammar:
    """Decide which tokens may follow a program.

    Args:
        vocab: The target vocabulary.
        tokenizer: Of Python tokens, or of pieces.

    Attributes:
        start: The empty program.
        ends: Ids of the tokens that end a line, a block or the program.
    """

    def __init__(self, vocab: Vocab, tokenizer: Tokenizer | None) -> None:
        if not isinstance(tokenizer, PythonTokenizer | PythonPieces):
            raise ValueError("decoding.grammar needs tokenizer/tgt=python or pieces")
        self.vocab = vocab
        self._in_pieces = isinstance(tokenizer, PythonPieces)
        counts = dict(zip(vocab.tokens, vocab.counts, strict=True))
        names = [t for t in counts if t.isidentifier() and t.isascii() and t not in _RESERVED]
        names = sorted(names, key=lambda t: -counts[t])[:2] or ["x"]  # stable
        self._name = names[0]
        numbers = [t for t in counts if t.isdecimal() and t.isascii()]
        self._number = max(numbers, key=counts.__getitem__, default="0")
        imaginary = [t for t in counts if re.fullmatch("[0-9]+j", t)]
        self._imaginary = max(imaginary, key=counts.__getitem__, default=f"{self._number}j")
        self.start = State(closing=tuple(self._ids([self._name]) or ()))
        self._insertions = list(self._filled(names))
        self.ends = {vocab.eos_id, *vocab.encode([NEWLINE, DEDENT])}
        self._separate = torch.tensor([not token.startswith(GLUE) for token in vocab.tokens])
        self._separate[[*self.ends]] = False
        self._usual = {
            token: _with_name(template, self._name)
            for token, template in {**_USUAL, NEWLINE: f"{INDENT} x"}.items()
        }

    def forced(self, state: State) -> int:
        """Return the first id of the closing, or EOS."""
        return state.closing[0] if state.closing else self.vocab.eos_id

    def masked(self, state: State, room: int) -> Tensor | None:
        """Return which tokens need no check, `[V]`, after one was refused; None if each does.

        In an open string or name they would be refused. Where only the closing fits, it is taken;
        instead of its name there may be another operand. Ends stay possible where `refuse` of
        `Constraints` hands on their probability.

        Args:
            state: The program so far.
            room: As in `extend`.
        """
        if len(state.closing) >= room:
            first = self.forced(state)
            if self.vocab.tokens[first] == self._name:
                return self._no_operands
            return torch.arange(len(self.vocab)) != first
        return self._separate if state.n_missing and not state.glued else None

    def extend(self, state: State, token_id: int, room: int) -> State | None:
        """Return the state with one more token, None if the token is not allowed.

        Args:
            state: The program so far.
            token_id: The token.
            room: Tokens that may follow it, EOS included.
        """
        if token_id == self.vocab.eos_id:
            return None if state.closing else state
        if room < 1:
            return None
        token = self.vocab.tokens[token_id]
        if state.n_missing and (token in LAYOUT_TOKENS or not self._joins(state, token)):
            return None
        new = _ended(state, token) if token in LAYOUT_TOKENS else self._longer(state, token)
        if new is None:
            return None
        if state.closing[:1] == (token_id,):  # verified when the closing was found
            hint = state.hint[1:] if state.hint[:1] == (token,) else state.hint
            if token in ("except", "finally"):  # handlers are no part of a hint
                hint = self._usual[token]
            n_missing = max(0, state.n_missing - 1)
            return replace(new, hint=hint, closing=state.closing[1:], n_missing=n_missing)
        return self._closed(new, state.hint, token, room - 1)

    def _longer(self, state: State, token: str) -> State | None:
        """Append a token or a piece to the line."""
        if state.opens and state.layout == NEWLINE:
            return None  # without an indent
        _, letters, right = split_marks(token) if self._in_pieces else (False, token, False)
        joins = self._joins(state, token)
        if joins and not state.line:
            return None
        if joins:
            line, letters = state.line[:-1], state.letters + letters
        else:
            line = state.line
        text = text_of(letters) if self._in_pieces else letters
        if not text.strip() or "\0" in text:
            return None
        return replace(
            state, line=(*line, text), letters=letters, glued=right, layout="", opens=False
        )

    @functools.cached_property
    def _no_operands(self) -> Tensor:
        """Return which tokens are no statement by themselves, `[V]`, so no name or number."""
        return torch.tensor([parse(token) is None for token in self.vocab.tokens])

    def _joins(self, state: State, token: str) -> bool:
        """Return whether a token is a piece of the last one."""
        return self._in_pieces and (state.glued or token.startswith(GLUE))

    def _closed(self, state: State, hint: Tokens, token: str, room: int) -> State | None:
        """Return the state with a closing of at most `room` tokens, None without one."""
        for suffix in self._suffixes(state):
            line = (*state.line[:-1], state.line[-1] + suffix) if suffix else state.line
            indent = TAB * (state.depth + (state.opens and state.layout == NEWLINE))
            text = state.done + indent + (write_line(line) if line else "")
            if not _can_continue(text):
                continue
            letters = [GLUE + letter for letter in letters_of(suffix)]
            if not all(letter in self.vocab for letter in letters):
                continue
            suffix_ids = self.vocab.encode(letters)
            n_meaningless = 0
            for attempt in self._attempts(state, hint, token):
                full = (*attempt, *self._handlers(replace(state, line=line), attempt))
                ids = self._ids(full)
                if ids is None or len(suffix_ids) + len(ids) > room:
                    continue
                if not _may_follow(replace(state, line=line), full):
                    continue
                program = _render(state.done, state.depth, line, full)
                tree = parse(program)
                if tree is None or not tree.body:
                    continue
                if compile_error(program) is None:
                    closing = (*suffix_ids, *ids)
                    return replace(state, hint=attempt, closing=closing, n_missing=len(suffix_ids))
                n_meaningless += 1
                if n_meaningless == _MOST_MEANINGLESS:
                    break
        return None

    def _attempts(self, state: State, hint: Tokens, token: str) -> Iterator[Tokens]:
        """Yield closings that come into question, the probable ones first."""
        if state.line[:1] == ("nonlocal",):  # the name of a function is known around it
            yield from ((name,) for name in _DEFINED.findall(state.done)[:-_MOST_MEANINGLESS:-1])
        if state.line[:1] == ("case",):  # unlike a name, a number binds nothing
            kinds = (self._number, *[self._imaginary] * (token in ("+", "-")))
            rests = (hint, hint[1:], (":", self._name))
            yield from ((number, *rest) for number in kinds for rest in rests)
        if state.line[:2] == ("match", "{"):  # unlike `match (x)` no expression by itself
            brackets = _closing_brackets("".join(t for t in state.line if t in _BRACKETS))
            for operand in ("", "x", ": x", "x : x"):
                yield _with_name(f"{operand} {' '.join(brackets)} {_CASES}", self._name)
        usual = self._usual.get(token)
        probable = (
            *([hint[1:]] if hint[:1] == (token,) else ()),
            *([usual + hint[k:] for k in range(2)] if usual is not None else ()),
            (),
            hint,
            *(hint[k:] for k in range(1, len(hint))),
        )
        others = (new + hint[k:] for new in self._insertions for k in {0, 1, 2, 3, len(hint)})
        seen = set()
        for attempt in itertools.chain(probable, others):
            if attempt not in seen:
                seen.add(attempt)
                yield attempt

    def _handlers(self, state: State, attempt: Tokens) -> Tokens:
        """Return the handlers that `try` blocks need after a closing."""
        tries = _tries_with(state)
        depth = state.depth + attempt.count(INDENT)
        tokens: list[str] = []
        if state.line or attempt:
            tokens.append(NEWLINE)
        for at in reversed(tries):
            tokens += [*[DEDENT] * (depth - at), "except", ":", self._name, NEWLINE]
            depth = at
        return tuple(tokens[:-1]) if tries else ()

    def _suffixes(self, state: State) -> list[str]:
        """Return texts that may complete the last token, which a piece may have begun."""
        if not self._in_pieces or not state.line:
            return [""]
        token = state.line[-1]
        if match := _STRING.match(token):
            quote = match[2]
            place = _end_of_string(token, match.end(), quote)
            if place is None:
                begun = ["n" if _ends_in_backslash(token) else ""]
                begun += ["0" * n for n in (1, 2, 4)] if "\\" in token else []  # `\x`, `\u`
                if "f" in match[1].lower():
                    closing = _closing_brackets(token[match.end() :]) or "}"
                    inner = "'" if quote[0] == '"' else '"'
                    begun += [begun[0] + operand + closing for operand in (*_OPERANDS, inner)]
                # A piece may have written one or two of three quotes.
                ends = [quote[:n] for n in range(1, len(quote) + 1)]
                found = [text + end for text in begun for end in ends]
                # The parser reads the inside of a string only after the whole statement.
                return [suffix for suffix in found if parse(token + suffix)]
            if parse(token) is None:
                return []
        # `1e`, `is` of `isEven`, `n` of `n_max` beside another parameter `n`; a `return` outside of
        # a function does not begin a name.
        is_part = token[0].isdigit() or token.isidentifier()
        is_part &= len(state.line) > 1 or token not in _SURROUNDED
        plain = ["0"] if state.glued else ["", "0"] if is_part else [""]
        if state.line[0] == "case" and token[0].isdigit():
            plain.append("j")  # behind `+` and `-` a pattern needs it
        if _PREFIX.fullmatch(token):
            plain.append("''")  # of a string behind another one
        words = (*keyword.kwlist, *EXACT_TOKEN_TYPES)
        rest = (word[len(token) :] for word in words if word.startswith(token))
        return [*plain, *filter(None, rest)]

    def _ids(self, tokens: Sequence[str]) -> list[int] | None:
        """Return the ids of a closing, None if it cannot be spelled."""
        found: list[int] = []
        for token in tokens:
            ids = self._spelled(token)
            if ids is None:
                return None
            found += ids
        return found

    @functools.cache  # noqa: B019  a grammar lives as long as its search
    def _spelled(self, token: str) -> tuple[int, ...] | None:
        """Return the ids of a token; one in pieces is spelled by the longest pieces."""
        if token in self.vocab:
            return tuple(self.vocab.encode([token]))
        if not self._in_pieces:
            return None
        pieces, rest, mark = list[str](), token, ""
        while rest:
            n = next(n for n in range(len(rest), 0, -1) if mark + rest[:n] in self.vocab)
            pieces.append(mark + rest[:n])
            rest, mark = rest[n:], GLUE
        return tuple(self.vocab.encode(pieces))

    def _filled(self, names: Sequence[str]) -> Iterator[Tokens]:
        """Yield the insertions of `_TEMPLATES` with names of the vocabulary."""
        seen = set()
        for template in _TEMPLATES:
            for name in names:
                tokens = _with_name(template, name)
                if tokens not in seen and self._ids(tokens) is not None:
                    seen.add(tokens)
                    yield tokens


_SURROUNDED = {"return", "yield", "await", "break", "continue"}  # by a function or a loop
_RESERVED = {*keyword.kwlist, *keyword.softkwlist, "print"}
# What is mostly missing behind a token, before the rest of the closing; x is any name.
_USUAL = {
    "(": ")",
    "[": "]",
    "{": "}",
    "def": "x ( ) : x",
    "class": "x : x",
    "for": "x in x : x",
    "if": "x : x",
    "elif": "x : x",
    "while": "x : x",
    "with": "x : x",
    "except": ": x",
    "finally": ": x",
}
_BRACKETS = {*"()[]{}"}
_CASES = f": {NEWLINE} {INDENT} case x : x"
# What may be missing, before the closing of the program without its last token; x is any name.
_TEMPLATES = [
    "x",
    ")",
    "]",
    "}",
    ": x",
    "x )",
    "x ]",
    "= x",
    "x ,",
    "in x",
    "else x",
    "import x",
    "x : x",
    "( ) : x",
    ": x }",
    "x in x",
    "for x in x",
    "x else x",
    "x import x",
    "x ( ) : x",
    "in x : x",
    "x in x : x",
    "def x ( ) : x",
    f"{INDENT} x",
    f"{NEWLINE} def x ( ) : x",
    f"x {NEWLINE} def x ( ) : x",
    "case x : x",
    "* x : x",
    f"{INDENT} case x : x",
    f"{NEWLINE} {INDENT} case x : x",
    _CASES,
]


def _with_name(template: str, name: str) -> Tokens:
    return tuple(name if token == "x" else token for token in template.split())


def _ended(state: State, token: str) -> State | None:
    """Append a layout token."""
    if token == NEWLINE:
        if not state.line or _n_open(state.line):
            return None
        text = f"{TAB * state.depth}{write_line(state.line)}\n"
        return replace(
            state,
            done=state.done + text,
            line=(),
            letters="",
            glued=False,
            layout=NEWLINE,
            opens=state.line[-1] == ":",
            tries=_tries_with(state),
        )
    if token == INDENT:
        allowed = state.layout == NEWLINE and state.opens
        return (
            replace(state, depth=state.depth + 1, layout=INDENT, opens=False) if allowed else None
        )
    allowed = state.layout in (NEWLINE, DEDENT) and state.depth > 0 and not state.opens
    if not allowed or any(at >= state.depth for at in state.tries):
        return None
    return replace(state, depth=state.depth - 1, layout=DEDENT)


def _may_follow(state: State, tokens: Tokens) -> bool:
    """Return whether layout tokens stand where `extend` allows them.

    `_render` starts a new line for each, and so ends a comment within brackets, which nothing ends.
    """
    for token in tokens:
        if token in LAYOUT_TOKENS:
            ended = _ended(state, token)
            if ended is None:
                return False
            state = ended
        elif state.opens and state.layout == NEWLINE:
            return False
        else:
            state = replace(state, line=(*state.line, token), layout="", opens=False)
    return True


def _tries_with(state: State) -> tuple[int, ...]:
    """Return the depths of the `try` blocks without handler, the current line included."""
    first = state.line[0] if state.line else ""
    if first == "try":
        return (*state.tries, state.depth)
    if first in ("except", "finally"):
        return tuple(at for at in state.tries if at < state.depth)
    return state.tries


def _n_open(line: Sequence[str]) -> int:
    return sum((token in "([{") - (token in ")]}") for token in line if len(token) == 1)


def _render(done: str, depth: int, line: Tokens, closing: Tokens) -> str:
    """Return the text of a program with its closing."""
    lines, current = [done], list(line)
    for token in (*closing, NEWLINE):
        if token not in LAYOUT_TOKENS:
            current.append(token)
            continue
        if current:
            lines.append(f"{TAB * depth}{write_line(current)}\n")
            current = []
        depth += {NEWLINE: 0, INDENT: 1, DEDENT: -1}[token]
    return "".join(lines)


def _end_of_string(token: str, start: int, quote: str) -> int | None:
    """Return the place of the closing quote, None if the string is open."""
    place = start
    while place < len(token):
        if token[place] == "\\":
            place += 2
        elif token.startswith(quote, place):
            return place
        else:
            place += 1
    return None


def _closing_brackets(text: str) -> str:
    """Return the brackets that close those that are open, in an f-string its braces too."""
    closing = ""
    for letter in text:
        if letter in "([{":
            closing = ")]}"["([{".index(letter)] + closing
        elif closing.startswith(letter):
            closing = closing[1:]
    return closing


def _ends_in_backslash(token: str) -> bool:
    return (len(token) - len(token.rstrip("\\"))) % 2 == 1


def _can_continue(text: str) -> bool:
    r"""Return whether a text is the beginning of a program, by the parser.

    The text ends in a line continuation, so the end of the line tells the parser nothing.
    """
    error = compile_error(text + " \\\n", _ALLOW_INCOMPLETE_INPUT)
    return error is None or (isinstance(error, SyntaxError) and "incomplete input" in str(error))


def compiles(text: str) -> bool:
    """Return whether a text is a program that compiles; it is not run. An empty one is none."""
    tree = parse(text)
    return tree is not None and bool(tree.body) and compile_error(text) is None
