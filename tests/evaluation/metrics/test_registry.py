import pytest

from en2py.evaluation.execution.result import ExecutionResult
from en2py.evaluation.execution.runner import counts_of
from en2py.evaluation.metrics.bleu import TrainingCode
from en2py.evaluation.metrics.program_metrics import score
from en2py.evaluation.metrics.registry import METRICS, TABLE, format_value, metric
from en2py.evaluation.metrics.token_metrics import token_counts


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("compiles", 0.1234, "12.3\u00a0%"),
        ("exact_match_any", 0.5, "50.0\u00a0%"),
        ("accuracy_keyword", 0.25, "25.0\u00a0%"),
        ("pass@5", 1.0, "100.0\u00a0%"),
        ("bleu", 45.678, "45.7"),
        ("val/nll", 1.23456, "1.235"),
        ("ppl", 3.4567, "3.457"),
        ("test/exact_match_renamed", 0.5, "50.0\u00a0%"),
        ("n", 12000, "12,000"),
        ("another_metric", 0.1234, "0.123"),
    ],
)
def test_a_value_has_the_format_of_its_metric(name: str, value: float, text: str) -> None:
    assert format_value(name, value) == text


def test_every_computed_metric_has_an_entry() -> None:
    code = "def f(x):\n    return x"
    names = {*score([code], [code], known=[[]], training=TrainingCode([code])).values}
    names |= {*token_counts(None, 1, 0)}
    names |= {*counts_of([ExecutionResult("tests", True, True, "", "")])}
    assert [name for name in names if metric(name).about == ""] == []


def test_the_main_table_has_the_validation_nll() -> None:
    assert {name.removeprefix("val/") for name in TABLE} <= METRICS.keys()
    assert "val/nll" in TABLE and "nll" not in TABLE


@pytest.mark.parametrize(
    "name", ["nll", "ppl", "loss", "unk_targets", "accuracy_layout", "val/nll"]
)
def test_metrics_per_token_depend_on_the_tokenizer(name: str) -> None:
    assert metric(name).per_token and metric(name).from_logits


def test_bits_per_character_do_not_depend_on_the_tokenizer() -> None:
    assert metric("bpc").from_logits and not metric("bpc").per_token
