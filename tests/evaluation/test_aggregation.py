"""Aggregation over seeds: axes, means with intervals, paired differences, ranks."""

import dataclasses
import hashlib
import itertools
import math

import pytest

from en2py.config.run_name import settings
from en2py.evaluation.aggregation import difference_by_seed, make_rows
from en2py.evaluation.configurations import RunMetrics, axes, configurations, fixed, reference_name

N = 40


def share(n_right: int, n: int = N) -> list[list[float]]:
    return [[float(i < n_right), 1.0] for i in range(n)]


CLUSTERS = range(N)


def run(seed, n_right, *, nll=1.0, counted=True, **chosen) -> RunMetrics:
    own = {"loss": "plain", "model": "tiny", "model.d_model": "32", "model.dropout": "0.1"}
    return RunMetrics(
        name=f"data-{chosen.get('loss', 'plain')}-seed{seed}-abc",
        kind="model",
        seed=seed,
        settings=own | {key.replace("__", "."): text for key, text in chosen.items()},
        values={"compiles": n_right / N},
        counts={"compiles": share(n_right)} if counted else {},
        validation={"nll": nll},
    )


def baseline(n_right, name="retrieval") -> RunMetrics:
    counts = {"compiles": share(n_right)}
    return RunMetrics(name, "baseline", None, {}, {"compiles": n_right / N}, counts)


def test_a_value_that_follows_from_a_choice_is_no_axis():
    runs = [run(1, 1, embeddings__dim="32")]
    runs += [run(1, 1, model="wide", model__d_model="64", embeddings__dim="64")]
    assert axes(runs) == ["model"]


def test_a_callback_that_some_runs_switch_off_is_one_axis():
    on = {"callbacks__stop___target_": "EarlyStopping", "callbacks__stop__patience": "2"}
    assert axes([run(1, 1), run(1, 1, **on)]) == ["callbacks.stop._target_"]
    other = run(1, 1, **{**on, "callbacks__stop__patience": "4"})
    both = ["callbacks.stop._target_", "callbacks.stop.patience"]
    assert sorted(axes([run(1, 1), run(1, 1, **on), other])) == both


def test_a_value_of_its_own_is_an_axis():
    runs = [run(1, 1), run(1, 1, model__dropout="0.3"), run(1, 1, loss="smoothed")]
    assert axes(runs) == ["loss", "model.dropout"]


def test_a_value_beside_its_choice_is_an_axis_where_it_differs_within_the_choice():
    runs = [run(1, 1), run(1, 1, model="wide", model__d_model="64"), run(1, 1, model__d_model="48")]
    assert axes(runs) == ["model", "model.d_model"]


def test_a_typed_value_is_an_axis_where_it_follows_from_a_choice_or_equals_another_value():
    one, two = run(1, 1), run(1, 1, model="wide", model__dropout="0.3", model__d_model="64")
    assert axes([one, two]) == ["model"]
    assert axes([one, dataclasses.replace(two, typed=("model.dropout",))]) == [
        "model",
        "model.dropout",
    ]


def test_a_setting_that_a_row_lacks_is_named_null():
    runs = [run(1, 1), run(1, 1, init_from="best.ckpt 12345678")]
    rows = make_rows(runs, CLUSTERS, varied=["init_from"])
    assert [row.name for row in rows] == ["init_from=null", "init_from=best.ckpt 12345678"]
    assert rows[0].settings == {"init_from": "null"}


def test_fixed_settings_start_with_the_group_choices():
    runs = [run(1, 1), run(1, 1, model__dropout="0.3"), baseline(3)]
    assert list(fixed(runs)) == ["loss", "model", "model.d_model"]


def test_seeds_of_one_configuration_are_one_row():
    runs = [run(2, 20), run(1, 10), run(3, 30), run(1, 5, loss="smoothed")]
    assert [[one.seed for one in own] for own in configurations(runs)] == [[1, 2, 3], [1]]
    first, _ = make_rows(runs, CLUSTERS)
    figure = first.figures["compiles"]
    # Mean 1/2, standard error 0.25 / sqrt(3), t(0.975, 2) = 4.3027
    half = 4.302653 * 0.25 / math.sqrt(3)
    assert (figure.value, figure.low, figure.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    assert (figure.over, figure.n, figure.k, figure.of) == ("seeds", 3, 60, 120)
    assert figure.by_seed == {"1": 0.25, "2": 0.5, "3": 0.75}
    assert first.name == "loss=plain"


def test_a_repeated_seed_starts_a_new_row():
    rows = make_rows([run(1, 10), run(2, 20), run(1, 30)], CLUSTERS)
    assert [row.name for row in rows] == ["data-plain", "data-plain (2)"]
    assert rows[1].figures["compiles"].value == 0.75


def test_a_single_seed_has_the_interval_of_its_clusters():
    (row,) = make_rows([run(1, 20)], CLUSTERS)
    figure = row.figures["compiles"]
    assert figure.over == "clusters" and figure.n == N
    # 20 of 40: 0.5 -+ 1.96 * sqrt(0.25 / 40)
    assert figure.low == pytest.approx(0.345, abs=0.03)
    assert figure.high == pytest.approx(0.655, abs=0.03)
    assert row.name == "data-plain" and row.differences == {}


def test_a_single_seed_without_counts_has_no_interval():
    row = make_rows([run(1, 20, counted=False), run(1, 30, counted=False, loss="x")], CLUSTERS)[1]
    assert row.figures["compiles"].low is None
    assert row.differences["compiles"].value == pytest.approx(0.25)
    assert not row.differences["compiles"].is_significant


def test_differences_are_paired_by_seed():
    runs = [run(1, 10), run(2, 20), run(3, 30)]
    runs += [run(seed, 10 * seed + 4 + seed % 2, loss="smoothed") for seed in (1, 2, 3)]
    first, second = make_rows(runs, CLUSTERS)
    assert first.differences == {}
    difference = second.differences["compiles"]
    assert (difference.over, difference.is_significant) == ("seeds", True)
    assert difference.value == pytest.approx(14 / 3 / N)


def test_equal_differences_of_all_seeds_are_not_significant():
    runs = [run(1, 10), run(2, 20), run(1, 11, loss="smoothed"), run(2, 21, loss="smoothed")]
    difference = make_rows(runs, CLUSTERS)[1].differences["compiles"]
    assert difference.value == pytest.approx(1 / N) and not difference.is_significant


@pytest.mark.parametrize(("n_right", "low", "high"), [(0, 0.0, 0.088), (N, 0.912, 1.0)])
def test_a_share_of_none_or_all_has_the_interval_of_wilson(n_right, low, high):
    counts = dict.fromkeys(("compiles", "pass@5"), share(n_right))
    one = dataclasses.replace(
        run(1, n_right), values=dict.fromkeys(counts, n_right / N), counts=counts
    )
    for figure in make_rows([one], CLUSTERS)[0].figures.values():
        assert (figure.low, figure.high) == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize(("n_right", "has_interval"), [(0, False), (1, True)])
def test_a_difference_of_no_pair_has_no_interval(n_right, has_interval):
    found = make_rows([run(1, 0), run(1, n_right, loss="smoothed")], CLUSTERS)[1]
    difference = found.differences["compiles"]
    assert difference.over == "clusters" and not difference.is_significant
    assert (difference.low is not None) == (difference.high is not None) == has_interval


def test_a_difference_of_all_pairs_has_the_interval_of_wilson():
    found = [make_rows([run(1, n), baseline(N - n)], CLUSTERS)[1] for n in (0, N)]
    gain, loss = (row.differences["compiles"] for row in found)
    assert (gain.value, gain.low, gain.high) == pytest.approx((1.0, 0.912, 1.0), abs=1e-3)
    assert (loss.value, loss.low, loss.high) == pytest.approx((-1.0, -1.0, -0.912), abs=1e-3)
    assert gain.is_significant and loss.is_significant


def test_equal_resamples_have_no_interval():
    runs = [run(1, 0), run(1, N // 2, loss="smoothed")]  # half of the pairs of each cluster
    row = make_rows(runs, [*range(N // 2), *range(N // 2)])[1]
    found = [row.figures["compiles"], row.differences["compiles"]]
    assert [(own.value, own.low, own.high) for own in found] == [(0.5, None, None)] * 2
    assert not row.differences["compiles"].is_significant


def test_a_difference_of_all_pairs_of_one_cluster_has_no_interval():
    difference = make_rows([run(1, 0), run(1, N, loss="smoothed")], [0] * N)[1].differences
    found = difference["compiles"]
    assert (found.value, found.low, found.high) == (1.0, None, None)
    assert not found.is_significant


def test_only_clusters_to_which_a_metric_applies_are_counted():
    one = dataclasses.replace(run(1, 1), counts={"compiles": [[1.0, 1.0], *[[0.0, 0.0]] * (N - 1)]})
    figure = make_rows([one], CLUSTERS)[0].figures["compiles"]
    assert (figure.n, figure.low) == (1, None)


def test_rows_without_shared_seeds_are_compared_by_their_means():
    runs = [run(seed, 10 * seed) for seed in (1, 2, 3)]
    runs += [run(seed, n, loss="smoothed") for seed, n in ((4, 14), (5, 25), (6, 34))]
    difference = make_rows(runs, CLUSTERS)[1].differences["compiles"]
    # Welch: sqrt(0.25**2 / 3 + var / 3), where the clusters alone would show a difference.
    assert difference.over == "other seeds" and not difference.is_significant
    assert difference.value == pytest.approx(13 / 3 / N)
    assert difference.high - difference.low > 1
    runs[3:] = [run(seed, 39, loss="smoothed") for seed in (3, 4, 5)]  # one is shared
    assert make_rows(runs, CLUSTERS)[1].differences["compiles"].over == "other seeds"


def test_validation_has_differences_paired_by_seed_too():
    runs = [run(1, 9, nll=1.0), run(2, 9, nll=2.0)]
    runs += [run(1, 9, nll=0.5, loss="smoothed"), run(2, 9, nll=1.51, loss="smoothed")]
    runs += [run(7, 9, nll=0.4, loss="weighted")]
    found = {row.name: row.differences.get("val/nll") for row in make_rows(runs, CLUSTERS)}
    assert found["loss=plain"] is None
    assert found["loss=smoothed"].value == pytest.approx(-0.495)
    assert found["loss=smoothed"].is_significant and found["loss=smoothed"].over == "seeds"
    assert found["loss=weighted"].low is None and not found["loss=weighted"].is_significant


def test_without_shared_seeds_differences_are_paired_by_cluster():
    close, far = (make_rows([run(1, 20), baseline(n)], CLUSTERS)[1] for n in (21, 35))
    assert close.differences["compiles"].over == far.differences["compiles"].over == "clusters"
    assert close.differences["compiles"].value == pytest.approx(1 / N)
    assert not close.differences["compiles"].is_significant
    assert far.differences["compiles"].is_significant and far.differences["compiles"].low > 0


def test_pairing_by_cluster_cancels_the_difficulty_of_pairs():
    row = make_rows([run(1, 20), baseline(21)], CLUSTERS)[1]
    figure, difference = row.figures["compiles"], row.differences["compiles"]
    assert difference.high - difference.low < 0.5 * (figure.high - figure.low)


def test_a_baseline_is_compared_with_the_mean_of_the_seeds():
    row = make_rows([run(1, 10), run(2, 20), baseline(30)], CLUSTERS)[-1]
    assert row.differences["compiles"].value == pytest.approx((30 - 15) / N)


def test_pairs_without_counts_are_left_out_of_a_difference():
    half = baseline(0)
    counts = [[1.0, 1.0] if i < 10 else [0.0, 0.0] for i in range(N)]
    half = RunMetrics("human", "baseline", None, {}, {"compiles": 1.0}, {"compiles": counts})
    row = make_rows([run(1, 5), half], CLUSTERS)[1]
    assert row.figures["compiles"].value == 1.0
    assert row.differences["compiles"].value == pytest.approx(0.5)  # 5 of the 10 pairs with counts


def test_metrics_that_are_not_comparable_have_no_difference():
    other = run(1, 20, loss="smoothed", nll=3.0)
    other = RunMetrics(
        **{**vars(other), "not_comparable": ["compiles", "nll"], "notes": ["another tokenizer"]}
    )
    row = make_rows([run(1, 10), other], CLUSTERS)[1]
    assert row.differences == {} and row.notes == ["another tokenizer"]
    assert row.figures["compiles"].value == 0.5


def test_metrics_that_are_not_comparable_in_one_seed_of_the_reference_have_no_difference():
    reference = [run(1, 10), dataclasses.replace(run(2, 10), not_comparable=["nll"])]
    rows = make_rows([*reference, run(1, 20, loss="smoothed"), run(2, 20, loss="smoothed")])
    assert [*rows[1].differences] == ["compiles"]


def test_a_metric_that_one_seed_of_the_reference_lacks_has_no_difference():
    reference = [run(1, 10), dataclasses.replace(run(2, 10), values={}, counts={})]
    rows = make_rows([*reference, run(1, 20, loss="smoothed"), run(2, 20, loss="smoothed")])
    assert "compiles" in rows[1].figures and "compiles" not in rows[0].figures
    assert [*rows[1].differences] == ["val/nll"]
    assert rows[0].notes == ["no compiles, which the result of seed 2 lacks"]


def test_many_metrics_that_a_seed_lacks_are_one_short_remark():
    names = ("passes_tests", "behaves", "compiles", "bleu", "copied")
    whole = [
        dataclasses.replace(
            run(seed, 1),
            values=dict.fromkeys(names, 0.5),
            validation={"nll": 1.0, "compiles": 0.5},  # of the samples of an epoch
        )
        for seed in (1, 2)
    ]
    lacking = dataclasses.replace(run(3, 1), values={}, validation={})
    other = dataclasses.replace(run(4, 1), values={})
    (row,) = make_rows([*whole, lacking, other])
    assert row.figures == {} and row.validation == {}
    assert row.notes == [
        "no passes, behaves, compiles, BLEU and others, which the result of seed 3 and 4 lacks",
        "no val/nll, which the result of seed 3 lacks",
    ]


def test_rows_are_ranked_by_validation_with_baselines_last():
    runs = [baseline(9, "b"), run(1, 39, nll=2.0), run(1, 1, nll=1.0, loss="smoothed"), baseline(1)]
    rows = make_rows(runs, CLUSTERS)
    assert [row.name for row in rows] == ["loss=smoothed", "loss=plain", "b", "retrieval"]
    assert reference_name(runs) == "loss=plain"


def test_seeds_of_equal_settings_from_other_experiments_are_one_configuration():
    runs = [run(1, 1, experiment="decoding"), run(2, 1, experiment="seeds"), run(3, 1)]
    (own,) = configurations(runs)
    assert [run.seed for run in own] == [1, 2, 3]


def test_rows_that_change_few_of_many_settings_are_named_by_their_changes():
    base = {f"clean__{letter}": "true" for letter in "abcd"}
    runs = [run(1, 1, **base), *(run(1, 1, **{**base, key: "false"}) for key in base)]
    names = [f"clean.{letter}=false" for letter in "abcd"]
    rows = make_rows([*runs, baseline(1)], CLUSTERS)
    assert [row.name for row in rows] == ["reference", *names, "retrieval"]
    assert reference_name(runs) == "reference"
    assert rows[0].notes == ["has clean.a=true, clean.b=true, clean.c=true, clean.d=true"]
    assert rows[1].settings["clean.a"] == "false" and rows[1].settings["clean.b"] == "true"
    three = make_rows(runs[:4], CLUSTERS)  # few enough to be named in every row
    assert three[0].name == "clean.a=true, clean.b=true, clean.c=true"
    other = run(1, 1, **base | dict.fromkeys([*base][:3], "false"))
    assert make_rows([*runs, other], CLUSTERS)[0].name.count("=") == 4


def test_rows_that_differ_in_many_settings_have_the_fewest_that_distinguish_them_as_names():
    many = {f"cleaning__use__{letter}": "true" for letter in "abcdef"}
    runs = [
        run(1, 1),
        run(1, 2, data="other", model="small", **many),
        run(1, 3, data="other", model="small", loss="smoothed", **many),
    ]
    rows = make_rows(runs, CLUSTERS)
    assert [row.name for row in rows] == [
        "loss=plain, data=null",
        "loss=plain, data=other",
        "loss=smoothed, data=other",
    ]
    assert rows[1].settings["model"] == "small" and rows[1].settings["data"] == "other"
    base = run(1, 1, loss="smoothed").settings
    (alone,) = make_rows(runs[2:], CLUSTERS, varied=axes(runs), base=base)
    assert alone.name == "data=other"


def test_a_grid_of_many_settings_keeps_all_of_them_in_its_names():
    grid = itertools.product("12", repeat=4)
    runs = [run(1, 1, **dict(zip(("a", "b", "c", "d"), own, strict=True))) for own in grid]
    assert make_rows(runs, CLUSTERS)[1].name == "a=1, b=1, c=1, d=2"


def test_a_run_without_validation_is_ranked_last():
    known = run(1, 1, loss="smoothed")
    for validation in ({}, {"nll": math.nan}):
        unknown = dataclasses.replace(run(1, 1), validation=validation)
        assert make_rows([unknown, known], CLUSTERS)[0].name == "loss=smoothed"


def test_baselines_alone_make_a_table():
    (row,) = make_rows([baseline(10)], CLUSTERS)
    assert row.differences == {} and row.figures["compiles"].k == 10
    assert reference_name([baseline(10)]) == "" and fixed([baseline(10)]) == {}


def test_buckets_are_means_over_seeds():
    runs = [
        RunMetrics(**{**vars(run(seed, 1)), "groups": {"new": {"compiles": seed / 4}}})
        for seed in (1, 2)
    ]
    assert make_rows(runs, CLUSTERS)[0].groups == {"new": {"compiles": 0.375}}


def test_settings_leave_out_the_seed_and_the_study(tmp_path):
    file = tmp_path / "pairs.txt"
    file.write_text("x")
    config = {
        "seed": 3,
        "study": "s",
        "cache": "c",
        "loss": {"_partial_": True, "w": 0.5},
        "split": {"ratios": [0.8, 0.2], "strict": True},
        "data": {"path": str(file)},
    }
    found = settings(config, {"loss": "plain", "logger": "csv", "experiment": "None"}, {})
    assert found.pop("data.path") == f"pairs.txt {hashlib.sha256(b'x').hexdigest()[:8]}"
    assert found == {"loss": "plain", "loss.w": "0.5", "split.ratios": "[0.8, 0.2]",
                     "split.strict": "true"}  # fmt: skip


def test_seeds_that_only_one_row_has_are_left_out():
    a = {1: 0.10, 2: 0.50, 3: 0.90, 4: 0.0}
    b = {3: 0.95, 1: 0.14, 2: 0.56, 9: 1.0}
    difference = difference_by_seed(b, a)
    assert difference.value == pytest.approx(0.05)
    assert difference.over == "seeds"
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert difference.low == pytest.approx(0.05 - half)
    assert difference.is_significant
