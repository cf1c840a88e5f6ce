"""CodeBLEU (Ren et al., 2020) as counts per pair; needs the extra `en2py[codebleu]`, tree-sitter.

The counts are those of the package `codebleu` 0.7.0, which does not install on Python 3.13, with
three corrections: tokens are those of `layout_tokens` instead of words between white space; names
are numbered independently of Python's hash seed; and where no data flow matches, that part is 0,
not 1. As in the package, the weighted part has no real brevity penalty: it assumes that each
reference has two tokens.
"""

import io
import math
import tokenize
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import metadata
from typing import Any

from en2py.evaluation.metrics.bleu import Counts, bleu_counts
from en2py.evaluation.metrics.code_tokens import CACHED_PROGRAMS, LAYOUT_NAME, layout_tokens
from en2py.evaluation.metrics.data_flow import data_flow

KEYWORD_WEIGHT, OTHER_WEIGHT = 1.0, 0.2  # the package's
KEYWORDS = frozenset(
    "False None True and as assert async await break case class continue def del elif else except"
    " finally for from global if import in is lambda match nonlocal not or pass raise return try"
    " type while with yield".split()
)
NO_MATCH = 0.1  # matches of an order without any: Chen and Cherry (2014), method 1
ABSENT = "code_bleu=true needs tree-sitter: pip install -e '.[codebleu]'"


def available() -> str:
    """Return an empty text if CodeBLEU can be computed, else the reason why not."""
    try:
        _parser()
    except ImportError:
        return ABSENT
    except (TypeError, ValueError, AttributeError) as error:  # of incompatible versions
        return f"{ABSENT}; the installed tree-sitter is incompatible: {error}"
    return ""


def signature() -> str:
    """Return how CodeBLEU is computed."""
    grammar = f"tree-sitter-python:{metadata.version('tree-sitter-python')}"
    return f"pre:{LAYOUT_NAME}|weights:0.25,0.25,0.25,0.25|as codebleu:0.7.0|{grammar}"


def code_bleu_counts(output: str, reference: str) -> list[float]:
    """Return the row of a pair for `code_bleu_value`.

    Raises:
        ImportError: If the extra is not installed; see `available`.
    """
    length, n_wanted, *counts = bleu_counts(output, [reference])
    matches, totals = counts[:4], [max(1, n) for n in counts[4:]]
    of_reference = [max(1, n) for n in bleu_counts(reference, [reference])[6:]]
    weight, full_weight = _weighted_words(layout_tokens(output), layout_tokens(reference))
    there, wanted = _stripped(output), _stripped(reference)
    known = {*_subtrees(there)}  # a subtree may match several times, as in the package
    trees = sum(tree in known for tree in _subtrees(wanted)), len(_subtrees(wanted))
    flow = _data_flow(wanted)
    flows = (Counter(_data_flow(there)) & Counter(flow)).total(), len(flow)
    weighted = [weight, *matches[1:], full_weight, *of_reference[1:]]
    return [1, length, n_wanted, *matches, *totals, *weighted, *trees, *flows]


def code_bleu_value(counts: Counts) -> float:
    """Return CodeBLEU, 0 to 100, from the sum of rows."""
    parts = code_bleu_parts(counts)
    return 100 * sum(parts.values()) / len(parts)


def code_bleu_parts(counts: Counts) -> dict[str, float]:
    """Return the four parts, 0 to 1, from the sum of rows: n-grams, weighted, trees, data flow."""
    n, length, wanted, *rest = counts
    ngrams, weighted, (trees, n_trees, flows, n_flows) = rest[:8], rest[8:16], rest[16:]
    return {
        "ngrams": _mean_of_orders(ngrams, _brevity(length, wanted)),
        "weighted": _mean_of_orders(weighted, _brevity(length, 2 * n)),
        "trees": trees / n_trees if n_trees else 0.0,
        "flow": flows / n_flows if n_flows else 1.0,  # references without data flow
    }


def _weighted_words(output: Sequence[str], reference: Sequence[str]) -> tuple[float, float]:
    """Return the weights of the words of the reference that match, and of all of them."""
    found, wanted = Counter(output), Counter(reference)

    def weight(counts: Counter[str]) -> float:
        return sum(
            count * (KEYWORD_WEIGHT if word in KEYWORDS else OTHER_WEIGHT)
            for word, count in counts.items()
        )

    # In the order of the reference: sums of floats depend on it.
    matched = Counter({word: min(count, found[word]) for word, count in wanted.items()})
    return weight(matched), max(1, weight(wanted))


@lru_cache(maxsize=CACHED_PROGRAMS)
def _stripped(code: str) -> str:
    """Return code without comments and docstrings; invalid code is returned as it is."""
    code = code.strip().encode(errors="replace").decode()
    try:
        return _without_comments(code)
    except (tokenize.TokenError, SyntaxError):  # of indentation
        return code


def _without_comments(code: str) -> str:
    """Remove comments, and texts that begin a line, as the package does."""
    kept, before, last_line, last_column = "", tokenize.INDENT, -1, 0
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        (line, column), (end_line, end_column) = token.start, token.end
        if line > last_line:
            last_column = 0
        kept += " " * (column - last_column)
        begins_line = before in (tokenize.INDENT, tokenize.NEWLINE) or column == 0
        is_docstring = token.type == tokenize.STRING and begins_line
        if token.type != tokenize.COMMENT and not is_docstring:
            kept += token.string
        before, last_line, last_column = token.type, end_line, end_column
    return "\n".join(line for line in kept.split("\n") if line.strip())


@lru_cache(maxsize=CACHED_PROGRAMS)
def _subtrees(code: str) -> tuple[str, ...]:
    """Return each inner node of the syntax tree, with its subtree, as text."""
    waiting, found = [_parser().parse(code.encode()).root_node], []
    while waiting:
        node = waiting.pop()
        found.append(str(node))
        waiting += [child for child in node.children if child.children]
    return tuple(found)


@lru_cache(maxsize=CACHED_PROGRAMS)
def _data_flow(code: str) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    found = data_flow(_parser().parse(code.encode()).root_node, code)
    return tuple((name, relation, tuple(sources)) for name, relation, sources in found)


@cache
def _parser() -> Any:
    import tree_sitter_python
    from tree_sitter import Language, Parser

    parser = Parser()
    with warnings.catch_warnings():  # of newer versions, which this grammar fits all the same
        warnings.simplefilter("ignore", DeprecationWarning)
        parser.language = Language(tree_sitter_python.language())
    return parser


def _brevity(length: float, wanted: float) -> float:
    return 0.0 if not length else min(1.0, math.exp(1 - wanted / length))


def _mean_of_orders(counts: Counts, brevity: float) -> float:
    """Return the geometric mean over orders; `counts` are four matches and four totals."""
    matches, totals = counts[:4], counts[4:]
    if not matches[0]:
        return 0.0
    logs = [math.log((m or NO_MATCH) / t) for m, t in zip(matches, totals, strict=True)]
    return brevity * math.exp(sum(logs) / len(logs))
