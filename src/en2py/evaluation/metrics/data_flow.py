"""Data flow between the names of a program, the third part of CodeBLEU (Ren et al., 2020).

The rules are those of the package `codebleu` 0.7.0 for Python, which follow GraphCodeBERT (Guo et
al., 2021): a name comes from its last assignments, and an assigned name is computed from the names
on the right. Bodies of loops are read twice, so that values reach the next iteration.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

COMES, COMPUTED = "comesFrom", "computedFrom"
_ASSIGNMENTS = ("assignment", "augmented_assignment", "for_in_clause")

Node = Any  # tree_sitter.Node, which is an extra
Span = tuple[tuple[int, int], tuple[int, int]]  # rows and columns of the start and the end
Tokens = dict[Span, tuple[int, str]]  # of each leaf: its place in the program, its text
State = dict[str, list[int]]  # name -> places of its last assignments


class Edge(NamedTuple):
    """The names and places that a name at a place gets its value from."""

    name: str
    place: int
    relation: str
    sources: list[str]
    places: list[int]

    def joined(self, earlier: "Edge") -> "Edge":
        """Return this edge with the sources of an earlier one, each once."""
        return self._replace(
            sources=sorted({*earlier.sources, *self.sources}),
            places=sorted({*earlier.places, *self.places}),
        )


def data_flow(root: Node, code: str) -> list[tuple[str, str, list[str]]]:
    """Return the data flow of a program, its names replaced by numbers.

    Returns:
        Name, relation and sources of each edge; empty for a tree of an unexpected form.
    """
    try:
        edges = _edges(root, code)
    except (AttributeError, IndexError, KeyError, RecursionError):  # of a program with errors
        return []
    used = {edge.place for edge in edges if edge.places}.union(*(edge.places for edge in edges))
    by_place: dict[int, Edge] = {}
    for edge in edges:
        if edge.place in used:
            earlier = by_place.get(edge.place)
            by_place[edge.place] = edge.joined(earlier) if earlier else edge
    numbers: dict[str, str] = {}
    flow = []
    for edge in by_place.values():
        sources = sorted(edge.sources)
        for name in (*sources, edge.name):
            numbers.setdefault(name, f"var_{len(numbers)}")
        flow.append((numbers[edge.name], edge.relation, [numbers[name] for name in sources]))
    return flow


def _edges(root: Node, code: str) -> list[Edge]:
    lines = code.split("\n")
    spans = _leaves(root)
    tokens = {span: (place, _text(span, lines)) for place, span in enumerate(spans)}
    edges, _ = _flow(root, tokens, {})
    return sorted(edges, key=lambda edge: edge.place)


def _flow(node: Node, tokens: Tokens, state: State) -> tuple[list[Edge], State]:
    """Return the edges inside of a node, and the state behind it."""
    state = state.copy()
    if _is_leaf(node):
        place, text = tokens[_span(node)]
        if node.type == text:  # a keyword or an operator
            return [], state
        if text in state:
            return [Edge(text, place, COMES, [text], state[text])], state
        if node.type == "identifier":
            state[text] = [place]
        return [Edge(text, place, COMES, [], [])], state
    if node.type == "default_parameter":
        return _default(node, tokens, state)
    if node.type == "for_in_clause":
        return _assign([node.child_by_field_name("left")], [node.children[-1]], tokens, state)
    if node.type in _ASSIGNMENTS:
        if node.child_by_field_name("right") is None:  # an annotation alone
            return [], state
        return _assign(*_sides(node), tokens, state)
    if node.type == "if_statement":
        return _branches(node, tokens, state)
    edges: list[Edge] = []
    if node.type == "for_statement":
        for _ in range(2):
            found, state = _assign(*_sides(node), tokens, state)
            edges += found
            if node.children[-1].type == "block":
                found, state = _flow(node.children[-1], tokens, state)
                edges += found
        return _joined(edges), state
    if node.type == "while_statement":
        for child in [*node.children, *node.children]:
            found, state = _flow(child, tokens, state)
            edges += found
        return _joined(edges), state
    # The clauses of a comprehension assign names that are used before them.
    for child in sorted(node.children, key=lambda child: child.type != "for_in_clause"):
        found, state = _flow(child, tokens, state)
        edges += found
    return edges, state


def _default(node: Node, tokens: Tokens, state: State) -> tuple[list[Edge], State]:
    """Return the edges of a parameter with a default value."""
    value = node.child_by_field_name("value")
    edges, state = _flow(value, tokens, state)
    sources = _variables(value, tokens)
    for place, name in _variables(node.child_by_field_name("name"), tokens):
        edges += [Edge(name, place, COMES, [text], [at]) for at, text in sources]
        state[name] = [place]
    return edges, state


def _assign(
    left: list[Node], right: list[Node], tokens: Tokens, state: State
) -> tuple[list[Edge], State]:
    """Return the edges of assignments, side by side."""
    edges: list[Edge] = []
    for node in right:
        found, state = _flow(node, tokens, state)
        edges += found
    for target, value in zip(left, right, strict=True):
        sources = _variables(value, tokens)
        for place, name in _variables(target, tokens):
            names, places = [text for _, text in sources], [at for at, _ in sources]
            edges.append(Edge(name, place, COMPUTED, names, places))
            state[name] = [place]
    return edges, state


def _sides(node: Node) -> tuple[list[Node], list[Node]]:
    """Return the targets and values of an assignment or a loop, in pairs if there are as many."""
    left, right = (node.child_by_field_name(name) for name in ("left", "right"))
    targets, values = ([c for c in side.children if c.type != ","] for side in (left, right))
    return (targets, values) if targets and len(targets) == len(values) else ([left], [right])


def _branches(node: Node, tokens: Tokens, state: State) -> tuple[list[Edge], State]:
    """Return the edges of an `if`; afterwards a name may come from each of the branches."""
    edges: list[Edge] = []
    current, others = state, []
    for child in node.children:
        is_clause = child.type in ("elif_clause", "else_clause")
        found, behind = _flow(child, tokens, state if is_clause else current)
        edges += found
        if is_clause:
            others.append(behind)
        else:
            current = behind
    others.append(current)
    if not any("else" in child.type for child in node.children):
        others.append(state)
    names = dict.fromkeys(name for other in others for name in other)
    after = {name: {at for other in others for at in other.get(name, ())} for name in names}
    return edges, {name: sorted(places) for name, places in after.items()}


def _joined(edges: Iterable[Edge]) -> list[Edge]:
    """Join the edges of the two readings of a loop."""
    joined: dict[tuple[str, int, str], Edge] = {}
    for edge in edges:
        key = edge[:3]
        joined[key] = edge.joined(joined[key]) if key in joined else edge
    return list(joined.values())


def _is_leaf(node: Node) -> bool:
    return node.type == "string" or (not node.children and node.type != "comment")


def _span(node: Node) -> Span:
    return node.start_point, node.end_point


def _leaves(node: Node) -> list[Span]:
    return [_span(node)] if _is_leaf(node) else [at for c in node.children for at in _leaves(c)]


def _variables(node: Node, tokens: Tokens) -> list[tuple[int, str]]:
    """Return place and text of each leaf of a node but keywords and operators."""
    if _is_leaf(node):
        return [tokens[_span(node)]] if node.type != tokens[_span(node)][1] else []
    return [found for child in node.children for found in _variables(child, tokens)]


def _text(span: Span, lines: list[str]) -> str:
    """Return the text of a leaf; tree-sitter counts columns in bytes, as the package ignores."""
    (first, start), (last, end) = span
    if first == last:
        return lines[first][start:end]
    return lines[first][start:] + "".join(lines[first + 1 : last]) + lines[last][:end]
