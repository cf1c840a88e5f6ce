"""Small untrained Transformers, modules and padded ids for tests."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from en2py.data.vocab import Vocab
from en2py.decoding.greedy import greedy
from en2py.models.transformer import Transformer
from en2py.training.module import Seq2SeqModule

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


def module_of(
    vocab: Vocab, loss: nn.Module, *, width: int, dropout: float, tgt_tokenizer: Any = None
) -> Seq2SeqModule:
    """Return a module of one layer on each side with one vocabulary, by seed 0."""
    torch.manual_seed(0)
    return Seq2SeqModule(
        model=Transformer(
            len(vocab), len(vocab), vocab.pad_id, d_model=width, d_ff=width, n_heads=2,
            n_encoder_layers=1, n_decoder_layers=1, dropout=dropout, max_src_len=12,
            max_tgt_len=12, positions="learned", norm="pre", tie_embeddings="none",
        ),
        loss=loss,
        optimizer=torch.optim.AdamW,
        scheduler=torch.optim.lr_scheduler.ConstantLR,
        search=partial(greedy, max_len=6, allow_unk=False),
        src_tokenizer=None,
        tgt_tokenizer=tgt_tokenizer,
        src_vocab=vocab,
        tgt_vocab=vocab,
        freeze_epochs=0,
        frozen=[],
        metadata={},
    )  # fmt: skip


def padded_ids(n_tokens: int, lengths: list[int], seed: int = 0) -> Tensor:
    """Return rows of random ids of the given lengths, padded."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, n_tokens, (len(lengths), max(lengths)), generator=generator)
    for row, length in zip(ids, lengths, strict=True):
        row[length:] = PAD
    return ids
