from en2py.data.pairs import Pair
from en2py.evaluation.metrics.seen_descriptions import NEW, SEEN, known_codes, seen_and_new


def pairs(*texts):
    return [Pair(str(i), text, code, "hand") for i, (text, code) in enumerate(texts)]


TRAIN = pairs(
    ("Write a program to add two numbers", "print(1 + 2)"),
    ("add two numbers", "a + b"),
    ("print it", "print(it)"),
)
TEST = pairs(
    ("12. A function that ADDS words", "x"),
    ("please Add two (2) numbers!", "b + a"),
    ("Print it 3", "print(3)"),
    ("print this", "print(this)"),
    ("add two numbers", "a + b"),
)


def test_seen_descriptions_have_a_task_of_training():
    assert seen_and_new(TRAIN, TEST) == {SEEN: [1, 2, 4], NEW: [0, 3]}


def test_known_codes_have_the_same_task_in_training_or_test():
    assert known_codes(TRAIN, TEST) == [
        ["x"],
        ["b + a", "a + b", "print(1 + 2)"],
        ["print(3)", "print(it)"],
        ["print(this)"],
        ["a + b", "b + a", "print(1 + 2)"],
    ]
