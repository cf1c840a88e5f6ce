"""Own models, losses and searches are called before training."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from en2py.config import instantiate
from en2py.data.batch import Example
from en2py.data.tokenizers import PythonTokenizer
from en2py.data.vocab import Vocab
from en2py.decoding.hypothesis import Hypothesis
from en2py.errors import UserError
from en2py.models.transformer import Transformer
from en2py.training.own_parts import check_own_parts
from tiny_transformer import module_of


class Loss(nn.Module):
    """A loss that is a function of logits and targets."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, hidden: Tensor, projection: nn.Module, targets: Tensor) -> Any:
        """Return what the function returns."""
        return self.function(hidden, projection, targets)


def mean(hidden: Tensor, projection: nn.Module, targets: Tensor) -> Tensor:
    return F.cross_entropy(projection(hidden), targets)


def of_the_weight(hidden: Tensor, projection: Any, targets: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden, projection.weight), targets)


def of_each(hidden: Tensor, projection: nn.Module, targets: Tensor) -> Tensor:
    return F.cross_entropy(projection(hidden), targets, reduction="none")


def detached(hidden: Tensor, projection: nn.Module, targets: Tensor) -> Tensor:
    return mean(hidden, projection, targets).detach()


def checked(vocab: Vocab, own: str, loss: Callable[..., Any] = mean, **parts: Any) -> None:
    """Check a small module with these parts, one of which is own."""
    module = module_of(vocab, Loss(loss), width=16, dropout=0.1)
    for name, part in parts.items():
        setattr(module, name, part)
    targets = {name: "en2py.part" for name in ("model", "loss", "decoding", "tokenizer.tgt")}
    targets[own] = "own.Part"
    config: dict[str, Any] = {name: {"_target_": target} for name, target in targets.items()}
    config["tokenizer"] = {"tgt": config.pop("tokenizer.tgt")}
    examples = [Example(i, [4, 5], vocab.encode("def a".split())) for i in range(3)]
    check_own_parts(config, module, examples, torch.device("cpu"))
    assert module.training and module.model.training


@pytest.fixture(autouse=True)
def _own_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instantiate, "_packages", ["own."])


@pytest.mark.parametrize("own", ["model", "loss", "decoding", "tokenizer.tgt"])
def test_parts_that_are_right_are_accepted(own: str, tgt_vocab: Vocab) -> None:
    checked(tgt_vocab, own, tgt_tokenizer=PythonTokenizer())


def test_a_wrong_tokenizer_is_refused(tgt_vocab: Vocab) -> None:
    with pytest.raises(UserError, match="tokenizer.tgt: expected a text .* returns list of 2 str"):
        tokenizer = SimpleNamespace(detokenize=list)
        checked(tgt_vocab, "tokenizer.tgt", tgt_tokenizer=tokenizer)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (of_the_weight, "AttributeError: 'Identity' object has no attribute 'weight' .*line"),
        (of_each, r"expected a scalar with a gradient, and own.Part returns Tensor \[6\]"),
        (detached, r"expected a scalar with a gradient, and own.Part returns Tensor \[\]"),
        (lambda hidden, targets: None, "TypeError: .* takes 2 positional arguments but 3 were"),
    ],
)
def test_a_wrong_loss_is_refused(loss: Any, message: str, tgt_vocab: Vocab) -> None:
    with pytest.raises(UserError, match=f"loss: .*{message}"):
        checked(tgt_vocab, "loss", loss)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (lambda model, src: [], "TypeError"),
        (lambda *_: [[Hypothesis([5], 0.0, True)]], "expected a list of 2 lists of Hypothesis"),
        (lambda *_: [Hypothesis([5], 0.0, True)] * 2, "returns list of 2 Hypothesis"),
        (lambda *_: [[], []], "returns list of 2 list"),
    ],
)
def test_a_wrong_search_is_refused(search: Any, message: str, tgt_vocab: Vocab) -> None:
    with pytest.raises(UserError, match=f"decoding: .*{message}"):
        checked(tgt_vocab, "decoding", search=search)


def test_a_loss_that_is_no_mean_over_tokens_is_named(
    tgt_vocab: Vocab, caplog: pytest.LogCaptureFixture
) -> None:
    def total(hidden: Tensor, projection: nn.Module, targets: Tensor) -> Tensor:
        return F.cross_entropy(projection(hidden), targets, reduction="sum")

    def noisy(hidden: Tensor, projection: nn.Module, targets: Tensor) -> Tensor:
        return mean(hidden, projection, targets) * (1 + torch.rand(()))

    def of_whole_batches(hidden: Tensor, projection: nn.Module, targets: Tensor) -> Tensor:
        return mean(hidden, projection, targets.reshape(2, -1).flatten())

    checked(tgt_vocab, "loss")
    checked(tgt_vocab, "loss", noisy)
    assert not caplog.messages
    with pytest.raises(UserError, match=r"loss: own\.Part fails on two pairs"):
        checked(tgt_vocab, "loss", of_whole_batches)
    checked(tgt_vocab, "loss", total)
    assert "loss: own.Part is not a mean of a value per token" in caplog.messages[0]


def test_a_model_that_searches_would_read_otherwise_is_refused(tgt_vocab: Vocab) -> None:
    class Scaled(Transformer):
        def forward(self, *arguments: Any) -> Tensor:
            return 2 * super().forward(*arguments)

    model = module_of(tgt_vocab, Loss(mean), width=16, dropout=0.1).model
    model.__class__ = Scaled
    with pytest.raises(UserError, match="model: own.Part computes other logits in a forward pass"):
        checked(tgt_vocab, "model", model=model)


def test_a_wrong_model_is_refused(tgt_vocab: Vocab) -> None:
    class Own(nn.Module):
        def __init__(self, n_rows: int) -> None:
            super().__init__()
            self.n_rows, self.projection = n_rows, nn.Linear(4, len(tgt_vocab))

        def forward(self, src: Tensor, tgt_in: Tensor, *layouts: Any) -> Tensor:
            return torch.zeros(self.n_rows, 4)

    with pytest.raises(UserError, match=r"model: expected logits \[6, .* returns Tensor \[5, "):
        checked(tgt_vocab, "model", model=Own(5))
    with pytest.raises(UserError, match="model: .* AttributeError: .* 'tgt_embedding'"):
        checked(tgt_vocab, "model", model=Own(6))
