"""`compute.compile` changes how the forward pass is executed, and nothing else."""

from types import SimpleNamespace

import pytest
import torch

from en2py.training.fitting import compile_model
from tiny_transformer import N_SRC, N_TGT, padded_ids, transformer


@pytest.mark.slow
def test_compiled_model_computes_the_same_under_the_same_names(monkeypatch):
    plain, compiled = (transformer(n_encoder_layers=1, n_decoder_layers=1) for _ in range(2))
    compile_with = torch.compile
    calls = []

    def traced(function, **how):  # traced by torch, executed without a C++ compiler
        calls.append(how)
        return compile_with(function, backend="eager", dynamic=how["dynamic"])

    monkeypatch.setattr(torch, "compile", traced)
    compile_model(SimpleNamespace(model=compiled), "default")
    for lengths in ([5, 3], [7, 7, 2]):
        src, tgt = padded_ids(N_SRC, lengths), padded_ids(N_TGT, lengths)
        torch.testing.assert_close(compiled(src, tgt), plain(src, tgt))
    assert calls == [{"mode": "default", "dynamic": True}]
    assert compiled.state_dict().keys() == plain.state_dict().keys()


def test_nothing_is_compiled_by_default(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda *a, **k: pytest.fail("compiled"))
    model = transformer()
    compile_model(SimpleNamespace(model=model), None)
    model(padded_ids(N_SRC, [3]), padded_ids(N_TGT, [3]))
