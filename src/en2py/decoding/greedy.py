"""From a trained model to target ids: greedy, beam search, sampling; batched, with a cache.

Each function takes the model, source ids `[B, S]` and the target vocabulary, and returns for every
source its hypotheses, best first. What is finished leaves the batch. PAD and BOS are never written.
In the model's place, greedy and beam search take an engine that searches by itself.

Shape letters: B sources, S source length, V target vocabulary, R rows still being written,
W hypotheses per source.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from en2py.data.vocab import Vocab

_CHUNK = 64  # logits


@dataclass(frozen=True)
class Hypothesis:
    """What a search found.

    Attributes:
        ids: Target ids without BOS and EOS.
        score: Summed log-probability of the ids, and of EOS where it is finished, among the tokens
            that the search may write.
        finished: Whether EOS came within the length allowed.
    """

    ids: list[int]
    score: float
    finished: bool


class Model(Protocol):
    """What decoding asks of a model; see `en2py.models.transformer.Transformer`."""

    def start(self, src: Tensor, width: int = 1, max_len: int | None = None) -> Any:
        """Read the sources and return a cache, which has `select(rows)` and `reorder(parents)`."""

    def step(self, ids: Tensor, cache: Any) -> Tensor:
        """Map the newest token of each hypothesis to logits of the next."""


@runtime_checkable
class Engine(Protocol):
    """What searches by itself, by the rules of `greedy` and `beam`; see `en2py.decoding.ctranslate2.Exported`."""

    def search(
        self, src: Tensor, *, width: int, max_len: int, allow_unk: bool
    ) -> list[list[Hypothesis]]:
        """Return the `width` hypotheses per source that the search ends with, in any order."""


@torch.inference_mode()
def greedy(
    model: Model | Engine, src: Tensor, vocab: Vocab, *, max_len: int, allow_unk: bool
) -> list[list[Hypothesis]]:
    """Take the likeliest token at every step.

    Args:
        model: In eval mode; or an engine.
        src: Source ids, `[B, S]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens, EOS included.
        allow_unk: Whether `<unk>` may be written.
    """
    if isinstance(model, Engine):
        return model.search(src, width=1, max_len=max_len, allow_unk=allow_unk)

    def likeliest(logits: Tensor, rows: Tensor, t: int) -> Tensor:
        return logits.argmax(-1)

    cache = model.start(src, max_len=max_len)
    rows = torch.arange(len(src), device=src.device)
    found = _write(model, cache, rows, vocab, max_len, allow_unk, likeliest)
    return [[hypothesis] for hypothesis in found]


@torch.inference_mode()
def sample(
    model: Model,
    src: Tensor,
    vocab: Vocab,
    *,
    max_len: int,
    n_samples: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
    allow_unk: bool,
) -> list[list[Hypothesis]]:
    """Draw programs by their probability.

    The draws depend on the seed, the source's ids and the number of the sample, so a source gets
    the same samples in any batch (unless the batch's rounding tips one over).

    Args:
        model: In eval mode.
        src: Source ids, `[B, S]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens, EOS included.
        n_samples: Hypotheses per source.
        temperature: Divides the logits; below 1 sharpens.
        top_k: Draw from the k likeliest tokens alone.
        top_p: Draw from the fewest tokens that hold this probability together (Holtzman et al.,
            2020), after `top_k`.
        seed: Of the draws.
        allow_unk: Whether `<unk>` may be written.
    """
    if n_samples < 1:
        raise ValueError(f"n_samples ({n_samples}) is not above 0")
    if temperature <= 0:
        raise ValueError(f"temperature ({temperature}) is not above 0; greedy is its limit")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k ({top_k}) is not above 0")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p ({top_p}) is not in (0, 1]")
    noise = torch.stack(
        [
            _uniform(f"{seed}/{k}/{[i for i in ids if i != vocab.pad_id]}", max_len)
            for ids in src.tolist()
            for k in range(n_samples)
        ]
    ).to(src.device)  # [B * n_samples, max_len]

    def draw(logits: Tensor, rows: Tensor, t: int) -> Tensor:
        probs = (logits / temperature).softmax(-1)
        order = None
        if top_k is not None or top_p is not None:
            probs, order = probs.topk(min(top_k or probs.shape[-1], probs.shape[-1]))  # sorted
        if top_p is not None:
            probs = probs / probs.sum(-1, keepdim=True)
            probs[probs.cumsum(-1) - probs >= top_p] = 0.0  # the likeliest always stays
        sums = probs.cumsum(-1)
        places = torch.searchsorted(sums, noise[rows, t, None] * sums[:, -1:], right=True)
        # Rounding must not lead to a place that has no probability.
        places = places.minimum((probs > 0).long().cumsum(-1).argmax(-1, keepdim=True))
        return (places if order is None else order.gather(-1, places)).squeeze(-1)

    cache = model.start(src, max_len=max_len)
    rows = torch.arange(len(noise), device=src.device)
    cache.select(rows // n_samples)
    found = _write(model, cache, rows, vocab, max_len, allow_unk, draw)
    return [
        sorted(found[i : i + n_samples], key=lambda h: (h.finished, h.score), reverse=True)
        for i in range(0, len(found), n_samples)
    ]


def _uniform(key: str, n: int) -> Tensor:
    """Return n numbers in [0, 1) that depend on the key alone."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return torch.rand(n, generator=torch.Generator().manual_seed(int.from_bytes(digest) >> 1))


def _write(
    model: Model,
    cache: Any,
    rows: Tensor,
    vocab: Vocab,
    max_len: int,
    allow_unk: bool,
    choose: Callable[[Tensor, Tensor, int], Tensor],
) -> list[Hypothesis]:
    """Write one hypothesis per row of the cache, choosing token after token.

    `rows` `[R]` counts the cache's rows; `choose` maps logits `[R, V]`, the rows still being
    written `[R]` and the step to ids `[R]`.
    """
    ids = torch.full_like(rows, vocab.bos_id)
    tokens = ids.new_full((len(rows), max_len), vocab.pad_id)
    scores = torch.zeros(len(rows), device=ids.device)
    for t in range(max_len):
        logits = _allowed(model.step(ids, cache), vocab, allow_unk)  # [R, V]
        ids = choose(logits, rows, t)  # [R]
        tokens[rows, t] = ids
        scores[rows] += (logits.gather(1, ids[:, None]) - normalisers(logits)).squeeze(1)
        going = (ids != vocab.eos_id).nonzero().squeeze(1)
        if len(going) == 0:
            break
        if len(going) < len(rows):
            rows, ids = rows[going], ids[going]
            cache.select(going)
    found = []
    for row, score in zip(tokens.tolist(), scores.tolist(), strict=True):
        finished = vocab.eos_id in row
        found.append(
            Hypothesis(row[: row.index(vocab.eos_id)] if finished else row, score, finished)
        )
    return found


@torch.inference_mode()
def beam(
    model: Model | Engine,
    src: Tensor,
    vocab: Vocab,
    *,
    max_len: int,
    beam_size: int,
    length_penalty: float,
    allow_unk: bool,
) -> list[list[Hypothesis]]:
    """Follow the `beam_size` likeliest beginnings.

    A source is done when `beam_size` of its hypotheses have finished; at `max_len` those that are
    open count too. The search goes by score alone, as in Hugging Face (`early_stopping=True`,
    `length_penalty=0`) and CTranslate2 (`length_penalty=0`): all three find the same. Then the
    finished ones are ranked, with the length penalty; unfinished ones come last.

    Args:
        model: In eval mode; or an engine.
        src: Source ids, `[B, S]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens, EOS included.
        beam_size: Hypotheses per source, W; as many are returned.
        length_penalty: Alpha of Wu et al. (2016), equation 14: 0 ranks by score alone, more
            favours longer hypotheses. It moves the ranks, not the scores.
        allow_unk: Whether `<unk>` may be written.
    """
    if beam_size < 1:
        raise ValueError(f"beam_size ({beam_size}) is not above 0")
    if isinstance(model, Engine):
        found = model.search(src, width=beam_size, max_len=max_len, allow_unk=allow_unk)
    else:
        found = _follow(model, src, vocab, max_len, beam_size, allow_unk)

    def rank(hypothesis: Hypothesis) -> tuple[bool, float]:
        penalty = ((5 + len(hypothesis.ids) + 1) / 6) ** length_penalty  # EOS counts
        return hypothesis.finished, hypothesis.score / penalty

    return [sorted(hypotheses, key=rank, reverse=True) for hypotheses in found]


def _follow(
    model: Model, src: Tensor, vocab: Vocab, max_len: int, width: int, allow_unk: bool
) -> list[list[Hypothesis]]:
    """Return the `width` hypotheses of each source that the search of `beam` ends with."""
    cache = model.start(src, width=width, max_len=max_len)
    found: list[list[Hypothesis]] = [[] for _ in src]
    sources = list(range(len(src)))  # not yet done
    ids = src.new_full((len(src), width), vocab.bos_id)
    history = src.new_empty(len(src), width, 0)  # ids written so far, [B, W, t]
    scores = torch.full((len(src), width), -math.inf, device=src.device)
    scores[:, 0] = 0.0  # at the start all hypotheses are the same one
    for t in range(1, max_len + 1):
        logits = _allowed(model.step(ids.flatten(), cache), vocab, allow_unk)  # [B * W, V]
        n_next = min(2 * width, logits.shape[1])  # enough, however many of them are EOS
        best, tokens = largest(logits, n_next)  # [B * W, n_next]
        best = best - normalisers(logits)  # only the winners are normalised
        totals = (scores.view(-1, 1) + best).view(-1, width * n_next)
        totals, places = totals.topk(min(2 * width, totals.shape[1]))  # [B, 2 W], best first
        parents = places.div(n_next, rounding_mode="floor")
        tokens = tokens.view(-1, width * n_next).gather(1, places)
        ends = tokens == vocab.eos_id
        done = ends if t < max_len else torch.ones_like(ends)
        for row, rank in (done & totals.isfinite())[:, :width].nonzero().tolist():
            finished = bool(ends[row, rank])
            written = history[row, parents[row, rank]].tolist()
            written += [] if finished else [int(tokens[row, rank])]
            hypotheses = found[sources[row]]
            hypotheses.append(Hypothesis(written, totals[row, rank].item(), finished))
            hypotheses.sort(key=lambda h: -h.score)
        open_rows = [row for row, source in enumerate(sources) if len(found[source]) < width]
        if not open_rows:
            break
        going = ends.int().argsort(stable=True)[:, :width]  # the best that go on, [B, W]
        scores, ids, parents = (x.gather(1, going) for x in (totals, tokens, parents))
        history = history.gather(1, parents[..., None].expand_as(history))
        history = torch.cat([history, ids[..., None]], dim=-1)
        cache.reorder(parents)
        if len(open_rows) < len(sources):
            rows = torch.tensor(open_rows, dtype=torch.long, device=src.device)
            sources = [sources[row] for row in open_rows]
            scores, ids, history = scores[rows], ids[rows], history[rows]
            cache.select(rows)
    return [hypotheses[:width] for hypotheses in found]


def largest(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest of each row of `[R, V]` and their places, `[R, k]`, largest first.

    What `topk` returns, up to the order of equals; on CPU in half its time, for the largest are in
    the k chunks whose maxima are largest.
    """
    n_rows, n_all = logits.shape
    n_chunks = n_all // _CHUNK
    if logits.device.type != "cpu" or n_chunks < 4 * k:
        return tuple(logits.topk(k))  # type: ignore[return-value]
    rest = n_chunks * _CHUNK  # from here on there is no whole chunk
    chunks = logits[:, :rest].view(n_rows, n_chunks, _CHUNK)
    best = chunks.amax(-1).topk(k).indices[..., None]  # [R, k, 1]
    own = torch.arange(_CHUNK, device=logits.device)
    among = torch.cat(
        [chunks.gather(1, best.expand(-1, -1, _CHUNK)).flatten(1), logits[:, rest:]], 1
    )
    left = torch.arange(rest, n_all, device=logits.device).expand(n_rows, -1)
    places = torch.cat([(best * _CHUNK + own).flatten(1), left], 1)
    values, ranks = among.topk(k)
    return values, places.gather(1, ranks)


def normalisers(logits: Tensor) -> Tensor:
    """Return the log-sum-exp of each row of `[R, V]`, `[R, 1]`.

    From `log_softmax`, whose CPU kernel takes half the time of `logsumexp`'s.
    """
    if logits.device.type != "cpu":
        return logits.logsumexp(-1, keepdim=True)
    last = slice(-1, None)  # any place whose logit is finite; hidden ones come first
    return logits[:, last] - logits.log_softmax(-1)[:, last]


def _allowed(logits: Tensor, vocab: Vocab, allow_unk: bool) -> Tensor:
    """Hide what no program holds from logits `[R, V]`."""
    hidden = [vocab.pad_id, vocab.bos_id] + ([] if allow_unk else [vocab.unk_id])
    logits = logits.float()
    logits[:, hidden] = -math.inf
    return logits
