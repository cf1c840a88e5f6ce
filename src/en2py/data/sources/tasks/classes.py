"""Tasks on classes: containers, records and lists of numbers, with some methods."""

from random import Random

from en2py.data.sources.tasks.changes import draw_change
from en2py.data.sources.tasks.checks import draw_check
from en2py.data.sources.tasks.inputs import draw_argument
from en2py.data.sources.tasks.primitives import rows
from en2py.data.sources.tasks.sources import NUMBER_NOUNS
from en2py.data.sources.tasks.task import CLASS, Task, block, function

Method = tuple[str, str, tuple[str, ...], str]
CONTAINERS = ("Stack", "Queue", "Basket", "Box", "Bag", "Collection")


def _split_head(head: str) -> tuple[str, str]:
    """Split `name(parameters)`."""
    name, _, parameters = head.partition("(")
    return name, parameters.rstrip(")")


def _methods(table: str) -> tuple[Method, ...]:
    """Parse a table: name and parameter | lines of the body | words for the method."""
    return tuple(
        (*_split_head(head), tuple(body.split("; ")), words) for head, body, words in rows(table, 3)
    )


METHODS = _methods("""
push(item) | self.items.append(item); return self.items | push to add an item and return all items
pop() | return self.items.pop() | pop to remove and return the last item
shift() | return self.items.pop(0) | shift to remove and return the first item
peek() | return self.items[-1] | peek to return the last item
first() | return self.items[0] | first to return the first item
size() | return len(self.items) | size to return the number of items
is_empty() | return not self.items | is_empty to check whether there are no items
total() | return sum(self.items) | total to return the sum of the items
largest() | return max(self.items) | largest to return the largest item
smallest() | return min(self.items) | smallest to return the smallest item
reverse() | return self.items[::-1] | reverse to return the items in reverse order
ordered() | return sorted(self.items) | ordered to return the items in ascending order
contains(item) | return item in self.items | contains to check whether an item is there
count(item) | return self.items.count(item) | count to count how often an item is there
unique() | return sorted(set(self.items)) | unique to return the distinct items in ascending order
""")
# Classes with plain attributes.
RECORD_TABLES = {
    "Rectangle(width, height)": """
area() | return self.width * self.height | area
perimeter() | return 2 * (self.width + self.height) | perimeter
is_square() | return self.width == self.height | is_square
scale(k) | return (self.width * k, self.height * k) | scale that returns both sides times k
longer_side() | return max(self.width, self.height) | longer_side
""",
    "Account(balance)": """
deposit(amount) | self.balance += amount; return self.balance \
    | deposit that adds an amount and returns the balance
withdraw(amount) | self.balance -= amount; return self.balance \
    | withdraw that takes off an amount and returns the balance
is_overdrawn() | return self.balance < 0 | is_overdrawn
can_pay(amount) | return self.balance >= amount \
    | can_pay that checks whether the balance covers an amount
add_interest(rate) | self.balance += self.balance * rate // 100; return self.balance \
    | add_interest that adds a percentage and returns the balance
""",
    "Point(x, y)": """
mirror() | return (-self.x, -self.y) | mirror that returns both coordinates negated
swap() | return (self.y, self.x) | swap that returns the coordinates in reverse order
move(k) | return (self.x + k, self.y + k) | move that returns both coordinates plus k
squared_length() | return self.x ** 2 + self.y ** 2 | squared_length
distance() | return abs(self.x) + abs(self.y) | distance that adds the absolute coordinates
""",
    "Counter(count)": """
increase() | self.count += 1; return self.count | increase that adds one and returns the count
decrease() | self.count -= 1; return self.count \
    | decrease that subtracts one and returns the count
reset() | self.count = 0; return self.count | reset that sets the count to zero and returns it
add(k) | self.count += k; return self.count | add that adds k and returns the count
is_zero() | return self.count == 0 | is_zero
""",
}
RECORDS = tuple(
    (name, tuple(attributes.split(", ")), _methods(table))
    for head, table in RECORD_TABLES.items()
    for name, attributes in [_split_head(head)]
)


def _method(name: str, params: str, lines: tuple[str, ...]) -> str:
    return function(name, f"self, {params}" if params else "self", *lines)


def _listed(words: list[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}"


def container(rng: Random) -> Task | None:
    """Draw a container class with some methods."""
    name = rng.choice(CONTAINERS)
    chosen = rng.sample(METHODS, rng.choice((1, 2, 2)))
    init = _method("__init__", "items", ("self.items = items",))
    body = [init, *(_method(m, params, lines) for m, params, lines, _ in chosen)]
    code = f"class {name}:\n{block(body)}"

    def describe(rng: Random) -> str:
        words = [words for *_, words in chosen]
        methods = _listed(words) if len(words) > 1 else words[0]
        some = "methods" if len(words) > 1 else "method"
        return f"{name} over a list of items with the {some} {methods}"

    def call(rng: Random) -> str:
        method, params, *_ = rng.choice(chosen)
        items = [rng.randint(1, 9) for _ in range(rng.randint(3, 5))]
        argument = repr(rng.randint(1, 9)) if params else ""
        return f"{name}({items}).{method}({argument})"

    parts = ("class:container", *(f"method:{m}" for m, *_ in chosen))
    return Task("container class", parts, code, describe, call, what=(CLASS,))


def record(rng: Random) -> Task | None:
    """Draw a class with attributes and some methods."""
    name, attributes, methods = rng.choice(RECORDS)
    chosen = rng.sample(methods, rng.choice((1, 2, 2)))
    init = _method("__init__", ", ".join(attributes), tuple(f"self.{a} = {a}" for a in attributes))
    body = [init, *(_method(m, params, lines) for m, params, lines, _ in chosen)]
    code = f"class {name}:\n{block(body)}"

    def describe(rng: Random) -> str:
        words = [words for *_, words in chosen]
        text = _listed(words) if len(words) > 1 else words[0]
        has = _listed([*attributes]) if len(attributes) > 1 else attributes[0]
        some = "methods" if len(words) > 1 else "method"
        return f"{name} with {has} and the {some} {text}"

    def call(rng: Random) -> str:
        method, params, *_ = rng.choice(chosen)
        given = ", ".join(str(rng.randint(-2, 20)) for _ in attributes)
        return f"{name}({given}).{method}({rng.randint(1, 20) if params else ''})"

    parts = (f"class:{name}", *(f"method:{m}" for m, *_ in chosen))
    return Task(f"class {name}", parts, code, describe, call, what=(CLASS,))


def filtered_class(rng: Random) -> Task | None:
    """Draw a class around a list with methods that filter, change and reduce it."""
    noun, nouns = rng.choice(NUMBER_NOUNS)
    one, two = draw_check(rng, "number"), draw_check(rng, "number")
    change = draw_change(rng, "number", to="number")
    if one.name == two.name:
        return None
    options = (
        (
            "chosen",
            "list",
            f"return [n for n in self.{nouns} if {one.on('n')}]",
            f"the {nouns} that {{one}}",
        ),
        (
            "total",
            "sum",
            f"return sum(n for n in self.{nouns} if {one.on('n')})",
            f"the sum of the {nouns} that {{one}}",
        ),
        ("changed", "map", f"return [{change.on('n')} for n in self.{nouns}]", ""),
        (
            "has_any",
            "any",
            f"return any({two.on('n')} for n in self.{nouns})",
            f"whether any {noun} {{two}}",
        ),
        (
            "count",
            "count",
            f"return len([n for n in self.{nouns} if {two.on('n')}])",
            f"the number of {nouns} that {{many}}",
        ),
    )
    chosen = rng.sample(options, 2)
    init = _method("__init__", nouns, (f"self.{nouns} = {nouns}",))
    body = [init, *(_method(name, "", (line,)) for name, _, line, _ in chosen)]
    code = f"class Numbers:\n{block(body)}"

    def describe(rng: Random) -> str:
        clauses = []
        for name, _, _, words in chosen:
            if name == "changed":
                does = change.verb(rng, f"each {noun}").replace("[", "<").replace("]", ">")
                clauses.append(f"a method changed that {does}")
                continue
            words = words.replace("{one}", one.predicate(rng, True))
            words = words.replace("{two}", two.predicate(rng, False))
            words = words.replace("{many}", two.predicate(rng, True))
            verb = "checks" if name == "has_any" else "returns"
            clauses.append(f"a method {name} that {verb} {words}")
        return f"Numbers around a list of {nouns} with {clauses[0]} and {clauses[1]}"

    def call(rng: Random) -> str:
        method = rng.choice(chosen)[0]
        return f"Numbers({draw_argument(rng, 'numbers', code)}).{method}()"

    used = [kind for _, kind, *_ in chosen]
    parts = ["class:Numbers", *(f"method:{kind}" for kind in used)]
    parts += [f"filter:{one.name}"] if {"list", "sum"} & {*used} else []
    parts += [f"filter:{two.name}"] if {"any", "count"} & {*used} else []
    parts += [f"map:{change.name}"] if "map" in used else []
    return Task("class of numbers", tuple(parts), code, describe, call, what=(CLASS,))
