"""Evaluation of checkpoints and baselines on shared pairs, with untrained checkpoints."""

import dataclasses
import json
import re
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from en2py.cli import checkpoint_runs, evaluation_data, programs
from en2py.cli.checkpoint_runs import (
    CheckpointRun,
    checkpoints_of_study,
    find_checkpoints,
    find_runs,
)
from en2py.cli.evaluate import Evaluation, compare_sweep
from en2py.cli.evaluation_config import config_changes, moved
from en2py.cli.evaluation_data import EvaluationData, common_pairs
from en2py.cli.main import command
from en2py.cli.programs import run_evaluation as main
from en2py.cli.scoring import Scored
from en2py.cli.train import _warn_of_known_pairs
from en2py.config.composition import choices_of, compose_config, without_hydra
from en2py.config.run_name import config_digest, run_name
from en2py.config.validation import resolved
from en2py.data.files import file_digest
from en2py.data.pairs import DataReport, Pair
from en2py.data.splits import behaviour_split, group_split
from en2py.decoding.grammar import compiles
from en2py.errors import UserError
from en2py.evaluation import aggregation, pool_ranking
from en2py.evaluation.execution.result import ExecutionResult
from en2py.evaluation.execution.runner import ProgramRunner, counts_at_k, counts_of
from en2py.evaluation.metrics import code_bleu
from en2py.evaluation.metrics.bleu import TrainingCode
from en2py.evaluation.metrics.seen_descriptions import SEEN
from en2py.evaluation.plots.figures import Picture
from en2py.evaluation.results import Results
from en2py.evaluation.scores import TrainingData
from en2py.training import build, checkpoints, initial_data, loggers, run_data, testing
from en2py.training.checkpoints import AtomicCheckpointIO, load_checkpoint
from en2py.training.initial_data import n_known_to_initial_weights
from en2py.training.module import Seq2SeqModule
from en2py.training.wandb_logger import wandb_mode
from fake_results import fake_results
from training_runs import BLANK, FEW_RESAMPLES

SANDBOX = {"timeout_s": 5.0, "memory_mb": 512, "workers": 1, "min_level": "process"}
SMALL = [
    *("data=file", "split=random", "model=tiny", "model.d_model=16", "model.d_ff=16"),
    *("model.n_heads=2", "trainer.accelerator=cpu", "decoding.max_len=8", "logger=csv"),
    "processes=1",
]
Make = Callable[..., Path]
Score = Callable[..., int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty small programs, two for each description."""
    place = tmp_path_factory.mktemp("comparison")
    lines = [
        {
            "description": f"write a function that adds {i} to a {name}",
            "code": f"def add({name}):\n    return {name} + {i}\n",
        }
        for name in ("total", "value", "number", "item")
        for i in range(10)
    ]
    (place / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place


@pytest.fixture(scope="module")
def make(folder: Path) -> Make:
    """Write the checkpoint of a run with fresh weights; equal choices give the same one."""

    def written(*overrides: str, study: str = "s") -> Path:
        words = [*SMALL, f"data.path={folder / 'pairs.jsonl'}", f"cache={folder / 'cache'}"]
        cfg = compose_config("train", [*words, f"study={study}", *overrides])
        choices, config = choices_of(cfg.hydra), resolved(without_hydra(cfg))
        prepared = run_data.prepare_data(config)
        name = run_name(config, choices, config_digest(config))
        module = build.new_module(
            config, prepared, checkpoints.checkpoint_metadata(config, choices, prepared, name)
        )
        path = folder / study / name / "checkpoints" / "best.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"en2py": module.metadata, "state_dict": module.state_dict()}
        AtomicCheckpointIO().save_checkpoint(content, path)
        (path.parents[1] / "result.json").write_text("{}")
        return path

    return written


@pytest.fixture(scope="module")
def score(folder: Path) -> Score:
    def run(*words: str) -> int:
        done: list[Evaluation] = []
        given = {word.partition("=")[0] for word in words}
        fixed = [f"cache={folder / 'cache'}", "processes=1"]
        if not given & {"study", "results", "export", "prompt", "prompts"}:
            fixed += [f"sandbox.{key}={value}" for key, value in SANDBOX.items()]
            fixed += [f"output={folder / 'outputs'}"]
            if any(word.startswith(("ckpt_path=", "/")) for word in words):
                fixed += ["trainer.accelerator=cpu"] + ["n_maps=1"] * ("attention=[]" not in words)
        kept = [word for word in fixed if word.partition("=")[0] not in given]
        job = partial(main, of_sweep=done)
        argv = ["evaluate.py", *kept, *words]
        return command(job, "evaluate", argv, after_sweep=lambda: compare_sweep(done))

    return run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save blank pictures and resample less: both take longer than the evaluation itself."""
    monkeypatch.setattr(Picture, "_saved", lambda self, kind, **how: BLANK)
    monkeypatch.setattr(aggregation, "cluster_bootstrap", FEW_RESAMPLES)


def results_in(folder: Path) -> Results:
    return Results.from_json((folder / "results.json").read_text())


def test_seeds_share_a_row_and_settings_and_baselines_have_their_own(
    make: Make, score: Score, folder: Path, tmp_path: Path
) -> None:
    runs = [make("seed=1"), make("seed=2"), make("seed=1", "loss=smoothed")]
    typed = f"ckpt_path={','.join(map(str, runs))}"
    assert score(typed, f"folder={tmp_path / 'a'}") == 0
    found = results_in(tmp_path / "a")
    assert {row.name for row in found.rows[:2]} == {"loss=plain", "loss=smoothed"}
    names = ["retrieval", "bm25", "constant", "nearest_by_bleu", "second_human"]
    assert [row.name for row in found.rows[2:]] == names
    assert found.reference_row == "loss=plain" and found.axes == ["loss"]
    by_name = {row.name: row for row in found.rows}
    assert by_name["loss=plain"].figures["nll"].over == "seeds"
    assert by_name["loss=smoothed"].figures["nll"].over == "clusters"
    assert by_name["loss=smoothed"].differences["nll"].over == "clusters"
    assert by_name["loss=plain"].validation["nll"].by_seed.keys() == {"1", "2"}
    # The nearest description has the same words and another number.
    behaves = by_name["retrieval"].figures["behaves"]
    assert behaves.of == found.data["n_pairs"] == found.oracles["functions"]["testable"] == 6
    assert sum(by_name["constant"].failures.values()) >= 5
    for name in ("report.html", "report.md", "predictions/retrieval.jsonl"):
        assert (tmp_path / "a" / name).stat().st_size > 0
    assert score(typed, f"folder={tmp_path / 'b'}") == 0
    assert (tmp_path / "a/results.json").read_bytes() == (tmp_path / "b/results.json").read_bytes()


def test_code_bleu_is_computed_where_it_is_asked_for(score: Score, folder: Path) -> None:
    pytest.importorskip("tree_sitter_python")
    words = [
        "baseline=constant",
        "data=file",
        "split=random",
        f"data.path={folder / 'pairs.jsonl'}",
    ]
    for asked in ("false", "true"):
        assert score(*words, f"code_bleu={asked}", f"folder={folder / asked}") == 0
    without, found = (results_in(folder / asked) for asked in ("false", "true"))
    assert "code_bleu" not in {*without.rows[0].figures, *without.signatures}
    assert 0 < found.rows[0].figures.pop("code_bleu").value <= 100
    assert found.rows[0].figures == without.rows[0].figures


def test_code_bleu_without_its_package_is_refused(
    score: Score, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(code_bleu, "available", lambda: code_bleu.ABSENT)
    words = [
        "baseline=constant",
        "data=file",
        "split=random",
        f"data.path={folder / 'pairs.jsonl'}",
    ]
    assert score(*words, "code_bleu=true") == 2
    assert "pip install -e '.[codebleu]'" in capsys.readouterr().err


def test_an_evaluation_with_another_search_keeps_the_results_of_the_first(
    make: Make, score: Score, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make("seed=1", "+trainer.limit_val_batches=1", study="two").parents[1]
    words = [str(run), "baseline=none", "behaviour=false"]
    assert score(*words) == 0
    capsys.readouterr()
    assert score(*words, "decoding.max_len=3") == 0
    output = capsys.readouterr().out
    first, second = sorted(run.glob("evaluate-test-*"), key=lambda path: len(path.name))
    assert "-max_len=3-" in second.name
    assert results_in(second).title == "1 configuration on file, decoding.max_len=3"
    assert results_in(first).title == "1 configuration on file"
    assert f"report: {second / 'report.html'}" in output
    assert f"other evaluations are kept beside it: {first.name}" in output
    note = "val/nll is over all validation pairs here, and was over trainer.limit_val_batches=1"
    assert note in output


def copied(best: Path, stem: str) -> Path:
    """Return another checkpoint of the same run; its weights differ."""
    content = checkpoints.load_checkpoint(best)
    content["state_dict"] = {key: value * 0.9 for key, value in content["state_dict"].items()}
    AtomicCheckpointIO().save_checkpoint(content, best.with_name(f"{stem}.ckpt"))
    return best.with_name(f"{stem}.ckpt")


def with_split_hash(best: Path, split_hash: str) -> Path:
    """Write the checkpoint of a run, as if its data had been others."""
    content = checkpoints.load_checkpoint(best)
    content["en2py"] = {**content["en2py"], "split_hash": split_hash}
    path = best.with_name("other.ckpt")
    AtomicCheckpointIO().save_checkpoint(content, path)
    return path


def test_searches_of_a_sweep_are_compared_in_one_table(
    make: Make, score: Score, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = f"ckpt_path={','.join(str(make(f'seed={i}', study='searches')) for i in (1, 2))}"
    assert score("-m", runs, "baseline=bm25", "attention=[]", "decoding=beam,greedy") == 0
    (report,) = (folder / "searches").glob("report-test-sweep-*")
    table = capsys.readouterr().out.rpartition("the sweep of 2 evaluations, test split:")[2]
    found = results_in(report)
    assert [row.name for row in found.rows] == ["decoding=beam", "decoding=greedy", "bm25"]
    assert found.reference_row == "decoding=beam" and str(report) in table.replace("\n", "")
    difference = found.rows[1].differences["bleu"]
    assert difference.over == "seeds"  # the same two runs
    assert {len(row.runs) for row in found.models} == {2}
    assert len([*(report / "predictions").iterdir()]) == 5  # two of each search, and the baseline's


def test_swept_settings_that_are_no_search_are_those_of_rows(
    make: Make, score: Score, folder: Path
) -> None:
    run = make("seed=1", study="behaviours")
    words = (f"ckpt_path={run}", "baseline=bm25", "attention=[]", "behaviour=true,false")
    assert score("-m", *words) == 0
    (report,) = folder.glob("behaviours/*/*sweep*")
    names = " ".join(path.name for path in report.parent.iterdir())
    assert re.findall(r"behaviour=(\w+)", names.lower()) == re.findall(r"behaviour=(\w+)", names)
    rows = [(row.name, "behaves" in row.figures) for row in results_in(report).rows]
    models = [("behaviour=true", True), ("behaviour=false", False)]
    assert rows == [*models, ("bm25", True), ("bm25-behaviour=false", False)]


def test_evaluations_of_other_validation_pairs_are_not_compared(
    pairs: list[Pair], caplog: pytest.LogCaptureFixture
) -> None:
    evaluations: list[Any] = [
        SimpleNamespace(data=SimpleNamespace(facts={"test_hash": "same"}, validation=validation))
        for validation in (pairs[:1], pairs[1:])
    ]
    compare_sweep(evaluations)
    assert "its evaluations are of different pairs" in caplog.text


def test_baselines_of_a_sweep_are_one_row_where_they_are_equal(
    score: Score, folder: Path, tmp_path: Path
) -> None:
    words = ("-m", "data=file", f"data.path={folder / 'pairs.jsonl'}", "split=random")
    same = ("baseline=bm25,constant", "baselines.bm25.b=0.75,0.7")
    other = ("baseline=consensus,constant", "baselines.consensus.neighbours=1,30")
    found = {}
    for name, settings in (("same", same), ("other", other)):
        assert score(*words, *settings, f"output={tmp_path / name}") == 0
        (report,) = (tmp_path / name / "baselines").glob("*sweep*")
        found[name] = [row.name for row in results_in(report).rows]
    assert found["same"] == ["bm25", "constant"]
    changed = "consensus-baselines.consensus.neighbours=30"
    assert found["other"] == ["consensus", changed, "constant"]


def test_evaluations_of_other_pairs_have_no_table_of_the_sweep(
    make: Make, score: Score, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make("seed=1", study="parts")
    words = (f"ckpt_path={run}", "baseline=none", "attention=[]", "part=val,test")
    assert score("-m", *words) == 0
    assert not [*folder.glob("parts/*/*sweep*")]
    assert "no table of the whole sweep: its evaluations are of different pairs" in (
        capsys.readouterr().out.replace("\n", " ")
    )


def test_each_split_of_a_sweep_has_a_table(make: Make, score: Score, folder: Path) -> None:
    run = make("seed=1", study="splits")
    words = (f"ckpt_path={run}", "baseline=none", "attention=[]", "part=val,test")
    assert score("-m", *words, "decoding=beam,greedy") == 0
    reports = {path.name.split("-")[1]: path for path in folder.glob("splits/*/*-sweep-*")}
    assert sorted(reports) == ["test", "val"]
    for report in reports.values():
        names = [row.name for row in results_in(report).rows]
        assert names == ["decoding=beam", "decoding=greedy"]


def test_failed_evaluation_of_a_sweep_is_named_at_its_end(
    score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("ckpt_path=x.ckpt", "part=val,test", f"output={tmp_path / 'out'}")
    assert score("-m", *words) == 2
    reason = "ckpt_path: x.ckpt does not exist"
    assert f"not all evaluations of the sweep succeeded: {reason}" in " ".join(
        capsys.readouterr().err.split()
    )
    assert reason in (tmp_path / "out" / "failed.log").read_text()


def test_a_sweep_in_other_processes_says_that_it_has_no_table(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(programs, "command", lambda *args, after_sweep: after_sweep() or 0)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "ckpt_path=x", "hydra/launcher=joblib"])
    with caplog.at_level("INFO"):
        assert programs.evaluate() == 0
    assert "no table of the whole sweep" in caplog.text and "without hydra/launcher" in caplog.text


def test_another_split_is_reported_before_the_scores_and_directly_below_the_table(
    make: Make,
    score: Score,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("en2py.cli.evaluate.warn_of_busy_cores", asked.append)
    files = [make("seed=1"), *(with_split_hash(make(f"seed={seed}"), "1") for seed in (1, 2, 3))]
    typed = f"ckpt_path={','.join(map(str, files))}"
    assert score(typed, "baseline=none", "attention=[]", f"folder={tmp_path / 'a'}") == 0
    assert len(asked) == 1  # busy cores are reported once, not for each checkpoint
    messages = [record.getMessage() for record in caplog.records]
    scoring = next(i for i, text in enumerate(messages) if text.startswith("scoring "))
    (warning,) = (text for text in messages[:scoring] if "(another split hash)" in text)
    assert warning.startswith("warning: ") and warning.count("-seed") == 3
    lines = capsys.readouterr().out.splitlines()
    table = next(i for i, line in enumerate(lines) if line.startswith("checkpoint=other "))
    assert lines[table + 2].startswith("warning: checkpoint=other: the data or their preparation")


def test_seeds_are_means_of_checkpoints_of_the_same_file_name(
    make: Make, score: Score, tmp_path: Path
) -> None:
    one, two = make("seed=1", study="stems"), make("seed=2", study="stems")
    files = [one, copied(one, "epoch001"), copied(one, "last"), two, copied(two, "last")]
    words = [f"ckpt_path={','.join(map(str, files))}", f"folder={tmp_path}"]
    assert score(*words, "baseline=none", "behaviour=false") == 0
    found = results_in(tmp_path)
    assert found.axes == ["checkpoint"]
    n_seeds = {row.name: row.figures["nll"].n for row in found.rows if len(row.runs) == 2}
    assert n_seeds == {"checkpoint=best": 2, "checkpoint=last": 2}
    assert [r.name for r in found.rows if len(r.runs) == 1] == ["checkpoint=epoch001"]


def test_other_pairs_at_the_path_of_the_data_have_another_report(make: Make, score: Score) -> None:
    file = with_split_hash(make("seed=1", study="moved"), "1")
    assert score(f"ckpt_path={file}", "baseline=none", "behaviour=false") == 0
    (folder,) = file.parents[1].glob("evaluate*")
    assert re.search("-[0-9a-f]{8}-other$", folder.name)


def test_some_runs_of_a_study_have_another_report_than_all(make: Make, score: Score) -> None:
    runs = [make(f"seed={seed}", study="three") for seed in (1, 2, 3)]
    words = ["baseline=none", "behaviour=false"]
    study = runs[0].parents[2]
    for named in (str(study), ",".join(map(str, runs[:2]))):
        assert score(f"ckpt_path={named}", *words) == 0
    n_runs = {len(results_in(path).rows[0].runs) for path in study.glob("report-test-*")}
    assert n_runs == {2, 3}


def test_a_checkpoint_without_its_own_search_option_names_the_search_that_has_it(
    make: Make, score: Score, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(f"ckpt_path={make('seed=1')}", "decoding.beam_size=3") == 2
    assert "the decoding in use has no beam_size; add decoding=beam" in capsys.readouterr().err


@pytest.mark.parametrize("option", [[], ["decoding=greedy"]])
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("max_len=9999", "max_len=9999: longer than the model supports, model.max_tgt_len=256"),
        ("allow_unk=null", "allow_unk=null: expected true or false"),
        ("max_len=1", "max_len=1: expected a number at least 2"),
    ],
)
def test_a_search_that_a_checkpoint_cannot_follow_is_refused(
    make: Make,
    score: Score,
    option: list[str],
    setting: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert score(f"ckpt_path={make('seed=1')}", *option, f"decoding.{setting}") == 2
    assert f"decoding.{expected}" in capsys.readouterr().err


@pytest.mark.parametrize("option", [[], ["decoding=greedy"]])
def test_no_limit_of_a_search_is_that_of_the_model(make: Make, option: list[str]) -> None:
    cfg = compose_config("evaluate", ["ckpt_path=a", *option, "++decoding.max_len=null"])
    (run,) = find_runs(str(make("seed=1")), config_changes(cfg))
    assert run.config["decoding"]["max_len"] == 256


VOTES = ["decoding=votes", "decoding.n_samples=2", "decoding.beam_size=2", "decoding.max_len=8"]


def programs_in(folder: Path) -> list[list[str]]:
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    return [json.loads(line)["candidates"] for line in lines]


def test_pools_are_ranked_by_weights_of_the_validation_split_and_no_reference_is_in_them(
    make: Make,
    score: Score,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make("seed=1", study="voting")
    words = [f"ckpt_path={path}", "baseline=none", "behaviour=false", *VOTES]
    assert score(*words, f"folder={tmp_path / 'a'}") == 0
    assert "learning the weights of the pools from 6 validation pairs" in capsys.readouterr().out
    [file] = path.parent.glob("best.votes-*.json")
    record = json.loads(file.read_text())
    assert 0 < record["weights"]["written"] < 1 and record["n_pairs"] == 6
    assert record["decoding"]["n_retrieved"] == 50
    first = programs_in(tmp_path / "a")
    assert all(own for own in first)
    [row] = results_in(tmp_path / "a").rows
    assert "decoding=votes" in results_in(tmp_path / "a").title
    assert any("programs are training programs, the model wrote" in note for note in row.notes)

    # With other references, in an empty cache: of test pairs, then of validation pairs too, whose
    # weights are read.
    prepare = run_data.prepare_data
    run: list[str] = []

    def poisoned(config: Any) -> Any:
        prepared = prepare(config)
        splits = {
            split: [
                dataclasses.replace(
                    item,
                    pair=dataclasses.replace(item.pair, code=f"def poison(n):\n    return {i}"),
                    tgt=["poison"],
                )
                for i, item in enumerate(items)
            ]
            if split in run
            else items
            for split, items in prepared.splits.items()
        }
        return dataclasses.replace(prepared, splits=splits)

    monkeypatch.setattr(run_data, "prepare_data", poisoned)
    for place, (splits, is_relearned) in enumerate(((["test"], True), (["test", "val"], False))):
        run[:] = splits
        if is_relearned:
            file.unlink()
        folder = tmp_path / str(place)
        own = [f"folder={folder}", f"cache={folder / 'cache'}"]
        assert score(*words, *own) == 0
        output = capsys.readouterr().out
        assert ("learning the weights" in output) == is_relearned
        assert "poison" in json.dumps([s.reference for s in results_in(folder).samples])
        assert programs_in(folder) == first and json.loads(file.read_text()) == record


def test_a_model_votes_alone_and_its_settings_have_their_own_weights(
    make: Make,
    score: Score,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make("batch.max_pairs=20", study="voting alone")
    alone = [f"ckpt_path={path}", *VOTES, "decoding.n_retrieved=0"]
    assert score(*alone, "prompt=add 3 to a total") == 2
    assert "has no weights for these settings; an evaluation of the" in capsys.readouterr().err
    assert score(*alone, "baseline=none", "behaviour=false", f"folder={tmp_path}") == 0
    n = len(results_in(tmp_path).samples)
    assert f"0 of {n} programs are training programs" in capsys.readouterr().out
    assert len([*path.parent.glob("best.votes-*.json")]) == 1
    assert len(results_in(tmp_path).rows[0].notes) == 1
    words = ["baseline=none", "behaviour=false", "part=val", f"folder={tmp_path / 'val'}"]
    assert score(*alone, *words) == 0
    assert "were learned from validation pairs" in results_in(tmp_path / "val").rows[0].notes[1]
    capsys.readouterr()
    assert score(*alone, "prompt=add 3 to a total") == 0
    program = capsys.readouterr().out.strip()
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("add 3 to a total\n")
    assert score(*alone, f"prompts={prompts}") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["code"].strip() == program and record["candidates"][0] == record["code"]
    assert score(*alone, f"prompts={prompts}", "sandbox.memory_mb=200") == 2
    assert "has no weights for these settings" in capsys.readouterr().err
    monkeypatch.setattr(pool_ranking, "file_digest", lambda path: "changed")
    assert score(*alone, "prompt=add 3 to a total") == 2  # of another version of the ranking


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["part=train"], "part=train: the pools of decoding=votes have the programs of training"),
        (["decoding.n_retrieved=-1"], "decoding.n_retrieved=-1: expected a number at least 0"),
        (["decoding.beam_size=0"], "decoding.beam_size=0: expected a number above 0"),
        (["decoding.n_samples=0", "decoding.top_p=0.5"], "nothing is drawn with decoding.n_s"),
        (["decoding.engine=ctranslate2"], "supports greedy and beam search, not votes"),
    ],
)
def test_votes_refuse(
    make: Make,
    score: Score,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    reason: str,
) -> None:
    assert score(f"ckpt_path={make('seed=1')}", "decoding=votes", *words) == 2
    assert reason in capsys.readouterr().err


def test_stored_results_render_the_same_report(make: Make, score: Score, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert score(f"ckpt_path={make('seed=1')}", "baseline=constant", f"folder={first}") == 0
    assert score(f"results={first / 'results.json'}", f"folder={second}") == 0
    for name in ("report.html", "report.md"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


SPOILED: dict[str, Callable[[str], str | bytes]] = {
    "half of it": lambda text: text[: len(text) // 2],
    "no text": lambda text: b"\xff\xfe\x00results",
    "a page": lambda text: "<!doctype html><p>results</p>",
    "a list": lambda text: "[1, 2]",
    "another program's": lambda text: '{"accuracy": 0.93}',
    "another format": lambda text: text.replace('"format": 2', '"format": 99', 1),
    "without rows": lambda text: text.replace('"rows"', '"lines"', 1),
    "a text for a list": lambda text: re.sub(r'"axes": \[[^]]+\]', '"axes": "loss"', text),
    "a text for a number": lambda text: re.sub(r'"value": [^,]+', '"value": "high"', text, count=1),
    "too deep": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("kind", SPOILED)
def test_a_damaged_or_foreign_results_file_is_reported_in_one_sentence(
    score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    spoiled = SPOILED[kind](fake_results().to_json())
    path = tmp_path / "results.json"
    path.write_bytes(spoiled if isinstance(spoiled, bytes) else spoiled.encode())
    assert score(f"results={path}", f"folder={tmp_path / 'pages'}") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"results={path} is not a results.json of evaluate.py (")
    assert error.endswith("): name another file, or score again with ckpt_path=FILE\n")
    assert error.count("\n") == 1 and len(error) < 400 + len(str(path))
    assert not (tmp_path / "pages").exists()


def test_an_evaluation_reports_out_of_memory_with_remedies(
    make: Make,
    score: Score,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*args: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    path = make("seed=1")
    monkeypatch.setattr(Seq2SeqModule, "_score", full)
    words = ["baseline=none", "batch.max_tokens=4000"]  # with other batches nothing is cached
    assert score(f"ckpt_path={path}", *words, f"folder={tmp_path}") == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "out of memory with batches of 4,000 target tokens" in message
    assert "use batch.max_tokens=2000 or decoding=greedy, or stop other programs" in message


def test_values_of_a_diverged_run_are_left_out_of_its_curve(
    make: Make, score: Score, tmp_path: Path
) -> None:
    path = make("seed=1", study="diverged")
    (path.parents[1] / "metrics.csv").write_text("epoch,val/nll\n1,2.5\n2,inf\n3,nan\n")
    assert score(f"ckpt_path={path}", "baseline=none", f"folder={tmp_path}") == 0
    ((curve, *others),) = (results_in(tmp_path).curves.values(),)
    assert curve == [{"epoch": 1.0, "val/nll": 2.5}] and not others


def test_runs_of_one_name_have_their_own_curves(make: Make, score: Score, tmp_path: Path) -> None:
    paths = [make("seed=1", study=study) for study in ("one", "two")]
    for path, nll in zip(paths, (2.5, 3.5), strict=True):
        (path.parents[1] / "metrics.csv").write_text(f"epoch,val/nll\n1,{nll}\n")
    files = ",".join(map(str, [*paths, copied(paths[0], "last")]))
    words = ["baseline=none", "behaviour=false", f"folder={tmp_path}"]
    assert score(f"ckpt_path={files}", *words) == 0
    name = paths[0].parents[1].name
    curves = {run: own[0]["val/nll"] for run, own in results_in(tmp_path).curves.items()}
    assert curves == {name: 2.5, f"{name} (2)": 3.5}


@pytest.mark.parametrize("kinds", [[], ["encoder"]])
def test_the_report_has_the_kinds_of_attention_that_are_asked_for(
    make: Make, score: Score, tmp_path: Path, kinds: list[str]
) -> None:
    old = tmp_path / "attention" / "sample00099" / "decoder-layer1.png"  # of an evaluation before
    old.parent.mkdir(parents=True)
    old.touch()
    words = [f"ckpt_path={make('seed=1')}", "baseline=none", f"folder={tmp_path}"]
    n_maps = ["n_maps=2"] * bool(kinds)
    assert score(*words, f"attention=[{','.join(kinds)}]", *n_maps) == 0
    maps = results_in(tmp_path).attention
    assert [[*own.weights] for own in maps] == [kinds] * len(maps) and bool(maps) == bool(kinds)
    assert all([*own.labels] == kinds for own in maps)
    names = {path.name.partition("-")[0] for path in tmp_path.glob("attention/*/*")}
    assert names == set(kinds)


def test_losses_over_different_tokens_are_not_compared(
    make: Make, score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = f"{make('seed=1')},{make('seed=1', 'tokenizer/tgt=spacy')}"
    assert score(f"ckpt_path={runs}", "baseline=none", f"folder={tmp_path}") == 0
    head = capsys.readouterr().out.partition("test split\n")[2].splitlines()[0]
    assert "val bits/char" in head and "val/nll" not in head
    other = next(row for row in results_in(tmp_path).rows if row.differences)
    assert "bpc" in other.differences and "bleu" in other.differences
    assert not {"nll", "ppl", "accuracy"} & other.differences.keys()
    assert "other tokens of programs" in other.notes[0]


def test_learned_baselines_are_selected_on_validation(
    score: Score, folder: Path, tmp_path: Path
) -> None:
    data = ["data=file", f"data.path={folder / 'pairs.jsonl'}", "split=random", "behaviour=false"]
    names = "baseline=retrieval,consensus,nearest_by_bleu"
    k = "baselines.consensus.neighbours=7"
    assert score(names, k, *data, f"folder={tmp_path}") == 0
    rows = results_in(tmp_path).rows
    assert "of the 7 nearest training programs" in rows[1].notes[0]
    validated = {row.name: set(row.validation) for row in rows}
    assert validated == {"retrieval": {"bleu"}, "consensus": {"bleu"}, "nearest_by_bleu": set()}
    assert "Best on validation" in (tmp_path / "report.md").read_text()


def test_the_number_of_maps_without_a_kind_of_attention_is_refused(
    score: Score, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(f"ckpt_path={make()}", "attention=[]", "n_maps=9") == 2
    assert "n_maps=9: no attention map is drawn; choose" in capsys.readouterr().err


def test_baselines_need_no_checkpoint(score: Score, folder: Path, tmp_path: Path) -> None:
    data = ["data=file", f"data.path={folder / 'pairs.jsonl'}", "split=random"]
    assert score("baseline=retrieval,constant", *data, f"folder={tmp_path}") == 0
    found = results_in(tmp_path)
    assert [row.name for row in found.rows] == ["retrieval", "constant"]
    assert found.rows[0].figures["copied"].value == 1.0


def test_baselines_on_other_training_pairs_have_a_report_of_their_own(
    score: Score, folder: Path, tmp_path: Path
) -> None:
    lines = (folder / "pairs.jsonl").read_text().splitlines(keepends=True)
    parts = {"a": lines[:20], "b": lines[:15], "val": lines[20:30], "test": lines[30:]}
    files = {name: tmp_path / f"{name}.jsonl" for name in parts}
    for name, own in parts.items():
        files[name].write_text("".join(own))
    for train in "ab":
        path = f"data.path={{train:{files[train]},val:{files['val']},test:{files['test']}}}"
        words = ["data=file", path, "split=official", "behaviour=false", f"output={tmp_path}"]
        assert score("baseline=constant", *words) == 0
    found = [results_in(path) for path in tmp_path.glob("baselines/*")]
    assert len(found) == 2 and len({own.data["test_hash"] for own in found}) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["baseline=retrieva", "data=tasks"], "did you mean 'retrieval'?"),
        (["baseline=retrieval", "data=task"], "data=task: no such option; did you mean 'tasks'?"),
        (["baseline=retrieval", "data=file"], "data.path is needed: add data.path=FILE"),
        (
            ["baseline=retrieval", "data=tasks", "baselines.bm25.b=0.5"],
            "baselines.bm25.b=0.5: it is not scored; add baseline=bm25",
        ),
        (["ckpt_path=x.ckpt", "split=random"], "split: cannot be chosen here"),
        (["ckpt_path=x.ckpt", "split.seed=2"], "own split; add data=NAME to evaluate it on other"),
        (["ckpt_path=x.ckpt", "data.source.n_pairs=9"], "a checkpoint brings its own data; add"),
        (["ckpt_path=x.ckpt", "data.pat=9"], "data.pat: no such key; did you mean data.path?"),
        (["ckpt_path=x.ckpt", "seed=2"], "seed: cannot be chosen here: a setting of train.py"),
        (["ckpt_path=x", "data=tasks", "tokenizer/tgt=bpe"], "tokenizer/tgt: a checkpoint brings"),
        (["ckpt_path=x", "data=tasks", "model.d_ff=8"], "model.d_ff: a checkpoint brings its own"),
        (["ckpt_path=x", "data=tasks", "trainer=smoke"], "trainer: a checkpoint brings its own"),
        (["ckpt_path=x", "data=tasks", "+trainer.max_epochs=3"], "trainer.max_epochs: a check"),
        (["ckpt_path=x", "data=tasks", "trainer.accelerator=cpu"], "ckpt_path: x does not exist"),
        (["ckpt_path=x", "data=tasks", "optimizer=adamw"], "optimizer: a checkpoint brings its"),
        (
            ["ckpt_path=x", "data=tasks", "decoding=beam", "decoding.max_len=999"],
            "x does not exist",
        ),
        (
            [
                "baseline=retrieval",
                "data=english_python_tasks",
                "data.source.sources.tasks.n_pairs=9",
                "tokenizer=pieces",
                "data.path=x",
            ],
            "data.path: x does not exist",
        ),
        (
            [
                "baseline=retrieval",
                "data=english_python_tasks",
                "data.source.sources.tasks.n_pairs=9",
                "neighbours=nearest",
            ],
            "neighbours: cannot be",
        ),
        (["data=tasks"], "ckpt_path is needed: add ckpt_path=FILE; without a checkpoint"),
        (["data=tasks", "split=random"], "ckpt_path is needed"),
        (["two"], "'two' is not of the form key=value"),
        (
            ["-m", "ckpt_path=x", "folder=y", "decoding=greedy,beam"],
            "folder=y: each evaluation of a sweep would replace",
        ),
        (["x.ckpt"], "ckpt_path: x.ckpt does not exist"),
        (["x.ckpt", "ckpt_path=y.ckpt"], "ckpt_path has two values"),
        (["baseline=none", "prompt=add"], "prompt needs a model: add ckpt_path=FILE"),
        ([], "ckpt_path is needed: add ckpt_path=FILE"),
        (
            ["baseline=retrieval", "part=tset"],
            "part=tset: expected 'train', 'val' or 'test'",
        ),
        (
            ["ckpt_path=x.ckpt", "pass_at_k.k=[0]"],
            "pass_at_k.k=[0]: expected a number above 0",
        ),
        (["ckpt_path=x.ckpt", "pass_at_k.k=[]"], "pass_at_k.k=[]: expected at least one value"),
        (["ckpt_path=x.ckpt", "attention=null"], "attention=null: expected a list"),
        (["ckpt_path=x", "baseline=none,bm25"], "baseline=none,bm25: none excludes the others"),
        (
            ["ckpt_path=x", "baseline=bm25", "baselines.bm25=null"],
            "baseline=bm25: baselines.bm25=null disables it; leave out one of them",
        ),
        (
            ["ckpt_path=x.ckpt", "pass_at_k.k=[1,3]"],
            "pass_at_k.k=[1,3]: pass@k needs samples; add pass_at_k.n_samples=3",
        ),
        (
            ["ckpt_path=x.ckpt", "pass_at_k.n_samples=3"],
            "too few samples for pass@5, pass@10; use pass_at_k.n_samples=10, or 'pass_at_k.k=[1]'",
        ),
        (["ckpt_path=x.ckpt", "trainer.devices=2"], "trainer.devices=2: an evaluation uses one"),
        (["ckpt_path=x.ckpt", "trainer.devices=auto"], "leave it out, or choose one by its number"),
        (
            ["ckpt_path=x.ckpt", "logger=wandb", "logger.wandb.log_checkpoints=true"],
            "logger.wandb.log_checkpoints=true: an evaluation uploads no checkpoint",
        ),
        (["x.ckpt", "--verbose"], "--verbose is an option of train.py; --cfg job prints"),
        (
            ["ckpt_path=x", "prompt=a", "decoding.engine=auto"],
            "decoding.engine=auto: only the evaluation of a split compares the engines",
        ),
        (
            ["ckpt_path=a.ckpt", "ckpt_path=b.ckpt"],
            "ckpt_path=a.ckpt ckpt_path=b.ckpt: ckpt_path has two values; keep one",
        ),
    ],
)
def test_a_user_error_is_one_sentence(
    words: list[str], message: str, score: Score, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(*words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "ignored"),
    [
        ("study=x", "ckpt_path=x.ckpt"),
        ("study=x", "logger=wandb"),
        ("study=x", "decoding=beam"),
        ("study=x", "pass_at_k.n_samples=10"),
        ("study=x", "behaviour=false"),
        ("study=x", "attention=[encoder]"),
        ("study=x", "baselines.bm25.k1=9"),
        ("study=x", "batch.max_tokens=3"),
        ("study=x", "sandbox.timeout_s=1"),
        ("study=x", "data.path=x"),
        ("study=x", "output=x"),
        ("study=x", "trainer.accelerator=cpu"),
        ("results=x", "part=val"),
        ("results=x", "decoding=beam"),
        ("results=x", "behaviour=false"),
        ("ckpt_path=x export=y", "prompt=a"),
        ("ckpt_path=x export=y", "decoding=beam"),
        ("ckpt_path=x export=y", "decoding.grammar=true"),
        ("ckpt_path=x export=y", "folder=x"),
        ("ckpt_path=x prompt=a", "prompts=y"),
        ("ckpt_path=x prompt=a", "folder=x"),
        ("ckpt_path=x prompt=a", "data=tasks"),
        ("ckpt_path=x prompt=a", "attention=[encoder]"),
        ("ckpt_path=x prompt=a", "batch.max_tokens=3"),
        ("ckpt_path=x prompt=a decoding=beam", "sandbox.timeout_s=1"),
        ("ckpt_path=x prompts=a", "pass_at_k.n_samples=10"),
        ("baseline=bm25", "decoding=beam"),
        ("baseline=bm25", "pass_at_k.n_samples=10"),
        ("baseline=bm25", "attention=[encoder]"),
        ("baseline=bm25", "n_maps=1"),
        ("baseline=bm25", "batch.max_tokens=3"),
        ("baseline=bm25", "trainer=smoke"),
        ("baseline=bm25", "optimizer=adamw"),
        ("baseline=bm25", "model.d_ff=8"),
    ],
)
def test_a_task_ignores_no_setting(
    words: str, ignored: str, score: Score, capsys: pytest.CaptureFixture[str]
) -> None:
    task = words.removeprefix("ckpt_path=x ").split()[0]
    assert score(*words.split(), ignored) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{task} ") and error.count("\n") == 1
    assert f" and ignores {ignored}: use one of them" in error


@pytest.mark.parametrize(
    "words",
    [
        "study=x folder=y cache=y",
        "results=x folder=y processes=1",
        "ckpt_path=x export=y allowed_packages=[]",
        "ckpt_path=x prompt=a decoding=beam data.path=y trainer.accelerator=cpu",
        "ckpt_path=x prompt=a decoding.grammar=true",
        "ckpt_path=x prompts=y decoding=votes sandbox.timeout_s=1",
        "ckpt_path=x baseline=bm25 decoding=beam pass_at_k.n_samples=10",
    ],
)
def test_settings_that_a_task_reads_are_not_refused(
    words: str, score: Score, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(*words.split()) == 2
    assert ": x does not exist" in capsys.readouterr().err


def test_model_that_reads_none_of_the_pairs_is_refused(
    make: Make, score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = make("model.max_src_len=16")
    lines = [
        {"description": f"return {'very ' * 20}{word}", "code": f"def f():\n    return {word!r}\n"}
        for word in "one two three four five six seven eight nine ten eleven twelve".split()
    ]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = ["data=file", f"data.path={tmp_path / 'long.jsonl'}", "split=random"]
    assert score(f"ckpt_path={best}", "baseline=none", *data) == 2
    error = capsys.readouterr().err.splitlines()[-1]  # behind a warning of few pairs
    assert error.startswith("none of the 2 pairs fits into the model of file-tiny")
    assert "model.max_src_len=16" in error


def test_a_device_that_is_missing_is_refused(
    make: Make, score: Score, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (f"ckpt_path={make('seed=1')}", "baseline=none")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert score(*words, "trainer.accelerator=gpu") == 2
    assert "trainer.accelerator=gpu: this machine has no such device" in capsys.readouterr().err
    assert score(*words, "trainer.devices=[3]") == 2
    assert "trainer.devices=[3] chooses GPUs" in capsys.readouterr().err


def test_runs_without_shared_pairs_are_refused(
    make: Make, folder: Path, score: Score, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make("data.name=other")
    assert score(f"ckpt_path={make('seed=1')},{other}") == 2
    error = capsys.readouterr().err
    assert "no test pair in common (their data: file, other)" in error
    assert "ckpt_path='outputs/STUDY/file-*'" in error


def test_other_data_are_scored_without_the_pairs_that_overlap_with_the_training(
    make: Make, score: Score, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    words = ("apple", "river", "cloud", "stone", "grass")
    others = [
        {"text": f"print {word} backwards", "code": f'print("{word}"[::-1])', "tests": ["assert 1"]}
        for word in words
    ]
    splits = ["train", "val", *["test"] * 3]
    records = [{**r, "split": split} for r, split in zip(others, splits, strict=True)]
    records += [
        {"text": pair["description"], "code": pair["code"], "split": "test"} for pair in trained[:2]
    ]
    (tmp_path / "other.json").write_text(json.dumps(records))
    data = ["data=file", "data.name=own", f"data.path={tmp_path / 'other.json'}", "split=official"]
    data += ["data.source.split_field=split", "pass_at_k.n_samples=1", "pass_at_k.k=[1]"]
    run = make("seed=1").parents[1]
    assert score(str(run), *data, "baseline=retrieval") == 0
    (place,) = run.glob("evaluate-own-test-*pass_at_k.n_samples=1*")
    found = results_in(place)
    assert found.title == "1 configuration on own, trained on file"
    assert (found.data["n_pairs"], found.data["n_overlapping"]) == (3, 2)
    assert found.rows[0].figures["passes_tests"].of == 3
    assert "pass@1" in found.rows[0].figures
    assert "trained on file, evaluated on own: 2 of 5 pairs are near-dup" in found.rows[0].notes[0]
    assert "trained on" not in found.rows[1].notes[0]
    assert found.rows[1].notes[1].startswith("baselines read the training split of own, not that")
    printed = capsys.readouterr()
    output = " ".join(printed.out.split())
    assert "2 of 5 pairs are near-duplicates of training pairs of file-tiny" in output
    assert "3 pairs of 5 left, which says little" in " ".join(printed.err.split())
    assert "description from 'text', code from 'code', tests from 'tests'" in output


def test_other_data_that_only_overlap_are_refused(
    make: Make, score: Score, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["data=file", f"data.path={folder / 'pairs.jsonl'}", "split=random", "part=train"]
    assert score(f"ckpt_path={make('seed=1')}", *data) == 2
    assert "each train pair of file is a near-duplicate" in capsys.readouterr().err


def runs_of(*paths: Path) -> list[CheckpointRun]:
    changes = config_changes(compose_config("evaluate", [f"ckpt_path={paths[0]}"]))
    return find_runs(",".join(map(str, paths)), changes)


def test_a_checkpoint_that_a_training_replaces_is_loaded_again(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "best.ckpt"
    shutil.copy(make("seed=1"), path)
    newer = tmp_path / "newer.ckpt"
    shutil.copy(make("seed=2"), newer)

    def replacing(file: Path, **settings: Any) -> dict[str, Any]:
        found = load_checkpoint(file, **settings)
        if newer.exists():
            newer.replace(path)
        return found

    monkeypatch.setattr(checkpoint_runs, "load_checkpoint", replacing)
    (run,) = runs_of(path)
    assert run.config["seed"] == 2 and run.sha256 == file_digest(path)


@pytest.mark.parametrize(("added", "engine"), [([], "ctranslate2"), ([4], None)])
def test_the_engine_auto_is_one_that_writes_the_tokens_of_torch(
    make: Make, monkeypatch: pytest.MonkeyPatch, added: list[int], engine: str | None
) -> None:
    def exported(module: Seq2SeqModule, engine: str) -> Any:
        search = module.search
        return lambda *inputs: [
            [
                dataclasses.replace(h, ids=h.ids + added, finished=h.finished or bool(added))
                for h in best
            ]
            for best in search(*inputs)
        ]

    monkeypatch.setattr("en2py.cli.evaluation_config.find_spec", lambda name: name)
    monkeypatch.setattr("en2py.cli.evaluation_config.import_ctranslate2", lambda: None)
    monkeypatch.setattr(build, "_exported", exported)
    path = make("seed=1")
    words = [f"ckpt_path={path}", "decoding.engine=auto"]
    (run,) = find_runs(str(path), config_changes(compose_config("evaluate", words)))
    assert run.config["decoding"].get("engine") == engine
    assert "decoding.engine" not in run.settings  # seeds with other engines are one row


def test_programs_are_generated_anew_after_their_code_or_the_machine_has_changed(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = runs_of(make("seed=1"))
    generated: list[str] = []
    trainer: Any = SimpleNamespace(accelerator=None, num_devices=1, precision="32-true")

    def generate(changed: str) -> list[list[str]]:
        generated.append(changed)
        return []

    for changed in ("", "models", "decoding", "training", ""):
        monkeypatch.setattr(
            checkpoint_runs, "file_digest", lambda path, own=changed: str(path.name == own)
        )
        run.cached_programs([], {"own": "search"}, trainer, partial(generate, changed))
    trainer.precision = "bf16-true"
    run.cached_programs([], {"own": "search"}, trainer, partial(generate, "precision"))
    monkeypatch.setattr(torch, "__version__", "0")
    run.cached_programs([], {"own": "search"}, trainer, partial(generate, "torch"))
    assert generated == ["", "models", "decoding", "training", "precision", "torch"]


@pytest.mark.parametrize("tokenizer", ["tokenizer/tgt=bpe", "tokenizer=pieces"])
def test_pairs_of_data_that_have_changed_are_in_the_tokens_of_the_run(
    make: Make, folder: Path, tmp_path: Path, tokenizer: str
) -> None:
    data = tmp_path / "pairs.jsonl"
    data.write_bytes((folder / "pairs.jsonl").read_bytes())
    path = make(f"data.path={data}", tokenizer)
    others = [
        {"description": f"describe {i} keywords", "code": f"def describe(*keywords, size={i}): ..."}
        for i in range(40)
    ]
    data.write_text("".join(f"{json.dumps(other)}\n" for other in others) + data.read_text())
    (run,) = runs_of(path)
    assert run.prepared.split_hash != run.metadata["split_hash"]
    module, opened = run.open({"test": run.prepared.pairs("test")})
    assert opened.prepared.splits["test"]
    for items in (opened.prepared.splits["test"], run.prepared.splits["train"]):
        assert [item.tgt for item in items] == [
            module.tgt_tokenizer.tokenize(item.pair.code) for item in items
        ]


def test_other_tokens_than_those_of_the_training_are_noted(make: Make, tmp_path: Path) -> None:
    path = make("seed=1")
    assert not runs_of(path)[0].has_other_tokens
    content = checkpoints.load_checkpoint(path)
    content["en2py"]["src_vocab"]["tokens"][-1] = "of another version"
    AtomicCheckpointIO().save_checkpoint(content, tmp_path / "best.ckpt")
    (run,) = runs_of(tmp_path / "best.ckpt")
    assert any("a tokenizer writes other tokens" in note for note in run.notes())


def test_the_first_run_of_a_study_is_that_of_its_summary(make: Make) -> None:
    files = [make(f"model.d_ff={size}", study="ordered") for size in (16, 32, 64)]
    runs = [file.parents[1] for file in files]
    by_name = sorted(run.name for run in runs)
    plan = {"sweep": "1", "jobs": [{"overrides": [], "run": name} for name in by_name[:0:-1]]}
    (runs[0].parent / "sweeps.jsonl").write_text(json.dumps(plan) + "\n")
    order = [file.parents[1].name for file in checkpoints_of_study(runs[0].parent)]
    assert order == by_name[::-1]


def test_runs_with_other_batches_are_other_configurations(make: Make) -> None:
    runs = runs_of(make("batch.max_tokens=512"), make("batch.max_tokens=1024"))
    assert [run.settings["batch.max_tokens"] for run in runs] == ["512", "1024"]


def test_pairs_of_later_checkpoints_that_are_left_out_are_counted(
    make: Make, score: Score, folder: Path, tmp_path: Path
) -> None:
    lines = (folder / "pairs.jsonl").read_text().splitlines()
    (tmp_path / "half.jsonl").write_text("\n".join(lines[:20]))
    paths = [make(f"data.path={tmp_path / 'half.jsonl'}"), make("seed=1")]
    left_out = []
    for order in (paths, paths[::-1]):
        words = [f"ckpt_path={order[0]},{order[1]}", "baseline=none", "attention=[]"]
        assert score(*words, f"folder={tmp_path}") == 0
        left_out.append(results_in(tmp_path).data["n_left_out"])
    assert left_out[0] == left_out[1] > 0


def test_baselines_read_the_pairs_of_the_run_with_most_of_them(
    make: Make, score: Score, folder: Path, tmp_path: Path
) -> None:
    lines = (folder / "pairs.jsonl").read_text().splitlines()
    longer = [line.replace(" a item", " an item of the list") for line in lines]
    (tmp_path / "longer.jsonl").write_text("\n".join(longer))
    data = f"data.path={tmp_path / 'longer.jsonl'}"
    paths = [make(data, "model.max_src_len=11"), make(data)]
    found = []
    for order in (paths, paths[::-1]):
        words = [f"ckpt_path={order[0]},{order[1]}", "baseline=retrieval", "attention=[]"]
        assert score(*words, f"folder={tmp_path}") == 0
        rows = {row.name: row.figures for row in results_in(tmp_path).rows}
        found.append((rows["retrieval"], {row["bleu_any"].value for row in rows.values()}))
    assert found[0] == found[1]


def test_runs_with_equal_pieces_from_two_files_have_equal_tokens(make: Make) -> None:
    (run,) = runs_of(make("tokenizer=pieces"))
    tokenizer = run.config["tokenizer"]
    section = {**tokenizer, "tgt": {**tokenizer["tgt"], "path": "run/vocab/pieces.json"}}
    other = dataclasses.replace(run, config={**run.config, "tokenizer": section})
    assert other.tokenizer == run.tokenizer
    words = {**section, "tgt": {"_target_": "en2py.data.tokenizers.PythonTokenizer"}}
    assert (
        dataclasses.replace(run, config={**run.config, "tokenizer": words}).tokenizer
        != run.tokenizer
    )


def test_pairs_that_differ_in_their_tests_alone_are_shared(make: Make) -> None:
    (run,) = runs_of(make("seed=1"))
    first = run.prepared.splits["test"][0]
    pair = dataclasses.replace(first.pair, tests=("assert True",))
    splits = {**run.prepared.splits, "test": [dataclasses.replace(first, pair=pair)]}
    other = dataclasses.replace(run.prepared, splits=splits)
    assert other.split_hash == run.prepared.split_hash
    tested = dataclasses.replace(run, prepared=other)
    assert common_pairs([tested, run], "test") == [pair]
    data: Any = SimpleNamespace(overlaps={}, pairs=[pair], split="test")
    assert EvaluationData.notes_of(data, tested) == []
    (note,) = EvaluationData.notes_of(data, run)
    assert note == "tests of 1 pair are those of the first run, this one has others"


def test_a_pair_that_a_run_was_trained_on_under_another_id_is_left_out(
    make: Make, folder: Path, tmp_path: Path
) -> None:
    lines = (folder / "pairs.jsonl").read_text().splitlines()
    first = json.dumps({"description": "print a star", "code": "print('*')"})
    (tmp_path / "longer.jsonl").write_text("\n".join([first, *lines]))
    runs = runs_of(make("seed=1"), make("seed=1", f"data.path={tmp_path / 'longer.jsonl'}"))
    same_ids = {pair.id for pair in runs[0].prepared.pairs("test")} & {
        pair.id for pair in runs[1].prepared.pairs("test")
    }
    shared = common_pairs(runs, "test")
    assert len(shared) < len(same_ids)
    trained = {pair.code for run in runs for pair in run.prepared.pairs("train")}
    assert not trained & {pair.code for pair in shared}


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("word", ["augmentation=word_dropout", "batch.max_pairs=5"])
def test_training_pairs_in_common_are_those_that_all_runs_read(
    make: Make, word: str, is_first: bool
) -> None:
    runs = runs_of(*(make(*words) for words in [(word,), ("seed=1",)][:: 1 if is_first else -1]))
    assert runs[0].prepared.split_hash == runs[1].prepared.split_hash
    read = [{*run.trained_pairs} for run in runs]
    assert read[0] != read[1]
    assert {*common_pairs(runs, "train")} == read[0] & read[1]


def test_other_pairs_of_equal_ids_are_not_shared_and_those_cleaned_differently_are(
    make: Make, folder: Path, tmp_path: Path
) -> None:
    records = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    others = [
        {
            "description": f"print the word {i} of {r['code'].split()[-1]}",
            "code": f"print({i}, 'x')",
        }
        for i, r in enumerate(records)
    ]
    (tmp_path / "others.jsonl").write_text("".join(json.dumps(r) + "\n" for r in others))
    commented = [{**r, "code": f"# {i}\n{r['code']}"} for i, r in enumerate(records)]
    (tmp_path / "cleaned.jsonl").write_text("".join(json.dumps(r) + "\n" for r in commented))
    first, other, cleaned = runs_of(
        make("seed=1"),
        make(f"data.path={tmp_path / 'others.jsonl'}"),
        make(f"data.path={tmp_path / 'cleaned.jsonl'}", "cleaning.use.remove_comments=false"),
    )
    own = first.prepared.pairs("test")
    assert {pair.id for pair in own} & {pair.id for pair in other.prepared.pairs("test")}
    assert common_pairs([first, other], "test") == common_pairs([first, other], "train") == []
    assert cleaned.prepared.split_hash != first.prepared.split_hash
    assert common_pairs([first, cleaned], "test") == own


def test_copies_are_of_the_programs_that_a_run_was_trained_on(make: Make) -> None:
    few, all_pairs = runs_of(make("batch.max_pairs=5"), make("seed=1"))
    assert TrainingData.of(few.prepared, few.max_pairs).pairs == few.prepared.pairs("train")[:5]
    data: Any = SimpleNamespace(training=TrainingData.of(all_pairs.prepared, all_pairs.max_pairs))
    train = all_pairs.prepared.splits["train"]
    pair = dataclasses.replace(train[0].pair, id=f"{train[0].pair.id}/rename1", code="print(1)")
    splits = {"train": [*train, dataclasses.replace(train[0], pair=pair)]}  # a variant
    prepared = dataclasses.replace(all_pairs.prepared, splits=splits)
    variants = dataclasses.replace(all_pairs, prepared=prepared)
    found = [EvaluationData.training_of(data, run) for run in (few, all_pairs, variants)]
    assert found[1] is data.training
    assert [own.code.contains("print(1)") for own in found] == [False, False, True]
    assert len(found[0].code.codes) == 5


@pytest.mark.parametrize("max_pairs", [5, None])
def test_runs_on_a_part_of_the_data_or_on_variants_are_scored_like_those_on_all(
    make: Make, max_pairs: int | None
) -> None:
    (run,) = runs_of(make("seed=1"))
    everything = TrainingData.of(run.prepared, None)
    train = run.prepared.splits["train"]
    pair = dataclasses.replace(train[0].pair, id=f"{train[0].pair.id}/rename1", code="print(1)")
    splits = {"train": [*train, dataclasses.replace(train[0], pair=pair)]}  # a variant
    found = TrainingData.of(dataclasses.replace(run.prepared, splits=splits), max_pairs)
    assert found.code.common == everything.code.common
    assert found.known == everything.known == everything.pairs
    assert found.pairs == everything.pairs[:max_pairs]
    assert found.digest != everything.digest
    own = TrainingData(found.pairs, TrainingCode([pair.code for pair in found.pairs]), found.known)
    assert (own.code.common == everything.code.common) == (max_pairs is None)


def test_descriptions_are_seen_in_the_pairs_that_the_row_was_trained_on(make: Make) -> None:
    runs = runs_of(make("batch.max_pairs=5"), make("seed=1"))
    everything = TrainingData.of(runs[1].prepared, None)
    pairs = [Pair("x/0", "the same task", "x = 1", "x"), everything.pairs[-1]]
    other = TrainingData(pairs[:1], TrainingCode(["x = 1"]), pairs[:1])
    data: Any = SimpleNamespace(training=other, pairs=pairs)
    rows: Any = [None] * 3  # the last is that of a baseline
    found = EvaluationData.buckets_of(data, rows, runs)
    assert [own[SEEN] for own in found] == [[], [1], [0]]


def test_held_out_pairs_that_the_initial_weights_know_are_counted(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    first = make("seed=1")
    same, other = runs_of(make("seed=1"), make("split.seed=2"))
    for run, is_known in ((same, False), (other, True)):
        config = {**run.config, "init_from": str(first)}
        n = n_known_to_initial_weights(config, run.prepared, run.prepared.pairs("test"))
        assert bool(n) == is_known
        _warn_of_known_pairs(config, run.prepared)
        assert ("held-out pairs are near-duplicates" in caplog.text) == is_known
    with pytest.raises(UserError, match="gone.ckpt"):
        n_known_to_initial_weights({**same.config, "init_from": "gone.ckpt"}, same.prepared, [])


def test_known_pairs_are_those_of_the_trained_pairs_not_of_their_number(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, earlier = runs_of(make("seed=1"), make("split.seed=2"))
    pairs = run.prepared.pairs("test")[:1]
    other = [dataclasses.replace(pairs[0], description="sing", code="sing = song(1, 2, 3)")]
    for trained, n in ((other, 0), (pairs, 1)):
        data = [(earlier.prepared, trained)]
        monkeypatch.setattr(initial_data, "initial_data", lambda *_, data=data: data)
        assert n_known_to_initial_weights(run.config, run.prepared, pairs) == n


def test_data_of_initial_weights_that_seeds_share_are_read_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make("seed=1")
    runs = [
        dataclasses.replace(run, config={**run.config, "init_from": str(first)})
        for run in runs_of(make("seed=1"), make("seed=2"))
    ]
    read: list[Any] = []
    original = evaluation_data.initial_data
    monkeypatch.setattr(
        evaluation_data, "initial_data", lambda config: read.append(config) or original(config)
    )
    own = runs[0].trained_pairs
    assert evaluation_data._trained_pairs(runs) == ([[*own, *own]] * 2, {})
    assert len(read) == 1


def test_unknown_pairs_of_initial_weights_are_noted_on_other_data(make: Make) -> None:
    (run,) = runs_of(make("seed=1"))
    begun = dataclasses.replace(run, config={**run.config, "init_from": "gone.ckpt"})
    pairs, unknown = evaluation_data._trained_pairs([begun])
    assert pairs == [begun.trained_pairs]
    data: Any = SimpleNamespace(
        overlaps={run.sha256: 0},
        unknown=unknown,
        facts={"n_pairs": 1, "n_overlapping": 0, "name": ""},
    )
    assert "trained on are unknown: " in EvaluationData.notes_of(data, begun)[1]


def test_the_data_of_initial_weights_end_and_those_of_cleared_corpora_are_not_read(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = runs_of(make("split.seed=2"))
    target = {"target": {"source": run.config["data"]["source"]}}
    config = {**run.config, "init_from": "a.ckpt"}
    stored = {**config, "data": {**config["data"], **target, "path": "gone"}}
    metadata: dict[str, Any] = {"config": stored}
    monkeypatch.setattr(initial_data, "load_checkpoint", lambda *_, **__: {"en2py": metadata})
    assert n_known_to_initial_weights(config, run.prepared, run.prepared.pairs("test")) == 0
    file = run.config["data"]["path"]  # other pairs were compared with the corpus
    metadata["files"] = {file: (file, "0" * 64)}
    with pytest.raises(UserError, match="^gone does not exist"):
        n_known_to_initial_weights(config, run.prepared, run.prepared.pairs("test"))


def test_sources_of_a_mixture_are_moved_by_name() -> None:
    names = {"one": "english_python.read_english_python", "two": "corpus.read_stdlib"}
    names["three"] = "tasks.read_tasks"
    values = {"one": {"path": "a"}, "two": {"root": "b"}, "three": {"n_pairs": 5}}
    sources = {
        name: {"_target_": f"en2py.data.sources.{names[name]}", "_partial_": True, **own}
        for name, own in values.items()
    }
    data = {"path": "a", "source": {"_target_": "x", "sources": sources}}
    both = moved(data, {"one": "c", "two": "d"})
    assert both["path"] == "c" and both["source"]["sources"]["one"]["path"] == "c"
    assert both["source"]["sources"]["two"]["root"] == "d"
    assert moved(data, "c") == moved(data, {"one": "c"})
    with pytest.raises(UserError, match="no such source; did you mean 'two'"):
        moved(data, {"tow": "c"})
    with pytest.raises(UserError, match="^data.path=.*: expected a text"):
        moved(data, ["c", "d"])
    with pytest.raises(UserError, match="sources.three of the training reads no file; name an"):
        moved(data, {"three": "c"})


def test_a_source_is_moved_to_files_that_it_reads() -> None:
    partial_: dict[str, Any] = {"_partial_": True}
    source = {"_target_": "en2py.data.sources.tasks.read_tasks", "n_pairs": 5, **partial_}
    with pytest.raises(
        UserError, match="data.path=c: data.source of the training reads no file; leav"
    ):
        moved({"source": source}, "c")
    source = {"_target_": "en2py.data.sources.english_python.read_english_python", "path": "a"}
    source |= partial_
    with pytest.raises(UserError, match="^data.path=.*: expected a text"):
        moved({"path": "a", "source": source}, {"train": "c"})
    source = {"_target_": "en2py.data.sources.file.read_file", "path": {"train": "a"}, **partial_}
    assert moved({"source": source}, {"train": "c"})["source"]["path"] == {"train": "c"}


def test_a_study_stands_for_the_best_checkpoints_of_its_finished_runs(
    make: Make, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [make(f"seed={seed}", study="t") for seed in (1, 2, 3, 4)]
    for path in runs:
        digest = path.parents[1].name.rpartition("-")[2]
        (path.parents[1] / "config.yaml").touch()
        (path.parents[1] / "result.json").write_text(json.dumps({"config_sha256": digest}))
    assert find_checkpoints(str(folder / "t")) == runs and not caplog.messages
    (runs[2].parents[1] / "result.json").unlink()
    runs[3].unlink()
    runs[1].parents[1].rename(f"{runs[1].parents[1]}.old1")
    assert find_checkpoints(str(folder / "t")) == [runs[0]]
    (message,) = caplog.messages
    assert message.startswith(f"2 of 3 runs of {folder / 't'} are left out: ")
    assert "1 interrupted" in message and "1 without a checkpoint" in message
    assert find_checkpoints(str(runs[0].parents[1])) == [runs[0]]
    alone = runs[3].parents[1]
    with pytest.raises(UserError, match=r"without best.ckpt \(finished\): train it again with "):
        find_checkpoints(str(alone))
    (alone / "result.json").unlink()
    with pytest.raises(UserError, match=r"\(interrupted\): the same command finishes it$"):
        find_checkpoints(str(alone))
    (alone / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(UserError, match=f"; to take it as it is, name {alone}/checkpoints/last"):
        find_checkpoints(str(alone))
    with pytest.raises(UserError, match="neither the folder of a run nor that of a study"):
        find_checkpoints(str(folder / "cache"))
    with pytest.raises(UserError, match=f"name one of the studies in it, such as {folder}/"):
        find_checkpoints(str(folder))
    (runs[0].parents[1] / "result.json").unlink()
    with pytest.raises(UserError, match=f"finish its runs, or name .* such as {folder}/t/.*.ckpt"):
        find_checkpoints(str(folder / "t"))


def test_a_run_without_a_validation_is_evaluated_with_its_study(make: Make, folder: Path) -> None:
    runs = [make(f"seed={seed}", study="unvalidated") for seed in (1, 2)]
    last = runs[1].rename(runs[1].with_name("last.ckpt"))
    assert find_checkpoints(str(folder / "unvalidated")) == [runs[0], last]
    assert find_checkpoints(str(last.parents[1])) == [last]
    (last.parents[1] / "result.json").unlink()
    assert find_checkpoints(str(folder / "unvalidated")) == [runs[0]]


def test_a_checkpoint_of_an_unfinished_run_has_a_note(make: Make) -> None:
    (run,) = runs_of(make("seed=1", study="unfinished"))
    assert not run.notes()
    (run.path.parents[1] / "result.json").unlink()
    (note,) = run.notes()
    assert note.startswith(f"{run.name} is not finished")


def test_seeds_trained_on_other_devices_have_a_note(
    make: Make, score: Score, tmp_path: Path
) -> None:
    paths = [make(f"seed={seed}", study="devices") for seed in (1, 2)]
    machines = [("cpu", 1, "32-true"), ("cuda", 2, "bf16-mixed")]
    for path, machine in zip(paths, machines, strict=True):
        record = dict(zip(("device", "world_size", "precision"), machine, strict=True))
        (path.parents[1] / "result.json").write_text(json.dumps(record))
    typed = f"ckpt_path={','.join(map(str, paths))}"
    assert score(typed, "baseline=none", "attention=[]", f"folder={tmp_path}") == 0
    note = "device and precision of the training: 2 x cuda (bf16-mixed) and cpu (32-true)"
    assert results_in(tmp_path).rows[0].notes[-1] == note


@pytest.mark.parametrize(("part", "share"), [("test", "100.0\xa0%"), ("train", None)])
def test_the_report_has_the_leakage_of_a_held_out_split(
    make: Make, score: Score, tmp_path: Path, part: str, share: str | None
) -> None:
    words = [f"ckpt_path={make()}", "baseline=none", "behaviour=false", f"part={part}"]
    assert score(*words, f"folder={tmp_path}") == 0
    assert results_in(tmp_path).data.get("leakage") == share


def test_training_pairs_are_those_trained_on_and_baselines_do_not_find_them(
    make: Make, score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [make(f"batch.max_pairs={n}") for n in (20, 15)]
    words = [f"ckpt_path={paths[0]},{paths[1]}", "part=train", "behaviour=false"]
    assert score(*words, f"folder={tmp_path}") == 0
    found = results_in(tmp_path)
    assert found.data["n_pairs"] == 15 and found.data["n_left_out"] == 13
    baselines = [row.name for row in found.rows if row.kind == "baseline"]
    assert baselines == ["constant", "second_human"]
    printed = capsys.readouterr().out
    assert "bm25 would find the program of each pair, so it has" in printed
    assert "15 pairs in 1 cluster; 13 others are left out" in printed


def test_stored_programs_are_used_if_checkpoint_decoding_and_descriptions_match(
    make: Make, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make("seed=7", study="u")
    assert score(f"ckpt_path={path}", "baseline=none", f"folder={tmp_path / 'a'}") == 0
    (written,) = (tmp_path / "a" / "predictions").glob("*.jsonl")
    lines = [json.loads(line) for line in written.read_text().splitlines()]
    for line in lines:
        line["candidates"] = ["x = 1"]
    run = path.parents[1]
    (run / "predictions.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    words = [f"ckpt_path={path}", f"cache={tmp_path}", "processes=1"]
    (own,) = find_runs(str(path), config_changes(compose_config("evaluate", words)))
    key = testing.predictions_key(own.sha256, own.config)
    (run / "predictions.json").write_text(json.dumps(key))
    pairs = common_pairs([own], "test")
    assert own.stored_programs(pairs) == [["x = 1"]] * len(pairs)
    assert dataclasses.replace(own, sha256="0").stored_programs(pairs) is None
    longer = {**own.config, "decoding": {**own.config["decoding"], "max_len": 9}}
    assert dataclasses.replace(own, config=longer).stored_programs(pairs) is None
    reworded = [dataclasses.replace(pairs[0], description="other"), *pairs[1:]]
    assert own.stored_programs(reworded) is None


def test_pass_at_k_of_sampled_programs_is_reported(
    make: Make, score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"ckpt_path={make('seed=1')}", "baseline=none", "pass_at_k.n_samples=3"]
    words += ["pass_at_k.k=[1,3]"]
    assert score(*words, f"folder={tmp_path / 'a'}") == 0
    figures = results_in(tmp_path / "a").rows[0].figures
    assert {"behaves@1", "behaves@3"} <= figures.keys()
    (written,) = (tmp_path / "a" / "predictions").glob("*.jsonl")
    for line in written.read_text().splitlines():
        assert sum(sample["n"] for sample in json.loads(line)["samples"]) == 3
    assert score(*words, "behaviour=false") == 2
    assert "pass_at_k.n_samples=3: none of the pairs has tests" in capsys.readouterr().err


def test_samples_of_pass_at_k_have_the_limits_of_the_search(
    make: Make, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []
    own = CheckpointRun.cached_programs

    def recorded(self: CheckpointRun, pairs: Any, search: Any, *more: Any, **named: Any) -> Any:
        programs = own(self, pairs, search, *more, **named)
        searches.append((search, programs))
        return programs

    monkeypatch.setattr(CheckpointRun, "cached_programs", recorded)
    words = [f"ckpt_path={make('seed=1')}", "baseline=none", f"folder={tmp_path}"]
    words += ["pass_at_k.n_samples=2", "pass_at_k.k=[1]", "decoding.max_len=9"]
    assert score(*words, "decoding.grammar=true", "decoding.no_repeat_ngram=6") == 0
    ((search, drawn),) = [(s, p) for s, p in searches if s.get("n_samples") == 2]
    assert search["grammar"] and (search["no_repeat_ngram"], search["max_len"]) == (6, 9)
    assert all(compiles(text) for programs in drawn for text in programs)


def test_a_wrong_wandb_mode_is_refused_before_scoring(
    make: Make, score: Score, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = make("logger=wandb")  # as trained
    monkeypatch.setenv("WANDB_MODE", "ofline")
    capsys.readouterr()
    assert score(f"ckpt_path={path}", "baseline=constant") == 2
    streams = capsys.readouterr()
    assert "WANDB_MODE=ofline" in streams.err and "scoring" not in streams.out


def test_results_are_logged_to_wandb(
    make: Make, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb_mode.cache_clear()
    path = make("seed=1", study="w")
    words = [f"ckpt_path={path}", "baseline=constant", f"folder={tmp_path}", "logger=wandb"]
    assert score(*words) == 0
    wandb_mode.cache_clear()
    assert len(list(path.parents[2].glob("wandb/offline-run-*"))) == 1  # the run's own
    (comparison,) = tmp_path.glob("wandb/offline-run-*")
    assert list(comparison.glob("files/media/table/figures*.json"))
    assert list(comparison.glob("files/media/table/samples*.json"))


def test_each_checkpoint_of_a_run_is_logged_to_wandb_under_a_name_of_its_own(
    make: Make, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best, started = make("seed=1", study="names"), []
    logged: list[dict[str, float]] = []

    def wandb_logger(*_: Any, **settings: Any) -> Any:
        started.append(settings)
        return SimpleNamespace(log_metrics=logged.append, log_table=lambda *_, **__: None)

    monkeypatch.setattr(loggers, "wandb_logger", wandb_logger)
    for i, path in enumerate((best, copied(best, "epoch001"))):
        words = [f"ckpt_path={path}", "baseline=none", "behaviour=false", "logger=wandb"]
        assert score(*words, f"folder={tmp_path / str(i)}") == 0
    runs, evaluations = started[::2], started[1::2]
    assert runs[0]["run_id"] == runs[1]["run_id"]
    names = ["test/nll", "test-epoch001/nll"]
    assert [[name for name in names if name in own] for own in logged[::2]] == [[n] for n in names]
    assert evaluations[0]["run_id"] != evaluations[1]["run_id"]
    assert evaluations[1]["name"] == "1 configuration on file, checkpoint epoch001, test"


# running programs


def pairs_of(*programs: tuple[str, tuple[str, ...]]) -> list[Pair]:
    return [Pair(f"x/{i}", "task", code, "x", tests) for i, (code, tests) in enumerate(programs)]


DOUBLE = "def double(n):\n    return n * 2\n"
TRIPLE = "def triple(n):\n    return n * 3\n"


def runner_of(tmp_path: Path, *, behaviour: bool = True, **changed: Any) -> ProgramRunner:
    pairs = pairs_of(
        (DOUBLE, ("assert double(3) == 6",)), (TRIPLE, ()), ("print(1 + 1)", ()), ("class A: 0", ())
    )
    return ProgramRunner(
        pairs, sandbox={**SANDBOX, **changed}, folder=tmp_path, behaviour=behaviour
    )


def test_unit_tests_precede_behaviour_and_other_programs_are_not_run(tmp_path: Path) -> None:
    runner = runner_of(tmp_path)
    ran = runner.run(["def f(x): return x + x", "def g(y): return y * 2", "print(2)", "x = 1"])
    assert [own and (own.against, own.right) for own in ran] == [
        ("tests", True), ("function", False), ("script", True), None,
    ]  # fmt: skip
    wrong = ran[1]
    assert wrong is not None and wrong.problem == "another value" and "gave" in wrong.words
    assert counts_of(ran) == {
        "passes_tests": [[1, 1], [0, 0], [0, 0], [0, 0]],
        "behaves": [[0, 0], [0, 1], [0, 0], [0, 0]],
        "script_runs": [[0, 0], [0, 0], [1, 1], [0, 0]],
        "script_output": [[0, 0], [0, 0], [1, 1], [0, 0]],
    }


@pytest.mark.parametrize("is_read", [True, False])
def test_samples_for_a_source_that_the_model_cannot_read_are_wrong(
    is_read: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "bound", lambda *own: None)
    pairs = pairs_of((DOUBLE, ("assert double(3) == 6",)), (TRIPLE, ("assert triple(3) == 9",)))
    runner = ProgramRunner(pairs, sandbox=SANDBOX, folder=tmp_path, behaviour=False)
    drawn: Any = [[DOUBLE, DOUBLE] if is_read else [], []]
    run: Any = SimpleNamespace(config={"decoding": {}}, cached_programs=lambda *own, **more: drawn)
    module: Any = SimpleNamespace(tgt_tokenizer=None)
    data: Any = SimpleNamespace(pairs=pairs, runner=runner)
    sampling = {"k": [1], "n_samples": 2, "temperature": 1.0, "top_p": None, "seed": 1}
    monkeypatch.setattr(Scored, "generate", lambda self, search: drawn)
    scored = Scored(run, module, data=data, datamodule=None, trainer=None)  # type: ignore[arg-type]
    counts, samples = scored.pass_at_k(sampling)
    assert counts == {"pass@1": [[float(is_read), 1.0], [0.0, 1.0]]}
    assert samples[0] == [{"code": DOUBLE if is_read else "", "n": 2, "right": is_read}]


USES_NUMPY = "import numpy\n\n\ndef double(n):\n    return numpy.multiply(n, 2)\n"


def test_references_are_run_against_their_own_tests(tmp_path: Path) -> None:
    tests = ("assert double(3) == 6",)
    pairs = pairs_of((DOUBLE, tests), (USES_NUMPY, tests), (TRIPLE, ()))
    made = dataclasses.replace(pairs[1], family="sums")  # by construction they pass

    def checked(*own: Pair) -> dict[str, Any]:
        runner = ProgramRunner(own, sandbox=SANDBOX, folder=tmp_path, behaviour=False)
        return runner.check_references()

    found = checked(*pairs, made)
    assert (found["passing"], found["of"]) == (1, 2)
    assert found["first"] == "x/1 fails: ended with ModuleNotFoundError: No module named 'numpy'"
    assert checked(pairs[2], made) == {}


def test_references_that_fail_their_tests_are_reported(
    score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{a} {b}" for a in ("apple", "river", "cloud") for b in ("stone", "grass", "sugar")]
    codes = [f"def f():\n    return {text!r}[::-1]\n" for text in words]
    lines = [
        {"text": f"reverse {text}", "code": code, "tests": [f"assert f() == {text[::-1]!r}"]}
        for text, code in zip(words, codes, strict=True)
    ]
    data = ["data=file", "split=random", f"data.path={tmp_path / 'own.json'}", "baseline=constant"]
    data += ["split.ratios=[0.4,0.2,0.4]"]
    for place, (code, said) in enumerate(
        [
            ("", "references that pass their own tests: 4 of 4"),
            ("import numpy\n", "warning: 4 of 4 references fail their own tests in the sandbox"),
        ]
    ):
        records = [{**line, "code": code + line["code"]} for line in lines]
        (tmp_path / "own.json").write_text(json.dumps(records))
        assert score(*data, f"folder={tmp_path / str(place)}") == 0
        assert said in " ".join("".join(capsys.readouterr()).split())
    assert "The first that does not: file/" in (tmp_path / "1" / "report.html").read_text()


def test_no_program_is_run_for_no_place(tmp_path: Path) -> None:
    assert runner_of(tmp_path).run([], []) == []


def test_executions_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = ["def f(x): return x + x", "x = 1", "print(2)", ""]
    first = runner_of(tmp_path).run(programs)
    monkeypatch.setattr("en2py.evaluation.execution.runner.Sandbox", None)
    monkeypatch.setattr("en2py.evaluation.behaviour.cached.Sandbox", None)
    assert runner_of(tmp_path).run(programs) == first


def test_an_unavailable_sandbox_is_reported_once_and_other_scores_remain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**settings: Any) -> None:
        raise UserError("no isolation here")

    monkeypatch.setattr("en2py.evaluation.execution.runner.Sandbox", refuse)
    monkeypatch.setattr("en2py.evaluation.behaviour.cached.Sandbox", refuse)
    runner = runner_of(tmp_path)
    assert runner.run(["a", "b", "c", "d"]) == [None] * 4 == runner.run(["e", "b", "c", "d"])
    assert capsys.readouterr().out.count("no isolation here") == 1
    assert runner.refusal == "no isolation here"


def test_behaviour_can_be_disabled(tmp_path: Path) -> None:
    ran = runner_of(tmp_path, behaviour=False).run([DOUBLE, TRIPLE, "print(2)", ""])
    assert [own is not None for own in ran] == [True, False, False, False]


def test_pass_at_k_is_the_unbiased_estimate() -> None:
    right, wrong = (ExecutionResult("tests", right, True, "", "") for right in (True, False))
    tables = counts_at_k([[right, wrong, wrong, wrong], [None] * 4], [1, 2, 9])
    assert tables == {"pass@1": [[0.25, 1.0], [0.0, 0.0]], "pass@2": [[0.5, 1.0], [0.0, 0.0]]}


# the split by behaviour


def test_programs_with_equal_behaviour_are_in_one_split() -> None:
    pairs = [
        Pair(f"x/{i}", f"describe {chr(97 + i) * 3}", f"def f{i}(v{i}):\n    return {i}", "x")
        for i in range(20)
    ]
    alike = {pair.code: "same" for pair in pairs[::2]}
    settings: dict[str, Any] = {"ratios": [0.6, 0.2, 0.2], "seed": 1}
    report = DataReport()
    found = behaviour_split(pairs, report, **settings, signatures=lambda codes: alike)
    parts = {pair.id: name for name in ("train", "val", "test") for pair in getattr(found, name)}
    assert len({parts[pair.id] for pair in pairs[::2]}) == 1
    assert report.facts["behaviour"] == {"pairs": 10, "signatures": 1}
    assert report.facts["groups"]["largest"] == 10
    without = behaviour_split(pairs, DataReport(), **settings, signatures=lambda codes: {})
    assert without.hash == group_split(pairs, DataReport(), **settings).hash


def test_reference_classes_are_equal_for_equal_behaviour(tmp_path: Path) -> None:
    from en2py.evaluation.behaviour.cached import reference_classes

    codes = [
        "def total(values):\n    return sum(values)",
        "def add_up(numbers):\n    t = 0\n    for n in numbers:\n        t += n\n    return t",
        "def largest(values):\n    return max(values)",
        "def area(w, h):\n    return w * h",
        "def product(a, b):\n    return b * a",
        "print(3)",
        "x = 1\nprint(x + 2)",
        "import no_such_module",
    ]
    found = reference_classes(codes, sandbox=SANDBOX, folder=tmp_path)
    signs = [found.get(code) for code in codes]
    assert signs[0] == signs[1] and signs[3] == signs[4] and signs[5] == signs[6]
    assert len({*signs[::2], signs[3]} - {None}) >= 3 and signs[7] is None
    assert len({signs[0], signs[2], signs[3], signs[5]}) == 4
