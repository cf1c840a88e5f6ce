"""Put the effects of all experiments on one scale.

    python experiments/what_helps.py [RESULTS]

Reads the tables of runs in `results/` and prints a Markdown table of every single change: the
difference from the reference row of its table, paired by seed, in bits per character of the
validation programs, in the share of test programs that compile, and in the share that behaves like
the reference. Also draws `results/what_helps.svg`, without the effects beyond its scale, and
`results/what_helps_significant.svg`, the significant ones alone. Rows that change two settings or
have other held-out pairs, and single seeds, are left out.
"""

import argparse
import re
from dataclasses import replace
from pathlib import Path

from en2py.errors import UserError
from en2py.evaluation.metrics.registry import metric
from en2py.evaluation.plots.comparison import difference_plot
from en2py.evaluation.results import Difference, ResultRow, Results
from en2py.sweeps.stored_runs import read_study
from en2py.sweeps.study import results_of

RESULTS = Path(__file__).resolve().parent / "results"
RANKED_BY = "val/bpc"
SHOWN = (RANKED_BY, "compiles", "behaves")
SCALE = 0.3  # largest effect of the picture


def effects(results: Results) -> list[ResultRow]:
    """Return the rows that differ from the reference row in one setting, named after it."""
    reference = next(row for row in results.rows if row.name == results.reference_row)
    found = []
    for row in results.rows:
        changed = [k for k, v in row.settings.items() if v != reference.settings.get(k, "")]
        changed = [k for k in changed if k.rpartition("/")[0] not in changed]  # tokenizer=pieces
        changed = [k for k in changed if k.rpartition(".path")[0] not in changed]  # vectors' file
        # Settings that the option of the reference does not have: `augmentation.n_variants`.
        added = [k for k in changed if k.partition(".")[0] in changed and "." in k
                 and reference.settings.get(k, "null") == "null"]  # fmt: skip
        changed = [k for k in changed if k not in added]
        difference = row.differences.get(RANKED_BY)
        if len(changed) != 1 or row.has_other_pairs or difference is None or difference.low is None:
            continue
        (key,) = changed
        file = row.settings.get(f"{key}.path", "null").partition(" ")[0]  # then its digest
        details = "" if file == "null" else f" of {file}"
        details += "".join(f", {k.partition('.')[2]}={row.settings[k]}" for k in added)
        value = re.sub(" [0-9a-f]{8}$", "", row.settings[key] or "none")  # the digest of a file
        replaced = reference.settings.get(key) or "none"
        details += "" if replaced in ("none", "null") else f", not {replaced}"
        found.append(replace(row, name=f"{results.title}: {key}={value}{details}"))
    return found


def read_effects(folder: Path) -> list[ResultRow]:
    """Return the effects of all tables of runs in a folder, the largest gain first."""
    found = []
    for path in sorted(folder.glob("*.csv")):
        try:
            found += effects(results_of(read_study(path), path.stem))
        except UserError:  # not a table of runs
            continue
    return sorted(found, key=lambda row: row.differences[RANKED_BY].value)


def table(rows: list[ResultRow]) -> str:
    """Return the effects as a Markdown table."""
    heads = [metric(name).head for name in SHOWN]
    lines = [f"| change | seeds | {' | '.join(heads)} |", "|---|---:|" + "---:|" * len(heads)]
    for row in rows:
        cells = [cell(name, row.differences.get(name)) for name in SHOWN]
        lines.append(f"| {row.name} | {len(row.runs)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(name: str, difference: Difference | None) -> str:
    """Return `−0.069 ▼ (−0.074 to −0.064)`; the mark where the interval excludes 0."""
    if difference is None:
        return ""
    how = metric(name)
    mark = ("▲" if difference.value > 0 else "▼") if difference.is_significant else ""
    text = " ".join(filter(None, (how.change(difference.value), mark)))
    interval = how.change_interval(difference.low, difference.high)
    return f"{text} ({interval})" if interval else text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS)
    folder = parser.parse_args().results
    rows = read_effects(folder)
    print(table(rows))
    drawn = [row for row in rows if abs(row.differences[RANKED_BY].value) <= SCALE]
    significant = [row for row in drawn if row.differences[RANKED_BY].is_significant]
    for name, shown in (("what_helps", drawn), ("what_helps_significant", significant)):
        if picture := difference_plot(shown, RANKED_BY):
            (folder / f"{name}.svg").write_bytes(picture.file("svg"))


if __name__ == "__main__":
    main()
