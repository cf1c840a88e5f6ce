"""Files for the repository's hosts and readers agree with the project."""

import importlib
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from en2py.config.composition import groups_of, options_of
from en2py.data.pairs import DataReport
from en2py.evaluation.baselines.bounds import second_human

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE))


def test_ci_runs_the_test_command_of_the_readme() -> None:
    (command,) = re.findall(r"^(make test)\b", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert command in (ROOT / ".ci/run").read_text().splitlines()


@pytest.mark.parametrize(
    "file", ["README.md", "CONTRIBUTING.md", ".ci/run", ".github/workflows/ci.yml"]
)
def test_make_targets_exist(file: str) -> None:
    used = re.findall(r"^\s*(?:- run: )?make ([a-z]+)", (ROOT / file).read_text(), re.MULTILINE)
    used += re.findall(r"`make ([a-z]+)", (ROOT / file).read_text())
    assert used and set(used) <= TARGETS


def test_bare_make_lists_every_target() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^make ([a-z]+)", listed, flags=re.MULTILINE)) == TARGETS | {"help"}


def test_broken_links_fail_the_documentation() -> None:
    (line,) = (line for line in MAKEFILE.splitlines() if "mkdocs build" in line)
    assert "--strict" in line and "--quiet" not in line  # with which warnings are not counted


def test_training_needs_no_development_tools() -> None:
    (prerequisites,) = re.findall(r"^train: (.*?)  ##", MAKEFILE, flags=re.MULTILINE)
    assert prerequisites == "$(VENV)/.installed"


def test_workflow_tests_the_oldest_and_the_newest_python() -> None:
    versions = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python-version"]
    oldest, above = re.findall(r"3\.(\d+)", PROJECT["requires-python"])
    assert versions == [f"3.{oldest}", f"3.{int(above) - 1}"]


def test_citation_names_the_authors_and_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["authors"] == [{"name": author["name"]} for author in PROJECT["authors"]]
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]


def test_table_of_options_is_complete() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    rows = re.findall(r"^\| (`[^|]*) \| (`[^|]*) \|", page, flags=re.MULTILINE)
    listed = {group.strip("`"): re.findall(r"`([^`]+)`", options) for group, options in rows}
    for group in set(groups_of()) - {"data", "experiment", "logger", "sandbox"}:
        assert sorted(listed.get(group, [])) == options_of(group), group


def test_page_on_own_parts_shows_the_files_of_the_example() -> None:
    shown = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/own_parts.md").read_text(), re.DOTALL)
    files = ["loss/focal.yaml", "data/arithmetic.yaml"]
    assert shown == [(ROOT / "docs/own_parts/own_parts/conf" / f).read_text() for f in files]


def test_pairs_of_the_example_are_not_taken_for_written_by_people(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs/own_parts"))
    read = importlib.import_module("own_parts.parts").read_arithmetic
    pairs = read(DataReport(), n=3)
    assert all(pair.family for pair in pairs)
    assert second_human(pairs[:2], pairs[2:]) == [""]


def test_layout_names_every_folder_and_program() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git checkout")
    (layout,) = re.findall(r"## Layout\n(.*?)\n## ", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    paths = [Path(line) for line in listed.stdout.splitlines()]
    folders = {f"{path.parts[0]}/" for path in paths if len(path.parts) > 1}
    programs = {path.name for path in paths if path.parent == Path() and path.suffix == ".py"}
    packages = {f"src/en2py/{path.parent.name}/" for path in (ROOT / "src/en2py").glob("*/*.py")}
    known = folders | programs | packages
    assert sorted(name for name in known if f"`{name}" not in layout) == []


def test_spelling_is_american() -> None:
    stems = "generali initiali minimi normali optimi orthogonali recogni summari synchroni tokeni"
    british = re.compile(rf"({stems.replace(' ', '|')})s(e|ing|ation)|[c]olour|[l]icence", re.I)
    folders = ("src", "conf", "docs", "tests")
    files = [*ROOT.glob("*.md"), *(path for name in folders for path in (ROOT / name).rglob("*"))]
    texts = [path for path in files if path.suffix in (".py", ".yaml", ".md", ".j2", ".js", ".css")]
    assert [str(path) for path in texts if british.search(path.read_text(encoding="utf-8"))] == []
