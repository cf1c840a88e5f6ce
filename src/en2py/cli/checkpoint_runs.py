"""What takes part in a comparison: the runs behind checkpoints, each with its own data."""

import csv
import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from en2py.config.run_name import data_key, is_archived, settings
from en2py.config.validation import expand_paths
from en2py.data.cache import cached
from en2py.data.files import digest, file_digest
from en2py.data.pairs import SPLITS, Pair
from en2py.data.prepare import Prepared, TokenizedPair
from en2py.data.vocab import Vocab
from en2py.errors import UserError
from en2py.training import build
from en2py.training.checkpoints import load_checkpoint
from en2py.training.module import Seq2SeqModule
from en2py.training.testing import predictions_key

log = logging.getLogger(__name__)

_SOURCE = Path(__file__).parents[1]


@dataclass(frozen=True)
class CheckpointRun:
    """A checkpoint that takes part.

    Attributes:
        path: Of the checkpoint.
        sha256: Of its file.
        stored: What it carries besides weights, see `build.checkpoint_metadata`.
        config: Its config with what this evaluation changes: places, cache, decoding.
        prepared: Its data as they are now, with the checkpoint's vocabularies.
    """

    path: Path
    sha256: str
    stored: dict[str, Any]
    config: dict[str, Any]
    prepared: Prepared

    @property
    def name(self) -> str:
        """Return the name of the run."""
        return str(self.stored["run"])

    @property
    def seed(self) -> int:
        """Return the seed of the run."""
        return int(self.config["seed"])

    @property
    def settings(self) -> dict[str, str]:
        """Return all that the run chose, its seed left out."""
        return settings(self.config, self.stored["choices"])

    @property
    def folder(self) -> Path | None:
        """Return the folder of the run, None where the checkpoint lies elsewhere."""
        folder = self.path.resolve().parent.parent
        return folder if folder.name == self.name else None

    def curve(self) -> list[dict[str, float]]:
        """Return the run's loss on both sides, epoch after epoch; empty where it is not known."""
        try:
            with open((self.folder or Path()) / "metrics.csv", newline="") as file:
                rows = list(csv.DictReader(file))
        except FileNotFoundError:
            return []
        names = ("epoch", "train/nll", "val/nll")
        return [{n: float(row[n]) for n in names} for row in rows if row.get("val/nll")]

    def notes(self) -> list[str]:
        """Return what a reader of its row has to know of its data."""
        if self.prepared.split_hash == self.stored["split_hash"]:
            return []
        return [
            "the data or the rules are not those of its training (their split hash differs), so "
            "test pairs may have been trained on"
        ]


def checkpoints_of(text: str) -> list[Path]:
    """Find the checkpoints that are named: files, globs, run folders, folders of studies.

    Args:
        text: As typed: a path, several with commas between them, or patterns.

    Raises:
        UserError: If there is none in a folder that is named.
    """
    found: list[Path] = []
    for path in expand_paths(text):
        found += _in_folder(path) if path.is_dir() else [path]
    return list(dict.fromkeys(found))


def _in_folder(folder: Path) -> list[Path]:
    own = folder / "checkpoints" / "best.ckpt"
    if own.is_file():
        return [own]
    results = [
        result
        for result in sorted(folder.glob("*/result.json"))
        if not is_archived(result.parent.name)
    ]
    files = [result.parent / "checkpoints" / "best.ckpt" for result in results]
    files = [file for file in files if file.is_file()]
    if not files:
        raise UserError(
            f"{folder} is neither the folder of a run nor that of a study with finished runs: "
            "there is no best.ckpt beside a result.json"
        )
    return files


def find_runs(cfg: DictConfig) -> list[CheckpointRun]:
    """Load the checkpoints that an evaluation names, without their weights, and their data.

    Raises:
        UserError: For a checkpoint that cannot be read, or data that are not there.
    """
    known: dict[str, Prepared] = {}
    found = []
    for path in checkpoints_of(cfg.ckpt_path):
        stored = load_checkpoint(path)["en2py"]
        config = evaluation_config(cfg, stored)
        key = digest(data_key(config))
        if key not in known:
            known[key] = build.prepare_data(config)[0]
        prepared = dataclasses.replace(
            known[key],
            src_vocab=Vocab.from_dict(stored["src_vocab"]),
            tgt_vocab=Vocab.from_dict(stored["tgt_vocab"]),
        )
        found.append(CheckpointRun(path, file_digest(path), stored, config, prepared))
    return found


def evaluation_config(cfg: DictConfig, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's config with what an evaluation changes of it."""
    config = {**stored["config"], "cache": cfg.cache, "processes": cfg.processes}
    if cfg.data.path is not None:
        config["data"] = _with_path(config["data"], cfg.data.path)
    config["batch"] = OmegaConf.to_container(cfg.batch)
    decoding: Any = OmegaConf.to_container(cfg.decoding, resolve=True)
    if decoding["engine"] == "torch":
        del decoding["engine"]
    if "_target_" in decoding:
        limit = config["model"]["max_tgt_len"]
        config["decoding"] = {**decoding, "max_len": decoding["max_len"] or limit}
    else:  # as trained
        config["decoding"] = {**config["decoding"], **decoding}
    return config


def _with_path(data: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a data config that reads another file."""
    source = {**data["source"]}
    source["root" if "root" in source else "path"] = path
    return {**data, "path": path, "source": source}


def common_pairs(entrants: Sequence[CheckpointRun], part: str) -> list[Pair]:
    """Return the pairs that lie in a part of every entrant's data, as the first one reads them.

    A pair lies in one part of a run's data, so none of these was trained on by any.
    """
    shared = set.intersection(
        *({pair.id for pair in entrant.prepared.pairs(part)} for entrant in entrants)
    )
    return [pair for pair in entrants[0].prepared.pairs(part) if pair.id in shared]


def aligned(
    entrant: CheckpointRun, module: Seq2SeqModule, parts: Mapping[str, Sequence[Pair]]
) -> Prepared:
    """Return an entrant's data with other texts in some parts, cut into its own tokens."""

    def tokens(pairs: Sequence[Pair]) -> list[TokenizedPair]:
        return [
            TokenizedPair(
                pair,
                module.src_tokenizer.tokenize(pair.description),
                module.tgt_tokenizer.tokenize(pair.code),
            )
            for pair in pairs
        ]

    splits = {name: tokens(parts.get(name, ())) for name in SPLITS}
    return dataclasses.replace(entrant.prepared, splits=splits)


def stored_programs(entrant: CheckpointRun, pairs: Sequence[Pair]) -> list[list[str]] | None:
    """Return the programs that the run itself wrote for these descriptions.

    Returns:
        Programs per pair; None where there are none of this checkpoint and this decoding.
    """
    if entrant.folder is None:
        return None
    try:
        key = json.loads((entrant.folder / "predictions.json").read_text())
        lines = (entrant.folder / "predictions.jsonl").read_text().splitlines()
        records = {record["id"]: record for record in map(json.loads, lines)}
    except (OSError, ValueError, KeyError):
        return None
    if key != predictions_key(entrant.sha256, entrant.config):
        return None
    own = [records.get(pair.id) for pair in pairs]
    if any(
        record is None or record["description"] != pair.description
        for record, pair in zip(own, pairs, strict=True)
    ):
        return None
    return [record["candidates"] for record in own if record is not None]


def known_programs(
    entrant: CheckpointRun, pairs: Sequence[Pair], search: Mapping[str, Any], write: Any
) -> list[list[str]]:
    """Return what a checkpoint writes under a search, from the cache if it is there.

    Args:
        entrant: The checkpoint.
        pairs: Whose descriptions are asked.
        search: The decoding section.
        write: Called without arguments, returns the programs per pair.
    """
    key = {
        "checkpoint": entrant.sha256,
        "search": dict(search),
        "descriptions": [pair.description for pair in pairs],
        "model": file_digest(_SOURCE / "models"),
        "decoding": file_digest(_SOURCE / "decoding"),
    }

    def build_them() -> dict[str, Any]:
        log.info(f"{entrant.name}: writing {len(pairs):,} programs")
        return {"candidates": write()}

    record, _ = cached(Path(entrant.config["cache"]), "predictions", key, build_them)
    programs: list[list[str]] = record["candidates"]
    return programs
