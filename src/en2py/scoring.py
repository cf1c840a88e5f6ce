"""From a trained module to scores: token metrics, generated programs, their verdicts.

`train.py` ends with `score_split` and `evaluate.py` is `evaluate`, so both report the same figures.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from en2py import build, show
from en2py.checkpoints import CheckedIO, load_checkpoint
from en2py.data.cache import write_atomically
from en2py.data.datamodule import PairDataModule
from en2py.data.pairs import Pair
from en2py.data.prepare import Prepared
from en2py.data.text_files import read_text
from en2py.data.vocab import Vocab
from en2py.errors import UserError
from en2py.evaluation.correctness import Verdict, passes_tests
from en2py.evaluation.metrics import Scores, score
from en2py.evaluation.plots import plot_attention
from en2py.evaluation.samples import samples_page
from en2py.evaluation.sandbox import Sandbox
from en2py.module import Seq2SeqModule


@dataclass(frozen=True)
class SplitScores:
    """What a module did on a split.

    Attributes:
        pairs: All pairs of the split.
        candidates: Generated programs per pair, best first; empty where the model cannot read it.
        scores: Metrics of the texts, per pair and in all.
        values: All figures by name, those of the tokens too.
        tests: How each best program did on its pair's tests; None where there are none, or no
            sandbox to run them in.
    """

    pairs: list[Pair]
    candidates: list[list[str]]
    scores: Scores
    values: dict[str, Any]
    tests: list[Verdict | None]

    @property
    def predictions(self) -> list[str]:
        """Return the best program per pair; empty text where there is none."""
        return [found[0] if found else "" for found in self.candidates]

    def samples(self, n: int) -> list[tuple[str, str, str, str]]:
        """Return (description, reference, output, verdict) of `n` pairs, spread over the split."""
        step = max(1, len(self.pairs) // n)
        chosen = list(zip(self.pairs, self.predictions, self.verdicts(), strict=True))[::step][:n]
        return [(p.description, p.code, output, verdict) for p, output, verdict in chosen]

    def verdicts(self) -> list[str]:
        """Return what is to be said of each best program, in words."""
        said = []
        for row, test in zip(self.scores.rows, self.tests, strict=True):
            word = row.verdict
            if test is not None and word != "exact":
                word += ", passes its tests" if test.passed else f", fails: {test.failing}"
            said.append(word)
        return said


def score_split(
    module: Seq2SeqModule,
    datamodule: PairDataModule,
    trainer: pl.Trainer,
    split: str,
    sandbox: Mapping[str, Any],
) -> SplitScores:
    """Score a module on a split of its data.

    Args:
        module: With the weights to score.
        datamodule: With the data.
        trainer: Knows device and precision.
        split: `train`, `val` or `test`.
        sandbox: Settings of the sandbox that programs are run in, where pairs have tests.
    """
    datamodule.eval_split = split
    (logged,) = trainer.test(module, datamodule, verbose=False)
    batches: Any = trainer.predict(module, datamodule)
    prepared = datamodule.prepared
    pairs = prepared.pairs(split)
    candidates: list[list[str]] = [[] for _ in pairs]
    for batch in batches:
        for index, texts in batch:
            candidates[index] = texts
    predictions = [found[0] if found else "" for found in candidates]
    scores = score(
        predictions,
        [pair.code for pair in pairs],
        training_codes=[pair.code for pair in prepared.pairs("train")],
    )
    values = {name.removeprefix("test/"): float(value) for name, value in logged.items()}
    tests = _run_tests(predictions, pairs, sandbox)
    ran = [verdict.passed for verdict in tests if verdict is not None]
    passed = {"passes_tests": sum(ran) / len(ran)} if ran else {}
    every = {"n": len(pairs), **values, **scores.values, **passed}
    return SplitScores(pairs, candidates, scores, every, tests)


def _run_tests(
    predictions: list[str], pairs: list[Pair], settings: Mapping[str, Any]
) -> list[Verdict | None]:
    """Run programs against the tests of their pairs, where there are any and a sandbox to do it."""
    tested = [i for i, pair in enumerate(pairs) if pair.tests]
    verdicts: list[Verdict | None] = [None] * len(pairs)
    if not tested:
        return verdicts
    try:
        with Sandbox(**settings) as sandbox:
            found = passes_tests(
                [predictions[i] for i in tested], [pairs[i] for i in tested], sandbox
            )
    except UserError as refusal:  # a machine without the walls: the other scores stand
        show.say(f"generated programs were not run: {refusal}")
        return verdicts
    for i, verdict in zip(tested, found, strict=True):
        verdicts[i] = verdict
    return verdicts


def write_scores(folder: Path, scored: SplitScores) -> None:
    """Write `samples.md` and `predictions.jsonl`."""
    page = samples_page(scored.pairs, scored.predictions, scored.scores)
    write_atomically(folder / "samples.md", page.encode("utf-8", "backslashreplace"))
    lines = [
        json.dumps({"id": p.id, "description": p.description, "verdict": verdict, "candidates": c})
        for p, c, verdict in zip(scored.pairs, scored.candidates, scored.verdicts(), strict=True)
    ]
    write_atomically(folder / "predictions.jsonl", "".join(f"{x}\n" for x in lines).encode())


def evaluate(cfg: DictConfig) -> dict[str, Any] | None:
    """Do what `evaluate.py` was asked: write code for prompts, or score a split.

    Raises:
        UserError: For what a person can mend.
    """
    checkpoint = load_checkpoint(cfg.ckpt_path)
    stored = checkpoint["en2py"]
    if cfg.get("decoding") is not None:
        limit = stored["config"]["model"]["max_tgt_len"]
        decoding: Any = OmegaConf.to_container(cfg.decoding, resolve=True)
        stored["config"]["decoding"] = {**decoding, "max_len": decoding["max_len"] or limit}
    module = build.module_of(checkpoint)
    if cfg.prompt is not None:
        print(_answers(module, [cfg.prompt])[0][0])
        return None
    if cfg.prompts is not None:
        lines = [line.strip() for line in read_text(cfg.prompts).splitlines()]
        lines = [line for line in lines if line]
        for line, found in zip(lines, _answers(module, lines), strict=True):
            record: dict[str, Any] = {"description": line, "code": found[0]}
            if len(found) > 1:
                record["candidates"] = found
            print(json.dumps(record))
        return None
    return _score(cfg, module, checkpoint)


def _answers(module: Seq2SeqModule, descriptions: list[str]) -> list[list[str]]:
    """Return the programs for prompts; what the model cannot read is told in one sentence."""
    room = module.model.src_embedding.positions.shape[0]
    for description in descriptions:
        tokens = module.src_tokenizer.tokenize(description)
        if not tokens:
            raise UserError("the prompt is empty: say in English what the program should do")
        if len(tokens) + 1 > room:
            raise UserError(
                f"the prompt has {len(tokens)} tokens, the model reads at most {room - 1}: "
                f"shorten it (it starts {description[:40]!r})"
            )
        known = [token for token in tokens if token in module.src_vocab]
        if not known:
            raise UserError(
                f"the model knows no word of the prompt {description[:60]!r}: it was trained on "
                f"{len(module.src_vocab):,} English words"
            )
        if len(known) < len(tokens):
            unknown = ", ".join(dict.fromkeys(t for t in tokens if t not in module.src_vocab))
            print(f"words that the model does not know: {unknown}", file=sys.stderr)
    return [[module.text(h) for h in found] for found in module.candidates(descriptions)]


def _score(cfg: DictConfig, module: Seq2SeqModule, checkpoint: dict[str, Any]) -> dict[str, Any]:
    stored = checkpoint["en2py"]
    config = {**stored["config"], "cache": cfg.cache, "processes": cfg.processes}
    if cfg.data.path is not None:
        config["data"] = _with_path(config["data"], cfg.data.path)
    config["batch"] = OmegaConf.to_container(cfg.batch)
    prepared = _with_vocabs(build.prepare_data(config)[0], stored)
    if prepared.split_hash != stored["split_hash"]:
        show.say(
            "note: the data or the rules are not those of the training run (their split hash "
            "differs), so test pairs may have been trained on"
        )
    folder = Path(cfg.folder or Path(cfg.ckpt_path).parent.parent / f"evaluate-{cfg.part}")
    trainer = pl.Trainer(
        accelerator=cfg.trainer.accelerator,
        devices=cfg.trainer.devices,
        precision=build.precision(config["trainer"]["precision"]),
        logger=False,
        enable_progress_bar=sys.stdout.isatty(),
        enable_model_summary=False,
        enable_checkpointing=False,
        plugins=[CheckedIO()],
    )
    show.say(f"{stored['run']}: {cfg.part} split of {config['data']['name']}")
    scored = score_split(
        module, build.datamodule(config, prepared), trainer, cfg.part, dict(cfg.sandbox)
    )
    write_scores(folder, scored)
    record = {
        "run": stored["run"],
        "split": cfg.part,
        "split_hash": prepared.split_hash,
        "scores": scored.values,
        "signatures": scored.scores.signatures,
    }
    write_atomically(folder / "results.json", json.dumps(record, indent=2).encode())
    draw_attention(module, scored, folder, list(cfg.attention), cfg.n_maps)
    show.samples(scored.samples(3))
    show.results(f"{cfg.part}, {stored['run']}", scored.values)
    show.say(f"everything is in {folder}")
    return record


def draw_attention(
    module: Seq2SeqModule, scored: SplitScores, folder: Path, kinds: list[str], n_maps: int
) -> list[Path]:
    """Draw attention maps of a few samples, a picture per kind and layer.

    Args:
        module: The model.
        scored: Its outputs on a split.
        folder: Pictures go to `attention/` in it.
        kinds: Of `cross`, `encoder`, `decoder`.
        n_maps: Number of samples.
    """
    places = [i for i, text in enumerate(scored.predictions) if text]
    step = max(1, len(places) // max(n_maps, 1))
    files: list[Path] = []
    for place in places[::step][:n_maps]:
        labels, maps = module.attention(scored.pairs[place].description, scored.predictions[place])
        for kind in kinds:
            rows, columns = labels[kind]
            target = folder / "attention" / f"sample{place:05d}"
            files += plot_attention(kind, maps[kind], rows, columns, target)
    return files


def _with_path(data: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a data config that reads another file."""
    source = {**data["source"]}
    source["root" if "root" in source else "path"] = path
    return {**data, "path": path, "source": source}


def _with_vocabs(prepared: Prepared, stored: dict[str, Any]) -> Prepared:
    """Return the data with the checkpoint's vocabularies: its weights know no other ids."""
    return dataclasses.replace(
        prepared,
        src_vocab=Vocab.from_dict(stored["src_vocab"]),
        tgt_vocab=Vocab.from_dict(stored["tgt_vocab"]),
    )
