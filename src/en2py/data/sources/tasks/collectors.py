"""The collectors: what a stream of elements becomes, for example a sum, a list or a string."""

from dataclasses import dataclass

from en2py.data.sources.tasks.primitives import alternatives, rows

ALL = ("plain", "filter", "map", "filter map", "map filter", "property")
ORDERS = {
    "any": ALL,
    "processed": ALL[1:],
    "selected": ("filter", "property"),
    "filtered": ("filter", "filter map", "map filter"),
    "checked": ("filter", "filter map", "map filter", "property"),
}
KINDS = ("number", "word", "char", "row", "person", "product")
VERBS = {
    "find: ": ("find", "return", "compute", "calculate", "get"),
    "get: ": ("find", "return", "get"),
}


@dataclass(frozen=True)
class Collector:
    """A way to collect a stream, in English and in the styles of code.

    Attributes:
        family: The primitive.
        name: Name of the function.
        kinds: Kinds of elements that it can collect.
        phrases: Clauses around `{np}`, `squares of the even numbers in a list`.
        then: Clauses about "the results" of steps in the words before.
        orders: Orders of stages (see `Stages`) that it may follow.
        short: Lines around `{each}`, `x for x in numbers`; empty if there is no short form.
        lazy: Lines around `{source}`, any iterable.
        start: Lines before a loop.
        step: Statements for each element of a loop, with `{value}`; empty if there is no loop.
        end: Lines after the loop.
        join: Result of the recursion from `{value}` and the result for the `{rest}`; may be empty.
        unit: Result of the recursion for no elements.
        ordinal: `first` or `last` if the result is this element.
    """

    family: str
    name: str
    kinds: tuple[str, ...]
    phrases: tuple[str, ...]
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


# Loops: family | lines before | statements for each element | line after.
LOOPS = """
sum | total = 0 | total += {value} | return total
product | product = 1 | product *= {value} | return product
count | count = 0 | count += 1 | return count
average | total = 0; count = 0 | total += {value}; count += 1 | return total / count
max | largest = None | if largest is None or {value} > largest: largest = {value} | return largest
min | smallest = None | if smallest is None or {value} < smallest: smallest = {value} \
    | return smallest
list | result = [] | result.append({value}) | return result
first | - | return {value} | return None
last | last = None | last = {value} | return last
longest | longest = '' | if len({value}) > len(longest): longest = {value} | return longest
string | result = '' | result += {value} | return result
tally | counts = {} | counts[{value}] = counts.get({value}, 0) + 1 | return counts
"""
# Recursions: family | result from the first element and the rest | result for no elements.
RECURSIONS = """
sum | {value} + {rest} | 0
product | ({value}) * {rest} | 1
count | 1 + {rest} | 0
list | [{value}] + {rest} | []
string | {value} + {rest} | ''
"""
# In each block: family | function | kinds of elements | orders of stages, as in ORDERS
#     short code around `{each}` | code around an iterable `{source}`; `-` for none
#     clauses around `{np}`; `find: ` and `get: ` are replaced by the verbs in VERBS
#     clauses about "the results"
TABLE = """
sum | get_sum | number | any
    return sum({each}) | return sum({source})
    find: the sum of the {np} / [add] up the {np} / [return] the total of the {np}
    [return] the sum of the results / [return] their sum / [add] up the results
product | get_product | number | any
    return math.prod({each}) | return math.prod({source})
    find: the product of the {np} / [multiply] all the {np}
    [return] the product of the results / [return] their product
count | count_items | all | selected
    return len([{each}]) | return len(list({source}))
    [count] the {np} / [count] all {np} / get: the number of {np}
    [count] them
average | get_average | number | processed
    values = [{each}]; return sum(values) / len(values)
    find: the average of the {np} / [compute] the mean of the {np}
    [return] the average of the results / [return] their average
max | find_largest | number | any
    return max({each}) | return max({source})
    get: the largest of the {np} / [find] the maximum of the {np}
    [return] the largest result / [return] the maximum of the results
min | find_smallest | number | any
    return min({each}) | return min({source})
    get: the smallest of the {np} / [find] the minimum of the {np}
    [return] the smallest result / [return] the minimum of the results
max_or_zero | find_largest | number | filtered
    return max([{each}], default=0)
    [find] the largest of the {np}, or 0 if there are none \
      / [return] the largest of the {np} or 0 if there are none
    [return] the largest result, or 0 if there are none
list | get_list | all | processed
    return [{each}] | return list({source})
    [return] the {np} / [return] a list of the {np} / [return] a list with the {np} \
      / [get] all {np}
    [return] the results / [return] a list of the results / [return] them in a list
sort | sort_items | number | processed
    return sorted({each}) | return sorted({source})
    [sort] the {np} / [return] the {np} in ascending order \
      / [return] the {np} sorted from smallest to largest
    [sort] the results / [return] the results in ascending order
sort_down | sort_items | number | any
    return sorted([{each}], reverse=True) | return sorted({source}, reverse=True)
    [sort] the {np} in descending order / [return] the {np} in descending order \
      / [return] the {np} sorted from largest to smallest
    [sort] the results in descending order / [return] the results in descending order
sort_words | sort_items | word, char | any
    return sorted({each}) | return sorted({source})
    [sort] the {np} alphabetically / [return] the {np} in alphabetical order
    [sort] the results alphabetically / [return] the results in alphabetical order
sort_by_length | sort_items | word | any
    return sorted([{each}], key=len) | return sorted({source}, key=len)
    [sort] the {np} by length / [return] the {np} sorted by length \
      / [return] the {np} from shortest to longest
    [sort] the results by length / [return] the results sorted by length
distinct | get_unique | number, word, char | any
    return sorted(set({each})) | return sorted(set({source}))
    [return] the distinct {np} in sorted order / [return] a sorted list of the unique {np} \
      / [return] the {np} sorted and without duplicates
    [return] the results sorted and without duplicates \
      / [return] a sorted list of the unique results
first | find_first | all | checked
    return next(({each}), None)
    get: the {np}
    [return] the first result
last | find_last | all | checked
    return [{each}][-1]
    get: the {np}
    [return] the last result
top_two | get_top | number | any
    return sorted([{each}], reverse=True)[:2]
    [return] the two largest of the {np} / [find] the two largest of the {np}
    [return] the two largest results
bottom_three | get_bottom | number | any
    return sorted({each})[:3]
    [return] the three smallest of the {np} / [find] the three smallest of the {np}
    [return] the three smallest results
second_largest | find_second | number | any
    return sorted({each})[-2]
    [find] the second largest of the {np} / [return] the second largest of the {np}
    [return] the second largest result
longest | find_longest | word | any
    return max([{each}], key=len) | return max({source}, key=len)
    [find] the longest of the {np} / [return] the longest of the {np}
    [return] the longest result
shortest | find_shortest | word | any
    return min([{each}], key=len) | return min({source}, key=len)
    [find] the shortest of the {np} / [return] the shortest of the {np}
    [return] the shortest result
join_space | join_words | word | processed
    return ' '.join({each}) | return ' '.join({source})
    [join] the {np} with spaces / [return] a string of the {np} separated by spaces
    [join] the results with spaces / [return] the results joined by spaces
join_comma | join_words | word | any
    return ','.join({each}) | return ','.join({source})
    [join] the {np} with commas / [return] a string of the {np} separated by commas
    [join] the results with commas / [return] the results joined by commas
string | make_string | char | processed
    return ''.join({each}) | return ''.join({source})
    [return] a string of the {np} / [return] a new string with the {np} \
      / [join] the {np} into a string
    [join] the results into a string / [return] the resulting string
tally | count_each | number, word, char | any
    -
    [return] a dictionary with the count of each of the {np} \
      / [count] how often each of the {np} occurs
    [count] how often each result occurs / [return] a dictionary with the count of each result
"""


def _clauses(text: str) -> tuple[str, ...]:
    for mark, verbs in VERBS.items():
        if text.startswith(mark):
            return tuple(f"[{verb}] {text.removeprefix(mark)}" for verb in verbs)
    return (text,)


def _lines(code: str) -> tuple[str, ...]:
    return () if code in ("", "-") else tuple(code.split("; "))


def _collector(head: str, code: str, phrases: str, then: str) -> Collector:
    family, name, kinds, orders = head.split(" | ")
    short, _, lazy = code.strip().partition(" | ")
    start, step, end = _LOOPS.get(family, ("", "", ""))
    join, unit = _RECURSIONS.get(family, ("", ""))
    return Collector(
        family,
        name,
        KINDS if kinds == "all" else tuple(kinds.split(", ")),
        tuple(clause for text in alternatives(phrases) for clause in _clauses(text)),
        alternatives(then),
        ORDERS[orders],
        _lines(short),
        _lines(lazy),
        _lines(start),
        step,
        _lines(end),
        join,
        unit,
        ordinal=family if family in ("first", "last") else "",
    )


_LOOPS = {family: cells for family, *cells in rows(LOOPS, 4)}
_RECURSIONS = {family: cells for family, *cells in rows(RECURSIONS, 3)}
_ROWS = TABLE.strip().splitlines()
COLLECTORS = tuple(_collector(*_ROWS[i : i + 4]) for i in range(0, len(_ROWS), 4))
# For generators: no list is built, so it is not among the others.
YIELD = Collector(
    family="list",
    name="get_items",
    kinds=("number", "word", "char"),
    phrases=("[yield] the {np}", "[yield] the {np} one by one"),
    then=("[yield] the results",),
    orders=ORDERS["processed"],
    step="yield {value}",
)


def collectors(*families: str) -> list[Collector]:
    """Return some collectors in the order of the table."""
    return [collector for collector in COLLECTORS if collector.family in families]
