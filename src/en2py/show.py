"""What a person sees on the terminal: the config tree, the data table, the results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

console = Console(highlight=False)


def say(text: str) -> None:
    """Print a line as it is: long paths stay whole, and brackets in them mean nothing."""
    console.print(text, soft_wrap=True, markup=False)


@contextmanager
def cleaning_progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar while pairs are cleaned; the function it gives takes (done, in all)."""
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("preparing the data", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def config_tree(config: Mapping[str, Any], choices: Mapping[str, str]) -> None:
    """Print the resolved config, a branch a group with the option taken."""
    tree = Tree("config")
    for key, value in config.items():
        if isinstance(value, Mapping):
            branch = tree.add(Text(f"{key}{_choice(key, choices)}", style="bold"))
            _grow(branch, key, value, choices)
        elif value is not None:
            tree.add(Text(f"{key}: {value}"))
    console.print(tree)


def _grow(tree: Tree, key: str, value: Mapping[str, Any], choices: Mapping[str, str]) -> None:
    for name, item in value.items():
        if name in ("_partial_", "_target_"):
            continue
        if isinstance(item, Mapping):
            branch = tree.add(Text(f"{name}{_choice(f'{key}/{name}', choices)}"))
            _grow(branch, f"{key}/{name}", item, choices)
        else:
            tree.add(Text(f"{name}: {item}"))


def _choice(group: str, choices: Mapping[str, str]) -> str:
    return f" = {choices[group]}" if group in choices else ""


def data_table(report: Mapping[str, Any], from_cache: bool) -> None:
    """Print what each rule read, changed and dropped, and what is left."""
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
    facts = report["facts"]
    sizes = ", ".join(f"{name} {count:,}" for name, count in facts["sizes"].items())
    unknown = facts["out_of_vocabulary"]["test"]
    say(
        f"pairs: {sizes}; vocabulary: {facts['vocab']['src']:,} English, "
        f"{facts['vocab']['tgt']:,} Python; unknown in test: {unknown['src']:.1%} of the English, "
        f"{unknown['tgt']:.1%} of the Python tokens"
    )
    leakage = facts["leakage"]["test"]
    leaks = ", ".join(f"{share:.1%} by {key.replace('_', ' ')}" for key, share in leakage.items())
    say(f"test pairs that train gives away: {leaks}")


def results(title: str, values: Mapping[str, Any]) -> None:
    """Print a table of scores."""
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in values.items():
        if isinstance(value, int | float):
            table.add_row(name, number(name, value))
    console.print(table)


_SHARES = (
    "exact_match",
    "compiles",
    "passes_tests",
    "function_name",
    "accuracy",
    "copied",
    "unk",
    "similarity",
)


def number(name: str, value: float) -> str:
    """Write a score the way its kind is written: a share in per cent, a loss with three digits."""
    if isinstance(value, int):
        return f"{value:,}"
    if any(word in name for word in _SHARES):
        return f"{value:.1%}"
    return f"{value:.1f}" if "bleu" in name or "chrf" in name else f"{value:.3f}"


def samples(rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Print a few pairs, each as (description, reference, output, verdict)."""
    for description, reference, output, verdict in rows:
        console.print(Text(f"\n# {description}", style="bold"))
        console.print(Text(output or "(nothing)"))
        console.print(Text(f"-> {verdict}", style="green" if "exact" in verdict else "yellow"))
        if "exact" not in verdict:
            console.print(Text("the reference:", style="dim"))
            console.print(Text(reference, style="dim"))
