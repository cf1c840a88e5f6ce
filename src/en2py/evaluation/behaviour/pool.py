"""Values to call functions with: a fixed pool for each kind of argument, as Python expressions.

The pools hold the ordinary, the empty, the edges, and what beginners' exercises are about:
palindromes, anagrams, leap years, perfect and Armstrong numbers, brackets, Roman numerals.
"""

import ast
import re

_INT = (
    "0 1 2 3 4 5 6 7 8 9 10 11 12 13 15 16 17 20 24 28 50 97 100 121 153 370 -1 -2 -7 -10 "
    "1900 2000 2020 2023 1234 4096"
)
_TEXT = [
    *("", "a", "abc", "hello world", "Hello World", "racecar", "level", "Madam", "12321", "123"),
    *("aabbcc", "The quick brown fox jumps over the lazy dog", "Python is fun", "a1b2c3"),
    *(
        "UPPER lower",
        "programming",
        "listen",
        "silent",
        "someone@example.com",
        "()[]{}",
        "(()",
        "({[)]}",
    ),
    *(
        "1010",
        "  two  spaces ",
        "aAbB",
        "hello",
        "ab ba ab",
        "XIV",
        "MMXX",
        "Passw0rd!",
        "2021-03-14",
    ),
    *("one two two three", "abcabc", "zzz", "x", "A", "apple,banana", "eeeee", "Was it a car"),
]
_LISTS = [
    *("[]", "[1]", "[3, 1, 2]", "[1, 2, 3, 4, 5]", "[5, 4, 3, 2, 1]", "[1, 1, 2, 2, 3]"),
    *("[-1, -2, 3]", "[10, 20, 30, 40]", "[0, 0]", "[7, 7, 7]", "[2, 4, 6, 8]", "[1, 3, 5, 7, 9]"),
    *("[1, 2, 2, 3, 3, 3]", "[100, -50, 25, 0]", "[9, 8, 7, 1, 2, 3]", "[4, 6, 3, 9, 1, 2, 8, 5]"),
    *("[2, 3]", "[12, 11, 13, 5, 6]", "[1, 0, 1, 1, 0]", "[15, 22, 8, 19, 31, 2]", "[-5, -3, -9]"),
    *("[1, 2, 3, 2, 1]", "[6, 28, 496]", "[64, 34, 25, 12, 22, 11, 90]"),
]
POOLS: dict[str, list[str]] = {
    "int": _INT.split(),
    "float": [
        *("0.0", "1.0", "2.5", "3.14159", "-1.5", "10.0", "0.1", "100.0", "36.6", "98.6", "7.0"),
        *("-40.0", "1000.0", "12.75", "0.333", "5.5", "2.0", "1e-3", "18.5", "25.0", "30.0"),
    ],
    "text": [repr(text) for text in _TEXT],
    "character": [repr(text) for text in "a e l o b z A 1 0 h w s _ , x r p".split()] + ["' '"],
    "digits": [
        repr(text)
        for text in "0 1 10 1010 1101 11111111 7 12 255 100 123 12321 8 64 007 -5 3.5 999".split()
    ],
    "list": _LISTS,
    "list of texts": [
        *("[]", "['a']", "['a', 'b', 'c']", "['hello', 'world']", "['apple', 'banana', 'cherry']"),
        *("['b', 'a', 'c', 'a']", "['one', 'three', 'two']", "['', 'x']", "['Zoe', 'adam', 'Bob']"),
        *("['abc', 'cab', 'bca', 'xyz']", "['level', 'noon', 'tree']", "['1', '2', '10']"),
        *("['eat', 'tea', 'tan', 'ate']", "['flower', 'flow', 'flight']", "['x', 'x', 'x']"),
    ],
    "list of floats": [
        *("[1.0]", "[1.5, 2.5, 3.5]", "[3.2, 1.1, 2.2]", "[0.5, -0.5]", "[10.0, 20.0, 30.0]"),
        *("[2.0, 4.0, 4.0, 5.0]", "[1.0, 2.0, 3.0, 4.0]", "[-1.5, 2.5]", "[9.9, 0.1, 5.0]"),
    ],
    "mixed list": [
        *("[1, 'a', 2.5]", "['x', 1, None]", "[1, [2, 3], [4, [5]]]", "[True, 0, 'no']", "[[]]"),
        *("[1, [2], 3]", "['a', ['b', ['c']]]", "[0, '', None, 1]", "[(1, 2), 'a']"),
    ],
    "matrix": [
        *("[[1, 2], [3, 4]]", "[[1, 2, 3], [4, 5, 6], [7, 8, 9]]", "[[5, 6], [7, 8]]", "[[1]]"),
        *("[[1, 0], [0, 1]]", "[[1, 2, 3], [4, 5, 6]]", "[[3, 1], [2, 2], [1, 3]]"),
        *("[[9, 8, 7], [6, 5, 4], [3, 2, 1]]", "[[0, 0], [0, 0]]", "[[2, -1], [1, 3]]"),
        *("[[1, 2], [3, 4], [5, 6]]", "[[4, 1], [2, 2]]", "[[1, 0, 2], [0, 3, 0], [4, 0, 5]]"),
    ],
    "list of pairs": [
        *("[(1, 2), (3, 4)]", "[(2, 5), (1, 2), (4, 4), (2, 3), (2, 1)]", "[(1, 1)]", "[]"),
        *("[('a', 1), ('b', 2)]", "[('x', 3), ('y', 1), ('z', 2)]", "[(0, 0), (3, 4), (6, 8)]"),
        *("[('a', 2), ('a', 1), ('b', 5)]", "[(5, 1), (1, 5)]", "[(10, 20), (15, 25), (30, 40)]"),
    ],
    "list of dicts": [
        *(
            "[{'a': 1}, {'a': 2}]",
            "[{'name': 'Bob', 'age': 30}, {'name': 'Al', 'age': 25}]",
            "[{}]",
        ),
        *("[{'a': 1, 'b': 2}, {'b': 3, 'c': 4}]", "[{'key': 1}, {'key': 3}, {'key': 2}]"),
    ],
    "dict": [
        *("{}", "{'a': 1}", "{'a': 1, 'b': 2, 'c': 3}", "{'x': 10, 'y': 5, 'z': 7}"),
        *("{'b': 2, 'a': 2}", "{'one': 1, 'two': 2, 'three': 3}", "{'a': 5, 'd': 0}", "{'c': -1}"),
        *("{1: 10, 2: 20, 3: 30}", "{3: 1, 1: 3, 2: 2}", "{'b': 3, 'c': 4, 'e': 9}"),
    ],
    "dict of texts": [
        *("{'a': 'x'}", "{'name': 'Bob', 'city': 'Rome'}", "{1: 'one', 2: 'two', 3: 'three'}"),
        *("{'x': 'b', 'y': 'a'}", "{'k': 'v', 'v': 'k'}"),
    ],
    "dict of lists": [
        *("{'a': [1, 2], 'b': [3]}", "{'x': [3, 1, 2], 'y': []}", "{'k': [5, 5, 6], 'l': [5]}"),
        *(
            "{'a': ['b', 'c'], 'b': ['d'], 'c': [], 'd': []}",
            "{0: [1, 2], 1: [2], 2: [0, 3], 3: [3]}",
        ),
        *("{'A': ['B', 'C'], 'B': ['A'], 'C': ['A']}",),
    ],
    "tuple": [
        *("(1,)", "(1, 2)", "(3, 1, 2)", "(5, 5, 2, 8)", "(1, 2, 3, 4, 5)", "()", "(-1, 0, 1)"),
        *("(10, 20, 30)", "(2, 4, 2)", "('a', 'b', 'c')", "('x', 'y', 'x')", "(1, 'a', 2.5)"),
    ],
    "set": [
        *("set()", "{1}", "{1, 2, 3}", "{2, 3, 4}", "{3, 4, 5, 6}", "{10, 20}", "{1, 2, 3, 4, 5}"),
        *("{7, 8}", "{-1, 0, 1}", "{5}"),
    ],
    "set of texts": ["{'a'}", "{'a', 'b'}", "{'b', 'c', 'd'}", "{'x', 'y', 'z'}", "set()"],
    "bool": ["True", "False"],
    "function": ["lambda x: x * 2", "lambda x: x > 2", "lambda x: x % 2 == 0", "str", "abs"],
    "none": ["None"],
}
# Tried in this order where nothing tells one kind from another.
PRIOR = list(POOLS)
_NUMBERS = ("int", "float")
# Not taken for what a longer text or any number does as well, unless something speaks for them.
_SPECIAL = ("character", "digits", "bool", "function", "none")

# Words in a parameter's name -> kinds, the likelier first.
_HINTS: dict[str, str] = {
    "int": "n num number x y a b c i j k m p q r z count size length width height year age limit "
    "start end "
    "low high index base exponent exp power side month day digit digits row rows col cols term "
    "terms "
    "nterms integer decimal times upper lower min max first last num1 num2 number1 number2 left "
    "right pos "
    "position target key element item value val step hours minutes seconds amount divisor ascii",
    "float": "radius celsius fahrenheit temp temperature price rate weight mass amount principal "
    "time "
    "speed distance area cost salary interest percent percentage tip total discount float height "
    "length "
    "kilometers km miles kg pounds x y velocity side base breadth",
    "text": "s str string text word sentence name line msg message password filename path file url "
    "email "
    "str1 str2 s1 s2 string1 string2 word1 word2 phrase paragraph inputstring plaintext cipher "
    "expression "
    "pattern txt title input test content html date username st data roman binary",
    "character": "c ch char character letter sub substring k key vowel delimiter sep separator "
    "symbol old "
    "new word target pattern prefix suffix",
    "digits": "binary hex hexadecimal bin octal string s str num number b",
    "list": "l lst list arr array nums numbers values items data seq sequence elements list1 list2 "
    "li a x "
    "ls lis input arr1 arr2 l1 l2 iterable lists vector v integers samples points marks scores "
    "collection "
    "weights prices heights args stack queue alist",
    "list of texts": "words strings names sentences lines texts list lst strs keys tokens arr",
    "list of floats": "values data numbers samples weights probabilities scores prices list x",
    "mixed list": "list lst nested items data l",
    "matrix": "matrix mat grid m a b x y matrix1 matrix2 board image lists list mat1 mat2 arr lst "
    "graph "
    "nested",
    "list of pairs": "pairs tuples points edges coordinates list intervals lst tuple items jobs",
    "list of dicts": "dicts records list dictionaries data people items students",
    "dict": "d dict dictionary dic mapping dict1 dict2 d1 d2 counts data prices inventory map",
    "dict of texts": "d dict dictionary dic mapping names",
    "dict of lists": "graph d dict dictionary adjacency tree dic",
    "tuple": "t tup tuple tuples tup1 tup2 tuple1 t1 t2 test point coordinates items point1 point2 "
    "p1 p2",
    "set": "set set1 set2 s1 s2 sets a b",
    "set of texts": "set vocabulary set1 set2",
    "bool": "flag reverse is ascending verbose bool boolean desc",
    "function": "f func function fn callback predicate key operation op",
}
_WORDS = {kind: frozenset(words.split()) for kind, words in _HINTS.items()}
_ANNOTATIONS = {
    "int": "int", "float": "float", "str": "text", "bool": "bool", "list": "list", "List": "list",
    "dict": "dict", "Dict": "dict", "tuple": "tuple", "Tuple": "tuple", "set": "set", "Set": "set",
    "Sequence": "list", "Iterable": "list", "Callable": "function", "List[str]": "list of texts",
    "list[str]": "list of texts", "List[float]": "list of floats", "list[float]": "list of floats",
    "List[List[int]]": "matrix", "list[list[int]]": "matrix", "List[int]": "list",
    "list[int]": "list",
    "Set[str]": "set of texts", "Dict[str, str]": "dict of texts",
}  # fmt: skip

# What a body does to a parameter -> the kinds that bear it.
_METHODS: dict[str, str] = {
    method: kind
    for kind, methods in {
        "text": "split lower upper strip isdigit isalpha title replace join startswith endswith "
        "isupper islower swapcase find capitalize isspace isalnum encode casefold splitlines "
        "lstrip rstrip",
        "list": "append sort insert extend reverse pop remove",
        "dict": "keys values items get update setdefault popitem",
        "set": "union intersection difference add issubset discard symmetric_difference",
    }.items()
    for method in methods.split()
}


def evidence(parameter: ast.arg, body: ast.AST) -> dict[str, float]:
    """Weigh the kinds of argument a parameter may want, from its annotation, name and uses.

    Args:
        parameter: The parameter.
        body: The function.

    Returns:
        kind -> weight, zero where nothing speaks for it.
    """
    weights = dict.fromkeys(POOLS, 0.0)
    for rank, kind in enumerate(PRIOR):
        weights[kind] -= rank / 100 + 1.0 * (kind in _SPECIAL)
    if parameter.annotation is not None:
        written = ast.unparse(parameter.annotation).removeprefix("typing.").strip("'\"")
        kind = _ANNOTATIONS.get(written) or _ANNOTATIONS.get(written.partition("[")[0], "")
        if kind:
            weights[kind] += 6
    words = _words(parameter.arg)
    for kind, known in _WORDS.items():
        weights[kind] += 1.5 * any(word in known for word in words)
        weights[kind] += 1.0 * (parameter.arg.lower() in known)
    if words & {"list", "lst", "arr", "array", "string", "str", "dict", "tuple", "set", "matrix"}:
        weights["int"] -= 2
    _weigh_uses(parameter.arg, body, weights)
    return weights


def _words(name: str) -> set[str]:
    parts = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower().split("_")
    bare = {part.rstrip("0123456789") for part in parts}
    return {part for part in [*parts, *bare] if part}


def _weigh_uses(name: str, body: ast.AST, weights: dict[str, float]) -> None:
    def is_it(node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == name

    for node in ast.walk(body):
        if isinstance(node, ast.Attribute) and is_it(node.value):
            if kind := _METHODS.get(node.attr):
                weights[kind] += 3
            for number in _NUMBERS:
                weights[number] -= 3
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "range" and any(map(is_it, node.args)):
                weights["int"] += 3
            elif node.func.id in ("len", "sorted", "sum", "max", "min") and any(
                map(is_it, node.args)
            ):
                weights["int"] -= 3
                weights["float"] -= 3
                weights["list"] += 0.5
                weights["list"] += 0.5 * (node.func.id == "sum")
            elif node.func.id == "int" and any(map(is_it, node.args)):
                weights["digits"] += 1.5
            elif node.func.id == name:
                weights["function"] += 4
        elif isinstance(node, ast.Subscript) and is_it(node.value):
            for kind in _NUMBERS:
                weights[kind] -= 3
            weights["list"] += 0.5
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Subscript):
            weights["matrix"] += 1.0 * is_it(node.value.value)
        elif isinstance(node, ast.For | ast.comprehension) and is_it(node.iter):
            for kind in _NUMBERS:
                weights[kind] -= 3
        elif isinstance(node, ast.BinOp) and (is_it(node.left) or is_it(node.right)):
            if isinstance(node.op, ast.Mod | ast.FloorDiv | ast.Div | ast.Sub | ast.Pow):
                weights["int"] += 1
                weights["float"] += 0.5


def constants(tree: ast.AST) -> dict[str, list[str]]:
    """Collect a program's own constants and their neighbours: its thresholds lie there."""
    found: dict[str, list[str]] = {"int": [], "float": [], "text": [], "character": []}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
            continue
        if isinstance(node.value, int) and abs(node.value) <= 10_000:
            found["int"] += [str(node.value + step) for step in (0, -1, 1)]
        elif isinstance(node.value, float) and abs(node.value) <= 10_000:
            found["float"] += [repr(node.value + step) for step in (0.0, -0.5, 0.5)]
        elif isinstance(node.value, str) and 0 < len(node.value) <= 12:
            found["text" if len(node.value) > 1 else "character"].append(repr(node.value))
    return {kind: list(dict.fromkeys(values))[:18] for kind, values in found.items()}
