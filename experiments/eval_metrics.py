"""How does each metric score programs with a known defect, and does it agree with behaviour?

    python experiments/eval_metrics.py experiment=tasks
    python experiments/eval_metrics.py data=english_python data.path=FILE

References are modified in one known way at a time and scored against the original. Whether a
modified program still behaves the same is determined in the sandbox: by the tests of its pair, else
by the behaviour of the reference. Only references that can be tested and that every modification
changes are included, so all columns of the table cover the same programs. Writes
`results/eval_metrics-DATA.md` and `.csv`, without program texts.
"""

import argparse
import csv
import io
import random
import tokenize
from collections.abc import Callable, Sequence
from pathlib import Path

from omegaconf import OmegaConf, open_dict
from sklearn.metrics import roc_auc_score

from en2py.config.composition import compose_config
from en2py.config.overrides import quoted
from en2py.data.files import write_atomically
from en2py.data.pairs import Pair
from en2py.data.renaming import ARGUMENT, RESERVED, own_names, with_names
from en2py.data.syntax import parse
from en2py.data.tree_text import ast_text_renamed
from en2py.evaluation.behaviour.comparison import behaves_like
from en2py.evaluation.behaviour.references import build_oracles
from en2py.evaluation.execution.unit_tests import passes_tests
from en2py.evaluation.metrics.bleu import TrainingCode
from en2py.evaluation.metrics.program_metrics import metric_value, score
from en2py.sandbox import Sandbox
from en2py.training import run_data

HERE = Path(__file__).resolve().parent
SWAPS = {
    **{"+": "-", "-": "+", "*": "+", "/": "*", "//": "*", "%": "//", "**": "*"},
    **{"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="},
    **{"+=": "-=", "-=": "+=", "*=": "+=", "/=": "*=", "//=": "*=", "%=": "//="},
}
SHARES = {
    "exact_match": "exact match, text",
    "exact_match_ast": "exact match, tree",
    "exact_match_renamed": "exact match, tree without names",
    "compiles": "compiles",
    "function_name": "name of the function",
    "edit_similarity": "edit similarity",
}
SCORES = {
    "bleu": "BLEU",
    "bleu_conala": "BLEU as in CoNaLa",
    "chrf": "chrF",
    "crystal_bleu": "CrystalBLEU",
    "code_bleu": "CodeBLEU",
}


# -- modifications: return the modified program, or None if there is nothing to modify ------------


def strip_indentation(code: str, chance: random.Random) -> str | None:
    damaged = "\n".join(line.lstrip() for line in code.splitlines())
    return damaged if damaged != code.rstrip("\n") else None


def change_names(code: str, chance: random.Random) -> str | None:
    """Rename every name of the program that can be renamed safely."""
    kinds = own_names(code)
    fresh = (name for i in range(10_000) if (name := f"name{i}") not in code)
    names = {name: next(fresh) for name in kinds if name not in RESERVED}
    arguments = {name for name in names if kinds[name] == ARGUMENT}
    return with_names(code, names, arguments) if names else None


def change_operator(code: str, chance: random.Random) -> str | None:
    """Replace one operator by another."""
    lines = code.splitlines(keepends=True)
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    places = [t for t in tokens if t.type == tokenize.OP and t.string in SWAPS]
    for token in chance.sample(places, len(places)):
        (row, start), (_, end) = token.start, token.end
        line = lines[row - 1]
        changed = line[:start] + SWAPS[token.string] + line[end:]
        damaged = "".join([*lines[: row - 1], changed, *lines[row:]])
        if parse(damaged) is not None:  # the star of *args is not an operator
            return damaged
    return None


def shuffle_lines(code: str, chance: random.Random) -> str | None:
    """Shuffle the lines, each with its indentation."""
    lines = [line for line in code.splitlines() if line.strip()]
    if len(set(lines)) < 2:
        return None
    shuffled = list(lines)
    while shuffled == lines:
        chance.shuffle(shuffled)
    return "\n".join(shuffled)


DAMAGE: dict[str, Callable[[str, random.Random], str | None]] = {
    "indentation stripped": strip_indentation,
    "names changed": change_names,
    "an operator changed": change_operator,
    "lines shuffled": shuffle_lines,
}


# -- the experiment --------------------------------------------------------------------------------


def read(overrides: list[str]) -> tuple[str, list[Pair]]:
    """Return the name of the data and its cleaned pairs of all splits."""
    cfg = compose_config("train", [quoted(override) for override in overrides]).copy()
    with open_dict(cfg):
        del cfg["hydra"]
    config = OmegaConf.to_container(cfg, resolve=True)
    prepared = run_data.prepare_data(config)
    return config["data"]["name"], [p for part in prepared.splits for p in prepared.pairs(part)]


class Behaviour:
    """Compare the behaviour of programs with their references.

    Args:
        pairs: References; the attribute `pairs` keeps those that can be tested.
    """

    def __init__(self, pairs: Sequence[Pair], sandbox: Sandbox, other: Sandbox) -> None:
        self.sandbox = sandbox
        self.by_tests = all(pair.tests for pair in pairs)
        self.pairs = list(pairs)
        if not self.by_tests:
            found = build_oracles([pair.code for pair in pairs], sandbox, other)
            there = [own.kind == "function" and own.oracle is not None for own in found]
            self.pairs = [pair for pair, use in zip(pairs, there, strict=True) if use]
            self.oracles = {p.code: a.oracle for p, a in zip(pairs, found, strict=True)}

    def __call__(self, programs: Sequence[str], pairs: Sequence[Pair]) -> list[bool]:
        if self.by_tests:
            return [own.right for own in passes_tests(programs, pairs, self.sandbox)]
        oracles = [self.oracles[pair.code] for pair in pairs]
        return [own.right for own in behaves_like(programs, oracles, self.sandbox)]


def distinct(pairs: Sequence[Pair]) -> list[Pair]:
    """Keep one pair for each program, ignoring names."""
    return list({ast_text_renamed(pair.code): pair for pair in reversed(pairs)}.values())[::-1]


def table(
    pairs: Sequence[Pair], behaviour: Behaviour, train: TrainingCode, seed: int
) -> tuple[int, list]:
    """Score each modification.

    Returns:
        The header of a table and its rows: a metric's name, its value (0 to 100) for each
        modification, and how often it ranks a modified program that still behaves above one that
        does not (area under the ROC curve; 0.5 is chance).
    """
    chance = random.Random(seed)
    damaged = {
        name: [damage(pair.code, chance) for pair in pairs] for name, damage in DAMAGE.items()
    }
    used = [i for i in range(len(pairs)) if all(texts[i] is not None for texts in damaged.values())]
    taken = [pairs[i] for i in used]
    references = [pair.code for pair in taken]
    programs = {"nothing": references}
    programs |= {name: [texts[i] for i in used] for name, texts in damaged.items()}
    programs["another program"] = references[1:] + references[:1]
    scored = {
        name: score(texts, references, training=train, with_code_bleu=True)
        for name, texts in programs.items()
    }
    behaves = {name: behaviour(texts, taken) for name, texts in programs.items()}
    pooled = [own for name in DAMAGE for own in behaves[name]]
    rows: list[list] = [["", *programs, "ranks by behaviour"]]
    for metrics, scale in ((SHARES, 100), (SCORES, 1)):
        for metric, title in metrics.items():
            if metric not in scored["nothing"].values:
                continue
            counts = [own for name in DAMAGE for own in scored[name].counts[metric]]
            asked = [i for i, own in enumerate(counts) if metric in SCORES or own[1]]
            single = [metric_value(metric, counts[i]) for i in asked]
            values = [scale * scored[name].values[metric] for name in programs]
            rows.append([title, *values, roc_auc_score([pooled[i] for i in asked], single)])
    rows.append(["behaves", *(100 * sum(own) / len(own) for own in behaves.values()), None])
    return len(taken), rows


def write(folder: Path, name: str, rows: list, note: str) -> None:
    cells = [
        [row[0], *(f"{v:.1f}" for v in row[1:-1]), "" if row[-1] is None else f"{row[-1]:.2f}"]
        for row in rows[1:]
    ]
    lines = [rows[0], ["---", *["---:"] * (len(rows[0]) - 1)], *cells]
    page = "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{note}\n"
    write_atomically(folder / f"eval_metrics-{name}.md", page.encode())
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([rows[0], *cells])
    write_atomically(folder / f"eval_metrics-{name}.csv", text.getvalue().encode())
    print(page)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="as for train.py: data=..., data.path=...")
    parser.add_argument("--pairs", type=int, default=1000, help="maximum number of references")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=None, help="sandbox workers")
    parser.add_argument("--min-level", default="full")
    parser.add_argument("--folder", type=Path, default=HERE / "results")
    options = parser.parse_args()
    name, pairs = read(options.overrides)
    train = TrainingCode(pair.code for pair in pairs)
    some = distinct(pairs)
    if len(some) > options.pairs:
        some = random.Random(options.seed).sample(some, options.pairs)
    settings = {
        "timeout_s": 3.0,
        "memory_mb": 512,
        "workers": options.workers,
        "min_level": options.min_level,
    }
    with Sandbox(**settings) as sandbox, Sandbox(**settings, hash_seed=1) as other:
        behaviour = Behaviour(some, sandbox, other)
        n, rows = table(behaviour.pairs, behaviour, train, options.seed)
    how = "the tests of their pairs" if behaviour.by_tests else "the reference's own behaviour"
    note = (
        f"{n} of {len(some)} distinct references of {name}: those that can be tested, here by "
        f"{how}, and that every kind of damage changes."
    )
    write(options.folder, name, rows, note)


if __name__ == "__main__":
    main()
