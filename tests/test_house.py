"""The rules of the house that a machine can keep: who imports whom, file length, names."""

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "en2py"
FILES = sorted(SRC.rglob("*.py"))
DOORS = [ROOT / "train.py", ROOT / "evaluate.py", ROOT / "demo.py"]
OTHERS = [
    path
    for folder in ("tests", "benchmarks", "docs", "experiments", ".ci")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and path.suffix in (".py", ".sh", ".md", ".yaml", "")
]

TEXT = {"autopep8", "pycodestyle", "spacy", "tokenizers", "ftfy", "fissix", "sklearn", "filelock"}
PARTS = {"torch", "torchmetrics", "gensim", "sacrebleu", "matplotlib", "sklearn", "numpy", "scipy"}
PARTS |= {"jinja2", "markupsafe", "pygments"}  # report pages
PARTS |= {"codebleu", "tree_sitter"}
LIGHTNING = {"pytorch_lightning", "torchmetrics", "torch", "wandb"}
HYDRA = {"hydra", "omegaconf"}
HEAVY = {"torch", "pytorch_lightning", "spacy", "gensim", "wandb", "matplotlib", "torchmetrics"}
PART_ROOMS = ("model", "losses", "decoding", "embeddings", "schedules", "evaluation")
LIGHTNING_FILES = ("module.py", "callbacks.py", "data/datamodule.py", "faults.py")
HYDRA_FILES = (
    "run.py",
    "resume.py",
    "build.py",
    "comparison/compare.py",
    "comparison/entrants.py",
    "comparison/entries.py",
    "prompts.py",
    "checks.py",
    "cli.py",
    "refusals.py",
    "sweep.py",
    "ahead.py",
    "study.py",
)
WANDB_FILES = ("callbacks.py", "loggers.py")

# Above 350 lines a file needs a reason.
LONG = {
    "model.py": "the paper in one file, top to bottom; packed rows and cache too",
    "data/sources/tasks/": "tables: one entry a primitive or a family of tasks",
}


def name(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each imported module and whether it is imported with the file itself."""
    tree = tree_of(path)
    late = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) not in late
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module), id(node) not in late
            for alias in node.names:
                if is_module(f"{node.module}.{alias.name}"):
                    yield f"{node.module}.{alias.name}", id(node) not in late


def is_module(dotted: str) -> bool:
    return dotted.startswith("en2py.") and file_of(dotted) is not None


def file_of(dotted: str) -> Path | None:
    place = SRC.parent.joinpath(*dotted.split("."))
    return next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)


def third_party(path: Path) -> set[str]:
    roots = {module.split(".")[0] for module, _ in imports(path)}
    return roots - set(sys.stdlib_module_names) - {"en2py"}


def ours(path: Path) -> set[str]:
    return {module for module, _ in imports(path) if module.startswith("en2py.")}


def text_floor() -> list[Path]:
    return [p for p in FILES if name(p).startswith("data/") and name(p) != "data/datamodule.py"]


def part_floor() -> list[Path]:
    return [p for p in FILES if name(p).split("/")[0].removesuffix(".py") in PART_ROOMS]


def test_text_floor_imports_only_text_tools() -> None:
    batch = SRC / "data" / "batch.py"
    found = {name(p): third_party(p) - TEXT for p in text_floor() if p != batch}
    assert not {file: more for file, more in found.items() if more}
    assert third_party(batch) <= {"torch"}


def test_text_floor_imports_nothing_above_it() -> None:
    allowed = ("en2py.data", "en2py.errors")
    found = {name(p): {m for m in ours(p) if not m.startswith(allowed)} for p in text_floor()}
    assert not {file: more for file, more in found.items() if more}


def test_parts_import_only_their_tools() -> None:
    found = {name(p): third_party(p) - PARTS for p in part_floor()}
    assert not {file: more for file, more in found.items() if more}


def test_parts_do_not_import_each_other() -> None:
    found = {}
    for path in part_floor():
        room = name(path).split("/")[0].removesuffix(".py")
        allowed = ("en2py.data", "en2py.errors", f"en2py.{room}")
        found[name(path)] = {m for m in ours(path) if not m.startswith(allowed)}
    assert not {file: more for file, more in found.items() if more}


def test_lightning_floor_knows_no_config() -> None:
    found = {file: third_party(SRC / file) - LIGHTNING for file in LIGHTNING_FILES}
    assert not {file: more for file, more in found.items() if more}


def test_hydra_only_in_the_wiring() -> None:
    users = {name(p) for p in FILES if third_party(p) & HYDRA}
    assert users <= set(HYDRA_FILES)


def test_wandb_only_where_it_is_called() -> None:
    users = {name(p) for p in FILES if "wandb" in third_party(p)}
    assert users <= set(WANDB_FILES)


def test_lightning_has_one_name() -> None:
    assert not [p.name for p in [*FILES, *DOORS] if "lightning" in third_party(p)]


@pytest.mark.parametrize("door", DOORS, ids=lambda p: p.name)
def test_doors_import_nothing_heavy(door: Path) -> None:
    """What a door loads before the checks: seconds of torch would stand before every refusal."""
    seen: set[Path] = set()
    waiting = [door]
    while waiting:
        path = waiting.pop()
        seen.add(path)
        for module, at_once in imports(path):
            assert not (at_once and module.split(".")[0] in HEAVY), f"{path.name}: {module}"
            file = file_of(module) if at_once and module.startswith("en2py") else None
            if file is not None and file not in seen:
                waiting.append(file)


def test_file_length() -> None:
    long = {name(p) for p in FILES if len(p.read_text(encoding="utf-8").splitlines()) > 350}
    assert not {file for file in long if not file.startswith(tuple(LONG))}


def test_no_pickle_is_trusted() -> None:
    for path in [*FILES, *DOORS]:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.keyword) and node.arg == "weights_only":
                assert isinstance(node.value, ast.Constant) and node.value.value is True, path


def test_names_say_what_a_thing_is() -> None:
    assert not {"utils", "helpers", "common", "misc"} & {path.stem for path in FILES}
    classes = [n.name for p in FILES for n in ast.walk(tree_of(p)) if isinstance(n, ast.ClassDef)]
    assert not [c for c in classes if re.search(r"(Manager|Helper|Handler)$|^Base[A-Z]", c)]


def test_every_file_says_what_it_is_for() -> None:
    assert not [p.name for p in [*FILES, *DOORS] if not ast.get_docstring(tree_of(p))]


def test_no_path_of_one_machine() -> None:
    pages = [*(ROOT / "conf").rglob("*.yaml"), *ROOT.glob("*.md"), *OTHERS]
    found = {}
    for path in [*FILES, *DOORS, *pages]:
        text = path.read_text(encoding="utf-8", errors="replace")
        found[str(path)] = re.findall(r"(?<![\w.])/(?:home|Users|work|root)/\w+", text)
    assert not {file: more for file, more in found.items() if more}
