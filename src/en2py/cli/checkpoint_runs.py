"""Find the checkpoints of an evaluation, and open their models and data."""

import dataclasses
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from en2py.cli.evaluation_config import evaluation_config
from en2py.config.instantiate import check_allowed
from en2py.config.paths import expand_paths
from en2py.config.run_name import data_key, is_archived, settings
from en2py.console import counted
from en2py.data.cache import cached
from en2py.data.datamodule import PairDataModule
from en2py.data.files import digest, file_digest
from en2py.data.pairs import SPLITS, Pair, evenly_spaced
from en2py.data.prepare import Prepared, TokenizedPair
from en2py.errors import UserError
from en2py.evaluation.metrics.registry import CURVES
from en2py.evaluation.scores import Tables
from en2py.sweeps.plan import planned_order
from en2py.training import build, run_data, run_folder
from en2py.training.checkpoints import best_of, load_checkpoint, locate_data
from en2py.training.module import Seq2SeqModule
from en2py.training.testing import predictions_key

log = logging.getLogger(__name__)

OTHER_SPLIT = (
    "the data or their preparation differ from its training (another split hash), so held-out "
    "pairs may have been trained on"
)
_OTHER_TOKENS = (
    "a tokenizer writes other tokens of the same pairs than in its training, as another version of "
    "it may, and the model does not know all of them"
)
_SOURCE = Path(__file__).parents[1]
N_COMPARED = 16  # descriptions, by `decoding.engine=auto`
Programs = list[list[str]]  # per pair, best first


@dataclass(frozen=True)
class CheckpointRun:
    """A checkpoint to evaluate, with its data.

    Attributes:
        path: The checkpoint file.
        sha256: Digest of the file.
        checkpoint: Its content. Tensors are mapped from the file, not read, so that all checkpoints
            of a study fit into memory.
        config: The stored config with the changes of the evaluation.
        prepared: The data as they are prepared today, in the tokens of the run.
        has_other_tokens: Whether tokens of the training pairs are not in its vocabularies today.
        is_engine_chosen: Whether `decoding.engine=auto` chose the engine. It is no setting then:
            those of two seeds may differ.
    """

    path: Path
    sha256: str
    checkpoint: dict[str, Any]
    config: dict[str, Any]
    prepared: Prepared
    has_other_tokens: bool = False
    is_engine_chosen: bool = False

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the stored metadata, see `checkpoints.checkpoint_metadata`."""
        return self.checkpoint["en2py"]  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """Return the name of the run."""
        return str(self.metadata["run"])

    @property
    def settings(self) -> dict[str, str]:
        """Return all settings of the run without its seed: as trained, but with its own search."""
        choices, search = dict(self.metadata["choices"]), self.config["decoding"]["_target_"]
        if search != self.metadata["config"]["decoding"]["_target_"]:  # another one evaluates it
            choices["decoding"] = search.rpartition(".")[2].lower()
        batch = self.metadata["config"]["batch"]  # that of an evaluation is another
        contents = self.result.get("contents", {})
        found = settings({**self.config, "batch": batch}, choices, contents)
        if self.is_engine_chosen:
            found.pop("decoding.engine", None)
        return found

    @property
    def tokenizer(self) -> str:
        """Return a digest of the target tokenizer.

        Pieces of a file are in its state. The path may differ between seeds: of a file that is gone
        each run keeps a copy.
        """
        section = {k: v for k, v in self.config["tokenizer"]["tgt"].items() if k != "path"}
        return digest([section, self.metadata["tgt_state"]])

    @property
    def max_pairs(self) -> int | None:
        """Return how many of the training pairs it was trained on; None: all."""
        return self.metadata["config"]["batch"]["max_pairs"]  # type: ignore[no-any-return]

    @property
    def trained_pairs(self) -> list[Pair]:
        """Return the pairs that it was trained on, variants included."""
        return self.prepared.pairs("train")[: self.max_pairs]

    @property
    def has_other_split(self) -> bool:
        """Return whether the pairs of today are not those of its training."""
        return bool(self.prepared.split_hash != self.metadata["split_hash"])

    @property
    def folder(self) -> Path | None:
        """Return the folder of the run; None if the checkpoint was copied elsewhere."""
        folder = self.path.resolve().parent.parent
        return folder if folder.name == self.name else None

    @property
    def result(self) -> dict[str, Any]:
        """Return the content of `result.json`; empty if the checkpoint was copied."""
        return (self.folder and run_folder.read_record(self.folder / "result.json")) or {}

    def open(self, splits: Mapping[str, Sequence[Pair]]) -> tuple[Seq2SeqModule, PairDataModule]:
        """Return the module, and the data that it is evaluated on.

        Args:
            splits: Split to pairs, which are tokenized by the run's tokenizers.
        """
        metadata = {**self.metadata, "config": self.config}
        module = build.module_of({**self.checkpoint, "en2py": metadata}, self.prepared)
        src, tgt = module.src_tokenizer.tokenize, module.tgt_tokenizer.tokenize
        known = {item.pair: item for items in self.prepared.splits.values() for item in items}
        tokenized = {
            split: [
                known.get(pair) or TokenizedPair(pair, src(pair.description), tgt(pair.code))
                for pair in splits.get(split, ())
            ]
            for split in SPLITS
        }
        prepared = dataclasses.replace(self.prepared, splits=tokenized)
        return module, run_data.datamodule(self.config, prepared, module.neighbours)

    def learning_curve(self) -> list[dict[str, float]]:
        """Return the metrics that a report draws by epoch; empty if they are not known.

        A diverged run has values that are not finite, which `results.json` cannot hold.
        """
        rows = [] if self.folder is None else run_folder.read_epochs(self.folder / "metrics.csv")
        shown = ("epoch", *CURVES)
        curve = [{n: row[n] for n in shown if math.isfinite(row.get(n, math.nan))} for row in rows]
        return [row for row in curve if len(row) > 1]

    def notes(self) -> list[str]:
        """Return remarks on its data for the reader of the results."""
        found = []
        if self.has_other_split:
            found.append(OTHER_SPLIT)
        elif self.has_other_tokens:
            found.append(_OTHER_TOKENS)
        if self.folder is not None and not (self.folder / "result.json").exists():
            found.append(f"{self.name} is not finished: its checkpoint has a part of its training")
        known = run_folder.validation_limit(self.config["trainer"])
        if limit := self.result.get("validation_limit", known):
            found.append(
                f"val/nll is over all validation pairs here, and was over {limit} in training"
            )
        return found

    def stored_programs(self, pairs: Sequence[Pair]) -> Programs | None:
        """Return the programs per pair that the run itself generated for these descriptions.

        None if they are not of this checkpoint and this decoding.
        """
        if self.folder is None:
            return None
        try:
            key = json.loads((self.folder / "predictions.json").read_text())
            lines = (self.folder / "predictions.jsonl").read_text().splitlines()
            records = {record["id"]: record for record in map(json.loads, lines)}
        except (OSError, ValueError, KeyError):
            return None
        if key != predictions_key(self.sha256, self.config):
            return None
        found = [records.get(pair.id, {}) for pair in pairs]
        if [record.get("description") for record in found] != [pair.description for pair in pairs]:
            return None
        return [record["candidates"] for record in found]

    def cached_programs(
        self,
        pairs: Sequence[Pair],
        search: Mapping[str, Any],
        trainer: pl.Trainer,
        generate: Callable[[], Programs],
        task: str = "generating",
    ) -> Programs:
        """Return the programs of a search from the cache; generate them if they are not there."""
        key = {
            "checkpoint": self.sha256,
            "machine": _machine(trainer),
            "search": dict(search),
            "descriptions": [pair.description for pair in pairs],
            "training": self.prepared.split_hash,  # neighbours are from there
            "code": [file_digest(_SOURCE / name) for name in ("models", "decoding", "training")],
        }

        def make() -> Programs:
            log.info(f"{self.name}: {task} programs for {counted(len(pairs), 'description')}")
            return generate()

        return cached(Path(self.config["cache"]), "predictions", key, make)

    def cached_tables(
        self,
        pairs: Sequence[Pair],
        trainer: pl.Trainer,
        compute: Callable[[], tuple[dict[str, float], Tables]],
    ) -> tuple[dict[str, float], Tables]:
        """Return the token metrics of pairs from the cache; compute them if they are not there."""
        key = {
            "checkpoint": self.sha256,
            "pairs": [[pair.id, pair.description, pair.code] for pair in pairs],
            "training": self.prepared.split_hash,
            "batch": self.config["batch"],
            "machine": _machine(trainer),
            "code": [file_digest(_SOURCE / name) for name in ("models", "training", "evaluation")],
        }
        return cached(Path(self.config["cache"]), "tokens", key, compute)


def _machine(trainer: pl.Trainer) -> list[Any]:
    """Return what can change the last digits of a model, and so the better one of two programs."""
    device = type(trainer.accelerator).__name__
    return [device, trainer.num_devices, trainer.precision, torch.__version__]


def find_runs(paths: str, changes: Mapping[str, Any], remedy: str = "") -> list[CheckpointRun]:
    """Load the named checkpoints and their data.

    Raises:
        UserError: If a checkpoint cannot be read or its data are not found.
    """
    known: dict[str, Prepared] = {}
    runs = []
    for path in find_checkpoints(paths):
        checkpoint, sha256 = _with_digest(path)
        metadata = checkpoint["en2py"]
        config = evaluation_config(metadata["config"], changes)
        check_allowed(config)
        config["data"] = locate_data(config, metadata.get("files", {}), path, remedy)
        key = digest(data_key(config))
        if key not in known:
            known[key] = run_data.prepare_data(config)
        prepared = run_data.in_tokens_of(metadata, known[key])
        has_other_tokens = any(
            {*vocab.tokens} - {*metadata[f"{side}_vocab"]["tokens"]}
            for side, vocab in (("src", known[key].src_vocab), ("tgt", known[key].tgt_vocab))
        )
        run = CheckpointRun(path, sha256, checkpoint, config, prepared, has_other_tokens)
        runs.append(_with_chosen_engine(run))
    return runs


def _with_digest(path: Path) -> tuple[dict[str, Any], str]:
    """Load a checkpoint and its digest, again if a training replaced the file in between.

    Else the cache would keep the programs of one checkpoint as those of another.
    """
    while True:
        before = path.stat() if path.exists() else None
        found = load_checkpoint(path, mmap=True), file_digest(path)
        if before is not None and os.path.samestat(before, path.stat()):
            return found


def _with_chosen_engine(run: CheckpointRun) -> CheckpointRun:
    """Replace `decoding.engine=auto` by CTranslate2 if it writes what torch writes, else by torch.

    Programs of a few validation pairs are compared, in each call. Where one is cut at the length
    limit, its last tokens may differ.
    """
    if run.config["decoding"].get("engine") != "auto":
        return run
    search = {key: value for key, value in run.config["decoding"].items() if key != "engine"}
    most = run.config["model"]["max_src_len"]
    texts = [item.pair.description for item in run.prepared.splits["val"] if len(item.src) < most]
    texts = [texts[i] for i in evenly_spaced(len(texts), N_COMPARED)]
    runs, written = {}, {}
    for engine, section in (
        ("torch", search),
        ("CTranslate2", {**search, "engine": "ctranslate2"}),
    ):
        runs[engine] = dataclasses.replace(run, config={**run.config, "decoding": section})
        found = runs[engine].open({})[0].candidates(texts)
        written[engine] = [[h.ids if h.finished else None for h in best] for best in found]
    pairs = zip(written["torch"], written["CTranslate2"], strict=True)
    n_equal = sum(one == other for one, other in pairs)
    chosen = "CTranslate2" if n_equal == len(texts) else "torch"
    log.info(
        f"decoding.engine=auto: {chosen} searches for {run.name}, because CTranslate2 writes the "
        f"tokens of torch for {n_equal} of {counted(len(texts), 'validation pair')}"
    )
    return dataclasses.replace(runs[chosen], is_engine_chosen=True)


def find_checkpoints(text: str) -> list[Path]:
    """Find the checkpoints of files, patterns, run and study folders, separated by commas.

    Raises:
        UserError: If a folder has no checkpoint.
    """
    found: list[Path] = []
    for path in expand_paths(text):
        found += _in_folder(path) if path.is_dir() else [path]
    return list(dict.fromkeys(found))


def find_checkpoint(text: str, purpose: str) -> Path:
    """Find the one checkpoint that is named as for an evaluation.

    Raises:
        UserError: If there are several, or a folder has none.
    """
    found = find_checkpoints(text)
    if len(found) != 1:
        names = ", ".join(map(str, found[:3])) + (", ..." if len(found) > 3 else "")
        raise UserError(f"{purpose} takes one checkpoint; ckpt_path={text} names {names}")
    return found[0]


def _in_folder(folder: Path) -> list[Path]:
    if (best := best_of(folder)) != folder:
        return [best]
    if (folder / "config.yaml").is_file():
        raise _no_best_checkpoint(folder)
    if not (files := checkpoints_of_study(folder)):
        reason = "there is no checkpoint beside a result.json"
        if unfinished := sorted(folder.glob("*/checkpoints/*.ckpt")):
            reason = f"finish its runs, or name a checkpoint of them, such as {unfinished[0]}"
        elif inner := sorted(folder.glob("*/*/result.json")):
            reason = f"name one of the studies in it, such as {inner[0].parents[1]}"
        raise UserError(
            f"{folder} is neither the folder of a run nor that of a study with finished runs: "
            f"{reason}"
        )
    scored = {file.parents[1] for file in files}
    others = [run for run in run_folder.started_runs(folder) if run not in scored]
    states = [run_folder.read_state(run).status for run in others]
    if states:
        counts = Counter("without a checkpoint" if s == run_folder.FINISHED else s for s in states)
        log.warning(
            f"{len(states)} of {len(states) + len(files)} runs of {folder} are left out: "
            + ", ".join(f"{n} {word}" for word, n in counts.items())
        )
    return files


def _no_best_checkpoint(run: Path) -> UserError:
    status, last = run_folder.read_state(run).status, run / "checkpoints" / "last.ckpt"
    remedy = "the same command finishes it"
    if status == run_folder.FINISHED:
        remedy = "train it again with fresh=true"
    elif last.is_file():
        remedy += f"; to take it as it is, name {last}"
    return UserError(f"{run} is the folder of a run without best.ckpt ({status}): {remedy}")


def checkpoints_of_study(folder: Path) -> list[Path]:
    """Return the best checkpoint of each finished run of a study, see `best_of`.

    The order is that of the study's summary, whose first configuration is the reference row.
    """
    planned = {name: place for place, name in enumerate(planned_order(folder))}
    finished = [result.parent for result in sorted(folder.glob("*/result.json"))]
    finished.sort(key=lambda run: planned.get(run.name, len(planned)))
    files = [best_of(run) for run in finished if not is_archived(run.name)]
    return [file for file in files if file.is_file()]
