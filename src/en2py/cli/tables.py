"""Print what a run was started with, its data, its scores and a few samples."""

import functools
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf
from rich.text import Text

from en2py.config.composition import NO_PRESET, default_options, escape
from en2py.config.overrides import unquoted
from en2py.console import Column, console, counted, has_width, percent, print_table, wrapped
from en2py.data.duplicates import leakage_sentence
from en2py.evaluation.metrics.registry import RESULT, metric
from en2py.training.run_folder import SWEEP_ID, in_sweep

log = logging.getLogger(__name__)

_OF_TRAINING = {"max_len": "max_len (train)"}  # steps that change the training split alone
_SHOWN_LINES = 12  # of a program on the terminal; samples.md has all


def print_choices(choices: Mapping[str, str], overrides: Sequence[str]) -> None:
    """Print what the preset of a run chooses and what was typed; else what is not a default."""
    default = default_options()
    typed = [o for o in overrides if o != NO_PRESET]
    keys = {o.lstrip("+~").partition("=")[0] for o in typed}
    chosen = {g: f"{g}={o}" for g, o in choices.items() if o not in (default.get(g), "None")}
    preset = chosen.get("experiment")
    is_resumed = any(o.startswith("ckpt_path=") and o != "ckpt_path=null" for o in typed)
    if preset and not is_resumed:  # the choices of a checkpoint may have been typed then
        # tokenizer=pieces chooses tokenizer/src and tokenizer/tgt.
        known = {"experiment", *keys}
        own = [c for g, c in chosen.items() if not {g, g.partition("/")[0]} & known]
        log.info(f"preset {preset}" + (f": {'  '.join(own)}" if own else ""))
        if changed := [unquoted(o) for o in typed if not o.startswith("experiment=")]:
            log.info(f"changed: {'  '.join(changed)}")
        return
    values = [unquoted(o) for o in typed if o.lstrip("+~").partition("=")[0] not in choices]
    rest = "; all else as in the checkpoint" if is_resumed else ""
    differs = "  ".join([*chosen.values(), *values]) or "nothing"
    log.info(f"differs from the defaults: {differs}{rest}")


def print_config(config: Mapping[str, Any]) -> None:
    """Print the whole config as YAML."""
    console.print(Text(OmegaConf.to_yaml(OmegaConf.create(escape(dict(config))))), soft_wrap=True)


def print_data(report: Mapping[str, Any], from_cache: bool) -> None:
    """Print what each cleaning step read, changed and dropped, and the facts of the splits."""
    counts = ("read", "changed", "dropped")
    rows = []
    for step in report["steps"]:
        reasons = sorted(step["reasons"].items(), key=lambda item: -item[1])
        why = ", ".join(f"{reason} {count:,}" for reason, count in reasons[:3])
        cells = [f"{step[c]:,}" if step[c] else "" for c in counts]
        name = _OF_TRAINING.get(step["name"], step["name"])
        rows.append([name, *cells, why + (" ..." if len(reasons) > 3 else "")])
    columns = [Column("step", numeric=False), *map(Column, counts)]
    print_table(
        "data" + (" (from the cache)" if from_cache else ""),
        [*columns, Column("dropped because", numeric=False)],
        rows,
    )
    log_fields(report)
    facts = report["facts"]
    sizes = ", ".join(f"{name} {count:,}" for name, count in facts["sizes"].items())
    unknown = {side: percent(x) for side, x in facts["out_of_vocabulary"]["test"].items()}
    log.info(
        f"pairs: {sizes}; vocabulary: {facts['vocab']['src']:,} English, "
        f"{facts['vocab']['tgt']:,} Python; unknown in test: {unknown['src']} of the English, "
        f"{unknown['tgt']} of the Python tokens"
    )
    log.info(leakage_sentence(report))


def log_fields(report: Mapping[str, Any]) -> None:
    """Log the fields that were recognized in files of records."""
    is_mixture = "mixture: main source" in report["facts"]
    for fact, value in report["facts"].items():
        if fact.endswith(": fields"):
            name = fact.removesuffix(": fields")
            place = f"data.source.sources.{name}" if is_mixture else "data.source"
            log.info(
                f"fields of {name}: {value} (others: {place}.description_field=NAME, .code_field, "
                ".tests_field)"
            )


def log_warnings(warnings: Iterable[str]) -> None:
    """Log warnings about data; in a sweep, each once per process."""
    for warning in warnings:
        if in_sweep():
            _warn_once(warning, os.environ[SWEEP_ID])
        else:
            log.warning(f"warning: {warning}")


@functools.cache
def _warn_once(warning: str, sweep: str) -> None:
    log.warning(f"warning: {warning}")


def log_own_tests(found: Mapping[str, Any]) -> None:
    """Log the result of `check_references`; warn if more than one in ten fails its own tests."""
    if not found:
        return
    passing, of = found["passing"], found["of"]
    if of - passing > of / 10:
        log.warning(
            f"warning: {of - passing:,} of {of:,} references fail their own tests in the sandbox, "
            f"and so will every program that does the same; the first: {found['first']}"
        )
    else:
        log.info(f"references that pass their own tests: {passing:,} of {of:,}")


def print_result(result: Mapping[str, Any]) -> None:
    """Print the headline metrics of a finished run."""
    values = {**result["best"], **result["test"]}
    epoch = f" of epoch {result['best']['epoch']:.0f}" if "epoch" in result["best"] else ""
    kind = "best" if "val/nll" in result["best"] else "last"  # without a validation
    rows = [[metric(n).head, metric(n).write(values[n])] for n in RESULT if n in values]
    columns = [Column("metric", numeric=False), Column("value")]
    n_pairs = f" on {counted(result['test']['n'], 'test pair')}" if "n" in result["test"] else ""
    print_table(f"{kind} checkpoint{epoch}{n_pairs}", columns, rows)
    if limit := result.get("validation_limit"):
        log.info(f"val/nll is over {limit}, not over all validation pairs as in evaluate.py")


def print_samples(rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Print a few pairs, each as (description, reference, output, verdict)."""
    for description, reference, output, verdict in rows:
        console.print()
        log.info(f"# {description}")
        console.print(Text(_shortened(output) or "(nothing)"), soft_wrap=True)
        is_exact = verdict.startswith("exact")  # not a text that the program printed
        color = "green" if is_exact else "yellow"
        text = wrapped(f"-> {verdict}", has_width())
        console.print(Text(text, style=color), soft_wrap=True)
        if not is_exact:
            text = f"the reference:\n{_shortened(reference)}"
            console.print(Text(text, style="dim"), soft_wrap=True)


def _shortened(program: str) -> str:
    """Return the first lines of a program, without blank ones."""
    lines = [line.rstrip() for line in program.splitlines() if line.strip()]
    if has_width():
        lines = [x if len(x) <= console.width else f"{x[: console.width - 4]} ..." for x in lines]
    if (rest := len(lines) - _SHOWN_LINES) > 1:
        lines[_SHOWN_LINES:] = [f"... {rest} more lines"]
    return "\n".join(lines)
