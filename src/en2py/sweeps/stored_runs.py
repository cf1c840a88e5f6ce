"""The finished runs of a study, read from their folders or from a CSV file with a row for each."""

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from en2py.config.paths import check_exists
from en2py.config.run_name import is_archived, settings, without_seed
from en2py.data.files import csv_text, digest
from en2py.errors import UserError
from en2py.sweeps.plan import planned_order
from en2py.training import run_folder

log = logging.getLogger(__name__)

TOO_LONG = ("val_too_long", "test_too_long")  # pairs
FACTS = ("run", "study", "seed", "vocab", "split_hash", "held_out_hash", *TOO_LONG, "epochs",
         "steps", "seconds", "test_seconds", "machine")  # fmt: skip
_VERSION = "version/"
VALIDATION_LIMIT = "trainer.limit_val_batches"
TYPED = "typed"  # column of a CSV file with the typed keys


@dataclass(frozen=True)
class StoredRun:
    """The stored result of a finished run.

    Attributes:
        facts: Name, study, seed, digest of the Python tokens, hashes of the split and of its
            held-out pairs, numbers of pairs that are too long for the model (empty if unknown),
            epochs, steps, seconds, devices and precision of the training.
        settings: All settings, see `run_name.settings`; from a CSV those that may vary.
        metrics: `val/nll`, `train/nll`, `test/exact_match`, ...; those of validation and training
            at the best epoch.
        versions: Package to version.
        curves: Rows of `metrics.csv`; empty from a CSV.
        typed: The keys of its overrides.
    """

    facts: dict[str, str]
    settings: dict[str, str]
    metrics: dict[str, float]
    versions: dict[str, str] = field(default_factory=dict)
    curves: list[dict[str, float]] = field(default_factory=list)
    typed: tuple[str, ...] = ()

    def of(self, split: str) -> dict[str, float]:
        """Return the metrics of `val` or `test`, by their names without the split."""
        names = (name for name in self.metrics if name.startswith(f"{split}/"))
        return {name.removeprefix(f"{split}/"): self.metrics[name] for name in names}


def read_study(path: Path) -> list[StoredRun]:
    """Return the finished runs of a folder or a CSV file, in the order of the largest sweep.

    Raises:
        UserError: If there is none.
    """
    if path.is_file():
        return _from_csv(path)
    check_exists("study", path)
    if (path / "config.yaml").is_file():
        raise UserError(f"study={path} is the folder of one run; its study is study={path.parent}")
    runs = [run for folder in sorted(path.iterdir()) if (run := _from_folder(folder)) is not None]
    renamed = [
        f"{name} is left out: it is the folder of the run {run}, rename it back"
        for name, run in renamed_folders(path).items()
    ]
    if not runs:
        n = len(list(path.glob("*/config.yaml"))) - len(renamed)
        why = "; ".join([f"{n} not finished", *renamed])
        raise UserError(f"study={path}: no finished run in it, {why}")
    for text in renamed:
        log.warning(text)
    planned = planned_order(path)

    def place(run: StoredRun) -> tuple[int, str, int]:
        name = run.facts["run"]
        position = planned.index(name) if name in planned else len(planned)
        return position, without_seed(name), int(run.facts["seed"])

    return sorted(runs, key=place)


def csv_of(runs: Sequence[StoredRun]) -> str:
    """Return runs as CSV, one row each, for `read_study`.

    Of the settings it contains the options of groups, the typed keys, and all that vary.
    """
    every = dict.fromkeys(key for run in runs for key in run.settings)
    varied = {key for key in every if len({run.settings.get(key) for run in runs}) > 1}
    typed = {key for run in runs for key in run.typed}
    chosen = [key for key in every if "." not in key or key in varied | typed | {VALIDATION_LIMIT}]
    names = sorted({name for run in runs for name in run.metrics})
    versions = sorted({name for run in runs for name in run.versions})
    rows = [
        {
            **run.facts,
            TYPED: " ".join(run.typed),
            **{key: run.settings.get(key, "") for key in chosen},
            **{name: repr(value) for name, value in run.metrics.items()},
            **{_VERSION + name: version for name, version in run.versions.items()},
        }
        for run in runs
    ]
    return csv_text([*FACTS, TYPED, *chosen, *names, *(_VERSION + name for name in versions)], rows)


def _from_csv(path: Path) -> list[StoredRun]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # spreadsheets write the mark
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error):
        rows = []
    if not rows or not {"run", "seed"} <= rows[0].keys() or any(None in row for row in rows):
        raise UserError(
            f"study={path}: not a table of runs, one row each, as runs.csv is; a spreadsheet must "
            "be saved as CSV"
        )
    return [_from_row(row, path) for row in rows]


def _from_row(row: dict[str, str], path: Path) -> StoredRun:
    metrics, chosen = {}, {}
    for key, cell in row.items():
        if key in (*FACTS, TYPED) or key.startswith(_VERSION) or not cell:
            continue
        if key.startswith(("val/", "train/", "test/", "gap/")):
            try:
                metrics[key] = float(cell)
            except ValueError:
                message = f"study={path}: {key} of {row['run']} is not a number: {cell!r}"
                raise UserError(message) from None
        else:
            chosen[key] = cell
    versions = {k.removeprefix(_VERSION): v for k, v in row.items() if k.startswith(_VERSION)}
    facts = {key: row.get(key) or "" for key in FACTS}
    try:  # spreadsheets and pandas may write 1.0
        facts["seed"] = f"{int(facts['seed'].removesuffix('.0'))}"
    except ValueError:
        raise UserError(
            f"study={path}: seed of {row['run']} is not a whole number: {facts['seed']!r}"
        ) from None
    typed = tuple((row.get(TYPED) or "").split())
    return StoredRun(facts, chosen, metrics, versions, typed=typed)


def _from_folder(folder: Path) -> StoredRun | None:
    result = run_folder.read_result(folder)
    if result is None:
        return None
    config = run_folder.read_config(folder)
    if "seed" not in config:
        raise UserError(
            f"{folder / 'config.yaml'}, which has the settings of a finished run, is missing or "
            "damaged: put it back, or move the folder out of the study"
        )
    # Token to count, which augmentation changes.
    vocab = run_folder.read_record(folder / "vocab" / "tgt.json")
    facts = {key: str(result.get(key, "")) for key in FACTS}
    facts |= {"run": folder.name, "vocab": "" if vocab is None else digest(sorted(vocab))[:12]}
    facts["machine"] = run_folder.machine_of(result)
    report = run_folder.read_record(folder / "data_report.json") or {}
    too_long = report.get("facts", {}).get("over_max_len", {})
    facts |= {f"{part}_too_long": str(n) for part, n in too_long.items() if part != "train"}
    chosen = settings(config, result["choices"], result.get("contents", {}))
    if result.get("validation_limit") == "" and chosen.get(VALIDATION_LIMIT) != "0":
        chosen.pop(VALIDATION_LIMIT, None)  # the validation split has no more batches than that
    return StoredRun(
        facts=facts,
        settings=chosen,
        metrics={
            k: float(v)
            for k, v in run_folder.metrics_of(result).items()
            if isinstance(v, int | float)
        },
        versions=result["versions"],
        curves=run_folder.read_epochs(folder / "metrics.csv"),
        typed=tuple(o.lstrip("+").split("=")[0] for o in result["overrides"]),
    )


def renamed_folders(study: Path) -> dict[str, str]:
    """Return the folders of finished runs that were renamed, with the names of the runs.

    The name of a run tells whether a result is that of its config.
    """
    found = {}
    for file in sorted(study.glob("*/result.json")):
        record, name = run_folder.read_record(file) or {}, file.parent.name
        is_other = (record.get("run") or name) != name and not is_archived(name)
        if is_other and run_folder.read_result(file.parent) is None:
            found[name] = str(record["run"])
    return found
