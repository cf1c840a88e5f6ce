"""Small untrained Transformers and padded ids for tests."""

import torch
from torch import Tensor

from en2py.models.transformer import Transformer

PAD, BOS = 0, 2
N_SRC, N_TGT = 20, 30


def transformer(**changes) -> Transformer:
    """Return a model in eval mode, by seed 0."""
    torch.manual_seed(0)
    settings = {
        "d_model": 16,
        "d_ff": 32,
        "n_heads": 4,
        "n_encoder_layers": 2,
        "n_decoder_layers": 2,
        "dropout": 0.1,
        "max_src_len": 12,
        "max_tgt_len": 10,
        "positions": "learned",
        "norm": "pre",
        "tie_embeddings": "none",
    }
    return Transformer(N_SRC, N_TGT, PAD, **{**settings, **changes}).eval()


def padded_ids(n_tokens: int, lengths: list[int], seed: int = 0) -> Tensor:
    """Return rows of random ids of the given lengths, padded."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, n_tokens, (len(lengths), max(lengths)), generator=generator)
    for row, length in zip(ids, lengths, strict=True):
        row[length:] = PAD
    return ids
