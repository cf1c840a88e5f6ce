"""Build data and module from a plain config."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from en2py.config.composition import Config
from en2py.config.instantiate import allow_packages, check_allowed, make
from en2py.config.run_name import canonical, data_key, splits_by_behaviour
from en2py.console import progress_bar
from en2py.data.cache import cached, entry
from en2py.data.cleaning import Drop
from en2py.data.datamodule import PairDataModule
from en2py.data.duplicates import fingerprint, group_near_duplicates
from en2py.data.files import digest
from en2py.data.neighbours import Neighbours, nearest_of_other_groups
from en2py.data.pairs import Pair
from en2py.data.prepare import Prepared, TokenizedPair, prepare
from en2py.data.tokenizers.protocol import Tokenizer
from en2py.data.vocab import Vocab
from en2py.decoding.ctranslate2 import Exported
from en2py.errors import UserError
from en2py.evaluation.behaviour.cached import execution_digest, reference_classes
from en2py.models.embeddings import Vectors
from en2py.training.checkpoints import best_of, load_checkpoint, locate_data
from en2py.training.initialization import fill_embeddings
from en2py.training.module import Search, Seq2SeqModule

# -- data ----------------------------------------------------------------------------------------


def prepare_data(config: Config) -> Prepared:
    """Return the prepared data, from the cache if they are there."""
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
        return prepared.to_dict()

    record = cached(Path(config["cache"]), "data", _data_key(config), build)
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
    src, tgt = make(config["tokenizer"]["src"]), make(config["tokenizer"]["tgt"])
    for tokenizer, state in zip((src, tgt), states or (), strict=False):
        tokenizer.load_state_dict(state)
    return src, tgt


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


def neighbours(config: Config, prepared: Prepared) -> Neighbours | None:
    """Return the neighbours that sources contain, by `neighbours` of the config."""
    if not config.get("neighbours"):
        return None
    make_neighbours, train = make(config["neighbours"]), prepared.splits["train"]
    k = make_neighbours.keywords["k"]

    def build() -> list[list[int]]:
        pairs = prepared.pairs("train")
        prints = [fingerprint(pair) for pair in pairs]
        if splits_by_behaviour(config):
            known = _classes(config)([pair.code for pair in pairs])
            texts = [known.get(pair.code, "") for pair in pairs]
            prints = [replace(p, behaviour=text) for p, text in zip(prints, texts, strict=True)]
        with progress_bar("finding neighbours"):
            return nearest_of_other_groups(pairs, group_near_duplicates(prints), k)

    key = {**_data_key(config), "k": k}
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


# -- module --------------------------------------------------------------------------------------


def new_module(config: Config, prepared: Prepared, metadata: dict[str, Any]) -> Seq2SeqModule:
    """Return a module with new weights, initialised by word vectors if configured."""
    vectors = word_vectors(config, prepared)
    pl.seed_everything(config["seed"], verbose=False)
    tables = {"src": vectors.src, "tgt": vectors.tgt}
    widths = {side: table.shape[1] for side, table in tables.items() if table is not None}
    tied, d_model = config["model"].get("tie_embeddings") == "tgt", config["model"].get("d_model")
    if tied and widths.get("tgt", d_model) != d_model:
        raise UserError(
            f"embeddings: the Python vectors have {widths['tgt']} numbers, and "
            f"model.tie_embeddings=tgt needs model.d_model={d_model}: set "
            f"model.tie_embeddings=none, or make vectors of that width"
        )
    metadata = {
        **metadata,
        "widths": {f"{side}_width": width for side, width in widths.items()},
        "frozen": list(widths),
        "coverage": vectors.coverage,
    }
    module = _module_of_config(config, prepared.src_vocab, prepared.tgt_vocab, metadata)
    module.neighbours = neighbours(config, prepared)
    fill_embeddings(module.model, vectors)
    return module


def word_vectors(config: Config, prepared: Prepared) -> Vectors:
    """Return the word vectors that initialise the token tables, from the cache if possible."""
    settings = config["embeddings"]["vectors"]
    key = {
        "sentences": digest([[item.src, item.tgt] for item in prepared.splits["train"]]),
        "vocab": [prepared.src_vocab.tokens, prepared.tgt_vocab.tokens],
        "tokenizer": canonical(config["tokenizer"]),
        "embeddings": canonical(settings),
        "seed": config["seed"],
    }

    def build() -> dict[str, Any]:
        sentences = [(item.src, item.tgt) for item in prepared.splits["train"]]
        vectors: Vectors = make(settings)(
            sentences, prepared.src_vocab, prepared.tgt_vocab, seed=config["seed"]
        )
        return vectors.to_dict()

    return Vectors.from_dict(cached(Path(config["cache"]), "vectors", key, build))


def load(path: str | Path, allowed_packages: Sequence[str] = ()) -> Seq2SeqModule:
    """Load the module of a checkpoint, ready to generate.

    Args:
        path: The file.
        allowed_packages: Own packages whose functions and classes its config may name; they stay
            allowed in this process.

    Raises:
        UserError: If the file is missing or damaged, or its config names other code.

    Example:
        `en2py.load("best.ckpt").generate("write a function that adds two numbers")`
    """
    allow_packages(allowed_packages)
    return module_of(load_checkpoint(best_of(path)))


def module_of(
    checkpoint: Mapping[str, Any], prepared: Prepared | None = None, accelerator: str = "auto"
) -> Seq2SeqModule:
    """Return the module of a loaded checkpoint, with its weights, in eval mode.

    Args:
        checkpoint: The checkpoint.
        prepared: The data of its training; None: they are prepared, if there are neighbours.
        accelerator: Its device, one that `check_devices` accepts.

    Raises:
        UserError: If the data of its neighbours are missing.
    """
    metadata = checkpoint["en2py"]
    src_vocab, tgt_vocab = (Vocab(**metadata[f"{side}_vocab"]) for side in ("src", "tgt"))
    module = _module_of_config(metadata["config"], src_vocab, tgt_vocab, metadata)
    module.load_state_dict(checkpoint["state_dict"])
    if (config := metadata["config"]).get("neighbours"):
        remedy = "sources contain its pairs: put it there again (evaluate.py takes data.path=FILE)"
        data = locate_data(config, metadata["files"], metadata["run"], remedy)
        config = {**config, "data": data}
        prepared = in_tokens_of(metadata, prepared or prepare_data(config))
        module.neighbours = neighbours(config, prepared)
    default = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(accelerator if accelerator in ("cpu", "mps") else default)
    module = module.to(device).eval()
    engine = metadata["config"]["decoding"].get("engine", "torch")
    if engine != "torch":
        module.search = _exported(module, engine)
    return module


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


def _exported(module: Seq2SeqModule, engine: str) -> Search:
    """Return the module's search, bound to an exported copy of its model."""
    search: Any = module.search
    arithmetic: Any = {"ctranslate2": "float32", "ctranslate2_int8": "int8"}[engine]
    exported = Exported(module.model, module.src_vocab, module.tgt_vocab, arithmetic)
    return lambda model, src, vocab: search(exported, src, vocab)


def _module_of_config(
    config: Config, src_vocab: Vocab, tgt_vocab: Vocab, metadata: dict[str, Any]
) -> Seq2SeqModule:
    """Return the module that a config describes, for new weights or those of a checkpoint."""
    check_allowed(config)
    states = (metadata["src_state"], metadata["tgt_state"])
    src_tokenizer, tgt_tokenizer = tokenizers(config, states)
    search = make({k: v for k, v in config["decoding"].items() if k != "engine"})
    sizes = dict(metadata["widths"])
    if section := config.get("neighbours"):
        max_src_len = config["model"]["max_src_len"] + section["max_len"]
        sizes |= {"max_src_len": max_src_len, "sep_id": src_vocab.bos_id}
    return Seq2SeqModule(
        model=make(config["model"])(len(src_vocab), len(tgt_vocab), tgt_vocab.pad_id, **sizes),
        loss=make(config["loss"])(tgt_vocab),
        optimizer=make(config["optimizer"]),
        scheduler=make(config["scheduler"]),
        search=bound(search, tgt_tokenizer),
        src_tokenizer=src_tokenizer,
        tgt_tokenizer=tgt_tokenizer,
        src_vocab=src_vocab,
        tgt_vocab=tgt_vocab,
        freeze_epochs=config["embeddings"]["freeze_epochs"],
        frozen=metadata["frozen"],
        clean=partial(_cleaned, list(cleaning_steps(config["cleaning"]).values())),
        metadata=metadata,
    )


def bound(search: Any, tokenizer: Tokenizer) -> Search:
    """Return a search of `make` with the target tokenizer, as a plain partial.

    One that is an object, not a function, is built.
    """
    if isinstance(search.func, type):
        return search(tokenizer=tokenizer)  # type: ignore[no-any-return]
    return partial(search.func, **search.keywords, tokenizer=tokenizer)


def _cleaned(steps: Sequence[Any], description: str) -> str:
    """Return a description as the cleaning steps of pairs leave it beside an empty program.

    A step that would drop the pair is skipped, and a description of which nothing is left stays.
    """
    pair = Pair("", description, "pass\n", "")
    for step in steps:
        with suppress(Drop):
            pair = step(pair)
    return pair.description or description
