"""Train the documented experiments, one run after another, and collect their rows.

    python experiments/run_all.py english_python_data.txt --two-cores
    python experiments/run_all.py english_python_data.txt --only pretrained_vectors --vectors FILE

Runs the training commands of the experiments' README in their order, seed by seed, so that every
configuration has a result early. It can be stopped at any time: the same command skips finished
runs and runs with a row in `results/`, and resumes interrupted ones. After each run its row is
added to `results/STUDY.csv` (full size: `STUDY-full.csv`), for `python evaluate.py study=FILE`.
A run that another study has trained already is not trained again.
"""

import argparse
import csv
import io
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from experiments.try_all import arguments, commands  # noqa: E402
from hydra.core.override_parser.overrides_parser import OverridesParser  # noqa: E402

from en2py.config.composition import choices_of, compose_config, without_hydra  # noqa: E402
from en2py.config.run_name import all_digests, run_name, settings  # noqa: E402
from en2py.config.validation import resolved  # noqa: E402
from en2py.sweeps.stored_runs import FACTS, TYPED  # noqa: E402
from en2py.sweeps.sweeper import combinations  # noqa: E402

METRICS = ("val/", "train/", "test/", "gap/")
NOT_CHOSEN = {*FACTS, TYPED, "experiment"} - {"seed"}


def jobs(words: list[str]) -> list[list[str]]:
    """Return the runs of a sweep's command line, ordered by seed."""
    found = combinations(OverridesParser.create().parse_overrides(words))
    return sorted(found, key=lambda job: [word for word in job if word.startswith("seed=")])


def chosen(words: list[str]) -> tuple[str, str, dict[str, str]]:
    """Return the study of a run, its name, and its settings with its seed."""
    cfg = compose_config("train", words)
    names, config = choices_of(cfg.hydra), resolved(without_hydra(cfg))
    sha256, contents = all_digests(config)
    run = {**settings(config, names, contents), "seed": str(config["seed"])}
    return config["study"], run_name(config, names, sha256), run


def rows(path: Path) -> list[dict[str, str]]:
    """Read a table of runs; empty if there is none."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def chosen_keys(row: dict[str, str]) -> list[str]:
    """Return the columns of a row that hold settings."""
    return [k for k in row if k not in NOT_CHOSEN and not k.startswith((*METRICS, "version"))]


def typed_keys(words: list[str], run: dict[str, str]) -> set[str]:
    """Return those settings of a run that its command line names, alone or in a mapping."""
    typed = {word.lstrip("+").split("=")[0] for word in words} - {"seed", "experiment"}
    inside = (key for key in run for word in typed - set(run) if key.startswith(f"{word}."))
    return (typed & set(run)).union(inside)


def is_row_of(row: dict[str, str], run: dict[str, str], words: list[str]) -> bool:
    """Return whether a stored row is of the same configuration and seed as a run."""
    keys = chosen_keys(row)

    def same(key: str) -> bool:  # files may have another name: the digest is the last word
        mine, theirs = run.get(key, ""), row[key]
        return mine == theirs or (
            key.endswith("path") and mine.rpartition(" ")[2] == theirs.rpartition(" ")[2]
        )

    return typed_keys(words, run) <= set(keys) | {"data.path", "embeddings.path"} and all(
        map(same, keys)
    )


def borrowed(
    study: str, name: str, run: dict[str, str], words: list[str], table: Path
) -> dict[str, str] | None:
    """Return the row of a run that was trained for another study, with this study's columns.

    Args:
        study: The study that the row is for.
        name: The run's name; its hash covers everything that can change the result.
        run: Its settings.
        words: Its overrides.
        table: The study's table, which decides the columns.
    """
    for path in sorted(table.parent.glob("*.csv")):
        for row in rows(path):
            if row.get("run") != name or path == table:
                continue
            shown = {*chosen_keys(row), *typed_keys(words, run)}
            shown.update(key for other in rows(table) for key in chosen_keys(other))
            chosen = {key: run.get(key, "") for key in sorted(shown)}
            return {**row, **chosen, "study": study, "experiment": run.get("experiment", "")}
    return None


def add(new: list[dict[str, str]], path: Path) -> None:
    """Add rows to a table of runs; a row of the same run is replaced."""
    old = [row for row in rows(path) if row["run"] not in {row["run"] for row in new}]
    columns = list(dict.fromkeys(itertools.chain(*new, *old)))
    columns.sort(key=lambda name: (name.startswith("version"), name.startswith(METRICS)))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*old, *new])
    path.write_text(text.getvalue(), encoding="utf-8")


def complete(path: Path, runs: dict[str, dict[str, str]]) -> None:
    """Fill in the settings that rows of a table lack, because others brought the column later."""
    table = rows(path)
    for row in table:
        own = runs.get(row["run"], {})
        row.update({k: own[k] for k in chosen_keys(row) if not row[k] and k in own})
    if table:
        add(table, path)


def planned(options: argparse.Namespace) -> Iterator[list[str]]:
    """Yield the overrides of each run."""
    files = {"mbpp.path": options.mbpp, "conala.path": options.conala,
             "embeddings.path": options.vectors}  # fmt: skip
    for name, words in commands(options.two_cores):
        if options.only and name not in options.only:
            continue
        words = [word for word in words if word != "-m"]
        given = {key: file for key, file in files.items() if any(key in word for word in words)}
        if None in given.values():
            print(f"skipped, its file is missing: {name}: {' '.join(words)}", flush=True)
            continue
        kept = [w for w in words if not any(w.split("=")[0].endswith(key) for key in given)]
        kept += [f"{w.split('=')[0]}={given[key]}" for w in words for key in given
                 if w.split("=")[0].endswith(key)]  # fmt: skip
        if any(word.startswith("experiment=") for word in kept):
            kept.append(f"data.path={options.english_python}")
        yield from jobs(kept)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "experiments" / "results")
    parser.add_argument("--more", nargs="*", default=[], help="more overrides, logger=csv")
    options = parser.parse_args()
    failed = 0
    known: dict[Path, dict[str, dict[str, str]]] = {}
    for words in planned(options):
        study, name, run = chosen(words)
        table = options.results / (f"{study}.csv" if options.two_cores else f"{study}-full.csv")
        known.setdefault(table, {})[name] = run
        if any(row["run"] == name or is_row_of(row, run, words) for row in rows(table)):
            continue
        if row := borrowed(study, name, run, words, table):
            print(f"{study}: {name} was trained for another study", flush=True)
            add([row], table)
            continue
        print(f"{study}: {' '.join(words)}", flush=True)
        command = [sys.executable, str(ROOT / "train.py"), *words, *options.more]
        if subprocess.run(command).returncode:
            failed += 1
            continue
        output = next((w[7:] for w in options.more if w.startswith("output=")), ROOT / "outputs")
        source = Path(output) / study
        subprocess.run([sys.executable, str(ROOT / "evaluate.py"), f"study={source}"], check=True)
        add(rows(source / "runs.csv"), table)
        complete(table, known[table])
    for table, runs in known.items():
        complete(table, runs)
    print(f"{failed} failed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
