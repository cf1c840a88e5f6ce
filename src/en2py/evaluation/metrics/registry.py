"""The registry of metrics: name, label, unit, direction, and where each is shown.

Tables, reports, plots and terminal output read a metric's entry of `METRICS`. What computes it is
elsewhere: for single pairs a function in `program_metrics.JUDGES`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from en2py.console import percent
from en2py.evaluation.metrics.code_tokens import TOKEN_CLASSES
from en2py.evaluation.results import Estimate, ResultRow

MISSING = "–"
MINUS = "−"
VALIDATION = "val/"  # `val/nll` is `nll` of a row's validation figures
_SPLITS = {"val": "validation", "test": "test", "train": "training"}


@dataclass(frozen=True)
class Metric:
    """A metric and its presentation.

    Attributes:
        name: Key in results, loggers and CSV files.
        label: Name in tables, plots and messages.
        about: One sentence that defines it.
        unit: `%` for values that are stored between 0 and 1 and written in percent; else empty.
        digits: Decimal places in tables.
        higher_is_better: None where neither direction is better.
        bounds: The least and the largest stored value, to which written intervals are clipped.
        is_share: Whether each program counts 0 or 1, so that `k of n` can be written.
        from_logits: Whether it is computed from the probabilities of reference tokens, so that only
            models have it.
        per_token: Whether its value depends on the tokenizer.
        in_table: Whether it is a column of a report's main table.
        in_headline: Whether a report's summary may be stated in it.
    """

    name: str
    label: str
    about: str = ""
    unit: str = ""
    digits: int = 3
    higher_is_better: bool | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)
    is_share: bool = False
    from_logits: bool = False
    per_token: bool = False
    in_table: bool = False
    in_headline: bool = False

    @property
    def scale(self) -> int:
        """Return the factor from the stored to the written value."""
        return 100 if self.unit == "%" else 1

    @property
    def head(self) -> str:
        """Return the label with its unit."""
        return f"{self.label},\u00a0{self.unit}" if self.unit else self.label

    @property
    def headline(self) -> str:
        """Return the label with its unit and an arrow in the better direction."""
        return self.head + {True: "\u00a0↑", False: "\u00a0↓", None: ""}[self.higher_is_better]

    @property
    def change_head(self) -> str:
        """Return the heading of differences; those of percentages are points."""
        return self.headline.replace(",\u00a0%", ",\u00a0points")

    def write(self, value: float | None) -> str:
        """Format a value with a typographic minus; a missing one or NaN is a dash."""
        if value is None or not math.isfinite(value):
            return MISSING
        text = f"{value * self.scale:.{self.digits}f}"
        if not text.strip("-0."):
            return text.lstrip("-")  # no minus before a zero
        return text.replace("-", MINUS)

    def interval(self, low: float | None, high: float | None) -> str:
        """Format an interval within the bounds of the metric, empty where there is none."""
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            return ""
        ends = self.write(max(low, self.bounds[0])), self.write(min(high, self.bounds[1]))
        return " to ".join(ends) if MINUS in "".join(ends) else "–".join(ends)

    def change(self, value: float | None) -> str:
        """Format a difference, with its sign."""
        text = self.write(value)
        return text if text[0] in (MINUS, MISSING) or not float(text) else f"+{text}"

    def change_interval(self, low: float | None, high: float | None) -> str:
        """Format the interval of a difference, no larger than it can be; empty without one."""
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            return ""
        largest = self.bounds[1] - self.bounds[0]
        return f"{self.change(max(low, -largest))} to {self.change(min(high, largest))}"


def whole(count: float) -> str:
    """Format a count; a mean of counts has one decimal place."""
    return f"{count:,.0f}" if float(count).is_integer() else f"{count:,.1f}"


def count_of(figure: Estimate) -> str:
    """Format `k of n`, empty where an estimate has no counts."""
    if figure.k is None or figure.of is None:
        return ""
    return f"{whole(figure.k)} of {whole(figure.of)}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Join words as `a, b and c`."""
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end


def metric(name: str) -> Metric:
    """Return the entry of a metric, of `val/<metric>`, `<metric>_any`, `nll_<class>` or `pass@<k>`.

    An unknown name is its own label, and its values are plain numbers.
    """
    split, slash, of = name.partition("/")
    if slash and split in _SPLITS:
        known = metric(of)
        about = f"{known.about} On the {_SPLITS[split]} part." if known.about else ""
        # Known by its name in the config, in W&B and in `metrics.csv`.
        label = name if of == "nll" else f"{split} {known.label}"
        return replace(known, name=name, label=label, about=about)
    if name in METRICS:
        return METRICS[name]
    stem, _, of = name.partition("_")
    if of in TOKEN_CLASSES and stem in ("nll", "accuracy"):
        label, about = f"{METRICS[stem].label}: {of}", f"Only {of} tokens."
        return _variant(METRICS[stem], name, label, about)
    stem = name.removesuffix("_any")
    if stem != name and stem in METRICS:
        about = "Compared with all known programs of the description."
        return _variant(METRICS[stem], name, f"{METRICS[stem].label} (any)", about)
    verb, at, k = name.partition("@")
    if at and verb in ("pass", "behaves"):
        does = {"pass": "passes its tests", "behaves": "behaves like the reference"}[verb]
        return _percent(name, name, f"Probability that one of {k} sampled programs {does}.")
    if name == "loss":
        return Metric(name, name, from_logits=True, per_token=True)
    return Metric(name, name.replace("_", " "))


def format_value(name: str, value: float) -> str:
    """Format a value with its unit, for messages: `12.3 %`, `45.6`, `1.234`, `1,000`."""
    how = metric(name)
    if isinstance(value, int):
        return f"{value:,}"
    if how.unit == "%":
        return percent(value, how.digits)
    return f"{value:.{3 if how.from_logits else how.digits}f}"


def figure_of(row: ResultRow, name: str) -> Estimate | None:
    """Return the estimate of a metric, None where there is none; `val/` is validation."""
    if name.startswith(VALIDATION):
        return row.validation.get(name.removeprefix(VALIDATION))
    return row.figures.get(name)


def known_metrics(rows: Iterable[ResultRow], *, but: Iterable[str] = ()) -> list[str]:
    """Return the metrics of all rows, those of the registry first, in its order."""
    return sorted({name for row in rows for name in row.figures} - set(but), key=order_of)


def order_of(name: str) -> tuple[int, str]:
    """Return the place of a metric among others, by which to sort: that of the registry first."""
    order, family = list(METRICS), _family(name.removeprefix(VALIDATION))
    return order.index(family) if family in order else 99, name


def _family(name: str) -> str:
    stem, _, of = name.partition("_")
    return stem if of in TOKEN_CLASSES else name.removesuffix("_any")


def _variant(known: Metric, name: str, label: str, about: str) -> Metric:
    about = f"{known.about} {about}"
    return replace(known, name=name, label=label, about=about, in_table=False, in_headline=False)


def _percent(name: str, label: str, about: str, better: bool | None = True, **more: bool) -> Metric:
    return Metric(name, label, about, "%", 1, better, (0, 1), **more)


def _share(name: str, label: str, about: str, better: bool | None = True, **more: bool) -> Metric:
    return Metric(name, label, about, "%", 1, better, (0, 1), is_share=True, **more)


def _score(name: str, label: str, about: str, **more: bool) -> Metric:
    return Metric(name, label, about, "", 1, True, (0, 100), **more)


def _loss(name: str, label: str, about: str, digits: int, **more: bool) -> Metric:
    return Metric(name, label, about, "", digits, False, (0, math.inf), from_logits=True, **more)


_IN_TABLE = {"in_table": True}
_IN_HEADLINE = {"in_table": True, "in_headline": True}
_PER_TOKEN = {"from_logits": True, "per_token": True}

# In the order in which tables show them.
_ENTRIES = (
    _share(
        "passes_tests", "passes", "Passes all tests of its pair in the sandbox.", **_IN_HEADLINE
    ),
    _share(
        "behaves",
        "behaves",
        "Behaves like its reference on generated inputs; over references that can be tested.",
        **_IN_HEADLINE,
    ),
    _share(
        "exact_match_renamed",
        "exact match up to names",
        "Same syntax tree as the reference after renaming.",
        **_IN_HEADLINE,
    ),
    _share("exact_match_ast", "exact match of the tree", "Same syntax tree as the reference."),
    _share("exact_match", "exact match of the text", "Same text as the reference."),
    _share("compiles", "compiles", "Python compiles it.", **_IN_TABLE),
    _share("script_runs", "script runs", "Runs as a script without an exception."),
    _share("script_output", "script output", "Prints the same as the reference, as a script."),
    _score("bleu", "BLEU", "BLEU of sacrebleu over Python and layout tokens.", **_IN_HEADLINE),
    _score(
        "crystal_bleu",
        "CrystalBLEU",
        "BLEU without the most frequent n-grams of the training code.",
        **_IN_TABLE,
    ),
    _score("code_bleu", "CodeBLEU", "BLEU with keywords, syntax trees and data flow."),
    _score("bleu_conala", "BLEU (CoNaLa)", "BLEU as in published results on CoNaLa."),
    _score("chrf", "chrF", "F-score of character n-grams, from sacrebleu."),
    _percent(
        "edit_similarity", "edit similarity", "Shared characters with the reference, in order."
    ),
    _share("copied", "copied", "Equals a training program, token for token.", None, **_IN_TABLE),
    _share("function_name", "function name", "Its first function is named as the reference's."),
    _share("has_unk", "has <unk>", "Contains the token of unknown words.", False),
    _loss(
        "nll", "NLL", "Negative log-likelihood per token, in nats.", 3, per_token=True, **_IN_TABLE
    ),
    _loss("ppl", "perplexity", "exp of the NLL.", 2, per_token=True),
    _loss(
        "bpc",
        "bits/char",
        "Bits per character; unknown tokens cost their spelling.",
        3,
        **_IN_TABLE,
    ),
    _percent("accuracy", "token accuracy", "Right next tokens, given the reference.", **_PER_TOKEN),
    _percent("unk_targets", "<unk> targets", "Targets not in the vocabulary.", False, **_PER_TOKEN),
)
METRICS = {entry.name: entry for entry in _ENTRIES}

# Models are ranked by their validation NLL, so the main table shows it instead of the test NLL.
TABLE = tuple(
    VALIDATION + entry.name if entry.name == "nll" else entry.name
    for entry in _ENTRIES
    if entry.in_table
)
HEADLINES = tuple(entry.name for entry in _ENTRIES if entry.in_headline)
CURVES = ("val/nll", "train/nll", "val/exact_match_renamed", "val/compiles")
# On the terminal: an epoch, all runs of a sweep, the sweep and each of its runs, one run, a
# comparison.
EPOCH = ("val/nll", "train/nll", "val/exact_match_renamed")
SWEEP_RUNS = ("val/nll", "exact_match_renamed")
SWEEP = ("val/nll", "passes_tests", "behaves", "exact_match_renamed")
RESULT = ("passes_tests", "behaves", "exact_match_renamed", "compiles", "bleu", "val/nll")
COMPARISON = ("val/nll", "passes_tests", "behaves", "exact_match_renamed", "compiles", "bleu")
# Generated programs: during training, and at the top of samples.md.
GENERATED = ("exact_match_renamed", "compiles", "bleu")
SAMPLES = ("passes_tests", "behaves", "exact_match", "exact_match_ast", *GENERATED)
