"""Metrics of predicted tokens that carry their state through an epoch.

Shape letters: N real target tokens (EOS in, padding out), V target vocabulary, C token classes.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.evaluation.metrics.code_tokens import TOKEN_CLASSES, token_class

PIECE_ROWS = 128  # of logits made at a time on CPU


def token_counts(
    table: Sequence[Sequence[float]] | None, n_characters: int, spelling: int
) -> dict[str, list[float]]:
    """Turn one pair's row of `TokenMetrics.per_example` into counts that may be added up.

    Args:
        table: `[3, C + 1]`; None where the model has no positions for the pair: all counts are 0.
        n_characters: Of the reference program.
        spelling: Price of its unknown tokens in bits.

    Returns:
        Metric to [sum, number]; the value of `ppl` is the exponential of that mean.
    """
    width = len(TOKEN_CLASSES) + 1
    n, nll, right = table or [[0.0] * width] * 3
    total, sum_nll = math.fsum(n[:-1]), math.fsum(nll)
    counts = {
        "nll": [sum_nll, total],
        "ppl": [sum_nll, total],
        "accuracy": [math.fsum(right), total],
        "bpc": [sum_nll / math.log(2) + spelling, n_characters] if table else [0.0, 0.0],
        "unk_targets": [n[-1], total],
    }
    for i, name in enumerate(TOKEN_CLASSES):
        counts[f"nll_{name}"] = [nll[i], n[i]]
        counts[f"accuracy_{name}"] = [right[i], n[i]]
    return counts


class TokenScores(NamedTuple):
    """What was predicted at real target positions, `[N]` each.

    Attributes:
        targets: The right ids.
        nll: Their negative log-probabilities in nats.
        right: Whether no other token was above.
    """

    targets: Tensor
    nll: Tensor
    right: Tensor


def score_tokens(logits: Tensor, targets: Tensor) -> TokenScores:
    """Score logits `[N, V]` against the right ids `[N]`."""
    nll = F.cross_entropy(logits.float(), targets, reduction="none")
    # On CPU a tenth of what `argmax` takes.
    right = logits.gather(1, targets[:, None]).squeeze(1) >= logits.amax(-1)
    return TokenScores(targets, nll, right)


def score_hidden(
    hidden: Tensor,
    projection: nn.Module,
    targets: Tensor,
    loss: nn.Module,
    divisor: Callable[[Tensor], Tensor],
) -> tuple[TokenScores, Tensor]:
    """Score hidden vectors; on CPU a few rows at a time, so that logits stay in the cache.

    Args:
        hidden: At real target positions, `[N, D]`.
        projection: To logits, `[N, V]`.
        targets: The right ids, `[N]`.
        loss: Called with logits, the identity and targets; a mean.
        divisor: Returns what that mean over some targets divides by.

    Returns:
        The tokens' scores, and the loss over all of them.
    """
    n_rows = PIECE_ROWS if hidden.device.type == "cpu" else len(hidden)
    exact = torch.promote_types(hidden.dtype, torch.float32)
    scores, total = [], hidden.new_zeros((), dtype=exact)
    for start in range(0, len(hidden), n_rows):
        here = slice(start, start + n_rows)
        logits = projection(hidden[here])
        scores.append(score_tokens(logits, targets[here]))
        total += loss(logits, nn.Identity(), targets[here]) * divisor(targets[here])
    whole = TokenScores(*(torch.cat(part) for part in zip(*scores, strict=True)))
    return whole, total / divisor(targets)


class TokenMetrics(Metric):
    """Plain NLL, perplexity, accuracy and bits per character, also per token class.

    Sums are kept per class in float64, so that the cut into batches makes no difference.

    Args:
        vocab: The target vocabulary.
    """

    full_state_update = False
    nll: Tensor
    correct: Tensor
    count: Tensor
    characters: Tensor
    spelling: Tensor
    unknown: Tensor
    _classes: Tensor
    _lengths: Tensor

    def __init__(self, vocab: Vocab) -> None:
        super().__init__()
        # Apple's GPUs have no float64.
        dtype = torch.float32 if torch.backends.mps.is_available() else torch.float64
        for name in ("nll", "correct", "count"):
            self.add_state(name, torch.zeros(len(TOKEN_CLASSES), dtype=dtype), dist_reduce_fx="sum")
        for name in ("characters", "spelling", "unknown"):
            self.add_state(name, torch.zeros((), dtype=dtype), dist_reduce_fx="sum")
        classes = torch.tensor([TOKEN_CLASSES.index(token_class(t)) for t in vocab.tokens])
        # Layout words and the like stand for one line break or change of indentation.
        lengths = [
            0 if t in SPECIAL_TOKENS else 1 if token_class(t) == "layout" else len(t)
            for t in vocab.tokens
        ]
        self.unk_id = vocab.unk_id
        self.register_buffer("_classes", F.one_hot(classes, len(TOKEN_CLASSES)), persistent=False)
        self.register_buffer("_lengths", torch.tensor(lengths), persistent=False)

    def update(
        self,
        scores: TokenScores,
        *,
        n_characters: int | None = None,
        spelling_bits: int = 0,
    ) -> None:
        """Add a batch.

        Args:
            scores: Of its tokens.
            n_characters: Characters of the reference programs of this batch, as the source
                gave them: bits per character can then be compared across tokenizers. Where None,
                the characters of the target tokens are counted.
            spelling_bits: Price of the targets that are `<unk>`, from the function of that name.
        """
        targets, nll, right = scores
        classes = self._classes[targets].to(self.nll.dtype)  # [N, C]
        self.nll += nll.to(classes.dtype) @ classes  # [C]
        self.correct += right.to(classes.dtype) @ classes
        self.count += classes.sum(dim=0)
        self.unknown += (targets == self.unk_id).sum()
        self.spelling += spelling_bits
        self.characters += self._lengths[targets].sum() if n_characters is None else n_characters

    def per_example(self, scores: TokenScores, owners: Tensor, n_pairs: int) -> Tensor:
        """Count a batch pair by pair; nothing is added to the state.

        Args:
            scores: Of its tokens.
            owners: To which of the batch's pairs each of them belongs, `[N]`.
            n_pairs: Number of pairs, B.

        Returns:
            Tokens, NLL and right tokens of each pair and class, and its `<unk>` targets in a last
            column of the first row, `[B, 3, C + 1]`.
        """
        classes = self._classes[scores.targets].to(self.nll.dtype)  # [N, C]
        nll, right = (part[:, None].to(classes.dtype) for part in scores[1:])
        unknown = (scores.targets == self.unk_id).to(classes.dtype)  # [N]
        rows = torch.stack([classes, nll * classes, right * classes], dim=1)
        rows = F.pad(rows, (0, 1))  # [N, 3, C + 1]
        rows[:, 0, -1] = unknown
        table = rows.new_zeros(n_pairs, *rows.shape[1:])
        return table.index_add_(0, owners, rows)

    def compute(self) -> dict[str, Tensor]:
        """Return the values over all batches.

        Returns:
            `nll` (nats a token), `ppl`, `accuracy`, `bpc` (bits a character), `unk_targets` (share
            of targets that are `<unk>`), and for each class of tokens that was seen
            `nll_<class>` and `accuracy_<class>`.
        """
        nll = self.nll.sum() / self.count.sum()
        bits = self.nll.sum() / math.log(2) + self.spelling
        values = {
            "nll": nll,
            "ppl": nll.exp(),
            "accuracy": self.correct.sum() / self.count.sum(),
            "bpc": bits / self.characters,
            "unk_targets": self.unknown / self.count.sum(),
        }
        for i, name in enumerate(TOKEN_CLASSES):
            if self.count[i]:
                values[f"nll_{name}"] = self.nll[i] / self.count[i]
                values[f"accuracy_{name}"] = self.correct[i] / self.count[i]
        return values
