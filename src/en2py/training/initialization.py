"""Start from word vectors, or from the weights of another run: what both models share is copied."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from en2py.data.vocab import Vocab
from en2py.errors import UserError
from en2py.models.embeddings import Vectors
from en2py.models.transformer import Transformer
from en2py.training.module import Seq2SeqModule

# Rows of these belong to the tokens of a vocabulary, not to places: they follow their token.
_TOKEN_ROWS = {
    "model.src_embedding.table.weight": "src",
    "model.tgt_embedding.table.weight": "tgt",
    "model.projection.weight": "tgt",
    "model.projection.bias": "tgt",
}


def copy_weights(checkpoint: Mapping[str, Any], module: Seq2SeqModule) -> list[str]:
    """Copy the weights that fit from a checkpoint into a module.

    Args:
        checkpoint: As loaded.
        module: Changed in place.

    Returns:
        Lines that say what was copied and what starts anew.

    Raises:
        UserError: If nothing fits.
    """
    source: Mapping[str, Tensor] = checkpoint["state_dict"]
    stored = checkpoint["en2py"]
    vocabs = {
        side: (Vocab.from_dict(stored[f"{side}_vocab"]), getattr(module, f"{side}_vocab"))
        for side in ("src", "tgt")
    }
    anew, copied = [], 0
    with torch.no_grad():
        for name, weight in module.named_parameters():
            old = source.get(name)
            if old is None or old.shape[1:] != weight.shape[1:]:
                anew.append(name)
            elif name in _TOKEN_ROWS:
                theirs, ours = vocabs[_TOKEN_ROWS[name]]
                places = {token: i for i, token in enumerate(theirs.tokens)}
                rows = [(i, places[t]) for i, t in enumerate(ours.tokens) if t in places]
                to, of = (torch.tensor(column) for column in zip(*rows, strict=True))
                weight[to.to(weight.device)] = old[of].to(weight)
                copied += 1
            elif old.shape == weight.shape:
                weight.copy_(old)
                copied += 1
            else:
                anew.append(name)
    if not copied:
        raise UserError(
            f"init_from: no weight of run '{stored['run']}' fits this model; take the same model="
        )
    lines = [f"weights of {stored['run']}: {copied} tables copied, {len(anew)} start anew"]
    lines += [f"  anew: {name}" for name in anew]
    for side, (theirs, ours) in vocabs.items():
        shared = sum(token in theirs for token in ours.tokens)
        lines.append(
            f"  {side}: {shared:,} of {len(ours):,} tokens are known, the others start anew"
        )
    return lines


def fill_embeddings(model: Transformer, vectors: Vectors) -> list[str]:
    """Copy word vectors into the token tables and name the sides that were filled.

    A table is scaled by one factor to the spread of fresh ones, `1 / sqrt(d_model)`: word2vec's own
    depends on its settings, and the model adds positions to the vectors. Angles stay.
    """
    filled = []
    for side, table in (("src", vectors.src), ("tgt", vectors.tgt)):
        if table is not None:
            weight = getattr(model, f"{side}_embedding").table.weight
            with torch.no_grad():
                weight.copy_(table / (table.std() * getattr(model, f"{side}_embedding").scale))
            filled.append(side)
    return filled
