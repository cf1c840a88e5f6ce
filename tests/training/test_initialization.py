"""Weights of another run."""

from types import SimpleNamespace
from typing import Any

import torch

from en2py.data.vocab import Vocab
from en2py.training.initialization import copy_weights


def module(width: int, n_layers: int) -> Any:
    vocab = Vocab.build([["a", "b"]], 1)
    weights = {f"model.{i}.weight": torch.zeros(2, width) for i in range(n_layers)}
    weights["model.bias"] = torch.zeros(3)
    return SimpleNamespace(
        src_vocab=vocab,
        tgt_vocab=vocab,
        weights=weights,
        named_parameters=weights.items,
        metadata={"config": {"model": {"n_heads": 2, "norm": "pre", "dropout": 0.1}}},
    )


def log_of(width: int, n_layers: int = 12, **settings: Any) -> list[str]:
    """Return the log of copying weights of width 4 and twelve layers, one of them tied."""
    vocab = Vocab.build([["a", "b"]], 1).to_dict()
    old = {name: weight + 1 for name, weight in module(4, 12).weights.items()}
    old["model.tied"] = old["model.0.weight"]
    config = {"model": {"n_heads": 2, "norm": "pre", "dropout": 0.0, **settings}}
    stored = {
        "run": "r",
        "config": config,
        "choices": {"model": "tiny"},
        "src_vocab": vocab,
        "tgt_vocab": vocab,
    }
    new = module(width, n_layers)
    lines = copy_weights({"state_dict": old, "en2py": stored}, new)
    assert new.weights["model.bias"].tolist() == [1, 1, 1]
    return lines


def test_a_model_of_the_same_size_is_copied_whole() -> None:
    assert log_of(4)[0] == "weights of r: 13 copied, 0 newly initialized"
    assert not any("newly" in line for line in log_of(4)[1:])


def test_weights_that_the_model_lacks_are_named() -> None:
    lines = log_of(4, n_layers=2)
    assert lines[0] == "weights of r: 3 copied, 0 newly initialized"
    assert lines[1] == "  not in this model: model.2.weight"
    assert "  not in this model: 2 more" in lines and not any("tied" in line for line in lines)


def test_other_heads_of_equal_shape_are_named() -> None:
    lines = log_of(4, n_heads=4)
    assert lines[1] == (
        "  the copied weights were trained with model.n_heads=4, this run has 2: add "
        "model.n_heads=4"
    )
    assert len(lines) == len(log_of(4)) + 1


def test_a_model_of_another_size_names_that_of_the_checkpoint_and_few_weights() -> None:
    lines = log_of(5)
    assert lines[0] == "weights of r: 1 copied, 12 newly initialized"
    assert "  newly initialized: 4 more" in lines
    assert "  most weights are new, so little is left of that run: add model=tiny" in lines
    assert len(lines) == 1 + 8 + 2 + 2
