"""The documented experiments: README, presets, scripts."""

import ast
import random
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiments import (
    eval_metrics,
    neighbours,
    run_all,
    train_vectors,
    training_queries,
    try_all,
    what_helps,
)
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from configs import checked
from en2py.cli.overrides import separate
from en2py.config import instantiate
from en2py.config.composition import CONF, ROOT, leaves
from en2py.config.effects import without_effect
from en2py.config.overrides import quoted
from en2py.data.pairs import Pair
from en2py.data.syntax import parse
from en2py.data.tree_text import ast_text_renamed
from en2py.evaluation.baselines.candidates import find_training_candidates
from en2py.evaluation.baselines.ranker import FEATURES
from en2py.evaluation.baselines.votes import Agreement
from en2py.evaluation.metrics.bleu import TrainingCode
from en2py.evaluation.results import Difference
from en2py.models.embeddings import Vectors
from en2py.sweeps.stored_runs import FACTS, TYPED

HERE = ROOT / "experiments"
README = (HERE / "README.md").read_text(encoding="utf-8")
SECTIONS = dict(part.split("\n", 1) for part in re.split(r"^## ", README, flags=re.MULTILINE)[1:])
PRESETS = sorted(file for home in (CONF, HERE) for file in home.glob("experiment/*.yaml"))
SCRIPTED = {  # nothing is trained
    "eval_metrics",
    "baselines",
    "pretraining",  # its steps depend on each other
    "transfer",
    "What helps on small data",
    "Models and the retrieval baseline",
}
WITHOUT_PRESET = {
    "behaviour_split",  # that of `tokenizers`
    "combinations",  # the default preset
    "generated_tasks",  # those of `data_mixture` and `neighbours_and_copy`
}
ASKED = (
    "pretrained_vectors joint_vectors keyword_weights loss_functions embedding_sources"
    " model_sizes transformer_variants schedules tokenizers eval_metrics"
    " cleaning duplicates augmentation data_mixture"
).split()


@pytest.fixture(autouse=True)
def _no_config_left() -> Iterator[None]:
    yield
    HydraConfig.instance().cfg = None


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text("there")
    return path


def test_every_experiment_has_a_section_and_a_preset() -> None:
    recipes = {path.stem for path in (HERE / "experiment").glob("*.yaml")}
    assert set(ASKED) <= set(SECTIONS)
    assert recipes == set(SECTIONS) - SCRIPTED - WITHOUT_PRESET


@pytest.mark.parametrize("name", sorted(set(SECTIONS) - WITHOUT_PRESET - SCRIPTED))
def test_section_has_question_commands_and_table(name: str) -> None:
    text = SECTIONS[name]
    assert all(f"*{part}.*" in text for part in ("Question", "Fixed", "Table", "Conclusion"))
    commands = re.findall(r"^python train\.py (.*)$", text, flags=re.MULTILINE)
    assert all(f"experiment={name} " in command for command in commands)
    assert any(try_all.TWO_CORES in command for command in commands)
    assert any(try_all.TWO_CORES not in command for command in commands)
    pending = "table pending" in text
    assert pending or re.search(r"^\|( ?---)", text, flags=re.MULTILINE)


def each_job(words: list[str]) -> Iterator[list[str]]:
    """Yield the first job of a sweep, and one job for each other value of an axis."""
    axes = []
    for override in OverridesParser.create().parse_overrides(words):
        values = [str(override.input_line)]
        if override.is_sweep_override():
            values = [
                f"{override.get_key_element()}={value}"
                for value in override.sweep_string_iterator()
            ]
        axes.append(values)
    yield [values[0] for values in axes]
    for place, values in enumerate(axes):
        if not values[0].startswith("seed="):
            for value in values[1:]:
                yield [value if i == place else own[0] for i, own in enumerate(axes)]


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_every_configuration_of_a_command_is_accepted(name: str, existing: Path) -> None:
    found = re.findall(r"^python train\.py (.*)$", SECTIONS[name], flags=re.MULTILINE)
    jobs = set()
    for line in found:
        _, words = separate(shlex.split(line.split("   #")[0]))
        words = [re.sub(r"path=.*", f"path={existing}", word) for word in words]
        each = [tuple(job) for job in each_job([quoted(word) for word in words])]
        # The two-core commands have the values of the full ones.
        jobs |= set(each[:1] if try_all.TWO_CORES in line else each)
    for job in jobs:
        checked("train", list(job), existing)
    assert jobs or name in SCRIPTED


@pytest.mark.parametrize("file", PRESETS, ids=lambda path: path.stem)
def test_every_value_of_a_preset_has_an_effect(file: Path, existing: Path) -> None:
    preset: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    config: Any = OmegaConf.to_container(
        checked("train", [f"experiment={file.stem}"], existing), resolve=True
    )
    set_here = dict(leaves({key: preset[key] for key in preset.keys() - {"defaults"}}))
    ignored = dict(without_effect(config))
    assert not [k for k in set_here for own in ignored if f"{k}.".startswith(f"{own}.")]


def test_joint_vectors_has_the_documented_number_of_parameters(existing: Path) -> None:
    config = OmegaConf.to_container(checked("train", ["experiment=joint_vectors"], existing))
    model = instantiate.make(config["model"])(1195, 4412, 0, src_width=768, tgt_width=768)
    for side in (model.src_embedding, model.tgt_embedding):  # initialized by word2vec, so frozen
        side.table.requires_grad_(False)
    assert config["embeddings"]["freeze_epochs"] == -1
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 24_149_820


def test_cleaning_switches_one_step_at_a_time(existing: Path) -> None:
    line, *_ = re.findall(r"'cleaning\.use=(\S*unparse\S*space_brackets\S*)'", SECTIONS["cleaning"])
    default = OmegaConf.load(ROOT / "conf" / "cleaning" / "default.yaml").use
    switches = [value.strip("{}") for value in line.split(",")]
    assert switches == ["", *(f"{step}:{str(not on).lower()}" for step, on in ordered(default))]
    cfg = checked("train", ["experiment=cleaning", "cleaning.use={autopep8:false}"], existing)
    assert cfg.cleaning.use == {**default, "autopep8": False}


def ordered(default: DictConfig) -> list[tuple[str, bool]]:
    """List the enabled steps before the disabled ones."""
    return sorted(default.items(), key=lambda item: not item[1])


def test_mixtures_start_from_the_same_file_as_the_students_data() -> None:
    alone = OmegaConf.load(ROOT / "conf" / "data" / "english_python.yaml").source
    mixed = OmegaConf.load(HERE / "data" / "_english_python_and.yaml").source.sources.english_python
    assert mixed == alone


# -- eval_metrics ---------------------------------------------------------------------------------

CODE = """def mean(values, *rest):
    total = 0
    for v in values:
        total += v
    return total / len(values)
"""


def damage(name: str, code: str = CODE) -> str | None:
    return eval_metrics.DAMAGE[name](code, random.Random(1))


def test_stripped_indentation_keeps_the_lines() -> None:
    damaged = damage("indentation stripped")
    assert damaged.split("\n") == [line.strip() for line in CODE.splitlines()]
    assert damage("indentation stripped", "x = 1\n") is None


def test_changed_names_are_the_same_program_up_to_names() -> None:
    damaged = damage("names changed")
    assert ast_text_renamed(damaged) == ast_text_renamed(CODE)
    assert not {"mean", "values", "total"} & set(re.findall(r"\w+", damaged))
    assert damage("names changed", "print(1)\n") is None


@pytest.mark.parametrize("seed", range(8))
def test_one_operator_is_changed_and_the_program_still_parses(seed: int) -> None:
    damaged = eval_metrics.change_operator(CODE, random.Random(seed))
    kinds = [sorted(type(n).__name__ for n in ast.walk(ast.parse(c))) for c in (CODE, damaged)]
    assert parse(damaged) is not None and "*rest" in damaged
    assert kinds[0] != kinds[1] and len(kinds[0]) == len(kinds[1])
    assert eval_metrics.change_operator("def f(*a):\n    return a\n", random.Random(seed)) is None


def test_shuffled_lines_are_the_same_lines() -> None:
    damaged = damage("lines shuffled")
    assert damaged != CODE.rstrip("\n")
    assert sorted(damaged.split("\n")) == sorted(CODE.rstrip("\n").split("\n"))
    assert damage("lines shuffled", "x = 1\n\nx = 1\n") is None


def test_the_table_of_metrics_has_a_row_for_each() -> None:
    pytest.importorskip("tree_sitter")
    codes = [CODE, CODE.replace("total", "whole").replace("+=", "-=")]
    pairs = [Pair(str(i), "task", code, "x") for i, code in enumerate(codes)]

    def behaviour(texts: list[str], taken: list[Pair]) -> list[float]:
        both = zip(texts, taken, strict=True)
        return [float(ast_text_renamed(text) == ast_text_renamed(own.code)) for text, own in both]

    n, (header, *rows) = eval_metrics.table(pairs, behaviour, TrainingCode([]), seed=1)
    assert n == 2 and all(len(row) == len(header) for row in rows)
    titles = [*eval_metrics.SHARES.values(), *eval_metrics.SCORES.values(), "behaves"]
    assert [row[0] for row in rows] == titles and rows[0][1] == 100.0


# -- the other scripts ----------------------------------------------------------------------------


def test_vectors_are_trained_on_docstrings_and_readme_files(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.py").write_text(
        '"""Sum the list.\n\nReturn the sum."""\nx = "not a docstring"\n'
    )
    (tmp_path / "b.md").write_text("Reverse the list.\n\nSum the list.\n")
    (tmp_path / "broken.py").write_text("def (")
    file = tmp_path / "out" / "english.vec"
    monkeypatch.setattr(
        "sys.argv",
        ["", str(file), "--root", str(tmp_path), "--dim", "4", "--min-count", "1"],
    )
    train_vectors.main()
    count, *lines = file.read_text().splitlines()
    assert {line.split()[0] for line in lines} == set("sum the list . return reverse".split())
    assert count == "6 4"


def test_equal_tokens_rank_first_in_a_joint_space(src_vocab, tgt_vocab) -> None:
    import torch

    rows = {token: torch.randn(8) for token in (*src_vocab.tokens, *tgt_vocab.tokens)}
    tables = [torch.stack([rows[t] for t in v.tokens]) for v in (src_vocab, tgt_vocab)]
    found = [torch.ones(len(v), dtype=torch.bool) for v in (src_vocab, tgt_vocab)]
    ranks = neighbours.ranks_of_twins(Vectors(*tables, *found), src_vocab, tgt_vocab)
    assert len(ranks) >= 3 and set(ranks) == {1}
    apart = Vectors(-tables[0], tables[1], *found)
    assert set(neighbours.ranks_of_twins(apart, src_vocab, tgt_vocab)) == {int(found[1].sum())}


def test_commands_are_limited_to_a_few_steps() -> None:
    files = {"mbpp.path": None, "embeddings.path": "v.vec", "data.path": "d.txt"}
    pretrained = ["-m", "experiment=pretrained_vectors", "embeddings.path=glove.txt", "seed=1,2,3"]
    assert try_all.brief(pretrained, files, "out") == [
        *("-m", "experiment=pretrained_vectors", "embeddings.path=v.vec", "data.path=d.txt"),
        *try_all.BRIEF,
        "output=out",
    ]
    assert try_all.brief(["data.source.sources.mbpp.path=x"], files, "out") is None
    names = {name for name, _ in try_all.commands(two_cores=False)}
    assert names == set(SECTIONS) - SCRIPTED


def test_runs_are_ordered_by_seed() -> None:
    found = run_all.jobs(["experiment=e", "loss=plain,smoothed", "seed=1,2"])
    assert [job[1:] for job in found] == [
        ["loss=plain", "seed=1"],
        ["loss=smoothed", "seed=1"],
        ["loss=plain", "seed=2"],
        ["loss=smoothed", "seed=2"],
    ]


def test_committed_rows_are_found_again_and_no_others(existing: Path) -> None:
    table = run_all.rows(HERE / "results" / "loss_functions.csv")
    words = ["experiment=loss_functions", "loss=smoothed", "seed=2", "model=tiny",
             "optimizer=adamw_fast", "trainer.max_epochs=12"]  # fmt: skip

    def found(*more: str) -> int:
        _, _, run = run_all.chosen([*words, *more, f"data.path={existing}"])
        run["data.path"] = table[0]["data.path"]  # the digest of the students' file
        return sum(run_all.is_row_of(row, run, [*words, *more]) for row in table)

    assert found() == 1
    table = [{**row, **{fact: "x" for fact in (*FACTS, TYPED) if fact not in row}} for row in table]
    assert found() == 1
    assert found("seed=4") == found("model=small") == found("model.dropout=0.3") == 0


def test_row_of_another_study_is_borrowed_with_the_columns_of_this_one(
    tmp_path: Path, existing: Path
) -> None:
    def words(*more: str) -> list[str]:
        return ["experiment=cleaning", "model=tiny", *more, "seed=1", f"data.path={existing}"]

    _, name, run = run_all.chosen(words("cleaning.use={}"))
    row = {"run": name, "study": "tokenizers", "seed": "1", "tokenizer/tgt": "python",
           "experiment": "tokenizers", "val/nll": "2.0"}  # fmt: skip
    run_all.add([row], tmp_path / "tokenizers.csv")
    table = tmp_path / "cleaning.csv"
    default, other = words("cleaning.use={}"), words("cleaning.use={unparse:true}")
    found = run_all.borrowed("cleaning", name, run, default, table)
    assert found and found["study"] == found["experiment"] == "cleaning"
    assert (found["val/nll"], found["cleaning.use.unparse"]) == ("2.0", run["cleaning.use.unparse"])
    assert run_all.is_row_of(found, run, default)
    _, other_name, other_run = run_all.chosen(other)
    assert run_all.borrowed("cleaning", other_name, other_run, other, table) is None
    assert not run_all.is_row_of(found, other_run, other)


def test_rows_are_completed_when_another_row_brings_a_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    run_all.add([{"run": "a", "loss": "plain"}, {"run": "b", "loss": "plain", "size": "2"}], path)
    run_all.complete(path, {"a": {"loss": "plain", "size": "1"}})
    assert {row["run"]: row["size"] for row in run_all.rows(path)} == {"a": "1", "b": "2"}


def test_effects_are_of_one_setting_on_the_same_split_and_several_seeds(tmp_path: Path) -> None:
    def run(number: int, seed: int, bpc: float, split: str = "s", **chosen: str) -> dict[str, str]:
        settings = {"loss": "plain", "model": "tiny", "embeddings": "none", **chosen}
        return {"run": f"r{number}", "seed": str(seed), "split_hash": split, **settings,
                "val/nll": "2.0", "val/bpc": str(bpc)}  # fmt: skip

    table = [
        run(1, 1, 2.0), run(2, 2, 2.1), run(3, 1, 1.8, loss="smoothed"),
        run(4, 2, 1.8, loss="smoothed"), run(5, 1, 1.0, loss="smoothed", model="small"),
        run(6, 2, 1.0, loss="smoothed", model="small"), run(7, 1, 1.0, model="base"),
        run(8, 1, 0.5, "other", model="wide"), run(9, 2, 0.5, "other", model="wide"),
    ]  # fmt: skip
    for number, file in (10, "english.vec 1a2b3c4d"), (12, "other.vec 5e6f7a8b"):
        vectors = {"embeddings": "pretrained", "embeddings.path": file}
        table += [run(number, 1, 1.9, **vectors), run(number + 1, 2, 2.1, **vectors)]
    table = [{"augmentation": "none", **own} for own in table]
    for number, n in (14, "2"), (16, "4"):
        renamed = {"augmentation": "rename", "augmentation.n_variants": n}
        table += [run(number, 1, 2.0, **renamed), run(number + 1, 2, 2.4, **renamed)]
    run_all.add(table, tmp_path / "losses.csv")
    (tmp_path / "no_runs.csv").write_text("a,b\n1,2\n")
    effect, *others = what_helps.read_effects(tmp_path)
    assert effect.name == "losses: loss=smoothed, not plain"
    names = [f"embeddings=pretrained of {name}.vec" for name in ("english", "other")]
    names += [f"augmentation=rename, n_variants={n}" for n in (2, 4)]
    assert {row.name for row in others} == {f"losses: {name}" for name in names}
    assert (
        what_helps.table([effect])
        .splitlines()[-1]
        .startswith("| losses: loss=smoothed, not plain | 2 | −0.250")
    )


def test_an_effect_of_zero_has_no_sign() -> None:
    zero = Difference(-0.0002, -0.005, 0.004, "seeds", False)
    assert what_helps.cell("val/bpc", zero) == "0.000 (−0.005 to +0.004)"


def test_rows_are_added_once(tmp_path: Path) -> None:
    row = {"run": "a", "seed": "1", "loss": "plain", "val/nll": "2.0", "version.torch": "2"}
    run_all.add([row], tmp_path / "t.csv")
    run_all.add([{**row, "val/nll": "1.0"}, {**row, "run": "b", "size": "s"}], tmp_path / "t.csv")
    found = run_all.rows(tmp_path / "t.csv")
    assert [(r["run"], r["val/nll"], r["size"]) for r in found] == [
        ("a", "1.0", ""),
        ("b", "2.0", "s"),
    ]
    assert list(found[0]) == ["run", "seed", "loss", "size", "val/nll", "version.torch"]


def test_training_queries_are_valued_by_every_baseline(pairs) -> None:
    settings = {"temperature": 1.0, "vote_weight": 0.3}
    queries = find_training_candidates(pairs, FEATURES, 4)
    nothing_runs = Agreement(np.zeros(len(pairs), dtype=int), np.zeros((1, 1), dtype=bool))
    found = training_queries.values(
        queries,
        nothing_runs,
        np.arange(len(pairs)) % 2 == 1,
        dict.fromkeys(("consensus", "ranker", "votes"), settings),
    )
    assert (found["retrieval"].argmax(axis=1) == 0).all()  # the nearest is first
    assert found["votes"] == pytest.approx(found["ranker"])  # where no program can be called
    assert (found["ranker"] > 0).all()
