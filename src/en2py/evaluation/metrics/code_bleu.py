"""CodeBLEU (Ren et al., 2020) as counts per pair; needs the extra `en2py[codebleu]`.

The counts are those of the package `codebleu` with three corrections: tokens are those of
`layout_tokens` instead of words between white space; names are numbered independently of Python's
hash seed; and where no data flow matches, that part is 0, not 1. As in the package, the weighted
part has no real brevity penalty: it assumes that each reference has two tokens.
"""

import math
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from typing import Any

from en2py.evaluation.metrics.code_tokens import LAYOUT_NAME, layout_tokens

ORDERS = range(1, 5)  # n-grams of 1 to 4 tokens
KEYWORD_WEIGHT, OTHER_WEIGHT = 1.0, 0.2  # the package's
NO_MATCH = 0.1  # matches of an order without any: Chen and Cherry (2014), method 1
ABSENT = "not computed: pip install 'en2py[codebleu]' (Python 3.11 or 3.12)"
Counts = Sequence[int | float]


def available() -> str:
    """Return an empty text if CodeBLEU can be computed, else the reason why not."""
    try:
        _parser()
    except ImportError:
        return ABSENT
    except (TypeError, ValueError, AttributeError) as error:  # of incompatible versions
        return f"{ABSENT}; the installed tree-sitter is incompatible: {error}"
    return ""


def code_bleu_counts(
    outputs: Sequence[str], references: Sequence[str]
) -> tuple[list[list[float]], str]:
    """Return a row of counts per pair for `code_bleu_value`, and the signature.

    Raises:
        ImportError: If the extra is not installed; see `available`.
    """
    rows = [_row(*pair) for pair in zip(outputs, references, strict=True)]
    packages = ("codebleu", "tree-sitter", "tree-sitter-python")
    versions = "|".join(f"{name}:{metadata.version(name)}" for name in packages)
    return rows, f"pre:{LAYOUT_NAME}|weights:0.25,0.25,0.25,0.25|{versions}"


def code_bleu_value(counts: Counts) -> float:
    """Return CodeBLEU, 0 to 100, from the sum of rows."""
    n, length, wanted, *rest = counts
    ngrams, weighted, (trees, n_trees, flows, n_flows) = rest[:8], rest[8:16], rest[16:]
    parts = (
        _mean_of_orders(ngrams, _brevity(length, wanted)),
        _mean_of_orders(weighted, _brevity(length, 2 * n)),
        trees / n_trees if n_trees else 0.0,
        flows / n_flows if n_flows else 1.0,  # references without data flow
    )
    return 100 * sum(parts) / len(parts)


def _row(output: str, reference: str) -> list[float]:
    from codebleu.bleu import modified_precision
    from codebleu.weighted_ngram_match import modified_recall

    tokens, wanted = layout_tokens(output), layout_tokens(reference)
    weights = {token: KEYWORD_WEIGHT if token in _keywords() else OTHER_WEIGHT for token in wanted}
    plain = [modified_precision([wanted], tokens, order) for order in ORDERS]
    weighted = [modified_recall([[wanted, weights]], tokens, order) for order in ORDERS]
    trees, flows = (_matches(output, reference, find) for find in (_subtrees, _data_flow))
    columns = [*zip(*plain, strict=True), *zip(*weighted, strict=True), trees, flows]
    return [1, len(tokens), len(wanted), *(count for column in columns for count in column)]


def _matches(output: str, reference: str, find: Any) -> tuple[int, int]:
    """Return how many items of the reference are in the output too, and the number of items."""
    there, wanted = find(_stripped(output)), find(_stripped(reference))
    once = find is _data_flow  # a subtree may match several times, as in the package
    matched = 0
    for item in wanted:
        if item in there:
            matched += 1
            if once:
                there.remove(item)
    return matched, len(wanted)


def _stripped(code: str) -> str:
    """Return code without comments and docstrings; invalid code is returned as it is."""
    from codebleu.parser import remove_comments_and_docstrings

    code = code.strip().encode(errors="replace").decode()
    try:
        return str(remove_comments_and_docstrings(code, "python"))
    except Exception:
        return code


def _subtrees(code: str) -> list[str]:
    """Return each inner node of the syntax tree, with its subtree, as text."""
    waiting, found = [_parser().parse(code.encode()).root_node], []
    while waiting:
        node = waiting.pop()
        found.append(str(node))
        waiting += [child for child in node.children if child.children]
    return found


def _data_flow(code: str) -> list[tuple[str, str, list[str]]]:
    """Return the data flow between names, which are numbered."""
    from codebleu.dataflow_match import get_data_flow, normalize_dataflow
    from codebleu.parser import DFG_python

    flow = get_data_flow(code, [_parser(), DFG_python])
    # The package makes these lists from sets, whose order depends on the hash seed.
    ordered: list[Any] = [
        (name, place, how, sorted(names), []) for name, place, how, names, _ in flow
    ]
    found: list[tuple[str, str, list[str]]] = normalize_dataflow(ordered)
    return found


@cache
def _parser() -> Any:
    from codebleu.utils import get_tree_sitter_language
    from tree_sitter import Parser

    parser = Parser()
    parser.language = get_tree_sitter_language("python")
    return parser


@cache
def _keywords() -> frozenset[str]:
    from codebleu.codebleu import PACKAGE_DIR

    words = (PACKAGE_DIR / "keywords" / "python.txt").read_text(encoding="utf-8")
    return frozenset(words.split())


def _brevity(length: float, wanted: float) -> float:
    return 0.0 if not length else min(1.0, math.exp(1 - wanted / length))


def _mean_of_orders(counts: Counts, brevity: float) -> float:
    """Return the geometric mean over orders; `counts` are four matches and four totals."""
    matches, totals = counts[:4], counts[4:]
    if not matches[0]:
        return 0.0
    logs = [math.log((m or NO_MATCH) / t) for m, t in zip(matches, totals, strict=True)]
    return brevity * math.exp(sum(logs) / len(logs))
