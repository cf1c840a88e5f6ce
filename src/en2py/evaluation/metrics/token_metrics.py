"""Metrics of predicted tokens: NLL, perplexity, accuracy and bits per character.

Shape letters: N real target tokens (EOS in, padding out), V target vocabulary, C token classes.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from en2py.data.vocab import Vocab
from en2py.evaluation.metrics.code_tokens import TOKEN_CLASSES, token_class

PIECE_ROWS = 128  # rows of logits computed at a time on CPU


def token_counts(
    table: Sequence[Sequence[float]] | None, n_characters: int, spelling: int
) -> dict[str, list[float]]:
    """Convert one pair's row of `TokenMetrics.per_example` to summable counts.

    Args:
        table: `[3, C + 1]`; None where the pair is longer than the model's `max_len`: counts are 0.
        n_characters: Length of the reference program.
        spelling: Cost of its unknown tokens in bits.

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
    """Scores at real target positions, `[N]` each.

    Attributes:
        targets: The reference ids.
        nll: Their negative log-probabilities in nats.
        right: Whether no other token has a higher logit.
    """

    targets: Tensor
    nll: Tensor
    right: Tensor


def score_tokens(logits: Tensor, targets: Tensor) -> TokenScores:
    """Score logits `[N, V]` against the reference ids `[N]`."""
    nll = F.cross_entropy(logits.float(), targets, reduction="none")
    # On CPU this takes a tenth of the time of `argmax`.
    right = logits.gather(1, targets[:, None]).squeeze(1) >= logits.amax(-1)
    return TokenScores(targets, nll, right)


def score_hidden(
    hidden: Tensor,
    projection: nn.Module,
    targets: Tensor,
    loss: nn.Module,
    normalizer: Callable[[Tensor], Tensor],
) -> tuple[TokenScores, Tensor]:
    """Score hidden states; on CPU a few rows at a time, so that logits stay in the cache.

    Args:
        hidden: Hidden states at real target positions, `[N, D]`.
        projection: To logits, `[N, V]`.
        targets: The reference ids, `[N]`.
        loss: Called with logits, the identity and targets, those of some rows at a time; returns
            their mean loss.
        normalizer: Returns the denominator of that mean for some targets.

    Returns:
        The scores of the tokens, and the loss over all of them.
    """
    n_rows = PIECE_ROWS if hidden.device.type == "cpu" else len(hidden)
    exact = torch.promote_types(hidden.dtype, torch.float32)
    scores, total = [], hidden.new_zeros((), dtype=exact)
    for start in range(0, len(hidden), n_rows):
        here = slice(start, start + n_rows)
        logits = projection(hidden[here])
        scores.append(score_tokens(logits, targets[here]))
        total += loss(logits, nn.Identity(), targets[here]) * normalizer(targets[here])
    joined = TokenScores(*(torch.cat(part) for part in zip(*scores, strict=True)))
    return joined, total / normalizer(targets)


class TokenMetrics(Metric):
    """NLL, perplexity, accuracy and bits per character, also per token class.

    Sums are accumulated per class in float64, so that the batch size makes no difference.
    """

    full_state_update = False
    nll: Tensor
    correct: Tensor
    count: Tensor
    characters: Tensor
    spelling: Tensor
    unknown: Tensor
    _classes: Tensor

    def __init__(self, vocab: Vocab) -> None:
        super().__init__()
        # Apple's GPUs have no float64.
        dtype = torch.float32 if torch.backends.mps.is_available() else torch.float64
        for name in ("nll", "correct", "count"):
            self.add_state(name, torch.zeros(len(TOKEN_CLASSES), dtype=dtype), dist_reduce_fx="sum")
        for name in ("characters", "spelling", "unknown"):
            self.add_state(name, torch.zeros((), dtype=dtype), dist_reduce_fx="sum")
        classes = torch.tensor([TOKEN_CLASSES.index(token_class(t)) for t in vocab.tokens])
        self.unk_id = vocab.unk_id
        self.register_buffer("_classes", F.one_hot(classes, len(TOKEN_CLASSES)), persistent=False)

    def update(self, scores: TokenScores, *, n_characters: int, spelling_bits: int = 0) -> None:
        """Add a batch.

        Args:
            scores: Scores of its tokens.
            n_characters: Characters of the batch's reference programs in the source, so that bits
                per character can be compared across tokenizers.
            spelling_bits: Cost of the targets that are `<unk>`, from `vocab.spelling_bits`.
        """
        targets, nll, right = scores
        classes = self._classes[targets].to(self.nll.dtype)  # [N, C]
        self.nll += nll.to(classes.dtype) @ classes  # [C]
        self.correct += right.to(classes.dtype) @ classes
        self.count += classes.sum(dim=0)
        self.unknown += (targets == self.unk_id).sum()
        self.spelling += spelling_bits
        self.characters += n_characters

    def per_example(self, scores: TokenScores, owners: Tensor, n_pairs: int) -> Tensor:
        """Return the sums of each pair of a batch, without changing the state.

        Args:
            scores: Scores of the batch's tokens.
            owners: The pair of each token, `[N]`.
            n_pairs: Number of pairs, B.

        Returns:
            Tokens, NLL and correct tokens of each pair and class, `[B, 3, C + 1]`; the last column
            of the reference row counts `<unk>` targets.
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
            `nll` (nats per token), `ppl`, `accuracy`, `bpc` (bits per character), `unk_targets`
            (share of `<unk>` targets), and `nll_<class>` and `accuracy_<class>` of each class of
            tokens that occurred.
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
