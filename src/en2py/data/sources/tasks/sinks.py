"""What becomes of a stream: a number, a list, a text."""

from dataclasses import dataclass

FILTERED = ("filter", "property")
ALL = ("plain", "filter", "map", "filter map", "map filter", "property")
CHANGED = ("filter", "map", "filter map", "map filter", "property")


def _find(what: str) -> tuple[str, ...]:
    return tuple(f"[{verb}] {what}" for verb in ("find", "return", "compute", "calculate", "get"))


def _give(what: str) -> tuple[str, ...]:
    return tuple(f"[{verb}] {what}" for verb in ("find", "return", "get"))


@dataclass(frozen=True)
class Sink:
    """What becomes of a stream, in English and in the ways to write it.

    Attributes:
        family: The primitive.
        name: Name of a function that does it.
        kinds: What it can gather.
        says: Clauses around `{np}`, `squares of the even numbers in a list`.
        then: What to do with "the results" of steps told before.
        orders: Orders of stages that it makes sense after.
        short: Lines around `{each}`, `x for x in numbers`; empty where there is no short form.
        lazy: Lines around `{source}`, any iterable.
        start: Before a loop.
        step: For each element of a loop, with `{value}`; empty where there is no loop.
        end: After it.
        join: What recursion returns: `{value}` and the outcome for the `{rest}`; may be empty.
        unit: What recursion returns when nothing is left.
        ordinal: `first` where a single element is asked for.
    """

    family: str
    name: str
    kinds: tuple[str, ...]
    says: tuple[str, ...]
    then: tuple[str, ...]
    orders: tuple[str, ...] = ALL
    short: tuple[str, ...] = ()
    lazy: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    step: str = ""
    end: tuple[str, ...] = ()
    join: str = ""
    unit: str = ""
    ordinal: str = ""


SINKS = (
    Sink(
        family="sum",
        name="get_sum",
        kinds=("number",),
        says=(*_find("the sum of the {np}"), "[add] up the {np}", "[return] the total of the {np}"),
        then=("[return] the sum of the results", "[return] their sum", "[add] up the results"),
        short=("return sum({each})",),
        lazy=("return sum({source})",),
        start=("total = 0",),
        step="total += {value}",
        end=("return total",),
        join="{value} + {rest}",
        unit="0",
    ),
    Sink(
        family="product",
        name="get_product",
        kinds=("number",),
        says=(*_find("the product of the {np}"), "[multiply] all the {np}"),
        then=("[return] the product of the results", "[return] their product"),
        short=("return math.prod({each})",),
        lazy=("return math.prod({source})",),
        start=("product = 1",),
        step="product *= {value}",
        end=("return product",),
        join="{value} * {rest}",
        unit="1",
    ),
    Sink(
        family="count",
        name="count_items",
        kinds=("number", "word", "char", "row", "person", "product"),
        says=("[count] the {np}", "[count] all {np}", *_give("the number of {np}")),
        then=("[count] them",),
        orders=FILTERED,
        short=("return len([{each}])",),
        lazy=("return len(list({source}))",),
        start=("count = 0",),
        step="count += 1",
        end=("return count",),
        join="1 + {rest}",
        unit="0",
    ),
    Sink(
        family="average",
        name="get_average",
        kinds=("number",),
        says=(*_find("the average of the {np}"), "[compute] the mean of the {np}"),
        then=("[return] the average of the results", "[return] their average"),
        orders=CHANGED,
        short=("values = [{each}]", "return sum(values) / len(values)"),
        start=("total = 0", "count = 0"),
        step="total += {value}\ncount += 1",
        end=("return total / count",),
    ),
    Sink(
        family="max",
        name="find_largest",
        kinds=("number",),
        says=(*_give("the largest of the {np}"), "[find] the maximum of the {np}"),
        then=("[return] the largest result", "[return] the maximum of the results"),
        short=("return max({each})",),
        lazy=("return max({source})",),
        start=("largest = None",),
        step="if largest is None or {value} > largest:\n    largest = {value}",
        end=("return largest",),
    ),
    Sink(
        family="min",
        name="find_smallest",
        kinds=("number",),
        says=(*_give("the smallest of the {np}"), "[find] the minimum of the {np}"),
        then=("[return] the smallest result", "[return] the minimum of the results"),
        short=("return min({each})",),
        lazy=("return min({source})",),
        start=("smallest = None",),
        step="if smallest is None or {value} < smallest:\n    smallest = {value}",
        end=("return smallest",),
    ),
    Sink(
        family="max_or_zero",
        name="find_largest",
        kinds=("number",),
        says=(
            "[find] the largest of the {np}, or 0 if there are none",
            "[return] the largest of the {np} or 0 if there are none",
        ),
        then=("[return] the largest result, or 0 if there are none",),
        orders=("filter", "filter map", "map filter"),
        short=("return max([{each}], default=0)",),
    ),
    Sink(
        family="list",
        name="get_list",
        kinds=("number", "word", "char", "row", "person", "product"),
        says=(
            "[return] the {np}",
            "[return] a list of the {np}",
            "[return] a list with the {np}",
            "[get] all {np}",
        ),
        then=("[return] the results", "[return] a list of the results", "[return] them in a list"),
        orders=CHANGED,
        short=("return [{each}]",),
        lazy=("return list({source})",),
        start=("result = []",),
        step="result.append({value})",
        end=("return result",),
        join="[{value}] + {rest}",
        unit="[]",
    ),
    Sink(
        family="sort",
        name="sort_items",
        kinds=("number",),
        says=(
            "[sort] the {np}",
            "[return] the {np} in ascending order",
            "[return] the {np} sorted from smallest to largest",
        ),
        then=("[sort] the results", "[return] the results in ascending order"),
        orders=CHANGED,
        short=("return sorted({each})",),
        lazy=("return sorted({source})",),
    ),
    Sink(
        family="sort_down",
        name="sort_items",
        kinds=("number",),
        says=(
            "[sort] the {np} in descending order",
            "[return] the {np} in descending order",
            "[return] the {np} sorted from largest to smallest",
        ),
        then=("[sort] the results in descending order", "[return] the results in descending order"),
        short=("return sorted([{each}], reverse=True)",),
        lazy=("return sorted({source}, reverse=True)",),
    ),
    Sink(
        family="sort_words",
        name="sort_items",
        kinds=("word", "char"),
        says=("[sort] the {np} alphabetically", "[return] the {np} in alphabetical order"),
        then=("[sort] the results alphabetically", "[return] the results in alphabetical order"),
        short=("return sorted({each})",),
        lazy=("return sorted({source})",),
    ),
    Sink(
        family="sort_by_length",
        name="sort_items",
        kinds=("word",),
        says=(
            "[sort] the {np} by length",
            "[return] the {np} sorted by length",
            "[return] the {np} from shortest to longest",
        ),
        then=("[sort] the results by length", "[return] the results sorted by length"),
        short=("return sorted([{each}], key=len)",),
        lazy=("return sorted({source}, key=len)",),
    ),
    Sink(
        family="distinct",
        name="get_unique",
        kinds=("number", "word", "char"),
        says=(
            "[return] the distinct {np} in sorted order",
            "[return] a sorted list of the unique {np}",
            "[return] the {np} sorted and without duplicates",
        ),
        then=(
            "[return] the results sorted and without duplicates",
            "[return] a sorted list of the unique results",
        ),
        short=("return sorted(set({each}))",),
        lazy=("return sorted(set({source}))",),
    ),
    Sink(
        family="first",
        name="find_first",
        kinds=("number", "word", "char", "row", "person", "product"),
        says=_give("the {np}"),
        then=("[return] the first result",),
        orders=("filter", "filter map", "map filter", "property"),
        short=("return next(({each}), None)",),
        step="return {value}",
        end=("return None",),
        ordinal="first",
    ),
    Sink(
        family="last",
        name="find_last",
        kinds=("number", "word", "char", "row", "person", "product"),
        says=_give("the {np}"),
        then=("[return] the last result",),
        orders=("filter", "filter map", "map filter", "property"),
        short=("return [{each}][-1]",),
        start=("last = None",),
        step="last = {value}",
        end=("return last",),
        ordinal="last",
    ),
    Sink(
        family="top_two",
        name="get_top",
        kinds=("number",),
        says=("[return] the two largest of the {np}", "[find] the two largest of the {np}"),
        then=("[return] the two largest results",),
        short=("return sorted([{each}], reverse=True)[:2]",),
    ),
    Sink(
        family="bottom_three",
        name="get_bottom",
        kinds=("number",),
        says=("[return] the three smallest of the {np}", "[find] the three smallest of the {np}"),
        then=("[return] the three smallest results",),
        short=("return sorted({each})[:3]",),
    ),
    Sink(
        family="second_largest",
        name="find_second",
        kinds=("number",),
        says=("[find] the second largest of the {np}", "[return] the second largest of the {np}"),
        then=("[return] the second largest result",),
        short=("return sorted({each})[-2]",),
    ),
    Sink(
        family="longest",
        name="find_longest",
        kinds=("word",),
        says=("[find] the longest of the {np}", "[return] the longest of the {np}"),
        then=("[return] the longest result",),
        short=("return max([{each}], key=len)",),
        lazy=("return max({source}, key=len)",),
        start=("longest = ''",),
        step="if len({value}) > len(longest):\n    longest = {value}",
        end=("return longest",),
    ),
    Sink(
        family="shortest",
        name="find_shortest",
        kinds=("word",),
        says=("[find] the shortest of the {np}", "[return] the shortest of the {np}"),
        then=("[return] the shortest result",),
        short=("return min([{each}], key=len)",),
        lazy=("return min({source}, key=len)",),
    ),
    Sink(
        family="join_space",
        name="join_words",
        kinds=("word",),
        says=("[join] the {np} with spaces", "[return] a string of the {np} separated by spaces"),
        then=("[join] the results with spaces", "[return] the results joined by spaces"),
        orders=CHANGED,
        short=("return ' '.join({each})",),
        lazy=("return ' '.join({source})",),
    ),
    Sink(
        family="join_comma",
        name="join_words",
        kinds=("word",),
        says=("[join] the {np} with commas", "[return] a string of the {np} separated by commas"),
        then=("[join] the results with commas", "[return] the results joined by commas"),
        short=("return ','.join({each})",),
        lazy=("return ','.join({source})",),
    ),
    Sink(
        family="string",
        name="make_string",
        kinds=("char",),
        says=(
            "[return] a string of the {np}",
            "[return] a new string with the {np}",
            "[join] the {np} into a string",
        ),
        then=("[join] the results into a string", "[return] the resulting string"),
        orders=CHANGED,
        short=("return ''.join({each})",),
        lazy=("return ''.join({source})",),
        start=("result = ''",),
        step="result += {value}",
        end=("return result",),
        join="{value} + {rest}",
        unit="''",
    ),
    Sink(
        family="tally",
        name="count_each",
        kinds=("number", "word", "char"),
        says=(
            "[return] a dictionary with the count of each of the {np}",
            "[count] how often each of the {np} occurs",
        ),
        then=(
            "[count] how often each result occurs",
            "[return] a dictionary with the count of each result",
        ),
        start=("counts = {}",),
        step="counts[{value}] = counts.get({value}, 0) + 1",
        end=("return counts",),
    ),
)

# What a generator does: no list is built, so it stands in no table.
YIELD = Sink(
    family="list",
    name="get_items",
    kinds=("number", "word", "char"),
    says=("[yield] the {np}", "[yield] the {np} one by one"),
    then=("[yield] the results",),
    orders=CHANGED,
    step="yield {value}",
)
