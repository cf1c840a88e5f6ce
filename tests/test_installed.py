"""A wheel: what it holds, and its commands in a folder without a checkout."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
Installed = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the content of the wheel."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    zipfile.ZipFile(file).extractall(folder / "installed")
    return folder / "installed"


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Installed:
    """Return a function that runs a command of the wheel in an empty folder."""
    parser = ConfigParser()
    parser.read_string(next(wheel.glob("*.dist-info/entry_points.txt")).read_text())
    commands = dict(parser["console_scripts"])
    environment = {key: value for key, value in os.environ.items() if key != "EN2PY_CACHE"}

    def run(name: str, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
        module, _, function = commands[name].partition(":")
        code = f"import sys; from {module} import {function}; sys.exit({function}())"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, [str(wheel), path]))},
            capture_output=True,
            text=True,
        )

    return run


def test_a_wheel_holds_every_group_and_preset_of_the_checkout(wheel: Path) -> None:
    for folder in ("conf", "experiments/data", "experiments/experiment"):
        files = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.yaml")}
        held = {
            p.relative_to(wheel / "en2py").as_posix()
            for p in (wheel / "en2py" / folder).rglob("*.yaml")
        }
        assert files and held == files


def test_a_wheel_holds_all_files_of_the_package_once(wheel: Path) -> None:
    sources = [path for path in (ROOT / "src").rglob("*") if path.is_file()]
    kept = {p.relative_to(ROOT / "src") for p in sources if "__pycache__" not in p.parts}
    held = {p.relative_to(wheel) for p in wheel.rglob("*") if p.is_file()}
    extra = {
        p for p in held - kept if p.parts[:2] not in {("en2py", "conf"), ("en2py", "experiments")}
    }
    assert kept <= held
    assert all(path.parts[0].endswith(".dist-info") for path in extra)


def test_an_installed_command_writes_below_the_current_folder(
    installed: Installed, tmp_path: Path
) -> None:
    done = installed("en2py-train", "--cfg", "job", "--resolve", "experiment=loss_functions")
    assert done.returncode == 0, done.stderr
    assert f"output: {tmp_path}/outputs" in done.stdout
    assert f"cache: {tmp_path}/outputs/.cache" in done.stdout
    assert "study: loss_functions" in done.stdout


@pytest.mark.parametrize("name", ["en2py-train", "en2py-evaluate"])
def test_the_help_of_an_installed_command_names_the_command(
    installed: Installed, name: str
) -> None:
    done = installed(name, "--help")
    assert f"  {name} " in done.stdout
    assert ".py " not in done.stdout


def test_an_installed_command_refuses_a_mistake_in_one_sentence(
    installed: Installed, tmp_path: Path
) -> None:
    done = installed("en2py-train", "loss=smoth")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean 'smoothed'" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["en2py-train", "en2py-evaluate", "en2py-generate"])
def test_every_command_prints_its_version(installed: Installed, wheel: Path, name: str) -> None:
    (record,) = wheel.glob("en2py-*.dist-info")
    assert installed(name, "--version").stdout == f"en2py {record.stem.removeprefix('en2py-')}\n"


@pytest.mark.slow
def test_an_own_loss_and_an_own_data_source_train_from_a_wheel(
    installed: Installed, tmp_path: Path
) -> None:
    words = "loss=focal data=arithmetic data.source.n=60 model=tiny split=random"
    done = installed(
        "en2py-train",
        "hydra.searchpath=[pkg://own_parts.conf]",
        "allowed_packages=[own_parts]",
        *words.split(),
        *("trainer=smoke", "trainer.accelerator=cpu", "logger=csv", "processes=1"),
        path=str(ROOT / "docs" / "own_parts"),
    )
    assert done.returncode == 0, done.stderr
    (result,) = (tmp_path / "outputs" / "adhoc").glob("*/result.json")
    record = json.loads(result.read_text())
    assert record["allowed_packages"] == ["own_parts"]
    assert record["run"].startswith("arithmetic-tiny-none-focal-seed1-")
    assert "passes_tests" in record["test"]
    assert "best.ckpt 'allowed_packages=[own_parts]'\n" in done.stdout  # the printed command
