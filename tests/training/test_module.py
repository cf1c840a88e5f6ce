"""The mean of the training loss over an epoch."""

import pytest

from en2py.data.batch import Batch, Example, collate
from en2py.data.vocab import Vocab
from en2py.training.losses import KeywordWeightedCrossEntropy
from en2py.training.module import Seq2SeqModule
from tiny_transformer import module_of


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
