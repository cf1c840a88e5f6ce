"""Call an own model, loss, search or tokenizer of programs before training, on two pairs.

A run would otherwise meet their mistakes in its first validation, or after all epochs in its test.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from traceback import extract_tb
from typing import Any

import torch
from torch import Tensor, nn

from en2py.config.instantiate import is_own
from en2py.data.batch import Batch, Example, collate
from en2py.decoding.hypothesis import Hypothesis
from en2py.errors import Fault, UserError, one_line
from en2py.models.incremental import IncrementalDecoder
from en2py.models.transformer import Transformer
from en2py.training.losses import normalizer, token_weights
from en2py.training.module import Seq2SeqModule, real_hidden
from en2py.training.out_of_memory import is_out_of_memory

log = logging.getLogger(__name__)


def check_own_parts(
    config: Mapping[str, Any],
    module: Seq2SeqModule,
    examples: Sequence[Example],
    device: torch.device,
) -> None:
    """Call the own parts of a config as training, validation and test do, on the shortest examples.

    Raises:
        UserError: If one fails, or returns something else than the run needs.
    """
    sections = {name: config[name] for name in ("model", "loss", "decoding")}
    sections["tokenizer.tgt"] = config["tokenizer"]["tgt"]
    targets = {name: str(section["_target_"]) for name, section in sections.items()}
    own = {name: target for name, target in targets.items() if is_own(target)}
    if not own:
        return
    shortest = sorted(examples, key=lambda example: example.lengths)[:2]
    batch = collate(shortest, module.tgt_vocab).to(device)
    training, model = module.training, module.to(device).eval().model  # no statistics change
    if own.keys() & {"model", "loss"}:
        n_rows, n_tokens = len(batch.targets), len(module.tgt_vocab)
        with torch.enable_grad():
            with _failures_of("model", targets["model"]):
                hidden = real_hidden(model, batch)
                logits = model.projection(hidden)
            is_right = isinstance(logits, Tensor) and logits.shape == (n_rows, n_tokens)
            _check(is_right, "model", targets["model"], f"logits [{n_rows}, {n_tokens}]", logits)
            for rows, projection in ((hidden, model.projection), (logits, nn.Identity())):
                with _failures_of("loss", targets["loss"]):
                    loss = module.loss(rows, projection, batch.targets)
                is_right = isinstance(loss, Tensor) and loss.ndim == 0 and loss.requires_grad
                _check(is_right, "loss", targets["loss"], "a scalar with a gradient", loss)
        with _failures_of("loss", targets["loss"]):
            is_mean = "loss" not in own or _is_mean(module, logits, batch.targets)
        if not is_mean:
            log.warning(
                f"warning: loss: {own['loss']} is not a mean of a value per token, weighted by its "
                "attribute weights: val/loss, which is computed for some tokens at a time, is "
                "another number than the loss of a whole batch (docs/own_parts.md)"
            )
    if "model" in own:
        with _failures_of("model", own["model"]):
            is_right = _has_logits_of_searches(model, batch, logits)
        if not is_right:
            raise UserError(
                f"model: {own['model']} computes other logits in a forward pass than token by "
                "token, so it would be trained as one model and write programs as another; "
                "en2py.models.incremental reads its layers and does not call its forward"
            )
    if (name := next((name for name in ("decoding", "model") if name in own), None)) is not None:
        with torch.inference_mode(), _failures_of(name, own[name]):
            found = module.search(IncrementalDecoder(model), batch.src, module.tgt_vocab)
        of_all = [*found] if isinstance(found, Sequence) else []
        is_right = len(of_all) == len(batch.src) and all(
            isinstance(of_one, Sequence) and of_one and isinstance(of_one[0], Hypothesis)
            for of_one in of_all
        )
        _check(is_right, name, own[name], f"a list of {len(batch.src)} lists of Hypothesis", found)
    if target := own.get("tokenizer.tgt"):
        with _failures_of("tokenizer.tgt", target):
            text = module.text(Hypothesis([*shortest[0].tgt], 0.0, True))
        is_right = isinstance(text, str)
        _check(is_right, "tokenizer.tgt", target, "a text from detokenize", text)
    module.train(training)


def _is_mean(module: Seq2SeqModule, logits: Tensor, targets: Tensor) -> bool:
    """Return whether the loss of a batch is the mean of those of its parts, as in an evaluation.

    Of a random loss this is not known, so it counts as one.
    """
    weights, parts = token_weights(module.loss, len(module.tgt_vocab)), torch.zeros(())
    for rows, ids in zip(logits.detach().tensor_split(2), targets.tensor_split(2), strict=True):
        parts = parts.to(rows) + module.loss(rows, nn.Identity(), ids) * normalizer(weights, ids)
    whole, again = (module.loss(logits.detach(), nn.Identity(), targets) for _ in range(2))
    is_random = not torch.equal(whole, again)
    return is_random or torch.allclose(parts / normalizer(weights, targets), whole, rtol=1e-3)


@torch.no_grad()
def _has_logits_of_searches(model: Transformer, batch: Batch, logits: Tensor) -> bool:
    """Return whether logits are also those that a search computes token by token."""
    decoder, (_, n_steps) = IncrementalDecoder(model), batch.tgt_in.shape
    cache = decoder.start(batch.src, max_len=n_steps)
    steps = [decoder.step(batch.tgt_in[:, t], cache) for t in range(n_steps)]  # [B, V] each
    return torch.allclose(torch.stack(steps, 1)[batch.tgt_mask], logits, rtol=1e-2, atol=1e-2)


def _check(is_right: bool, section: str, target: str, expected: str, returned: Any) -> None:
    """Refuse what a part returned."""
    if not is_right:
        kind = type(returned).__name__
        if isinstance(returned, Tensor):
            kind += f" {list(returned.shape)}"
        elif isinstance(returned, list) and returned:
            kind += f" of {len(returned)} {type(returned[0]).__name__}"
        raise UserError(f"{section}: expected {expected}, and {target} returns {kind}")


@contextmanager
def _failures_of(section: str, target: str) -> Iterator[None]:
    """Refuse a part that fails, with the last line of its package in the traceback."""
    try:
        yield
    except (UserError, Fault):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        frames = extract_tb(error.__traceback__)
        package = target.partition(".")[0]
        own = [f for f in frames if f"/{package}/" in f.filename or f"/{package}." in f.filename]
        frame = (own or frames)[-1]
        raise UserError(
            f"{section}: {target} fails on two pairs of the data, with {type(error).__name__}: "
            f"{one_line(error)} ({frame.filename}, line {frame.lineno}); docs/own_parts.md says "
            "how it is called"
        ) from error
