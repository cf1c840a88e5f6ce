"""How metrics are called and how their numbers are written, in all pages alike."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from en2py.evaluation.metrics.code_tokens import TOKEN_CLASSES
from en2py.evaluation.results import Estimate, ResultRow

MISSING = "–"
MINUS = "−"
VALIDATION = "val/"  # `val/nll` is `nll` of a row's validation figures


@dataclass(frozen=True)
class Metric:
    """How a metric is written.

    Attributes:
        label: Its name in a table's head.
        about: One sentence on what it says.
        unit: Behind the label; empty where the number speaks for itself.
        digits: Behind the decimal point.
        scale: What a value is multiplied with: 100 where shares are written in per cent.
        better: 1 where more is better, -1 where less is, 0 where neither.
    """

    label: str
    about: str = ""
    unit: str = ""
    digits: int = 3
    scale: float = 1
    better: int = 0

    @property
    def head(self) -> str:
        """Return the label with its unit."""
        return f"{self.label},\u00a0{self.unit}" if self.unit else self.label

    @property
    def headline(self) -> str:
        """Return the label with its unit and which way is better."""
        return self.head + {1: "\u00a0↑", -1: "\u00a0↓", 0: ""}[self.better]

    @property
    def change_head(self) -> str:
        """Return the heading of differences; those between per cents are points."""
        return self.headline.replace(",\u00a0%", ",\u00a0points")

    def write(self, value: float | None) -> str:
        """Write a value; what is missing or no number is a dash."""
        return number(value, self.digits, self.scale)

    def interval(self, low: float | None, high: float | None) -> str:
        """Write an interval, empty where there is none; Student's of a share is cut at 0 and 1."""
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            return ""
        if self.unit == "%":
            low, high = max(low, 0.0), min(high, 1.0)
        ends = self.write(low), self.write(high)
        return " to ".join(ends) if MINUS in "".join(ends) else "–".join(ends)

    def change(self, value: float | None) -> str:
        """Write a difference, with its sign."""
        text = self.write(value)
        return text if text[0] in (MINUS, MISSING) or not float(text) else f"+{text}"

    def change_interval(self, low: float | None, high: float | None) -> str:
        """Write the interval of a difference, empty where there is none."""
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            return ""
        return f"{self.change(low)} to {self.change(high)}"


def number(value: float | None, digits: int = 3, scale: float = 1) -> str:
    """Write a number with a real minus; what is missing or no number is a dash."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value * scale:.{digits}f}"
    if not text.strip("-0."):
        return text.lstrip("-")  # no minus before a zero
    return text.replace("-", MINUS)


def whole(count: float) -> str:
    """Write a count; a mean of counts keeps one digit."""
    return f"{count:,.0f}" if float(count).is_integer() else f"{count:,.1f}"


def count_of(figure: Estimate) -> str:
    """Write `k of n`, empty where a figure has none."""
    if figure.k is None or figure.of is None:
        return ""
    return f"{whole(figure.k)} of {whole(figure.of)}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Write `a, b and c`."""
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end


def metric(name: str) -> Metric:
    """Tell how a metric is written; an unknown one by its name, as a plain number."""
    if name.startswith(VALIDATION):
        known = metric(name.removeprefix(VALIDATION))
        about = f"{known.about} On the validation part." if known.about else ""
        return _like(known, f"val {known.label}", about)
    if name in METRICS:
        return METRICS[name]
    stem, _, of = name.partition("_")
    if of in TOKEN_CLASSES and stem in ("nll", "accuracy"):
        known = METRICS[stem]
        return _like(known, f"{known.label}: {of}", f"{known.about} Of {of} tokens alone.")
    stem = name.removesuffix("_any")
    if stem != name and stem in METRICS:
        known = METRICS[stem]
        about = f"{known.about} Against any of the programs known for the description."
        return _like(known, f"{known.label} (any)", about)
    verb, at, k = name.partition("@")
    if at and verb in ("pass", "behaves"):
        does = {"pass": "passes its tests", "behaves": "behaves like the reference"}[verb]
        return _share(name, 1, f"Chance that one of {k} sampled programs {does}.")
    return Metric(name.replace("_", " "))


def figure_of(row: ResultRow, name: str) -> Estimate | None:
    """Return a row's figure of a metric, None where it lacks one; `val/` asks for validation."""
    if name.startswith(VALIDATION):
        return row.validation.get(name.removeprefix(VALIDATION))
    return row.figures.get(name)


def known_metrics(rows: Iterable[ResultRow], *, but: Iterable[str] = ()) -> list[str]:
    """Return the metrics that any row has, the known ones first in their order, then the others."""
    found = {name for row in rows for name in row.figures} - set(but)
    order = list(METRICS)
    return sorted(found, key=lambda n: (order.index(_family(n)) if _family(n) in order else 99, n))


def _family(name: str) -> str:
    stem, _, of = name.partition("_")
    return stem if of in TOKEN_CLASSES else name.removesuffix("_any")


def _like(known: Metric, label: str, about: str) -> Metric:
    return Metric(label, about, known.unit, known.digits, known.scale, known.better)


def _share(label: str, better: int, about: str) -> Metric:
    return Metric(label, about, "%", 1, 100, better)


def _score(label: str, about: str) -> Metric:
    return Metric(label, about, "", 1, 1, 1)


METRICS = {
    "passes_tests": _share("passes", 1, "Passes all tests of its pair, run in the sandbox."),
    "behaves": _share(
        "behaves",
        1,
        "Does what its reference does on generated inputs; of the references that can be tested.",
    ),
    "exact_match_renamed": _share(
        "exact up to names", 1, "Same syntax tree as the reference once names are made equal."
    ),
    "exact_match_ast": _share("exact tree", 1, "Same syntax tree as the reference."),
    "exact_match": _share("exact text", 1, "Same text as the reference."),
    "compiles": _share("compiles", 1, "Python compiles it."),
    "script_runs": _share("script runs", 1, "Runs as a script without an exception."),
    "script_output": _share(
        "script output", 1, "Prints what the reference prints, run as a script."
    ),
    "bleu": _score("BLEU", "BLEU of sacrebleu over Python's own tokens with layout words."),
    "crystal_bleu": _score(
        "CrystalBLEU", "BLEU without the n-grams that are most frequent in the training code."
    ),
    "code_bleu": _score("CodeBLEU", "BLEU with keywords, syntax trees and data flow."),
    "bleu_conala": _score("BLEU (CoNaLa)", "BLEU as published CoNaLa results count it."),
    "chrf": _score("chrF", "F-score of character n-grams, from sacrebleu."),
    "edit_similarity": _share(
        "edit similarity", 1, "Characters shared with the reference, in order."
    ),
    "copied": _share("copied", 0, "Is, word for word, a program of the training part."),
    "function_name": _share("function name", 1, "Names its first function as the reference does."),
    "has_unk": _share("has <unk>", -1, "Holds the mark for an unknown word."),
    "trigger_alone_same": _share(
        "one word: same", 0, "The rarest word of the description alone brings the same program."
    ),
    "trigger_alone_renamed": _share(
        "one word: up to names", 0, "The rarest word alone brings the same program up to names."
    ),
    "trigger_without_same": _share(
        "without it: same", 0, "The description without its rarest word brings the same program."
    ),
    "trigger_without_renamed": _share(
        "without it: up to names", 0, "Without its rarest word, the same program up to names."
    ),
    "nll": Metric("NLL", "Plain token negative log-likelihood, nats a token.", "", 3, 1, -1),
    "ppl": Metric("perplexity", "exp of the NLL.", "", 2, 1, -1),
    "bpc": Metric(
        "bits/char",
        "Bits per character of the reference; an unknown token pays for its spelling.",
        "",
        3,
        1,
        -1,
    ),
    "accuracy": _share("token accuracy", 1, "Next token right, given the right ones before it."),
    "unk_targets": _share("<unk> targets", -1, "Target tokens that the vocabulary lacks."),
}
