"""Searches: the override grammar as a search space, shared and resumed trials, pruning."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

pytest.importorskip("optuna", minversion="5")

import optuna

from en2py.cli import main, train
from en2py.config.composition import compose_config, without_hydra
from en2py.config.run_name import differences
from en2py.errors import UserError
from en2py.sweeps import plan, search, search_study, status
from en2py.sweeps.search_space import rounded, search_space, space_text
from en2py.sweeps.study import _log_search
from en2py.training import run_folder
from en2py.training.callbacks.pruning import PruneTrial
from en2py.training.run import Run
from training_runs import Go, assert_same_run, folder_of, runner

SEARCH = ["-m", "hydra/sweeper=search", "optimizer.lr=choice(0.00001,0.01)",
          "loss.label_smoothing=0.1", "model.dropout=0.2", "trainer.max_epochs=1"]  # fmt: skip


@pytest.fixture
def go(tmp_path: Path) -> Go:
    return runner(tmp_path)


def parsed(*words: str) -> Any:
    return search_space(OverridesParser.create().parse_overrides(list(words)))


# -------------------------------------------------------------------------------- search space


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("loss=plain,smoothed", "plain, smoothed"),
        ("model=choice(tiny,small)", "tiny, small"),
        ("model.dropout=interval(0,0.4)", "0.0 to 0.4"),
        ("optimizer.lr=tag(log,interval(1e-4,1e-2))", "0.0001 to 0.01, logarithmic"),
        ("model.n_encoder_layers=int(interval(1,6))", "1 to 6"),
        ("model.d_model=range(64,257,64)", "64 to 256 in steps of 64"),
        ("model.dropout=0.2,0.1,0.2", "0.2, 0.1"),
        ("model.dropout=range(0.0,0.5,0.1)", "0.0, 0.1, 0.2, 0.3, 0.4"),
    ],
)
def test_override_grammar_is_the_search_space(word: str, text: str) -> None:
    fixed, space = parsed("seed=1", word)
    assert fixed == ["seed=1"]
    assert [space_text(distribution) for distribution in space.values()] == [text]


def test_choice_of_one_value_is_fixed() -> None:
    assert parsed("loss=plain,smoothed", "loss.label_smoothing=choice(0.1)")[0] == [
        "loss.label_smoothing=0.1"
    ]


def test_single_value_replaces_a_searched_parameter() -> None:
    fixed, space = parsed("loss=plain,smoothed", "model=tiny,small", "model=tiny")
    assert fixed == ["model=tiny"] and list(space) == ["loss"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed=1,2", "luckiest seed"),
        ("loss=plain", "every parameter of the search is fixed"),
        ("model.dropout=interval(0.4,0.1)", "A < B"),
        ("optimizer.lr=tag(log,interval(0,1))", "0 < A < B"),
        ("model.d_model=tag(log,range(1,9))", "only an interval"),
        ("optimizer.lr=tag(lag,interval(0.1,1))", "no tag is named lag"),
        ("model.dropout=0.1,0.1", "every parameter of the search is fixed"),
    ],
)
def test_search_space_that_cannot_be_searched_is_refused(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parsed(word)


def test_drawn_numbers_have_three_digits_and_depend_on_the_seed() -> None:
    _, space = parsed("optimizer.lr=tag(log,interval(1e-4,3e-3))")
    drawn = []
    for seed in (1, 1, 2):
        study = optuna.create_study(sampler=search.RoundedTPESampler(seed=seed))
        drawn.append(study.ask(space).params["optimizer.lr"])
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(float(f"{value:.3g}") == value and 1e-4 <= value <= 3e-3 for value in drawn)


def test_rounding_stays_within_the_interval() -> None:
    distribution = optuna.distributions.FloatDistribution(0.12345, 0.12399)
    assert rounded(0.123451, distribution) == 0.12345
    assert rounded(0.12398, distribution) == 0.12399


# ------------------------------------------------------------------------------------- searches


def trials(tmp_path: Path) -> list[Any]:
    storage = search_study._storage(str(tmp_path / "out" / "adhoc" / "search.journal"))
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).get_trials()


@pytest.mark.slow
def test_search_counts_the_trials_of_an_earlier_command(
    go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go(*SEARCH, "hydra.sweeper.n_trials=1") == 0
    study = tmp_path / "out" / "adhoc"
    before = {path: path.read_bytes() for path in study.glob("*/result.json")}
    assert go(*SEARCH, "hydra.sweeper.n_trials=2") == 0
    printed = capsys.readouterr().out
    assert [t.state.name for t in trials(tmp_path)] == ["COMPLETE", "COMPLETE"]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert "adhoc: search, 2 trials (1 finished)" in printed
    assert "trial 2/2 optimizer.lr=" in printed and "best trial:" in printed
    record = json.loads((study / "search.json").read_text())
    values = [t.value for t in trials(tmp_path)]
    assert record["best"]["value"] == min(values) and record["finished"] == 2
    capsys.readouterr()
    assert go(*SEARCH, "hydra.sweeper.n_trials=2", "checkpoints.keep=weights", "fresh=true") == 0
    warnings = capsys.readouterr().err
    assert "fresh=true repeats none of the 2 trials" in warnings and "scores" not in warnings
    assert go(*SEARCH, "hydra.sweeper.n_trials=2", "behaviour=true") == 0
    assert "finished before: the scores are those of behaviour=false;" in capsys.readouterr().err
    assert {path.name for path in study.glob("*/checkpoints/*")} == {"best.ckpt"}


@pytest.mark.slow
def test_interrupted_trial_is_resumed_before_new_ones(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Any, jobs: Any, folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(search.SearchSweeper, "_launch", interrupted)
        assert go(*SEARCH, "hydra.sweeper.n_trials=1") == 130
    (before,) = trials(tmp_path)
    assert before.state.name == "RUNNING"
    assert go(*SEARCH, "hydra.sweeper.n_trials=1") == 0
    (after,) = trials(tmp_path)
    assert after.state.name == "COMPLETE" and after.params == before.params


def test_fresh_search_archives_an_earlier_run_of_a_trial(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[Any] = []

    def interrupted(self: Any, jobs: Any, folder: Path) -> None:
        launched.extend(jobs)
        raise KeyboardInterrupt

    monkeypatch.setattr(search.SearchSweeper, "_launch", interrupted)
    assert go(*SEARCH, "hydra.sweeper.n_trials=1") == 130
    folder = tmp_path / "out" / "adhoc" / launched[0].run
    folder.mkdir()
    digest = folder.name.rpartition("-")[2]
    (folder / "result.json").write_text(json.dumps({"config_sha256": digest}))
    assert go(*SEARCH, "hydra.sweeper.n_trials=1", "fresh=true") == 130
    assert len(launched) == 2 and launched[0].run == launched[1].run
    assert folder.with_name(f"{folder.name}.old1").exists() and not folder.exists()


def test_search_ends_when_its_data_change(
    go: Go,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    launched: list[Any] = []

    def changing(self: Any, jobs: Any, folder: Path) -> None:
        launched.append(jobs)
        with open(tmp_path / "pairs.jsonl", "a") as file:
            file.write("\n")

    monkeypatch.setattr(search.SearchSweeper, "_launch", changing)
    assert go(*SEARCH, "hydra.sweeper.n_trials=3") == 2
    assert "a file that the trials read has changed since" in capsys.readouterr().err
    assert len(launched) == 1


def test_trial_of_another_process_is_left_to_it(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[Any] = []
    interrupt = KeyboardInterrupt()  # kept, so its traceback keeps the sweeper alive

    def interrupted(self: Any, jobs: Any, folder: Path) -> None:
        launched.append(jobs)
        raise interrupt

    monkeypatch.setattr(search.SearchSweeper, "_launch", interrupted)
    assert go(*SEARCH, "hydra.sweeper.n_trials=1") == 130
    (lock,) = (tmp_path / "out" / "adhoc" / ".search").glob("adhoc-*.lock")
    holds = (
        "import filelock, sys; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
        "print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holds, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None and other.stdout is not None
        other.stdout.readline()
        assert go(*SEARCH, "hydra.sweeper.n_trials=1") == 0
        other.stdin.close()
    assert len(launched) == 1


@pytest.mark.parametrize(("nll", "state"), [(2.5, "COMPLETE"), (math.nan, "FAIL")])
def test_trial_without_a_number_has_failed_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, nll: float, state: str
) -> None:
    study = optuna.create_study()
    trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    finished = run_folder.State(run_folder.FINISHED)
    monkeypatch.setattr(run_folder, "read_state", lambda folder: finished)
    monkeypatch.setattr(run_folder, "read_result", lambda folder: {"best": {"val/nll": nll}})
    monkeypatch.setattr(plan, "read_state", lambda folder: finished)
    sweeper: Any = SimpleNamespace(folder=Path("s"), study=study, _failed=set())
    search.SearchSweeper._tell(sweeper, trial.number, plan.Job((), "run"))
    assert study.trials[0].state.name == state
    assert sweeper._failed == ({trial.number} if state == "FAIL" else set())


def test_hyperband_has_the_most_epochs_of_a_trial(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: list[dict[str, Any]] = []

    def kept(self: Any) -> None:
        settings.append(json.loads(os.environ[run_folder.SEARCH]))

    monkeypatch.setattr(search.SearchSweeper, "_run_trials", kept)
    fixed = [word for word in SEARCH if not word.startswith("trainer")]
    go(*fixed, "trainer.max_epochs=int(interval(9,81))", "hydra.sweeper.pruner=hyperband")
    assert settings[0]["max_epochs"] == 81


def test_failed_trial_is_replaced_by_a_later_command(go: Go, tmp_path: Path) -> None:
    refused = [word for word in SEARCH if not word.startswith("optimizer")]
    refused += ["model.n_heads=7,9", "hydra.sweeper.n_trials=1"]
    assert go(*refused) == 2
    assert [t.state.name for t in trials(tmp_path)] == ["FAIL"]
    assert go(*refused) == 2
    assert [t.state.name for t in trials(tmp_path)] == ["FAIL", "FAIL"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials=0: expected a number above 0"),
        ("hydra.sweeper.pruner=worst", "hydra.sweeper.pruner=worst: expected 'median'"),
        ("hydra.sweeper.storage=nosql://there", "hydra.sweeper.storage=nosql://there cannot be"),
        ("+trainer.limit_val_batches=0", "a search needs val/nll"),
        ("batch.max_tokens=int(interval(0,400))", "batch.max_tokens=0: expected a number above 0"),
        ("model.norm=pre,port", "model.norm=port: expected"),
        ("sandbox.timeout_s=interval(1,5)", "sandbox.timeout_s=1.0 to 5.0: no run depends on"),
        ("behaviour=true,false", "behaviour=True, False: no run depends on this setting; fix it"),
    ],
)
def test_wrong_setting_of_a_search_is_refused(
    go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, message: str
) -> None:
    assert go(*SEARCH, word) == 2
    error = capsys.readouterr().err
    assert error.startswith(message) or message in error
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "word",
    [
        "vocab.tgt_min_freq=int(interval(1,5))",
        "tokenizer/tgt=python,bpe",
        "model.max_src_len=range(64,129,64)",
    ],
)
def test_parameter_that_changes_tokens_or_pairs_is_refused(
    go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert go(*SEARCH, word) == 2
    error = capsys.readouterr().err
    assert "changes the tokens or the pairs of val/nll" in error and word.split("=")[0] in error
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "word",
    [
        "split.seed=3",
        "data.path=b.jsonl",
        "cleaning.use.autopep8=false",
        "model.max_tgt_len=64",
        "+trainer.limit_val_batches=1",
    ],
)
def test_tokens_and_pairs_depend_on_a_setting(word: str) -> None:
    one, other = (
        OmegaConf.to_container(without_hydra(compose_config("train", words)), resolve=True)
        for words in (["data=file", "data.path=a"], ["data=file", "data.path=a", word])
    )
    assert differences(search._basis(one), search._basis(other))


def test_parameters_that_leave_tokens_and_pairs_are_searched(
    go: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.SearchSweeper, "_run_trials", lambda self: None)
    words = ("model=tiny,small,wide", "vocab.src_min_freq=1,5", "loss=plain,smoothed",
             "augmentation=none,rename,word_dropout",
             "batch.max_tokens=int(interval(200,400))")  # fmt: skip
    assert go(*SEARCH, *words) == 0


def test_a_search_is_the_same_however_a_float_is_typed(
    go: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    monkeypatch.setattr(
        search.SearchSweeper, "_run_trials", lambda self: names.append(self.study.study_name)
    )
    words = [word for word in SEARCH if not word.startswith("model.dropout")]
    for typed in ("0", "0.0", "0.1", "0,0.1", "0.0,0.1", "0.1,0"):
        assert go(*words, f"model.dropout={typed}") == 0
    assert names[0] == names[1] != names[2]
    assert names[3] == names[4] != names[5]


def test_noam_needs_no_learning_rate_of_the_default_space(
    go: Go, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spaces: list[Any] = []
    monkeypatch.setattr(search.SearchSweeper, "_run_trials", lambda self: spaces.append(self.space))
    words = [word for word in SEARCH if not word.startswith("optimizer")]
    with caplog.at_level("INFO"):
        assert go(*words, "model=tiny,small", "scheduler=noam") == 0
    assert [*spaces[0]] == ["model"]
    assert "optimizer.lr is not searched: scheduler=noam sets the rate itself" in caplog.text


@pytest.mark.parametrize(
    ("words", "searched"),
    [
        (["loss=plain,smoothed"], ["loss"]),
        (["loss=smoothed"], ["loss.label_smoothing"]),
        (["loss=plain,smoothed", "loss.label_smoothing=0.1,0.2"], ["loss", "loss.label_smoothing"]),
    ],
)
def test_a_default_parameter_that_searched_options_set_is_not_searched(
    go: Go,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    words: list[str],
    searched: list[str],
) -> None:
    spaces: list[Any] = []
    monkeypatch.setattr(search.SearchSweeper, "_run_trials", lambda self: spaces.append(self.space))
    fixed = ["optimizer.lr=0.01", "model.dropout=0.2", "trainer.max_epochs=1"]
    with caplog.at_level("INFO"):
        assert go("-m", "hydra/sweeper=search", *fixed, *words) == 0
    assert sorted(spaces[0]) == sorted(searched)
    reason = "loss.label_smoothing is not searched: loss=plain,smoothed sets it"
    assert (reason in caplog.text) == ("loss.label_smoothing" not in searched)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scheduler=noam"], "optimizer.lr=choice(0.00001,0.01): scheduler=noam sets the rate"),
        (
            ["scheduler=cosine,noam"],
            "optimizer.lr=choice(0.00001,0.01): scheduler=noam sets the rate",
        ),
        (["hydra.sweeper.pruner=null", "hydra.sweeper.n_warmup_epochs=3"], "use hydra.sweeper.p"),
        (
            ["hydra.sweeper.pruner=null", "hydra.sweeper.sampler=random"]
            + ["hydra.sweeper.n_startup_trials=3"],
            "hydra.sweeper.n_startup_trials=3: all trials are random",
        ),
    ],
)
def test_setting_without_effect_is_refused(
    go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert go(*SEARCH, *words) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert message in error and not (tmp_path / "out").exists()


@pytest.mark.parametrize("word", ["tokenizer/tgt=bpe", "vocab.tgt_min_freq=2"])
def test_augmentation_that_changes_the_vocabulary_is_refused(
    go: Go, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert go(*SEARCH, word, "augmentation=none,rename") == 2
    assert "augmentation" in capsys.readouterr().err


# -------------------------------------------------------------------------------------- pruning


class AlwaysPruned:
    """A trial that is worse than all others."""

    def __init__(self) -> None:
        self.reported: list[tuple[int, float]] = []

    def report(self, value: float, step: int) -> None:
        self.reported.append((step, value))

    def should_prune(self) -> bool:
        return True


@pytest.mark.slow
def test_pruned_run_can_be_trained_to_its_end(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned = AlwaysPruned()
    monkeypatch.setenv(run_folder.SWEEP_ID, "1-a")
    monkeypatch.setattr(
        "en2py.cli.train.pruning_callback", lambda run: PruneTrial(pruned), raising=True
    )
    assert go(out="pruned") == 0
    monkeypatch.undo()
    folder = folder_of(tmp_path, "pruned")
    state = run_folder.read_state(folder)
    assert state.status == run_folder.PRUNED and state.reason.startswith("after epoch 1: val/nll")
    assert [step for step, _ in pruned.reported] == [1]
    assert not (folder / "result.json").exists()
    assert go(out="pruned") == 0 and go(out="whole") == 0
    assert_same_run(folder_of(tmp_path, "whole"), folder)


def test_pruned_run_of_several_ranks_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.__new__(Run)
    run.folder, run.overrides = tmp_path / "none-seed1-0", []
    monkeypatch.setenv(run_folder.SWEEP_ID, "s")
    monkeypatch.setattr(Run, "of_job", lambda cfg: run)

    def subprocess_run(*_: Any, **__: Any) -> Any:
        run.write_state("val/nll is too high", pruned=True)
        return SimpleNamespace(returncode=0, stderr="a warning of a library")

    monkeypatch.setattr(main.subprocess, "run", subprocess_run)
    assert main._run_in_subprocess(SimpleNamespace(), []) == math.inf  # type: ignore[arg-type]


@pytest.mark.parametrize(("max_epochs", "may_stop"), [(3, True), (5, False)])
def test_last_epoch_and_those_before_min_epochs_are_not_pruned(
    max_epochs: int, may_stop: bool
) -> None:
    trainer: Any = SimpleNamespace(
        callback_metrics={"val/nll": 2.0}, current_epoch=2, max_epochs=max_epochs,
        is_global_zero=True, sanity_checking=False, should_stop=False,
        fit_loop=SimpleNamespace(_can_stop_early=may_stop),
        strategy=SimpleNamespace(broadcast=lambda value: value),
    )  # fmt: skip
    callback = PruneTrial(AlwaysPruned())
    callback.on_validation_end(trainer, None)  # type: ignore[arg-type]
    callback.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert not trainer.should_stop and not callback.reason


def test_epoch_without_a_validation_reports_nothing() -> None:
    pruned = AlwaysPruned()
    trainer: Any = SimpleNamespace(callback_metrics={"val/nll": 2.0})
    PruneTrial(pruned).on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert not pruned.reported


def finish_trials(study: Any, values: Sequence[float], n_epochs: int) -> None:
    for value in values:
        trial = study.ask()
        for epoch in range(1, n_epochs + 1):
            trial.report(value, epoch)
        study.tell(trial, value)


@pytest.mark.parametrize("n_warmup_epochs", [0, 1, 2])
def test_median_prunes_nothing_in_the_warmup_epochs(tmp_path: Path, n_warmup_epochs: int) -> None:
    settings = {"storage": str(tmp_path / "j"), "study": "s", "pruner": "median", "max_epochs": 3,
                "n_startup_trials": 1, "n_warmup_epochs": n_warmup_epochs}  # fmt: skip
    study = search_study.open_study(settings)
    finish_trials(study, (1.0, 1.1, 1.2, 1.3), n_epochs=3)
    bad = study.ask()
    pruned = []
    for epoch in (1, 2, 3):
        bad.report(5.0, epoch)
        pruned.append(bad.should_prune())
    assert pruned == [epoch > n_warmup_epochs for epoch in (1, 2, 3)]


def test_running_trial_is_found_by_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four trials with a low value: the median prunes a fifth with a higher one."""
    settings = {"storage": str(tmp_path / "j"), "study": "s", "pruner": "median",
                "n_startup_trials": 1, "n_warmup_epochs": 0, "max_epochs": 9}  # fmt: skip
    study = search_study.open_study(settings)
    finish_trials(study, (1.0, 1.1, 1.2, 1.3), n_epochs=1)
    study.ask().set_user_attr("run", "bad-run")
    monkeypatch.setenv(run_folder.SEARCH, json.dumps(settings))
    callback = train.pruning_callback("bad-run")
    assert callback is not None
    callback.trial.report(5.0, 1)
    assert callback.trial.should_prune()
    assert train.pruning_callback("other-run") is None


def test_the_table_of_a_search_has_the_searched_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(run_folder.SWEEP_ID, "s")
    overrides = ("output=out", "optimizer.lr=0.001")
    job = plan.Job(overrides, "run", trial=1, n_trials=3, searched=("optimizer.lr",))
    plan.write_plan(tmp_path, [job])
    status.print_summary(tmp_path)
    printed = capsys.readouterr().out
    assert ": 1 trial\n" in printed and "optimizer.lr" in printed and "output" not in printed


def test_the_table_of_a_search_has_the_numbers_of_the_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(run_folder.SWEEP_ID, "s")
    jobs = [  # in the order of one of two processes
        plan.Job((f"optimizer.lr=0.{n}",), "", f"refused {n}", n, 5, ("optimizer.lr",))
        for n in (2, 4, 1)
    ]
    plan.write_plan(tmp_path, jobs)
    status.print_summary(tmp_path)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines if line[1:2] and line[1][:2] == "0."] == [
        [str(n), f"0.{n}"] for n in (1, 2, 4)
    ]
    assert ["4:", "refused", "4"] in lines


def test_importance_of_each_parameter_is_in_the_summary(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for i in range(24):
        drawn = study.ask(parsed("optimizer.lr=interval(0,1)", "model.dropout=interval(0,1)")[1])
        study.tell(drawn, drawn.params["optimizer.lr"] + 0.001 * i)
    search_study.write_result(tmp_path, study)
    record = json.loads((tmp_path / "search.json").read_text())
    assert record["importance"]["optimizer.lr"] > record["importance"]["model.dropout"]
    with caplog.at_level("INFO"):
        _log_search(record)
    assert "importance for val/nll, over 24 finished trials: optimizer.lr" in caplog.text


def test_search_without_a_finished_trial_leaves_no_result_of_another(tmp_path: Path) -> None:
    (tmp_path / "search.json").write_text('{"study": "other"}')
    search_study.write_result(tmp_path, optuna.create_study())
    assert not (tmp_path / "search.json").exists()
