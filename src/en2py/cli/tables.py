"""Print the config tree, the data table, scores and samples."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from en2py.console import console
from en2py.data.duplicates import leakage_sentence

log = logging.getLogger(__name__)


def print_config(config: Mapping[str, Any], choices: Mapping[str, str]) -> None:
    """Print the resolved config as a tree: a branch a group, with the chosen option."""
    tree = Tree("config")
    for key, value in config.items():
        if isinstance(value, Mapping):
            _add_branch(tree, key, Text(f"{key}{_choice(key, choices)}", "bold"), value, choices)
        elif value is not None:
            tree.add(Text(f"{key}: {value}"))
    console.print(tree)


def _add_branch(
    tree: Tree, path: str, title: Text, section: Mapping[str, Any], choices: Mapping[str, str]
) -> None:
    branch = tree.add(title)
    for name, item in section.items():
        if name in ("_partial_", "_target_"):
            continue
        if isinstance(item, Mapping):
            below = f"{path}/{name}"
            _add_branch(branch, below, Text(f"{name}{_choice(below, choices)}"), item, choices)
        else:
            branch.add(Text(f"{name}: {item}"))


def _choice(group: str, choices: Mapping[str, str]) -> str:
    return f" = {choices[group]}" if group in choices else ""


def print_data(report: Mapping[str, Any], from_cache: bool) -> None:
    """Print what each cleaning step read, changed and dropped, and the facts of the splits."""
    table = Table(title="data" + (" (from the cache)" if from_cache else ""), title_justify="left")
    table.add_column("step")
    for column in ("read", "changed", "dropped"):
        table.add_column(column, justify="right")
    table.add_column("dropped because")
    for step in report["steps"]:
        reasons = sorted(step["reasons"].items(), key=lambda item: -item[1])
        why = ", ".join(f"{reason} {count:,}" for reason, count in reasons[:3])
        counts = (f"{step[c]:,}" if step[c] else "" for c in ("read", "changed", "dropped"))
        table.add_row(step["name"], *counts, Text(why + (" ..." if len(reasons) > 3 else "")))
    console.print(table)
    log_fields(report)
    facts = report["facts"]
    sizes = ", ".join(f"{name} {count:,}" for name, count in facts["sizes"].items())
    unknown = facts["out_of_vocabulary"]["test"]
    log.info(
        f"pairs: {sizes}; vocabulary: {facts['vocab']['src']:,} English, "
        f"{facts['vocab']['tgt']:,} Python; unknown in test: {unknown['src']:.1%} of the English, "
        f"{unknown['tgt']:.1%} of the Python tokens"
    )
    log.info(leakage_sentence(report))


def log_fields(report: Mapping[str, Any]) -> None:
    """Log the fields that were recognised in files of records."""
    for name, value in report["facts"].items():
        if name.endswith(": fields"):
            log.info(
                f"{name.removesuffix(': fields')}: {value}; other fields: "
                "data.source.description_field=NAME, code_field, tests_field"
            )


def log_warnings(report: Mapping[str, Any]) -> None:
    """Log the warnings of a data report."""
    for warning in report["warnings"]:
        log.warning(f"warning: {warning}")


def print_scores(title: str, values: Mapping[str, str]) -> None:
    """Print a table of metrics and their values."""
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in values.items():
        table.add_row(name, value)
    console.print(table)


def print_samples(rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Print a few pairs, each as (description, reference, output, verdict)."""
    for description, reference, output, verdict in rows:
        console.print(Text(f"\n# {description}", style="bold"))
        console.print(Text(output or "(nothing)"))
        console.print(Text(f"-> {verdict}", style="green" if "exact" in verdict else "yellow"))
        if "exact" not in verdict:
            console.print(Text("the reference:", style="dim"))
            console.print(Text(reference, style="dim"))
