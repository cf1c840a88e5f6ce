"""Ranges and pins of the dependencies."""

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = (ROOT / "constraints.txt").read_text().splitlines()


def name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def test_every_direct_dependency_is_pinned_exactly() -> None:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    wanted = {name(line) for group in groups for line in group} - {"en2py"}
    marker = r'(; python_version [<>=]+ "3\.\d+")?'
    assert all(re.fullmatch(rf"[\w.-]+==[\w.]+{marker}", line) for line in PINS)
    # Indirect dependencies of the hyperparameter search are pinned too.
    assert wanted <= {name(line) for line in PINS}


def test_no_dependency_is_declared_or_pinned_twice() -> None:
    declared = [name(line) for line in PROJECT["dependencies"]]
    pinned = [line.split("==")[0] + line.partition(";")[2] for line in PINS]
    assert len(set(declared)) == len(declared) and len(set(pinned)) == len(pinned)


def test_lightning_is_newer_than_its_advisories() -> None:
    (floor,) = (d for d in PROJECT["dependencies"] if name(d) == "pytorch-lightning")
    assert floor.startswith("pytorch-lightning>=2.6.6,")
    assert "lightning" not in {name(line) for line in PROJECT["dependencies"]}


def test_pins_satisfy_what_the_installed_packages_require() -> None:
    pins = [Requirement(line) for line in PINS]
    pinned = {
        name(pin.name): next(iter(pin.specifier)).version
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }
    unmet = [
        f"{package.name}: {line}"
        for package in distributions()
        for line in package.requires or []
        for wanted in [Requirement(line)]
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if name(wanted.name) in pinned
        if not wanted.specifier.contains(pinned[name(wanted.name)], prereleases=True)
    ]
    assert not unmet
