"""The command line: texts as typed, exit codes, sweeps whose runs fail."""

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from en2py.cli import main, overrides
from en2py.config.composition import compose_config, job_of
from en2py.config.overrides import check_repeated, python_overrides, quoted, unquoted
from en2py.config.validation import validate
from en2py.errors import UserError
from en2py.sweeps import plan, status
from en2py.sweeps.sweeper import combinations
from en2py.training import run_folder

ROOT = Path(__file__).resolve().parents[2]
PARSER = OverridesParser.create()
# Every mark that one of the two grammars gives a meaning to.
MARKS = st.text(alphabet=st.sampled_from("\\'\"${}[](),= :~\n\tab.0#%@|"), max_size=14)
ANY = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20).filter(
    lambda text: text != "???"  # a missing value for OmegaConf
)


def read_back(line: str) -> Any:
    """Parse an override with Hydra, and return its value from a config."""
    override = PARSER.parse_override(line)
    cfg = OmegaConf.create({"prompt": None})
    OmegaConf.set_struct(cfg, True)
    OmegaConf.update(cfg, "prompt", override.value(), merge=True)
    assert OmegaConf.to_container(cfg, resolve=True) == {"prompt": cfg.prompt}
    return cfg.prompt


@settings(max_examples=400)
@given(MARKS | ANY)
def test_text_arrives_as_typed(text: str) -> None:
    assert read_back(quoted(f"prompt={text}")) == text


@settings(max_examples=400)
@given(MARKS | ANY)
def test_text_arrives_as_typed_in_a_sweep(text: str) -> None:
    override = PARSER.parse_override(quoted(f"prompt={text}"))
    ((line,),) = combinations([override])
    assert read_back(line) == text


@pytest.mark.parametrize(
    "text",
    ["add (a, b), don't print x == 'y'", "null", "12", "true", "${oc.env:HOME}", "a,b", "", "~/x"],
)
def test_prompt_is_unchanged_in_the_composed_config(text: str) -> None:
    cfg = compose_config("evaluate", [quoted(f"prompt={text}"), "ckpt_path=x"])
    assert cfg.prompt == text


@pytest.mark.parametrize("text", ["first try, with (parens)", "it's"])
def test_notes_are_unchanged_in_the_composed_config(text: str) -> None:
    cfg = compose_config("train", [quoted(f"logger.wandb.notes={text}")])
    assert cfg.logger.wandb.notes == text


@pytest.mark.parametrize("name", ["Lösung", "code (Python)", "code, cleaned", "0", "it's"])
def test_names_of_fields_are_unchanged_in_the_composed_config(name: str) -> None:
    cfg = compose_config("train", ["data=file", quoted(f"data.source.code_field={name}")])
    assert cfg.data.source.code_field == name
    settings = {"data": {"source": {"code_field": name}, "path": "x"}}
    cfg = compose_config("train", python_overrides(["data=file"], settings))
    assert cfg.data.source.code_field == name


def test_fields_are_a_list_in_brackets_and_a_sweep_with_commas() -> None:
    assert quoted("data.source.description_field=[a,b]") == "data.source.description_field=[a,b]"
    assert quoted("data.source.tests_field=a,b c,null", True).endswith("=a,'b c',null")
    assert unquoted("data.source.code_field='a (b)'") == "data.source.code_field=a (b)"


def test_text_from_python_with_an_umlaut_is_quoted() -> None:
    settings = {"logger": {"wandb": {"project": "Prüfung"}}}
    assert compose_config("train", python_overrides([], settings)).logger.wandb.project == "Prüfung"


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_plus_of_an_override_is_kept(plus: str) -> None:
    assert quoted(f"{plus}data.path=a,b") == f"{plus}data.path='a,b'"


@pytest.mark.parametrize("key", ["ckpt_path", "init_from", "data.path", "study"])
def test_null_stays_null(key: str) -> None:
    assert quoted(f"{key}=null") == f"{key}=null"


def test_null_is_a_value_of_a_sweep_over_files() -> None:
    assert quoted("init_from=a.ckpt,null", multirun=True) == "init_from='a.ckpt',null"


def test_folder_of_a_pretrained_run_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["experiment=finetune", quoted("pretrained=~/runs (2)/a")]
    cfg = compose_config("train", words)
    assert cfg.init_from == f"{tmp_path}/runs (2)/a/checkpoints/best.ckpt"
    assert quoted("pretrained=/a,/b", multirun=True) == "pretrained='/a','/b'"


def test_comma_list_of_files_is_a_sweep_unless_a_file_has_this_name(tmp_path: Path) -> None:
    word = f"data.path={tmp_path}/a,{tmp_path}/b"
    assert quoted(word, True) == f"data.path='{tmp_path}/a','{tmp_path}/b'"
    assert quoted(word) == f"data.path='{tmp_path}/a,{tmp_path}/b'"
    (tmp_path / "a,b").touch()
    word = f"data.path={tmp_path}/a,b"
    assert quoted(word, True) == f"data.path='{tmp_path}/a,b'"


def test_one_file_per_split_is_a_mapping() -> None:
    word = quoted("data.path={train:/x/a.jsonl,val:b.jsonl}")
    cfg = compose_config("train", ["data=file", "split=official", word])
    assert cfg.data.source.path == {"train": "/x/a.jsonl", "val": "b.jsonl"}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("scheduler=glob(*)", ["scheduler=constant,cosine,noam,one_cycle"]),
        ("scheduler=glob([c*,n*],exclude=noam)", ["scheduler=constant,cosine"]),
        ("tokenizer/tgt=glob(p*)", ["tokenizer/tgt=pieces,python"]),
    ],
)
def test_glob_selects_options_of_a_group(word: str, expected: list[str]) -> None:
    assert overrides.sweep_values([word], multirun=True) == expected


@pytest.mark.parametrize(
    "word",
    [
        "seed=1,2",
        "seed=range(1,3)",
        "seed=shuffle(1,2)",
        "seed=sort(2,1)",
        "seed=choice(1,2)",
        "seed=tag(a,choice(1,2))",
    ],
)
def test_discrete_values_are_the_jobs_of_a_sweep(word: str) -> None:
    (same,) = overrides.sweep_values([word], multirun=True)
    jobs = combinations([PARSER.parse_override(same)])
    assert sorted(jobs) == [["seed=1"], ["seed=2"]]
    with pytest.raises(UserError, match="are a sweep: add -m"):
        overrides.sweep_values([word], multirun=False)


@pytest.mark.parametrize("value", ["interval(0.1,0.2)", "tag(log,interval(0.1,0.2))"])
def test_an_interval_without_a_search_is_refused_with_the_options_of_one(value: str) -> None:
    with pytest.raises(UserError, match="a search draws numbers: add -m hydra/sweeper=search"):
        overrides.sweep_values([f"optimizer.lr={value}"], multirun=False)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("seed=glob(*)", "glob.. selects options of a group"),
        ("model=glob(x*)", "no option has such a name; choose from: base, small, tiny, wide"),
    ],
)
def test_glob_that_selects_nothing_is_refused(word: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        overrides.sweep_values([word], multirun=True)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("loss=[plain]", "did you mean 'plain'"),
        ("split=[]", "choose from: "),
        ("+model={}", "choose from: "),
        ("tokenizer/src=[a,b]", "choose from: bpe, "),
    ],
)
def test_group_takes_one_option(word: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(word)}: expected one option; {hint}"):
        overrides.sweep_values([word], False)


@pytest.mark.parametrize("word", ["hydra.sweep.dir=x", "hydra.run.dir=x", "hydra.job.chdir=true"])
def test_folder_that_runs_do_not_follow_is_refused(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.command(print, "train", ["train.py", word]) == 2
    assert "set output=FOLDER or study=NAME" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["hydra.run.dir=x", "hydra.output_subdir=x"])
def test_folder_that_an_evaluation_does_not_follow_is_refused(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.command(print, "evaluate", ["evaluate.py", word]) == 2
    assert f"{word}: results are stored beside the checkpoint" in capsys.readouterr().err


def test_home_is_expanded_in_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert quoted("data.path=~/pairs.txt") == "data.path='/somewhere/pairs.txt'"


@pytest.mark.parametrize(
    "override", ["loss=smoothed,plain", "seed=1", "~loss", "optimizer.lr=1e-3"]
)
def test_other_overrides_are_unchanged(override: str) -> None:
    assert quoted(override) == override


def test_options_go_before_overrides() -> None:
    options, words = overrides.separate(["seed=1", "--cfg", "job", "~logger", "model=tiny"])
    assert options == ["--cfg", "job"]
    assert words == ["seed=1", "~logger", "model=tiny"]


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["--max-epochs", "3"], "max_epochs=VALUE"),
        (["-m", "seed=1,2", "--cfg", "job"], "-m and --cfg exclude each other; keep one"),
        (["study=a", "b"], "'b' is not of the form key=value, .* in quotes: study="),
        (["--cfg"], "^--cfg/-c: expected one argument; see --help$"),
        (["--cfg", "jobs"], "^--cfg/-c: invalid choice: 'jobs'"),
    ],
)
def test_unknown_arguments_are_refused(arguments: list[str], printed: str) -> None:
    with pytest.raises(UserError, match=printed):
        overrides.separate(arguments)


def test_unquoted_prompt_is_refused() -> None:
    with pytest.raises(UserError, match="'two' is not of the form key=value, .*: prompt="):
        overrides.separate(["prompt=add", "two", "numbers"], takes_checkpoints=True)


def test_path_is_a_checkpoint_even_with_an_equals_sign(tmp_path: Path) -> None:
    run = tmp_path / "lr=0.1"
    run.mkdir()
    for path in (run, tmp_path / "lr=1" / "gone.ckpt"):
        words = [str(path), "part=val"]
        found = overrides.separate(words, takes_checkpoints=True)
        assert found == ([], ["part=val", f"ckpt_path={path}"])


def test_key_below_a_swept_group_is_set_in_the_runs_alone(started: Callable[..., int]) -> None:
    seen = []
    words = ("data=file,english_python", "data.path=it's here", "decoding=beam,mbr")
    words += ("decoding.max_len=9",)
    assert (
        started(lambda cfg: seen.append((cfg.data.path, cfg.decoding.max_len)), "-m", *words) == 0
    )
    assert seen == [("it's here", 9)] * 4


def test_key_with_two_values_is_refused() -> None:
    with pytest.raises(UserError, match="loss=plain loss=smoothed: loss has two values"):
        check_repeated(["loss=plain", "seed=1", "loss=smoothed"])


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("whole", "part"),
    [
        ("callbacks.samples=null", "callbacks.samples.n_samples=3"),
        ("callbacks.samples=null", "+callbacks.samples.x=3"),
        ("~callbacks.samples", "callbacks.samples.n_samples=3"),
        ("~callbacks.samples", "++callbacks.samples={n_samples: 3}"),
    ],
)
def test_part_of_a_section_beside_its_null_is_refused(whole: str, part: str, order: int) -> None:
    with pytest.raises(UserError, match="(null|~) leaves out all of callbacks.samples; keep one$"):
        check_repeated([whole, part][::order])
    check_repeated(["tokenizer=null", "tokenizer.vocab_size=900"])  # a group, refused by its name


def test_key_may_be_repeated_with_the_same_value() -> None:
    check_repeated(["loss=plain", "++loss=plain", "~logger", "loss.label_smoothing=0"])


# ------------------------------------------------------------------ commands in this process


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Run a command with an entry point of the test; its configs are not validated."""
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr("en2py.config.validation.validate", lambda cfg, config_name: None)

    def start(entry_point: Callable[[DictConfig], Any], *arguments: str) -> int:
        argv = ["train.py", *arguments, f"output={tmp_path}"]
        return main.command(entry_point, "train", argv)

    yield start


def raising(error: BaseException) -> Callable[[DictConfig], None]:
    def entry_point(cfg: DictConfig) -> None:
        raise error

    return entry_point


class SIGTERMException(SystemExit):
    """A class with the name of Lightning's."""


def test_success_exits_with_0(started: Callable[..., int]) -> None:
    seen = []
    assert started(lambda cfg: seen.append(cfg.seed), "seed=7") == 0
    assert seen == [7]


def test_user_error_exits_with_2_and_one_line(started: Callable[..., int], capsys: Any) -> None:
    assert started(raising(UserError("no such\nfile"))) == 2
    assert capsys.readouterr().err == "no such file\n"


def test_ctrl_c_exits_with_130_and_the_command_that_resumes(
    started: Callable[..., int], capsys: Any, tmp_path: Path
) -> None:
    assert started(raising(KeyboardInterrupt()), "study=a b") == 130
    assert capsys.readouterr().err == (
        f"interrupted; the same command resumes it: python train.py 'study=a b' output={tmp_path}\n"
    )


def test_the_command_that_resumes_does_not_begin_again(
    started: Callable[..., int], capsys: Any, tmp_path: Path
) -> None:
    assert started(raising(KeyboardInterrupt()), "fresh=true", "seed=2") == 130
    assert capsys.readouterr().err == (
        "interrupted; the same command without fresh=true resumes it: "
        f"python train.py seed=2 output={tmp_path}\n"
    )


def test_verbose_prints_the_whole_config(started: Callable[..., int]) -> None:
    seen = []
    assert started(lambda cfg: seen.append(cfg.show_config), "--verbose") == 0
    assert seen == [True]


def test_ctrl_c_through_lightning_exits_with_130(started: Callable[..., int]) -> None:
    def entry_point(cfg: DictConfig) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    assert started(entry_point) == 130


def test_ctrl_c_that_a_library_turns_into_its_own_error_exits_with_130(
    started: Callable[..., int], capsys: Any
) -> None:
    def entry_point(cfg: DictConfig) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise UserError("in an inconsistent state")

    assert started(entry_point) == 130
    assert capsys.readouterr().err.startswith("interrupted; ")


def test_sigterm_exits_with_143(started: Callable[..., int]) -> None:
    assert started(raising(SIGTERMException())) == 143


def test_bug_keeps_its_traceback(started: Callable[..., int]) -> None:
    with pytest.raises(ZeroDivisionError):
        started(raising(ZeroDivisionError()))


@pytest.mark.parametrize("of_sweep", [[], ["-m", "seed=1,2"]], ids=["run", "sweep"])
def test_an_error_beside_an_own_option_is_not_reported_as_a_mistyped_option(
    of_sweep: list[str],
    started: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "own.yaml").write_text("_target_: own.Loss\n")
    words = [f"hydra.searchpath=[file://{tmp_path}/conf]", "loss=own"]

    def fail(cfg: DictConfig, config_name: str) -> None:
        raise ValueError("too many values to unpack")

    monkeypatch.setattr("en2py.config.validation.validate", fail)
    with pytest.raises(ValueError, match="too many values to unpack"):
        started(print, *of_sweep, *words)


def test_a_printed_config_is_checked(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    argv = ["train.py", "--cfg", "job", "optimizer.lr=nan"]
    assert main.command(raising(AssertionError("run")), "train", argv) == 2
    printed = capsys.readouterr()
    assert "lr: .nan" in printed.out or "lr: nan" in printed.out
    assert printed.err == "optimizer.lr=nan: expected a finite number\n"


def test_each_exit_code_is_in_the_tables_of_exit_codes() -> None:
    source = inspect.getsource(main)
    codes = set(re.findall(r"\b(?:return|_interrupted\(given,) (1\d\d)\b", source))
    assert {"130", "141", "143"} <= codes
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    for text in (str(main.__doc__), page):
        table = " ".join(re.findall(r"^\| ([\d, ]+) \|", text, flags=re.MULTILINE))
        assert codes <= set(re.findall(r"\d+", table))


def test_refused_run_writes_nothing(started: Callable[..., int], tmp_path: Path) -> None:
    started(raising(UserError("no")))
    assert list(tmp_path.iterdir()) == []


def test_sweep_continues_after_a_user_error(started: Callable[..., int], capsys: Any) -> None:
    seen = []

    def entry_point(cfg: DictConfig) -> float:
        if cfg.seed == 2:
            raise UserError("two is refused")
        seen.append(cfg.seed)
        return 0.0

    assert started(entry_point, "-m", "seed=1,2,3") == 2
    assert seen == [1, 3]
    streams = capsys.readouterr()
    assert "2/3 seed=2: refused: two is refused" in streams.err
    assert "2: two is refused\n" in streams.out
    assert "1 of 3 runs refused; correct what is named above\n" in streams.out


def test_reason_is_written_to_failed_log(started: Callable[..., int], tmp_path: Path) -> None:
    started(raising(UserError("two is refused")), "-m", "seed=2", "study=s")
    assert "seed=2" in (tmp_path / "s" / "failed.log").read_text()
    assert "two is refused" in (tmp_path / "s" / "failed.log").read_text()


def test_sweep_with_a_bug_exits_with_1(started: Callable[..., int]) -> None:
    def entry_point(cfg: DictConfig) -> None:
        raise UserError("no") if cfg.seed == 1 else ZeroDivisionError

    assert started(entry_point, "-m", "seed=1,2") == 1


@pytest.mark.parametrize(
    "typed", ["loss=plain,smothed", "loss=smothed,plain", "loss=choice(plain,smothed)"]
)
def test_sweep_over_an_unknown_option_is_refused_before_its_first_run(
    started: Callable[..., int], tmp_path: Path, capsys: Any, typed: str
) -> None:
    seen: list[DictConfig] = []
    assert started(seen.append, "-m", typed, "seed=1,2") == 2
    assert seen == [] and list(tmp_path.iterdir()) == []
    assert "loss=smothed: no such option; did you mean 'smoothed'?" in capsys.readouterr().err


def test_sweep_over_a_group_and_null_is_refused_in_one_sentence(
    started: Callable[..., int], capsys: Any
) -> None:
    assert started(raising(UserError("no")), "-m", "tokenizer=null,pieces") == 2
    assert "tokenizer=null: no such option; choose from: pieces" in capsys.readouterr().err


def test_refused_sweep_keeps_the_last_record(started: Callable[..., int], tmp_path: Path) -> None:
    record = tmp_path / "adhoc" / "multirun.yaml"
    record.parent.mkdir()
    record.write_text("mine")
    assert started(lambda cfg: None, "-m", "seed=1,2", "model.n_headss=3") == 2
    assert record.read_text() == "mine"


def test_summary_follows_a_sweep_with_failures(
    started: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []

    def after(folder: Path) -> int:
        folders.append(folder)
        return 7

    monkeypatch.setattr(status, "print_summary", after)
    assert started(raising(UserError("no")), "-m", "seed=1,2") == 7
    assert [folder.name for folder in folders] == ["adhoc"]


# -------------------------------------------------------------------------------- subprocesses


def test_the_failure_of_a_run_whose_data_are_gone_is_that_of_the_planned_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(run_folder.SWEEP_ID, "1-a")
    folder = tmp_path / "s"
    plan.write_plan(folder, [plan.Job(("seed=2",), "planned")])
    words = ["data=file", "data.path=gone", "seed=2", "study=s", f"output={tmp_path}"]
    with job_of(compose_config("train", words)) as cfg:
        main._record_failure(cfg, "train", ["seed=2"], main.RunFailed("gone does not exist", 2), "")
    assert run_folder.read_state(folder / "planned").reason == "gone does not exist"
    assert status.print_summary(folder) == 2
    assert not [path for path in folder.iterdir() if path.is_dir() and path.name != "planned"]


def test_the_result_of_several_ranks_is_where_the_run_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, folder = tmp_path / "pairs.jsonl", tmp_path / "run-0000000000"
    data.write_text("{}")

    def trained(*_: Any, **__: Any) -> Any:
        data.unlink()
        folder.mkdir()
        result = {"config_sha256": "0" * 64, "best": {"val/nll": 2.0}}
        (folder / "result.json").write_text(json.dumps(result))
        return SimpleNamespace(returncode=0, stderr="")

    def of_job(cfg: Any) -> Any:
        return SimpleNamespace(folder=folder if data.exists() else tmp_path / "another")

    monkeypatch.setattr(main.Run, "of_job", of_job)
    monkeypatch.setattr(main.subprocess, "run", trained)
    assert main._run_in_subprocess(OmegaConf.create(), []) == 2.0


def in_process(code: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "EN2PY_CACHE": str(folder / "cache")},
    )


WITHOUT_TORCH = f"""
import sys, runpy
sys.path.insert(0, {str(ROOT)!r})
try:
    runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
finally:
    heavy = {{"torch", "pytorch_lightning", "spacy", "wandb"}} & set(sys.modules)
    if heavy: print("imported", heavy)
"""


def test_help_is_printed_without_torch(tmp_path: Path) -> None:
    done = in_process(WITHOUT_TORCH, "--help", folder=tmp_path)
    assert done.returncode == 0
    assert len(re.findall(r"^  python \S*train\.py", done.stdout, re.MULTILINE)) >= 5
    assert "loss: plain, smoothed, weighted, weighted_smoothed" in done.stdout
    assert "imported" not in done.stdout


@pytest.mark.parametrize("program", ["train.py", "evaluate.py", "generate.py"])
def test_ctrl_c_during_the_imports_exits_without_a_traceback(program: str, tmp_path: Path) -> None:
    code = """
import runpy, signal, sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "hydra":
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupt())
runpy.run_path(sys.argv[1], run_name="__main__")
"""
    done = in_process(code, str(ROOT / program), folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("program", ["train.py", "evaluate.py", "generate.py", "demo.py"])
def test_python_without_the_environment_is_reported(program: str, tmp_path: Path) -> None:
    command = [sys.executable, "-ES", str(ROOT / program)]  # no packages
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("'en2py'; first: make train, source .venv/bin/activate\n")


def test_validation_error_needs_no_torch_and_writes_nothing(tmp_path: Path) -> None:
    arguments = ("trainer.max_epochs=abc", f"output={tmp_path / 'outputs'}")
    done = in_process(WITHOUT_TORCH, *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "trainer.max_epochs=abc: expected a whole number or -1\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program", ["train", "evaluate"])
def test_the_help_page_fits_into_80_columns(program: str) -> None:
    page = compose_config(program, [f"hydra/help={program}"]).hydra.help.template
    assert max(map(len, page.splitlines())) <= 80


def test_the_help_page_offers_the_loggers_that_an_evaluation_accepts() -> None:
    page = str(compose_config("evaluate", ["hydra/help=evaluate"]).hydra.help.template)
    (offered,) = re.findall(r"^ *logger: (.*)$", page, flags=re.MULTILINE)
    for option in offered.split(", "):
        with job_of(compose_config("evaluate", ["baseline=all", f"logger={option}"])) as cfg:
            validate(cfg, "evaluate")
