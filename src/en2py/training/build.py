"""Build the module of a run."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from en2py.config.argument_types import argument_types
from en2py.config.composition import Config
from en2py.config.instantiate import allow_packages, check_allowed, definition, make
from en2py.config.run_name import canonical
from en2py.data.cache import cached
from en2py.data.cleaning import Drop
from en2py.data.files import digest
from en2py.data.pairs import Pair
from en2py.data.prepare import Prepared
from en2py.data.tokenizers.protocol import Tokenizer
from en2py.data.vocab import Vocab
from en2py.decoding.ctranslate2 import Exported
from en2py.errors import UserError
from en2py.models.embeddings import Vectors
from en2py.training import run_data
from en2py.training.checkpoints import best_of, load_checkpoint, locate_data
from en2py.training.initialization import fill_embeddings
from en2py.training.module import Search, Seq2SeqModule


def new_module(config: Config, prepared: Prepared, metadata: dict[str, Any]) -> Seq2SeqModule:
    """Return a module with new weights, initialized by word vectors if configured."""
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
    module.neighbours = run_data.neighbours(config, prepared)
    fill_embeddings(module.model, vectors)
    return module


def word_vectors(config: Config, prepared: Prepared) -> Vectors:
    """Return the word vectors that initialize the token tables, from the cache if possible."""
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
        prepared = run_data.in_tokens_of(metadata, prepared or run_data.prepare_data(config))
        module.neighbours = run_data.neighbours(config, prepared)
    default = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(accelerator if accelerator in ("cpu", "mps") else default)
    module = module.to(device).eval()
    engine = metadata["config"]["decoding"].get("engine", "torch")
    if engine != "torch":
        module.search = _exported(module, engine)
    return module


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
    src_tokenizer, tgt_tokenizer = run_data.tokenizers(config, states)
    search = make({k: v for k, v in config["decoding"].items() if k != "engine"})
    sizes = dict(metadata["widths"])
    if section := config.get("neighbours"):
        max_src_len = config["model"]["max_src_len"] + section["max_len"]
        sizes |= {"max_src_len": max_src_len, "sep_id": src_vocab.bos_id}
    known, any_keyword = argument_types(definition(config["model"]["_target_"]))
    if not any_keyword and (missing := sizes.keys() - known.keys()):
        raise UserError(
            f"model._target_={config['model']['_target_']}: it has no argument "
            f"{' or '.join(sorted(missing))}, which word vectors and neighbours need; add it, or "
            "take embeddings=none and neighbours=none"
        )
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
        clean=partial(_cleaned, list(run_data.cleaning_steps(config["cleaning"]).values())),
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
