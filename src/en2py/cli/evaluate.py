"""Checkpoints and baselines against each other: the same test pairs, the same reference text.

`evaluate.py` ends here. One checkpoint is a comparison with one model row.
"""

import dataclasses
import json
import logging
import platform
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from en2py import console
from en2py.cli.checkpoint_runs import Entrant, common_pairs, entrants_of, evaluation_config
from en2py.cli.entries import Ground, module_of, scored_baselines, scored_model
from en2py.cli.generate import answer
from en2py.data.cache import digest, write_atomically
from en2py.decoding.ctranslate2 import export
from en2py.errors import UserError
from en2py.evaluation.aggregation import MODEL, RunFigures, axes, fixed, reference_name
from en2py.evaluation.behaviour.cached import account, quality_of
from en2py.evaluation.execution.runner import Judge
from en2py.evaluation.metrics.seen_descriptions import seen_and_new
from en2py.evaluation.report import write_report
from en2py.evaluation.results import Results
from en2py.evaluation.scores import Entry, attention_of, clusters_of, rows_of, samples_of
from en2py.training import build
from en2py.training.checkpoints import load_checkpoint
from en2py.training.out_of_memory import EVALUATION_REMEDIES, memory_told
from en2py.training.recording import record
from en2py.training.testing import Training, draw_attention, write_predictions, write_scores

_VERSIONS = ("en2py", "torch", "pytorch-lightning", "sacrebleu", "scikit-learn", "numpy", "scipy")


def evaluate(cfg: DictConfig) -> Results | None:
    """Do what `evaluate.py` was asked.

    Raises:
        UserError: For what a person can mend.
    """
    if cfg.results is not None:
        return _again(cfg)
    with memory_told(cfg.batch.max_tokens, EVALUATION_REMEDIES):
        return _scored(cfg)


def _scored(cfg: DictConfig) -> Results | None:
    if cfg.export is not None:
        module = build.load(cfg.ckpt_path)
        export(module.model, module.src_vocab, module.tgt_vocab, Path(cfg.export))
        console.say(f"the model for CTranslate2 is in {cfg.export}")
        return None
    if cfg.prompt is not None or cfg.prompts is not None:
        checkpoint = load_checkpoint(cfg.ckpt_path)
        stored = checkpoint["en2py"]
        stored["config"] = evaluation_config(cfg, stored)
        answer(cfg, build.module_of(checkpoint))
        return None
    return compare(cfg)


def _again(cfg: DictConfig) -> Results:
    """Make the pages again from stored results.

    Raises:
        UserError: If the file is not one of ours, or not whole.
    """
    path = Path(cfg.results)
    try:
        results = Results.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:  # no text, no JSON, or none of ours
        raise UserError(
            f"results={path} is no whole results.json of evaluate.py ({error}): name one, or score "
            "again with ckpt_path=FILE"
        ) from None
    folder = Path(cfg.folder or path.parent)
    write_report(folder, results)
    console.say(f"the pages are in {folder}")
    return results


def compare(cfg: DictConfig) -> Results:
    """Score checkpoints and baselines, write results and pages, and return the results."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # it greets once a checkpoint
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    entrants = entrants_of(cfg) if cfg.ckpt_path else []
    ground = _ground(cfg, entrants)
    folder = _folder(cfg, entrants, ground)
    console.say(
        f"{ground.part} split of {ground.data['name']}: {ground.data['n_pairs']:,} pairs in "
        f"{ground.data['n_clusters']:,} clusters"
    )
    entries = []
    for entrant in entrants:
        module = module_of(entrant)
        entries.append(scored_model(cfg, entrant, module, ground))
    entries = _named_apart(entries)
    if len(entries) == 1:
        write_scores(folder, entries[0].scored)
        draw_attention(module, entries[0].scored, folder, list(cfg.attention), cfg.n_maps)
        console.samples(entries[0].scored.samples(3))
    entries += scored_baselines(cfg, ground)
    if not entries:
        raise UserError("there is no row to show: name a checkpoint, or a baseline that answers")
    for entry in entries:
        write_predictions(folder / "predictions" / f"{_file_name(entry.name)}.jsonl", entry.scored)
    runs, results = _results(cfg, entries, entrants, ground)
    text = json.dumps(results.to_dict(), indent=1, allow_nan=False)
    write_atomically(folder / "results.json", text.encode())
    write_report(folder, results)
    console.comparison(results)
    record(results, runs, entrants, cfg.get("logger"), folder)
    console.say(f"everything is in {folder}")
    return results


def _ground(cfg: DictConfig, entrants: Sequence[Entrant]) -> Ground:
    config: Any
    if entrants:
        config, prepared = entrants[0].config, entrants[0].prepared
        pairs = common_pairs(entrants, cfg.part)
        validation = common_pairs(entrants, "val")
    else:
        config = OmegaConf.to_container(cfg, resolve=True)
        prepared = build.prepare_data(config)[0]
        pairs, validation = prepared.pairs(cfg.part), []
    if not pairs:
        names = dict.fromkeys(entrant.config["data"]["name"] for entrant in entrants)
        raise UserError(
            f"these checkpoints have no {cfg.part} pair in common (their data: "
            f"{', '.join(names)}): compare runs on the same data with the same split"
        )
    judge = Judge(pairs, sandbox=dict(cfg.sandbox), folder=Path(cfg.cache), behaviour=cfg.behaviour)
    texts = [[pair.id, pair.description, pair.code] for pair in pairs]
    data = {
        "name": config["data"]["name"],
        "part": cfg.part,
        "n_pairs": len(pairs),
        "n_clusters": len(set(clusters_of(pairs))),
        "n_left_out": len(prepared.pairs(cfg.part)) - len(pairs),
        "split_hash": prepared.split_hash,
        "test_hash": digest(texts),
    }
    return Ground(cfg.part, prepared, pairs, validation, Training.of(prepared), judge, data)


def _folder(cfg: DictConfig, entrants: Sequence[Entrant], ground: Ground) -> Path:
    """Choose where results go: beside the checkpoint, into its study, or into a folder of ours."""
    if cfg.folder is not None:
        return Path(cfg.folder)
    if len(entrants) == 1:
        return entrants[0].path.parent.parent / f"evaluate-{ground.part}"
    studies = {own.folder.parent if own.folder else None for own in entrants}
    study = studies.pop() if len(studies) == 1 else None
    if study is not None:
        return study / f"report-{ground.part}"
    names = [own.sha256 for own in entrants] or [ground.data["test_hash"]]
    kind = "comparisons" if entrants else "baselines"
    return Path(cfg.output) / kind / f"{ground.data['name']}-{ground.part}-{digest(names)[:8]}"


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.=+-]+", "_", name)


def _named_apart(entries: Sequence[Entry]) -> list[Entry]:
    """Number the entries of one run, which may come with several checkpoints."""
    seen: Counter[str] = Counter()
    found = []
    for entry in entries:
        seen[entry.name] += 1
        n = seen[entry.name]
        found.append(dataclasses.replace(entry, name=f"{entry.name} ({n})") if n > 1 else entry)
    return found


def _results(
    cfg: DictConfig, entries: Sequence[Entry], entrants: Sequence[Entrant], ground: Ground
) -> tuple[list[RunFigures], Results]:
    runs, rows = rows_of(entries, ground.pairs, seen_and_new(ground.training.pairs, ground.pairs))
    n_models = sum(row.kind == MODEL for row in rows)
    signatures = dict(entries[0].scored.scores.signatures) if entries else {}
    return runs, Results(
        title=_title(n_models, ground.data["name"]),
        data=ground.data,
        axes=axes(runs),
        fixed=fixed(runs),
        rows=rows,
        reference_row=reference_name(runs),
        oracles=_oracles(cfg, ground),
        samples=samples_of(entries, rows, runs),
        attention=attention_of(entries, rows, runs),
        curves={own.name: curve for own in entrants if (curve := own.curve())},
        signatures={**signatures, **_SIGNATURES},
        versions={
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _VERSIONS},
        },
    )


def _title(n_models: int, data: str) -> str:
    if not n_models:
        return f"Baselines on {data}"
    return f"{n_models} configuration{'s' * (n_models > 1)} on {data}"


_SIGNATURES = {
    "behaves": "same results, changed arguments and output as the reference on up to 40 inputs",
    "intervals": "95 %: Student's t over seeds; for one seed, and for baselines, percentiles of "
    "2,000 resamples of clusters of twins",
    "nll": "nats a token, plain cross-entropy, of the reference text cut into the run's own tokens",
    "bpc": "bits a character of the reference text; an unknown token pays for its spelling",
}


def _oracles(cfg: DictConfig, ground: Ground) -> dict[str, Any]:
    """Return how many references can be tested, why the others cannot, and the error bars."""
    judge = ground.judge
    n_tests = sum(bool(pair.tests) for pair in ground.pairs)
    found: dict[str, Any] = {"with tests": n_tests} if n_tests else {}
    if judge.refusal:
        return {**found, "not run": judge.refusal}
    if judge.admissions:
        own = [judge.admissions[pair.code] for pair in ground.pairs if not pair.tests]
        found |= account(own)
        if cfg.oracle_quality:
            found["quality"] = quality_of(
                judge.admissions, sandbox=judge.sandbox, folder=judge.folder
            )
    return found
