"""Read the students' file: a `# description` line, then Python code, until the next description.

It has many authors, so not each unindented `#` line is a description: some are notebook markers,
exercise numbers, or comments inside a program ("# driver code", "# printing result"). Three passes
classify them: each line gets a role by its words and its neighbours; each description gets the code
below it; and a short description whose code needs names of the program above is joined to that
program as a comment. Nothing is repaired here, but in cleaning.
"""

import ast
import builtins
import itertools
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from en2py.data.files import read_table
from en2py.data.pairs import DataReport, Pair
from en2py.data.sources.download import fetch
from en2py.data.syntax import parse
from en2py.data.text_files import read_text
from en2py.errors import UserError

NAME = "english_python"

# The roles of a line. DESCRIPTION, SHORT and MORE form descriptions, CODE, COMMENT, BLANK programs.
BLANK, CODE, COMMENT = "blank lines", "code lines", "comments in code"
MARKER, CODING, NUMBER = "marker lines", "coding and shebang lines", "number-only lines"
DESCRIPTION, SHORT, MORE = "descriptions", "short descriptions", "continued descriptions"

MARKER_LINE = re.compile(r"# ?In ?\[[\d ]*\]:?")  # what a notebook writes above a cell
CODING_LINE = re.compile(r"#!.*|#[-* ]*(?:en)?coding[:=] *[-\w.]+[-* ]*")
NUMBER_LINE = re.compile(r"#+ *\d+ *[.):]?")
BARE_NUMBER_LINE = re.compile(r"\d+\. *")  # without `#`; above a description an exercise number
NUMBERED = re.compile(r"[1-9]\d{0,3}(?: *[.):]+\s*|\s+)(?=[^\W\d])")

_BEGINNINGS = read_table(Path(__file__).with_suffix(".yaml"))
TASK = re.compile("|".join(_BEGINNINGS["tasks"]), re.IGNORECASE)
REMARK = re.compile("|".join(_BEGINNINGS["remarks"]), re.IGNORECASE)
HEADING_LINE = re.compile(r"(?!else|try|finally)[A-Za-z][A-Za-z ]*:\s*")  # `PYTHON CODE:`
MIN_TASKS = 0.05  # share of descriptions with the form of a task; fewer are probably comments


@dataclass
class Block:
    """A description and the numbers (from 0) of the lines below it."""

    line: int
    short: bool
    text: str
    code: list[int]


def read_english_python(
    report: DataReport, *, path: str | None, url: str, sha256: str
) -> list[Pair]:
    """Read the students' file, or another file of this format.

    Args:
        report: Receives the counts of each rule and of the roles of lines.
        path: The file; None downloads it once.
        url: Address of the download.
        sha256: Checksum of the download.

    Returns:
        The pairs in the order of the file; the number in an id is the line of the description.

    Raises:
        UserError: If the file cannot be read or downloaded, has no pair, or has another form.
    """
    file = path if path is not None else fetch(url, sha256)
    lines = read_text(file).split("\n")
    pairs = parse_pairs(lines, report)
    n = report.facts[f"{NAME}: lines"]
    n_descriptions = n[DESCRIPTION] + n[SHORT]
    form = "a pair is a line `# description` and Python code below it"
    if headings := _headings(lines, at_least=max(3, n[DESCRIPTION])):
        raise UserError(
            f"{file} has pairs under the headings {headings}, which data={NAME} does not"
            f" read: {form}; "
            'or write JSON lines {"description": "...", "code": "..."} for data=file'
        )
    if not pairs:
        is_json = lines[0].lstrip().startswith(("{", "["))
        raise UserError(
            f"{file} holds no pair: of {len(lines):,} lines {n_descriptions:,} are"
            f" descriptions and {n[CODE]:,} code; {form}"
            + ("; data=file reads JSON" if is_json else "")
        )
    if n[DESCRIPTION] < MIN_TASKS * n_descriptions:
        report.warnings.append(
            f"{n[DESCRIPTION]:,} of {n_descriptions:,} descriptions in {file} request a program"
            f" ('write a function that ...'): the others may be comments in code; {form}"
        )
    return pairs


def _headings(lines: Sequence[str], at_least: int) -> str:
    """Return two headings that alternate in a file of another form; empty if there are none."""
    found = [line.strip() for line in lines if HEADING_LINE.fullmatch(line)]
    common = [heading for heading, n in Counter(found).most_common(2) if n >= at_least]
    if len(common) < 2:
        return ""
    both = [heading for heading in found if heading in common]
    alternate = sum(above != below for above, below in itertools.pairwise(both))
    return " and ".join(map(repr, common)) if alternate > 0.9 * (len(both) - 1) else ""


def parse_pairs(lines: Sequence[str], report: DataReport) -> list[Pair]:
    """Parse the lines of a file; each description becomes a pair or is dropped."""
    roles = line_roles(lines)
    counts = Counter(roles)
    report.facts[f"{NAME}: lines"] = {
        role: counts[role]
        for role in (BLANK, CODE, COMMENT, MARKER, CODING, NUMBER, DESCRIPTION, SHORT, MORE)
    }
    for role in (MARKER, CODING, NUMBER):
        _drop_lines([i for i, r in enumerate(roles) if r == role], role, len(lines), report)
    remarks = [i for i, role in enumerate(roles) if role == COMMENT and lines[i].startswith("#")]
    rule = f"{NAME}: comments at the margin kept in the code"
    report.read(rule, len(lines), changed=len(remarks))
    blocks = _blocks(lines, roles, report)
    blocks = _join_comments(blocks, lines, report)
    return _pairs(blocks, lines, report)


def line_roles(lines: Sequence[str]) -> list[str]:
    """Return the role of each line."""
    roles: list[str] = []
    has_code = True  # whether the current description has code; at the start there is none
    below = _indented_below(lines)
    for i in range(len(lines)):
        role = _role(lines, i, roles[-1] if roles else BLANK, has_code, below[i])
        has_code = role == CODE or (has_code and role not in (DESCRIPTION, SHORT))
        roles.append(role)
    return roles


def _role(lines: Sequence[str], i: int, above: str, has_code: bool, indented_below: bool) -> str:
    line, next_line = lines[i], lines[i + 1] if i + 1 < len(lines) else ""
    text = line.strip()
    margin = line[: len(line) - len(line.lstrip())]
    if not text:
        return BLANK
    if not text.startswith("#"):
        bare_number = BARE_NUMBER_LINE.fullmatch(line) and next_line.startswith("#")
        return NUMBER if bare_number else CODE
    if margin not in ("", " ", "  ", "   "):
        return COMMENT
    for pattern, role in ((MARKER_LINE, MARKER), (CODING_LINE, CODING), (NUMBER_LINE, NUMBER)):
        if pattern.fullmatch(text):
            return role
    words = _words(text)
    numbered = NUMBERED.match(words)
    remark = REMARK.match(words) is not None
    if numbered or (TASK.match(words) and (not remark or "write" in words.lower())):
        return DESCRIPTION
    if remark or _is_code(words):
        return COMMENT
    if not margin and has_code and above in (BLANK, MARKER, CODING, NUMBER):
        return COMMENT if indented_below else SHORT
    return MORE if above in (DESCRIPTION, SHORT, MORE) else COMMENT


def _words(line: str) -> str:
    return line.strip().lstrip("#").strip()


def _is_code(text: str) -> bool:
    """Return whether a comment is a disabled statement."""
    tree = parse(text)
    kinds = (ast.Call, ast.Assign, ast.AugAssign, ast.Import, ast.ListComp, ast.Subscript)
    return tree is not None and any(isinstance(node, kinds) for node in ast.walk(tree))


def _indented_below(lines: Sequence[str]) -> list[bool]:
    """Return for each line whether the next code line is indented: then a `#` line is in a block.

    One pass from the end, because a search from each line would be quadratic.
    """
    below, indented = [False] * len(lines), False
    for i in range(len(lines) - 1, -1, -1):
        below[i] = indented
        if lines[i].strip() and not lines[i].startswith("#"):
            indented = lines[i].startswith((" ", "\t"))
    return below


def _blocks(lines: Sequence[str], roles: Sequence[str], report: DataReport) -> list[Block]:
    """Collect the descriptions and the lines below each."""
    blocks: list[Block] = []
    orphans = []
    n_numbered = n_continued = n_indented = 0
    for i, (line, role) in enumerate(zip(lines, roles, strict=True)):
        if role in (DESCRIPTION, SHORT):
            words = _words(line)
            number = NUMBERED.match(words)
            text = words[number.end() :] if number else words
            n_numbered += number is not None
            n_indented += line.startswith(" ")
            blocks.append(Block(i, role == SHORT, text, []))
        elif role == MORE:
            n_continued += roles[i - 1] != MORE
            blocks[-1].text = f"{blocks[-1].text.removesuffix(chr(92)).rstrip()} {_words(line)}"
        elif role in (CODE, COMMENT, BLANK):
            if blocks:
                blocks[-1].code.append(i)
            elif role != BLANK:
                orphans.append(i)
    _drop_lines(orphans, "lines above the first description", len(lines), report)
    for rule, n_changed in (
        ("numbered descriptions", n_numbered),
        ("descriptions of several lines", n_continued),
        ("indented descriptions", n_indented),
    ):
        report.read(f"{NAME}: {rule}", len(blocks), changed=n_changed)
    return blocks


def _join_comments(blocks: list[Block], lines: Sequence[str], report: DataReport) -> list[Block]:
    """Join a short description to the program above if its code needs names of that program."""
    joined: list[Block] = []
    above: set[str] = set()  # names bound by the last program
    rule = f"{NAME}: comments that look like descriptions"
    report.read(rule, len(blocks))
    for block in blocks:
        bound, used = _names([lines[i] for i in block.code])
        if block.short and joined and (used - bound) & above:
            joined[-1].code += [block.line, *block.code]
            above |= bound
            report.changed(rule)
        else:
            joined.append(block)
            above = bound
    return joined


def _names(code: Sequence[str]) -> tuple[set[str], set[str]]:
    """Return the names that a program binds and those that it reads, without builtins."""
    bound, used = set(), set()
    tree = parse(textwrap.dedent("\n".join(code)).strip())
    for node in ast.walk(tree) if tree else ():
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                used.add(name)
            case ast.Name(id=name) | ast.arg(arg=name):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.alias(name=name, asname=alias):
                bound.add(alias or name.split(".")[0])
    return bound, used - set(dir(builtins))


def _pairs(blocks: Sequence[Block], lines: Sequence[str], report: DataReport) -> list[Pair]:
    """Create pairs of the blocks with code."""
    pairs = []
    rule = f"{NAME}: descriptions without code"
    report.read(rule, len(blocks))
    for block in blocks:
        pair_id = f"{NAME}/{block.line + 1}"
        code = [lines[i] for i in block.code]
        if all(line.lstrip().startswith("#") or not line.strip() for line in code):
            comments = "".join(code).strip() != ""
            report.dropped(rule, pair_id, "comments alone" if comments else "nothing below it")
            continue
        description = " ".join(block.text.split())
        pairs.append(Pair(pair_id, description, "\n".join(code).strip("\n"), NAME))
    report.read(f"{NAME}: pairs", len(pairs))
    return pairs


def _drop_lines(numbers: Sequence[int], what: str, n_lines: int, report: DataReport) -> None:
    report.read(f"{NAME}: {what}", n_lines)
    for i in numbers:
        report.dropped(f"{NAME}: {what}", f"{NAME}/{i + 1}", "no part of a pair")
