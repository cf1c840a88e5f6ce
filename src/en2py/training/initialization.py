"""Initialize weights from word vectors, or from the checkpoint of another run."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from en2py.config.composition import typed
from en2py.data.vocab import Vocab
from en2py.errors import UserError
from en2py.models.embeddings import Vectors
from en2py.models.transformer import Transformer
from en2py.training.module import Seq2SeqModule

_MAX_NAMES = 8  # of weights in the log
_READING = ("n_heads", "positions", "norm")  # settings that change no shape of a weight
# Each row of these belongs to a token and is copied to the row of the same token.
_TOKEN_ROWS = {
    "model.src_embedding.table.weight": "src",
    "model.tgt_embedding.table.weight": "tgt",
    "model.projection.weight": "tgt",
    "model.projection.bias": "tgt",
}


def copy_weights(checkpoint: Mapping[str, Any], module: Seq2SeqModule) -> list[str]:
    """Copy the weights of a loaded checkpoint that have the same shape into a module, in place.

    Returns:
        Lines for the log: the number of copied weights, the names of the others and of weights that
        this model lacks, and settings with which the model reads copied weights otherwise.

    Raises:
        UserError: If no weight has the same shape.
    """
    source: Mapping[str, Tensor] = checkpoint["state_dict"]
    stored = checkpoint["en2py"]
    vocabs = {
        side: (Vocab(**stored[f"{side}_vocab"]), getattr(module, f"{side}_vocab"))
        for side in ("src", "tgt")
    }
    copied = {
        name: _copy(name, weight, source.get(name), vocabs)
        for name, weight in module.named_parameters()
    }
    skipped, n_copied = [name for name in copied if not copied[name]], sum(copied.values())
    if not n_copied:
        raise UserError(
            f"init_from: no weight of run '{stored['run']}' has the shape of this model's; use the "
            "same model="
        )
    places = {source[name].data_ptr() for name in copied if name in source}  # of tied tables too
    unused = [
        name
        for name, weight in source.items()
        if name.startswith("model.") and name not in copied and weight.data_ptr() not in places
    ]
    lines = [f"weights of {stored['run']}: {n_copied} copied, {len(skipped)} newly initialized"]
    for what, names in (("newly initialized", skipped), ("not in this model", unused)):
        lines += [f"  {what}: {name}" for name in names[:_MAX_NAMES]]
        if len(names) > _MAX_NAMES:
            lines.append(f"  {what}: {len(names) - _MAX_NAMES} more")
    if len(skipped) > n_copied:
        model = stored.get("choices", {}).get("model")
        hint = f"model={model}" if model else "the model= of that run"
        lines.append(f"  most weights are new, so little is left of that run: add {hint}")
    then, now = (part["config"]["model"] for part in (stored, module.metadata))
    lines += [
        f"  the copied weights were trained with model.{key}={typed(then[key])}, this run has "
        f"{typed(now.get(key))}: add model.{key}={typed(then[key])}"
        for key in _READING
        if key in then and then[key] != now.get(key)
    ]
    for side, (old_vocab, new_vocab) in vocabs.items():
        shared = sum(token in old_vocab for token in new_vocab.tokens)
        lines.append(f"  {side}: {shared:,} of {len(new_vocab):,} tokens are in both vocabularies")
    return lines


@torch.no_grad()
def _copy(
    name: str, weight: Tensor, old: Tensor | None, vocabs: Mapping[str, tuple[Vocab, Vocab]]
) -> bool:
    """Copy a weight in place, of a table the rows of shared tokens; False if the shapes differ."""
    if old is None or old.shape[1:] != weight.shape[1:]:
        return False
    if name in _TOKEN_ROWS:
        old_vocab, new_vocab = vocabs[_TOKEN_ROWS[name]]
        places = {token: i for i, token in enumerate(old_vocab.tokens)}
        rows = [(i, places[t]) for i, t in enumerate(new_vocab.tokens) if t in places]
        new_rows, old_rows = (torch.tensor(column) for column in zip(*rows, strict=True))
        weight[new_rows.to(weight.device)] = old[old_rows].to(weight)
    elif old.shape == weight.shape:
        weight.copy_(old)
    else:
        return False
    return True


def fill_embeddings(model: Transformer, vectors: Vectors) -> None:
    """Copy word vectors into the token tables.

    A table is scaled by one factor to the standard deviation of new tables, `1 / sqrt(d_model)`:
    that of word2vec depends on its settings, and the model adds positions to the vectors. Angles
    are unchanged.
    """
    for side, table in (("src", vectors.src), ("tgt", vectors.tgt)):
        if table is not None:
            weight = getattr(model, f"{side}_embedding").table.weight
            with torch.no_grad():
                weight.copy_(table / (table.std() * getattr(model, f"{side}_embedding").scale))
