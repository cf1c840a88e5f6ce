"""The mean of the training loss over an epoch."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from en2py.data.batch import Batch, Example, collate
from en2py.data.vocab import Vocab
from en2py.training.losses import KeywordWeightedCrossEntropy
from en2py.training.module import Seq2SeqModule
from tiny_transformer import module_of


class OwnLoss(nn.Module):
    """Plain cross-entropy with an attribute named as our weights of tokens."""

    def __init__(self, weights: Any) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, hidden: Tensor, projection: nn.Module, targets: Tensor) -> Tensor:
        """Return the mean over targets."""
        return F.cross_entropy(projection(hidden), targets)


def weighted_module(vocab: Vocab) -> Seq2SeqModule:
    """Return a module without dropout whose keywords weigh nine times as much as other tokens."""
    loss = KeywordWeightedCrossEntropy(
        vocab, keyword_weight=9.0, frequent_weight=1.0, n_frequent=1, other_weight=1.0,
        label_smoothing=0.0,
    )  # fmt: skip
    return module_of(vocab, loss, width=16, dropout=0.0)


def test_mean_over_batches_is_the_weighted_loss_of_all_their_tokens(tgt_vocab: Vocab) -> None:
    def batch(*programs: str) -> Batch:
        return collate(
            [Example(i, [4, 5], tgt_vocab.encode(p.split())) for i, p in enumerate(programs)],
            tgt_vocab,
        )

    keywords, names = "def return if for", "a b n ( )"
    module = weighted_module(tgt_vocab)
    for i, program in enumerate((keywords, names)):
        module.training_step(batch(program), i)
    exact = module._loss(batch(keywords, names)).item()
    assert module.train_loss.compute().item() == pytest.approx(exact, rel=1e-5)


def test_attribute_of_an_own_loss_is_no_weights_unless_it_has_one_per_token(
    tgt_vocab: Vocab,
) -> None:
    batch = collate([Example(0, [4, 5], tgt_vocab.encode("def a".split()))], tgt_vocab)
    values = []
    for own in (None, {"def": 2.0}, torch.ones(3)):
        module = module_of(tgt_vocab, OwnLoss(own), width=16, dropout=0.0)
        module.training_step(batch, 0)
        with torch.no_grad():
            module.validation_step(batch, 0)
        values.append((module.train_loss.compute(), module.eval_losses["val_split"].compute()))
    assert values[0] == values[1] == values[2]


def test_run_resumed_on_several_ranks_counts_the_loss_of_each_once(
    tgt_vocab: Vocab, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = weighted_module(tgt_vocab)
    module.train_loss.update(2.0, weight=3.0)
    module.train_loss.distributed_available_fn = lambda: True
    monkeypatch.setattr(  # another rank has seen twice as much
        "torchmetrics.metric.gather_all_tensors", lambda own, group=None: [own, 2 * own]
    )
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    assert module.train_loss.weight == 3
    seen = []
    for rank in (0, 1):
        resumed = weighted_module(tgt_vocab)
        resumed.load_state_dict(checkpoint["state_dict"])
        monkeypatch.setattr(Seq2SeqModule, "global_rank", rank)
        resumed.on_train_start()
        seen.append((float(resumed.train_loss.mean_value), float(resumed.train_loss.weight)))
    assert seen == [(18.0, 9.0), (0.0, 0.0)]
