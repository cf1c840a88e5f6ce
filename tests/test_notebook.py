"""The notebook: its cells run in a quick form, and it is stored without outputs."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
WHERE = ["logger=csv", "processes=1", "trainer.accelerator=cpu", "decoding.max_len=24",
         "behaviour=false"]  # fmt: skip
SIZE = ["model=tiny", "data.source.n_pairs=200", "trainer=smoke"]


@pytest.fixture
def notebook() -> Any:
    return pytest.importorskip("nbformat").read(NOTEBOOK, as_version=4)


@pytest.mark.slow
def test_every_cell_runs(notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = pytest.importorskip("nbclient").NotebookClient
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("EN2PY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (values,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    values.source = f"where = {[*WHERE, f'output={tmp_path}']}\nsize = {SIZE}"
    client(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": ROOT}}
    ).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(pictures) >= 3  # the curves, and a map for each layer
    (sweep,) = (c for c in notebook.cells if "loss=plain,smoothed" in c.source)
    printed = "".join(out.get("text", "") for out in sweep.outputs)
    assert "losses: summary" in printed, printed
    assert len(list(tmp_path.glob("adhoc/*/result.json"))) == 3  # the run, longer, own pairs


def test_the_notebook_is_stored_without_outputs(notebook: Any) -> None:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell for cell in cells if cell.outputs or cell.execution_count]


def test_a_badge_names_the_repository_of_the_project_or_is_absent(notebook: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    urls = {name.lower(): url for name, url in project.get("urls", {}).items()}
    repository = urls.get("repository") or urls.get("source") or ""
    text = NOTEBOOK.read_text(encoding="utf-8")
    badge = "colab.research.google.com/github/" + repository.removeprefix("https://github.com/")
    assert (badge in text) == bool(repository)
    assert ("colab-badge" in text) == bool(repository)
