"""The layers of the package, and what a machine can check of the contributing guide."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "en2py"
FILES = sorted(SRC.rglob("*.py"))
ENTRY_POINTS = [ROOT / f"{name}.py" for name in ("train", "evaluate", "generate", "demo")]
FLOORS = {
    "errors": 1,
    "console": 1,
    "ranges": 1,
    "data": 2,
    "sandbox": 2,
    "config": 3,
    "models": 3,
    "decoding": 3,
    "evaluation": 3,
    "training": 4,
    "cli": 5,
    "sweeps": 5,
    "api": 6,
}
SIDEWAYS = {("console", "errors"), ("cli", "sweeps"), ("evaluation", "config")}
HEAVY = {"torch", "pytorch_lightning", "spacy", "gensim", "wandb", "matplotlib", "sklearn"}
HEAVY |= {"numpy", "scipy", "pydantic"}


def imports(path: Path) -> set[str]:
    """Return the dotted names of all modules that a file imports, for types alone left out."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    tree.body = [node for node in tree.body if not ast.unparse(node).startswith("if TYPE_CHECKING")]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_imports_run_downwards() -> None:
    for path in FILES:
        package = path.relative_to(SRC).parts[0].removesuffix(".py")
        for name in imports(path):
            other = name.split(".")[1] if name.startswith("en2py.") else package
            if other != package and package != "__init__":
                below = FLOORS[other] < FLOORS[package]
                assert below or (package, other) in SIDEWAYS, f"{path.relative_to(SRC)}: {name}"


@pytest.mark.parametrize("path", ENTRY_POINTS, ids=lambda path: path.name)
def test_an_entry_point_imports_nothing_slow(path: Path) -> None:
    """A validation error is to be reported before torch is imported, which takes seconds."""
    program = f"import sys, {path.stem}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())


def test_lightning_is_imported_under_one_name() -> None:
    assert not [p for p in FILES for name in imports(p) if name.split(".")[0] == "lightning"]


def test_no_pickle_is_trusted() -> None:
    for path in [*FILES, *ENTRY_POINTS]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "weights_only":
                assert isinstance(node.value, ast.Constant) and node.value.value is True, path


def test_every_module_has_a_docstring() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
    assert not [path for path, tree in trees.items() if not ast.get_docstring(tree)]


def test_no_path_of_one_machine() -> None:
    suffixes = (".py", ".sh", ".md", ".yaml", "")
    folders = ("src", "conf", "tests", "benchmarks", "docs", "experiments", ".ci")
    paths = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in suffixes]
    for path in [*filter(Path.is_file, paths), *ROOT.glob("*.md"), *ROOT.glob("*.py")]:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not re.findall(r"(?<![\w.])/(?:home|Users|work|root)/\w+", text), path


def test_lists_and_mappings_to_be_typed_are_quoted_for_the_shell() -> None:
    found = []
    for file in FILES:
        nodes = [*ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
        docstrings = [node.value for node in nodes if isinstance(node, ast.Expr)]
        for node in nodes:
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(str(getattr(part, "value", "X")) for part in parts)
            if isinstance(node, ast.Constant | ast.JoinedStr) and node not in docstrings:
                found += re.findall(r"[\s(]([+\w./]+=[\[{(].*)", text)
    assert not found
