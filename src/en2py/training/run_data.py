"""The data of a run, prepared as its config says."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from en2py.config.composition import Config
from en2py.config.instantiate import class_of, make
from en2py.config.run_name import data_key, splits_by_behaviour
from en2py.console import progress_bar
from en2py.data.cache import cached, entry
from en2py.data.datamodule import PairDataModule
from en2py.data.duplicates import fingerprint, group_near_duplicates, measure_leakage
from en2py.data.files import digest
from en2py.data.neighbours import Neighbours, nearest_of_other_groups
from en2py.data.pairs import SPLITS
from en2py.data.prepare import Prepared, TokenizedPair, prepare
from en2py.data.tokenizers.protocol import Tokenizer
from en2py.data.vocab import Vocab
from en2py.errors import UserError
from en2py.evaluation.behaviour.cached import (
    execution_digest,
    execution_key,
    reference_classes,
)
from en2py.evaluation.scores import originals

CHANGED = "a file that this run reads changed after it began; start the same command again"


def prepare_data(config: Config) -> Prepared:
    """Return the prepared data, from the cache if they are there.

    Raises:
        UserError: If they cannot be read, or a file changes while they are prepared.
    """
    key = _data_key(config)
    lengths = {key: config["model"][key] for key in ("max_src_len", "max_tgt_len")}

    def build() -> dict[str, Any]:
        src_tokenizer, tgt_tokenizer = tokenizers(config)
        target = config["data"].get("target")
        with progress_bar("preparing the data") as bar:
            prepared = prepare(
                read=make(config["data"]["source"]),
                cleaning=cleaning_steps(config["cleaning"]),
                split=_split(config),
                augment=make(config["augmentation"]),
                src_tokenizer=src_tokenizer,
                tgt_tokenizer=tgt_tokenizer,
                **config["vocab"],
                **lengths,
                target=make(target["source"]) if target else None,
                processes=config["processes"],
                seconds_per_pair=config["cleaning"]["seconds_per_pair"],
                progress=bar.update,
            )
        if _data_key(config) != key:  # the cache would have the new content as the old one
            raise UserError(CHANGED)
        return prepared.to_dict()

    record = cached(Path(config["cache"]), "data", key, build)
    return Prepared.from_dict(record)


def is_prepared(config: Config) -> bool:
    """Return whether the prepared data are in the cache."""
    return entry(Path(config["cache"]), "data", _data_key(config)).exists()


def _data_key(config: Config) -> dict[str, Any]:
    """Return all that prepared data depend on, the code that executes programs included."""
    running = {"running": execution_digest()} if splits_by_behaviour(config) else {}
    return {**data_key(config), **running}


def tokenizers(
    config: Config, states: tuple[dict[str, Any], dict[str, Any]] | None = None
) -> tuple[Tokenizer, Tokenizer]:
    """Return the English and the Python tokenizer, with their learned states if given."""
    src, tgt = (_tokenizer(config["tokenizer"][side], side) for side in ("src", "tgt"))
    for tokenizer, state in zip((src, tgt), states or (), strict=False):
        tokenizer.load_state_dict(state)
    return src, tgt


def _tokenizer(section: Config, side: str) -> Tokenizer:
    """Return the tokenizer of a side.

    Raises:
        UserError: If it is none.
    """
    tokenizer: Tokenizer = make(section)
    methods = [name for name in vars(Tokenizer) if not name.startswith("_")]
    if missing := [name for name in methods if not callable(getattr(tokenizer, name, None))]:
        raise UserError(
            f"tokenizer.{side}: {section['_target_']} has no method {', '.join(missing)}; a "
            "subclass of en2py.data.tokenizers.protocol.Tokenizer needs tokenize and detokenize "
            "alone"
        )
    return tokenizer


def cleaning_steps(section: Config) -> dict[str, Any]:
    """Return the enabled cleaning steps, in order.

    They are plain partials: those of Hydra check their target at each call, which took a fifth of
    the time of cleaning.
    """
    used = [name for name, use in section["use"].items() if use]
    steps = {name: make(section["steps"][name]) for name in used}
    return {name: partial(step.func, **step.keywords) for name, step in steps.items()}


def _split(config: Config) -> Any:
    """Return the split function; that by behaviour executes programs in the sandbox."""
    split = make(config["split"])
    return partial(split, signatures=_classes(config)) if splits_by_behaviour(config) else split


def _classes(config: Config) -> Any:
    return partial(reference_classes, sandbox=config["sandbox"], folder=Path(config["cache"]))


def check_lengths(prepared: Prepared, model: Config) -> None:
    """Refuse data without a pair to validate or test on that the model can read and write.

    Raises:
        UserError: If all pairs of a split are longer than its limits.
    """
    sizes, too_long = (prepared.report.facts[name] for name in ("sizes", "over_max_len"))
    limits = ", ".join(f"model.{key}={model[key]}" for key in ("max_src_len", "max_tgt_len"))
    for split in ("val", "test"):
        if too_long[split] == sizes[split]:
            raise UserError(
                f"none of the {sizes[split]:,} {split} pairs fits into the model ({limits}): raise"
                " these limits, or take shorter pairs"
            )


def unused_limit(prepared: Prepared, batch: Config) -> Iterator[str]:
    """Yield a warning if `batch.max_pairs` limits nothing."""
    if (limit := batch["max_pairs"]) and limit > (n := len(prepared.splits["train"])):
        yield f"batch.max_pairs={limit}: the training split has {n:,} pairs, all of them used"


def unused_augmentation(prepared: Prepared, augmentation: Config) -> Iterator[str]:
    """Yield a warning if the augmentation adds nothing."""
    if (name := class_of(augmentation)) != "none" and not prepared.report.facts["augmented"]:
        yield (
            f"augmentation={name}: no training pair has a variant, so nothing is added: what "
            "occurs in both description and program is kept"
        )


def leakage(prepared: Prepared, max_pairs: int | None) -> dict[str, dict[str, float]]:
    """Return the leakage of the first `max_pairs` training pairs into validation and test."""
    pairs = prepared.pairs("train")
    if max_pairs is None or max_pairs >= len(pairs):
        found: dict[str, dict[str, float]] = prepared.report.facts["leakage"]
        return found
    trained = [fingerprint(pair) for pair in originals(pairs[:max_pairs])]
    return {
        name: measure_leakage(trained, [fingerprint(pair) for pair in prepared.pairs(name)])
        for name in SPLITS[1:]
    }


def with_leakage_of(prepared: Prepared, max_pairs: int | None) -> Prepared:
    """Return data whose report has the leakage of the first `max_pairs` training pairs."""
    shares = leakage(prepared, max_pairs)
    if shares is prepared.report.facts["leakage"]:
        return prepared
    facts = {**prepared.report.facts, "leakage": shares, "trained": max_pairs}
    return replace(prepared, report=replace(prepared.report, facts=facts))


def in_tokens_of(metadata: Mapping[str, Any], prepared: Prepared) -> Prepared:
    """Return data in the tokens of a checkpoint, with its vocabularies.

    Tokenizers that learn have learned others if the data have changed since.
    """
    states = metadata["src_state"], metadata["tgt_state"]
    splits = prepared.splits
    if digest(states) != digest([prepared.src_state, prepared.tgt_state]):
        src, tgt = tokenizers(metadata["config"], states)
        splits = {
            name: [
                TokenizedPair(p, src.tokenize(p.description), tgt.tokenize(p.code))
                for p in prepared.pairs(name)
            ]
            for name in splits
        }
    return replace(
        prepared,
        splits=splits,
        src_vocab=Vocab(**metadata["src_vocab"]),
        tgt_vocab=Vocab(**metadata["tgt_vocab"]),
        src_state=states[0],
        tgt_state=states[1],
    )


def neighbours(config: Config, prepared: Prepared) -> Neighbours | None:
    """Return the neighbours that sources contain, by `neighbours` of the config."""
    if not config.get("neighbours"):
        return None
    make_neighbours, train = make(config["neighbours"]), prepared.splits["train"]
    k, pairs = make_neighbours.keywords["k"], prepared.pairs("train")

    def build() -> list[list[int]]:
        prints = [fingerprint(pair) for pair in pairs]
        if splits_by_behaviour(config):
            known = _classes(config)([pair.code for pair in pairs])
            texts = [known.get(pair.code, "") for pair in pairs]
            prints = [replace(p, behaviour=text) for p, text in zip(prints, texts, strict=True)]
        with progress_bar("finding neighbours"):
            return nearest_of_other_groups(pairs, group_near_duplicates(prints), k)

    # Not by the files of the data, which may have changed since these were prepared.
    key: dict[str, Any] = {"pairs": [[pair.description, pair.code] for pair in pairs], "k": k}
    if splits_by_behaviour(config):
        key |= execution_key(config["sandbox"])
    near = cached(Path(config["cache"]), "neighbours", key, build)
    made: Neighbours = make_neighbours(train, near)
    return made


def datamodule(
    config: Config, prepared: Prepared, neighbours: Neighbours | None = None
) -> PairDataModule:
    """Return the data module of prepared data, and of neighbours of the training data."""
    return PairDataModule(
        prepared,
        **config["batch"],
        seed=config["seed"],
        max_src_len=config["model"]["max_src_len"],
        max_tgt_len=config["model"]["max_tgt_len"],
        neighbours=neighbours,
    )
