"""The result of executing a generated program."""

from dataclasses import dataclass

TESTS, FUNCTION, SCRIPT = "tests", "function", "script"


@dataclass(frozen=True)
class ExecutionResult:
    """The result of a program on the tests of its pair, or in comparison with its reference.

    Attributes:
        against: `tests`, or the oracle of a `function` or a `script`.
        right: Whether it passes all tests, or equals the reference on every input.
        runs: Whether it always ended without an exception.
        problem: Why it is wrong, in a few words for counting; empty where it is right.
        detail: The first test or input that fails, with the program's result.
    """

    against: str
    right: bool
    runs: bool
    problem: str
    detail: str

    @property
    def words(self) -> str:
        """Return the result in a few words, as the end of a verdict."""
        if self.right:
            return "passes its tests" if self.against == TESTS else "behaves like the reference"
        return f"{'fails' if self.against == TESTS else 'differs'}: {self.detail or self.problem}"
