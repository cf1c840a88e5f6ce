"""The summary of a study: rows, order, differences; the same from its CSV file."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from en2py.cli.main import command
from en2py.errors import UserError
from en2py.evaluation.report.summary import best_if_significant, notes_of, summarize
from en2py.sweeps.stored_runs import StoredRun, csv_of, read_study
from en2py.sweeps.study import results_of, summarize_study
from en2py.training import run_folder


def stored(loss: str, seed: int, nll: float, **more: Any) -> StoredRun:
    """Return a finished run of a loss."""
    facts = {"run": f"d-m-e-{loss}-seed{seed}-{more.get('mark', 0)}", "study": "s",
             "seed": str(seed), "vocab": more.get("vocab", "v"),
             "split_hash": more.get("split", "h"), "held_out_hash": more.get("held_out", ""),
             "val_too_long": more.get("too_long", "0"), "test_too_long": "0",
             "epochs": "3", "steps": "30", "seconds": "1.5", "test_seconds": "0.5",
             "machine": more.get("machine", "")}  # fmt: skip
    figures = {"val/nll": nll, "val/bpc": nll / 2, "test/nll": nll + 0.1, "test/n": 10.0,
               "test/exact_match_renamed": 0.1 * seed}  # fmt: skip
    settings = {"data": "tasks", "loss": loss, "loss.label_smoothing": "0.1", "model.d_ff": "64"}
    curves = [{"epoch": e, "val/nll": nll + 1 / e} for e in (1.0, 2.0)]
    versions = {"torch": "2"}
    return StoredRun(facts, settings, figures, versions, curves, typed=("loss", "seed"))


PLAIN = [stored("plain", seed, nll) for seed, nll in ((1, 2.00), (2, 2.10), (3, 2.05))]
BETTER = [stored("smoothed", seed, nll) for seed, nll in ((1, 1.90), (2, 2.01), (3, 1.94))]
NOISY = [stored("weighted", seed, nll) for seed, nll in ((1, 1.50), (2, 2.60), (3, 2.00))]


def test_rows_are_ranked_by_validation_and_compared_with_the_first_run() -> None:
    results = results_of([*PLAIN, *NOISY, *BETTER], "s")
    assert [row.name for row in results.rows] == ["loss=smoothed", "loss=weighted", "loss=plain"]
    assert results.reference_row == "loss=plain"
    assert results.axes == ["loss"]
    assert results.fixed["model.d_ff"] == "64" and "loss" not in results.fixed
    best = results.rows[0]
    assert best.validation["nll"].value == pytest.approx(1.95)
    # Pairs by seed: -0.10, -0.09, -0.11; t of 2 degrees of freedom is 4.3027.
    difference = best.differences["val/nll"]
    assert difference.value == pytest.approx(-0.10)
    half = 4.302653 * 0.01 / 3**0.5
    assert (difference.low, difference.high) == pytest.approx((-0.1 - half, -0.1 + half))
    assert difference.is_significant
    assert best_if_significant(results) == ""  # not shown to differ from the noisy row
    assert best_if_significant(results_of([*PLAIN, *BETTER], "s")) == "loss=smoothed"


def test_insignificant_best_row_is_not_marked() -> None:
    results = results_of([*PLAIN, *NOISY], "s")
    assert results.rows[0].name == "loss=weighted"
    assert best_if_significant(results) == ""


def test_other_vocabularies_are_compared_only_by_bits_per_character() -> None:
    other = [stored("smoothed", seed, 1.0, vocab="w") for seed in (1, 2, 3)]
    results = results_of([*PLAIN, *other], "s")
    row = next(row for row in results.rows if row.name == "loss=smoothed")
    assert "val/nll" not in row.differences and "nll" not in row.differences
    assert "val/bpc" in row.differences and "vocabulary" in row.notes[0]


def test_losses_over_a_vocabulary_that_is_not_known_have_a_remark() -> None:
    unknown = [stored(loss, 1, 1.0, vocab="") for loss in ("plain", "smoothed")]
    note = "its vocabulary or that of the reference row is not known: only if they are equal"
    (row,) = (row for row in results_of(unknown, "s").rows if row.name == "loss=smoothed")
    assert row.notes[0].startswith(note) and "val/nll" in row.differences
    (row,) = (r for r in results_of([PLAIN[0], unknown[1]], "s").rows if r.name == "loss=smoothed")
    assert row.notes[0].startswith(note) and "val/nll" not in row.differences
    assert all(row.notes == [] for row in results_of(unknown[:1], "s").rows)


def test_versions_of_all_runs_are_listed() -> None:
    other = replace(BETTER[0], versions={"torch": "3", "en2py": "1"})
    assert results_of([*PLAIN, other], "s").versions == {"torch": "2 and 3", "en2py": "1"}


def test_a_csv_file_keeps_which_keys_were_typed(tmp_path: Path) -> None:
    def wide(run: StoredRun) -> StoredRun:
        more = {"loss.label_smoothing": "0.2", "model.d_ff": "128"}
        return replace(run, settings={**run.settings, **more}, typed=("loss", "model.d_ff"))

    runs = [*PLAIN, *map(wide, BETTER)]
    (tmp_path / "runs.csv").write_text(csv_of(runs))
    names = [row.name for row in results_of(runs, "s").rows]
    assert names == ["loss=smoothed, model.d_ff=128", "loss=plain, model.d_ff=64"]
    read = read_study(tmp_path / "runs.csv")
    assert [row.name for row in results_of(read, "s").rows] == names


def test_row_over_other_pairs_is_noted_with_their_numbers() -> None:
    other = [stored("smoothed", seed, 1.0, too_long="7") for seed in (1, 2, 3)]
    results = results_of([*PLAIN, *other], "s")
    (note,) = notes_of(results.rows)
    assert note.startswith("loss=smoothed: loss, perplexity, accuracy and bits per character leave")
    assert "7 of validation and 0 of test, in the reference row 0 and 0: evaluate.py" in note
    assert "val/bpc" in results.rows[0].differences  # it is still shown


def test_equal_numbers_of_long_pairs_are_noted_only_with_other_limits() -> None:
    def limited(loss: str, limit: str, too_long: str) -> StoredRun:
        run = stored(loss, 1, 2.0, too_long=too_long)
        return replace(run, settings={**run.settings, "model.max_tgt_len": limit})

    def n_notes(*runs: StoredRun) -> int:
        return len(notes_of(results_of(runs, "s").rows))

    assert n_notes(limited("plain", "64", "7"), limited("smoothed", "64", "7")) == 0
    assert n_notes(limited("plain", "64", "7"), limited("smoothed", "65", "7")) == 1
    assert n_notes(limited("plain", "64", "0"), limited("smoothed", "256", "0")) == 0
    unknown = replace(PLAIN[0], facts={**PLAIN[0].facts, "val_too_long": "", "test_too_long": ""})
    assert n_notes(unknown, replace(unknown, settings={"loss": "b"})) == 0
    assert n_notes(stored("plain", 1, 2.0, too_long="3"), replace(unknown, settings={})) == 0


def test_seeds_trained_in_another_precision_are_noted_in_one_remark() -> None:
    slow, fast = "cpu (32-true)", "2 x cuda (bf16-mixed)"
    mixed = [stored("plain", 1, 2.0, machine=slow), stored("plain", 2, 2.1, machine=fast)]
    other = stored("smoothed", 1, 1.9, machine=slow)
    kind = "device and precision of the training"
    assert notes_of(results_of([*mixed, other], "s").rows) == [
        f"loss=smoothed: {kind}: {slow}",
        f"loss=plain: {kind}: {fast} and {slow}",
    ]
    unknown = stored("weighted", 1, 1.9)
    assert notes_of(results_of([mixed[0], other, unknown], "s").rows) == []


def test_settings_that_are_in_no_name_are_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def sized(run: StoredRun, *sizes: int) -> StoredRun:
        names = ("model.n_heads", "model.n_layers", "model.d_model")
        more = {name: str(size) for name, size in zip(names, sizes, strict=True)}
        return replace(run, settings={**run.settings, **more})

    runs = [sized(stored("plain", 1, 2.0), 2, 1, 32), sized(stored("smoothed", 1, 1.9), 4, 3, 64)]
    (tmp_path / "table.csv").write_text(csv_of(runs))
    results = summarize_study(tmp_path / "table.csv")
    assert [row.name for row in results.rows] == ["loss=smoothed", "loss=plain"]
    printed = " ".join(capsys.readouterr().out.split())
    assert "Rows also differ in model.n_heads, model.n_layers and model.d_model: see " in printed
    page = (tmp_path / "table" / "summary.md").read_text()
    assert "| loss=plain | plain | 2 | 1 | 32 |" in page.replace("  ", " ")


def test_a_precision_that_names_the_rows_is_not_noted() -> None:
    runs = [
        replace(run, settings={**run.settings, "trainer.precision": name}, typed=("seed",))
        for run, name in (
            (stored("plain", 1, 2.0, machine="cpu (32-true)"), "32-true"),
            (stored("plain", 1, 2.1, machine="cpu (bf16-mixed)"), "bf16-mixed"),
        )
    ]
    assert notes_of(results_of(runs, "s").rows) == []


def test_device_and_precision_of_a_run_are_kept_in_the_csv_file(tmp_path: Path) -> None:
    machine = {"device": "cuda", "world_size": 1, "precision": "bf16-mixed"}
    on_disk(tmp_path, "t-m-e-plain-seed1-bbbbbbbbbb", **machine)
    on_disk(tmp_path, "t-m-e-plain-seed2-aaaaaaaaaa", seed=2)
    runs = read_study(tmp_path)
    assert [run.facts["machine"] for run in runs] == ["cuda (bf16-mixed)", ""]
    (tmp_path / "table.csv").write_text(csv_of(runs))
    assert read_study(tmp_path / "table.csv")[0].facts == runs[0].facts


def test_numbers_of_long_pairs_are_read_from_the_data_report(tmp_path: Path) -> None:
    name = "t-m-e-plain-seed1-bbbbbbbbbb"
    on_disk(tmp_path, name)
    report = {"facts": {"over_max_len": {"train": 9, "val": 3, "test": 4}}}
    (tmp_path / name / "data_report.json").write_text(json.dumps(report))
    (run,) = read_study(tmp_path)
    assert (run.facts["val_too_long"], run.facts["test_too_long"]) == ("3", "4")


def test_other_counts_of_the_same_tokens_are_no_other_vocabulary(tmp_path: Path) -> None:
    names = [f"t-m-e-plain-seed{seed}-{10 * str(seed)}" for seed in (1, 2, 3)]
    for name, tokens in zip(names, ({"x": 3, "y": 1}, {"y": 2, "x": 1}, {"x": 3}), strict=True):
        on_disk(tmp_path, name)
        (tmp_path / name / "vocab").mkdir()
        (tmp_path / name / "vocab" / "tgt.json").write_text(json.dumps(tokens))
    one, same, other = (run.facts["vocab"] for run in read_study(tmp_path))
    assert one == same != other


def test_csv_file_has_the_same_summary(tmp_path: Path) -> None:
    runs = [*PLAIN, *BETTER]
    path = tmp_path / "loss_functions.csv"
    path.write_text(csv_of(runs))
    again = read_study(path)
    assert [run.facts for run in again] == [run.facts for run in runs]
    assert [run.metrics for run in again] == [run.metrics for run in runs]
    one, two = results_of(runs, "s"), results_of(again, "s")
    assert one.rows == two.rows and one.axes == two.axes


def test_the_csv_file_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("\ufeffrun,seed,val/nll\na,1.0,2.5\n", encoding="utf-8")
    (run,) = read_study(path)
    assert run.facts["seed"] == "1" and results_of([run], "s").rows[0].runs == ["a"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04\xff\xfe", "a spreadsheet must be saved as CSV"),
        (b"run,seed\na,1,2\n", "not a table of runs"),
        (b"run,seed\na,1.5\n", "seed of a is not a whole number: '1.5'"),
        (b"run,seed\na,\n", "seed of a is not a whole number: ''"),
    ],
)
def test_a_file_that_is_no_table_of_runs_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "runs.xlsx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason):
        read_study(path)


def test_summary_of_a_csv_file_is_written_next_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "loss_functions.csv"
    path.write_text(csv_of([*PLAIN, *BETTER]))
    summarize_study(path)
    printed = capsys.readouterr().out
    assert "smoothed (best)" in printed and "−0.100" in printed
    folder = tmp_path / "loss_functions"
    page = (folder / "summary.html").read_text()
    assert "<svg" in page and "loss" in page
    assert "smoothed" in (folder / "summary.md").read_text()
    with open(folder / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["loss"] for row in rows] == ["smoothed", "plain"]
    assert rows[0]["runs"] == "3" and rows[0]["best"] == "yes" and rows[1]["best"] == ""
    assert float(rows[0]["val/nll difference"]) == pytest.approx(-0.1)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that nobody may write to")
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(csv_of(PLAIN))
    with pytest.raises(UserError, match="^folder: /proc/x cannot be created .*folder=FOLDER$"):
        summarize_study(path, target=Path("/proc/x"))


def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs.csv").write_text(csv_of(PLAIN))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(UserError, match="^folder: .* is not writable; use folder=FOLDER$"):
        summarize_study(tmp_path / "runs.csv", target=tmp_path)


def on_disk(study: Path, name: str, **record: Any) -> None:
    """Write the folder of a finished run."""
    folder = study / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 1\nmodel:\n  d_ff: 64\n")
    (folder / "metrics.csv").write_text("step,epoch,val/nll\n9,1,3.5\n19,2,2.5\n20,,\n")
    result = {"config_sha256": name[-10:] + "0" * 54, "seed": 1, "study": "s", "split_hash": "h",
              "overrides": ["seed=1"], "choices": {"data": "tasks", "loss": "plain"}, "epochs": 2,
              "steps": 20, "seconds": 3.0, "best": {"epoch": 2, "val/nll": 2.5},
              "test": {"nll": 2.6, "n": 10}, "versions": {"torch": "2"}}  # fmt: skip
    (folder / "result.json").write_text(json.dumps({**result, **record}))


def test_a_renamed_run_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = "t-m-e-plain-seed1-bbbbbbbbbb"
    on_disk(tmp_path, name, run=name)
    (tmp_path / name).rename(tmp_path / "baseline")
    sentence = f"baseline is left out: it is the folder of the run {name}, rename it back"
    with pytest.raises(UserError, match=f"0 not finished; {sentence}"):
        read_study(tmp_path)
    on_disk(tmp_path, "t-m-e-plain-seed2-aaaaaaaaaa", seed=2)
    summarize_study(tmp_path)
    assert sentence in caplog.text and "interrupted" not in caplog.text


def test_finished_runs_of_a_folder_are_read_in_planned_order(tmp_path: Path) -> None:
    first, second = "t-m-e-plain-seed1-bbbbbbbbbb", "t-m-e-plain-seed2-aaaaaaaaaa"
    on_disk(tmp_path, second, seed=2)
    on_disk(tmp_path, first)
    (tmp_path / "t-m-e-plain-seed3-cccccccccc").mkdir()  # not finished
    assert [run.facts["run"] for run in read_study(tmp_path)] == [first, second]
    jobs = [{"run": name, "overrides": [], "reason": ""} for name in (second, first)]
    (tmp_path / "sweeps.jsonl").write_text(json.dumps({"sweep": "1", "jobs": jobs}) + "\n")
    runs = read_study(tmp_path)
    assert [run.facts["run"] for run in runs] == [second, first]
    assert runs[0].curves == [{"step": 9, "epoch": 1, "val/nll": 3.5},
                              {"step": 19, "epoch": 2, "val/nll": 2.5}]  # fmt: skip


@pytest.mark.parametrize("content", [None, b"", b"- 1", b"a: [", b"\xff", b"seed: ${x}"])
def test_finished_run_without_its_config_is_refused(tmp_path: Path, content: bytes | None) -> None:
    on_disk(tmp_path, "t-m-e-plain-seed1-aaaaaaaaaa")
    file = tmp_path / "t-m-e-plain-seed1-aaaaaaaaaa" / "config.yaml"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(UserError, match="config.yaml, which has the settings"):
        read_study(tmp_path)


def test_seeds_trained_on_another_content_of_a_file_are_another_row(tmp_path: Path) -> None:
    for seed, content in ((1, "a"), (2, "a"), (3, "b")):
        name = f"t-m-e-plain-seed{seed}-{str(seed) * 10}"
        on_disk(tmp_path, name, seed=seed, contents={"data.path": content * 64})
        config = f"seed: {seed}\ndata:\n  path: gone.jsonl\n"
        (tmp_path / name / "config.yaml").write_text(config)
    rows = results_of(read_study(tmp_path), "s").rows
    assert [(row.settings, len(row.runs)) for row in rows] == [
        ({"data.path": "gone.jsonl aaaaaaaa"}, 2),
        ({"data.path": "gone.jsonl bbbbbbbb"}, 1),
    ]


def test_order_is_that_of_the_largest_sweep(tmp_path: Path) -> None:
    names = [f"t-m-e-plain-seed{seed}-{str(seed) * 10}" for seed in (1, 2, 3)]
    for name in names:
        on_disk(tmp_path, name)
    asked = {"part": names[2:], "whole": names, "again": [*names[1:], names[0]], "last": names[:1]}
    lines = [
        json.dumps(
            {"sweep": sweep, "jobs": [{"run": r, "overrides": [], "reason": ""} for r in runs]}
        )
        for sweep, runs in asked.items()
    ]
    (tmp_path / "sweeps.jsonl").write_text("\n".join(lines))
    assert [run.facts["run"] for run in read_study(tmp_path)] == names


def test_of_equal_sweeps_on_other_data_the_last_one_is_summarized(tmp_path: Path) -> None:
    names = [f"t-m-e-plain-seed1-{letter * 10}" for letter in "abc"]
    lines = []
    for name, split in zip(names, ("old", "new", "new"), strict=True):
        on_disk(tmp_path, name, split_hash=split)
    for sweep, runs in (("1", names[:1]), ("2", names[1:2])):
        jobs = [{"run": run, "overrides": [], "reason": ""} for run in runs]
        lines.append(json.dumps({"sweep": sweep, "jobs": jobs}))
    (tmp_path / "sweeps.jsonl").write_text("\n".join(lines))
    results = summarize_study(tmp_path)
    assert {run for row in results.rows for run in row.runs} == {*names[1:]}
    assert [row.runs for row in results.others] == [names[:1]]


@pytest.mark.parametrize("what", ["nothing", "an empty folder", "another table"])
def test_path_without_a_study_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "there"
    if what == "an empty folder":
        path.mkdir()
    elif what == "another table":
        path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="study[=:]"):
        read_study(path)


def test_name_of_a_study_is_refused_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "losses").mkdir(parents=True)
    with pytest.raises(UserError, match="losses does not exist .*did you mean 'outputs/losses'"):
        read_study(Path("losses"))


def test_run_folder_is_refused_with_its_study(tmp_path: Path) -> None:
    run = tmp_path / "s" / "t-m-e-plain-seed1-bbbbbbbbbb"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 1")
    with pytest.raises(UserError, match=f"its study is study={run.parent}"):
        read_study(run)


def test_summary_of_an_unfinished_study_counts_missing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "s"
    names = [f"t-m-e-plain-seed{seed}-{str(seed) * 10}" for seed in range(1, 6)]
    on_disk(study, names[0])
    for name in (names[1], names[2], f"{names[0]}.old1"):
        (study / name).mkdir()
        (study / name / "config.yaml").write_text("seed: 1\n")
    reason = f"no room{' and a long list' * 20}"
    record = {"sweep": "1", "reason": reason, "code": 1}
    (study / names[2] / "state.json").write_text(json.dumps(record))
    jobs = [{"run": name, "overrides": [], "reason": ""} for name in names[:4]]
    jobs.append({"run": "", "overrides": [], "reason": "seed=x: no number"})
    (study / "sweeps.jsonl").write_text(json.dumps({"sweep": "1", "jobs": jobs}) + "\n")
    summarize_study(study)
    printed = " ".join(capsys.readouterr().out.split())
    missing = "1 refused (seed=x: no number), 1 interrupted, 1 failed (no room and a long list"
    assert missing in printed and missing in (study / "summary.html").read_text()
    assert "and a ...), 1 not started" in printed and reason not in printed


def test_runs_of_other_sweeps_have_a_table_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.csv"
    path.write_text(csv_of([*NOISY, *PLAIN, *BETTER]))
    names = [run.facts["run"] for run in (*PLAIN, *BETTER)]
    results = summarize_study(path, names)
    assert [row.name for row in results.rows] == ["loss=smoothed", "loss=plain"]
    assert results.reference_row == "loss=plain"
    assert [row.runs for row in results.others] == [[run.facts["run"] for run in NOISY]]
    with open(tmp_path / "s" / "summary.csv", newline="") as file:
        assert [row["best"] for row in csv.DictReader(file)] == ["yes", "", ""]
    summarize_study(path, [run.facts["run"] for run in PLAIN])
    with open(tmp_path / "s" / "summary.csv", newline="") as file:
        assert not any(row.get("val/nll difference") for row in csv.DictReader(file))
    printed = capsys.readouterr().out
    assert "Of 2 configurations" in printed and "s: other runs, not compared" in printed
    assert "Other runs of this study" in (tmp_path / "s" / "summary.html").read_text()
    assert (tmp_path / "s" / "runs.csv").read_text().count("\n") == 10


def test_search_is_in_the_summary_of_its_own_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best, other = "t-m-e-plain-seed1-bbbbbbbbbb", "t-m-e-plain-seed2-cccccccccc"
    for name in (best, other):
        on_disk(tmp_path, name)
    found = {"trial": 1, "run": best, "value": 2.5, "params": {"lr": 0.1}}
    record = {"sweep": "search", "finished": 1, "pruned": 0, "best": found, "importance": {}}
    (tmp_path / "search.json").write_text(json.dumps(record))

    def is_shown(sweep: str, names: list[str] | None) -> bool:
        monkeypatch.setenv(run_folder.SWEEP_ID, sweep)
        shown = bool(summarize_study(tmp_path, names).search)
        assert ("Best of 1 finished" in (tmp_path / "summary.html").read_text()) == shown
        return shown

    assert is_shown("search", [best])
    assert not is_shown("more seeds", [best, other])
    assert is_shown("", None)
    found["run"] = "t-m-e-plain-seed1-dddddddddd"
    (tmp_path / "search.json").write_text(json.dumps(record))
    assert not is_shown("", None)


def test_the_row_of_a_search_with_one_scored_trial_has_the_searched_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "t-m-e-plain-seed1-bbbbbbbbbb"
    on_disk(tmp_path, name, choices={"loss": "plain"})
    best = {"trial": 1, "run": name, "value": 2.5, "params": {"loss": "plain"}}
    record = {"sweep": "s", "finished": 1, "pruned": 0, "best": best, "importance": {}}
    (tmp_path / "search.json").write_text(json.dumps(record))
    results = summarize_study(tmp_path)
    assert results.axes == ["loss"] and results.reference_row == "loss=plain"
    assert [row.name for row in results.rows] == ["loss=plain"]
    assert "t-m-e-plain" not in capsys.readouterr().out


def test_the_only_finished_row_of_a_sweep_has_the_varied_values_as_its_name(tmp_path: Path) -> None:
    name = "t-m-e-plain-seed1-bbbbbbbbbb"
    on_disk(tmp_path, name)
    jobs = [
        {"run": run, "overrides": ["model.d_ff=64", f"loss={loss}", f"seed={seed}"], "reason": ""}
        for run, loss, seed in ((name, "plain", 1), ("failed", "smoothed", 2))
    ]
    (tmp_path / "sweeps.jsonl").write_text(json.dumps({"sweep": "s", "jobs": jobs}) + "\n")
    assert [row.name for row in summarize_study(tmp_path).rows] == ["loss=plain"]


def test_a_setting_that_only_other_runs_do_not_have_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def sized(run: StoredRun, n: str) -> StoredRun:
        return replace(run, settings={**run.settings, "data.source.n_pairs": n})

    path = tmp_path / "s.csv"
    own = [sized(run, "900") for run in (*PLAIN, *BETTER)]
    path.write_text(csv_of([*own, *(sized(run, "14000") for run in NOISY)]))
    results = summarize_study(path, [run.facts["run"] for run in own])
    assert [row.name for row in results.others] == ["loss=weighted, data.source.n_pairs=14000"]
    printed = capsys.readouterr().out
    assert "s: summary of data.source.n_pairs=900" in printed and "14000" in printed


def test_figures_of_a_part_of_the_validation_pairs_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.csv"
    limited = {"trainer.limit_val_batches": "2"}
    runs = [replace(run, settings={**run.settings, **limited}) for run in PLAIN]
    path.write_text(csv_of(runs))
    summarize_study(path)
    assert "figures are over trainer.limit_val_batches=2" in capsys.readouterr().out


@pytest.mark.parametrize(("limit", "kept"), [("", "null"), ("trainer.limit_val_batches=9", "9")])
def test_a_limit_that_leaves_no_validation_pair_out_is_no_setting(
    tmp_path: Path, limit: str, kept: str
) -> None:
    name = "t-m-e-plain-seed1-bbbbbbbbbb"
    on_disk(tmp_path, name, validation_limit=limit)
    (tmp_path / name / "config.yaml").write_text("seed: 1\ntrainer:\n  limit_val_batches: 9\n")
    (run,) = read_study(tmp_path)
    assert run.settings.get("trainer.limit_val_batches", "null") == kept


def test_runs_with_another_split_than_the_largest_sweep_are_not_compared(tmp_path: Path) -> None:
    study = tmp_path / "s"
    for name in ("t-m-e-plain-seed1-bbbbbbbbbb", "t-m-e-plain-seed2-cccccccccc"):
        on_disk(study, name)
    record = json.loads((study / name / "result.json").read_text())
    (study / name / "result.json").write_text(json.dumps({**record, "split_hash": "other"}))
    line = {"sweep": "1", "jobs": [{"overrides": [], "run": "t-m-e-plain-seed1-bbbbbbbbbb",
                                    "reason": ""}]}  # fmt: skip
    (study / "sweeps.jsonl").write_text(json.dumps(line) + "\n")
    results = summarize_study(study)
    assert [row.runs for row in results.rows] == [["t-m-e-plain-seed1-bbbbbbbbbb"]]
    assert [row.runs for row in results.others] == [[name]]


def test_rows_with_other_held_out_pairs_are_not_ranked() -> None:
    other = [stored("random", seed, 1.0 + seed / 100, split="r") for seed in (1, 2, 3)]
    results = results_of([*PLAIN, *other], "s")
    assert results.rows[0].name == "loss=random" and results.rows[0].has_other_pairs
    assert best_if_significant(results) == ""
    text = " ".join(summarize(results))
    assert "Not all rows have the same validation and test pairs" in text
    assert "significant" not in text
    (note,) = notes_of(results.rows)
    assert note.startswith("loss=random: other validation and test pairs")


@pytest.mark.parametrize(
    ("setting", "too_long"), [({"trainer.limit_val_batches": "2"}, "0"), ({}, "5")]
)
def test_rows_validated_on_other_pairs_are_not_ranked(
    setting: dict[str, str], too_long: str
) -> None:
    runs = [stored("smoothed", seed, 1 + seed / 100, too_long=too_long) for seed in (1, 2, 3)]
    runs = [replace(run, settings={**run.settings, **setting}) for run in runs]
    results = results_of([*PLAIN, *runs], "s")
    assert results.rows[0].has_other_pairs and best_if_significant(results) == ""
    assert not any(found.is_significant for found in results.rows[0].differences.values())


def test_rows_with_other_tests_of_the_same_texts_are_not_ranked() -> None:
    same = [replace(run, facts={**run.facts, "held_out_hash": "p"}) for run in PLAIN]
    other = [stored("other", seed, 1 + seed / 100, held_out="q") for seed in (1, 2, 3)]
    assert {run.facts["split_hash"] for run in [*same, *other]} == {"h"}
    assert any(row.has_other_pairs for row in results_of([*same, *other], "s").rows)


def test_rows_with_other_training_pairs_alone_are_ranked() -> None:
    same = [replace(run, facts={**run.facts, "held_out_hash": "p"}) for run in PLAIN]
    more = [stored("more", seed, 1 + seed / 100, split="m", held_out="p") for seed in (1, 2, 3)]
    results = results_of([*same, *more], "s")
    assert best_if_significant(results) == "loss=more"
    assert notes_of(results.rows) == ["loss=more: other training pairs than the reference row"]


def test_rows_with_different_seeds_are_reported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "s.csv"
    for runs, expected in (([*PLAIN, *BETTER], False), ([*PLAIN, *BETTER[:2]], True)):
        path.write_text(csv_of(runs))
        summarize_study(path)
        assert ("Not all rows have the same seeds" in capsys.readouterr().out) == expected


def test_evaluate_recomputes_the_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from en2py.cli.programs import run_evaluation as main

    on_disk(tmp_path / "s", "t-m-e-plain-seed1-bbbbbbbbbb")
    argv = ["evaluate.py", f"study={tmp_path / 's'}"]
    assert command(main, "evaluate", argv=argv) == 0
    assert "s: summary" in capsys.readouterr().out
    assert (tmp_path / "s" / "summary.html").exists()


def test_rows_of_a_metrics_file_have_no_gaps(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,epoch,val/nll,lr\n9,1,2.5,\n19,2,,0.1\n")
    assert run_folder.read_epochs(tmp_path / "metrics.csv") == [
        {"step": 9.0, "epoch": 1.0, "val/nll": 2.5},
        {"step": 19.0, "epoch": 2.0, "lr": 0.1},
    ]
