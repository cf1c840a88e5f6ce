"""The precision of training, and that evaluation does not depend on it."""

import pytest
import torch

from en2py.data.batch import Batch, Example, collate
from en2py.data.vocab import Vocab
from en2py.models.cpu_kernels import Dropout
from en2py.training import fitting
from en2py.training.losses import CrossEntropy
from en2py.training.module import Seq2SeqModule
from tiny_transformer import module_of


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, "bf16-mixed"),
        ({"amx_bf16": True}, "bf16-mixed"),
        ({"avx512_bf16": False, "avx512_f": True}, "32-true"),
        ({}, "32-true"),
    ],
)
def test_auto_is_bf16_if_the_processor_supports_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert fitting.precision("auto", "cpu") == expected


@pytest.mark.parametrize(("fast", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_depends_on_the_gpu_if_there_is_one(monkeypatch, fast, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: fast)
    assert fitting.precision("auto") == expected


def test_explicit_precision_is_used():
    assert fitting.precision("64-true") == "64-true"


@pytest.fixture
def batch(tgt_vocab: Vocab) -> Batch:
    return collate([Example(0, [4, 5, 6], [4, 5]), Example(1, [5], [6, 4, 5])], tgt_vocab)


@pytest.mark.parametrize("step", ["validation_step", "test_step", "predict_step"])
def test_evaluation_does_not_depend_on_the_training_precision(module, batch, step):
    module.eval()
    seen = []
    for mixed in (False, True):
        dtypes = []
        hook = module.model.decoder_norm.register_forward_hook(
            lambda _, args, out, found=dtypes: found.append(out.dtype)
        )
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            result = getattr(module, step)(batch, 0)
        hook.remove()
        assert set(dtypes) == {torch.float32}
        values = {n: m.compute() for n, m in module.eval_metrics.items() if m.count.any()}
        seen.append((result, {k: float(x) for v in values.values() for k, x in v.items()}))
        for metric in module.eval_metrics.values():
            metric.reset()
    assert seen[0] == seen[1]


def test_training_uses_autocast(module, batch):
    module.train()
    for part in module.modules():
        if isinstance(part, Dropout):
            part.p = 0.0  # its draws depend on the number of padding rows, which bf16 adds
    losses = []
    for mixed in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            losses.append(module.training_step(batch, 0).item())
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


@pytest.fixture
def module(tgt_vocab: Vocab) -> Seq2SeqModule:
    loss = CrossEntropy(tgt_vocab, label_smoothing=0.0)
    return module_of(tgt_vocab, loss, width=32, dropout=0.1, tgt_tokenizer=Joined())


class Joined:
    def detokenize(self, tokens: list[str]) -> str:
        return " ".join(tokens)
