"""Training losses: cross-entropy of the target tokens, plain, smoothed or weighted.

A loss is constructed with the target vocabulary. It is called with hidden vectors, the projection
to logits and targets at the real target positions, and returns a scalar, the (weighted) mean of a
value per target. It computes the logits itself, by `projection(hidden)` alone, so that a CPU can do
it in pieces: the width of a hidden vector depends on the model, and an evaluation passes logits for
some of the targets at a time, with the identity as their projection.

Shape letters: N real target positions of a batch, D d_model, V target vocabulary.
"""

import keyword

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from en2py.data.tokenizers.detokenize import LAYOUT_TOKENS
from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.models.cpu_kernels import linear_cross_entropy
from en2py.ranges import ProperFraction


class CrossEntropy(nn.Module):
    """Mean negative log-probability of the targets.

    Args:
        vocab: The target vocabulary.
        label_smoothing: Share of each target spread over all tokens (Szegedy et al., 2016).
    """

    weights: Tensor | None  # of each token of the vocabulary, [V]; None: all are equal

    def __init__(self, vocab: Vocab, *, label_smoothing: ProperFraction) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.register_buffer("weights", None, persistent=False)

    def forward(self, hidden: Tensor, projection: nn.Module, targets: Tensor) -> Tensor:
        """Return the weighted mean over targets `[N]`, given hidden vectors `[N, D]`."""
        return linear_cross_entropy(hidden, projection, targets, self.weights, self.label_smoothing)


class KeywordWeightedCrossEntropy(CrossEntropy):
    """Cross-entropy with a weight per token; the mean divides by the sum of the weights.

    A token of several kinds has the first weight of keyword, frequent, other. The values in
    brackets are those of the project that `experiment=keyword_weights` repeats.

    Args:
        vocab: The target vocabulary.
        keyword_weight: For Python's keywords and for tokens with a line break (3).
        frequent_weight: For the most frequent tokens (2).
        n_frequent: Number of most frequent tokens (47: the vocabulary ids 4 to 50).
        other_weight: For the rest and for the special tokens (1).
        label_smoothing: Share of each target spread over all tokens, in proportion to the weights.
    """

    def __init__(
        self,
        vocab: Vocab,
        *,
        keyword_weight: PositiveFloat,
        frequent_weight: PositiveFloat,
        n_frequent: PositiveInt,
        other_weight: PositiveFloat,
        label_smoothing: ProperFraction,
    ) -> None:
        super().__init__(vocab, label_smoothing=label_smoothing)
        n_special = len(SPECIAL_TOKENS)
        ordinary = range(n_special, len(vocab))
        weights = torch.full((len(vocab),), float(other_weight))
        by_frequency = sorted(ordinary, key=lambda i: -vocab.counts[i])  # stable: ties by id
        weights[by_frequency[:n_frequent]] = frequent_weight
        weights[[i for i in ordinary if shapes_program(vocab.tokens[i])]] = keyword_weight
        self.register_buffer("weights", weights, persistent=False)


def token_weights(loss: nn.Module, n_tokens: int) -> Tensor | None:
    """Return a loss's weight of each token, its tensor `weights` `[V]`; None if it has none.

    An own loss may use the name for something else.
    """
    weights = getattr(loss, "weights", None)
    is_of_tokens = isinstance(weights, Tensor) and weights.shape == (n_tokens,)
    return weights if is_of_tokens else None


def normalizer(weights: Tensor | None, targets: Tensor) -> Tensor:
    """Return the divisor of a mean loss over targets `[N]`: their number, or sum of weights."""
    return torch.tensor(float(len(targets))) if weights is None else weights[targets].sum()


def shapes_program(token: str) -> bool:
    """Return whether a token of any tokenizer is a keyword of Python or contains a line break."""
    spelled = token.replace("Ġ", " ").replace("Ċ", "\n")  # of byte-level BPE
    return token in LAYOUT_TOKENS or "\n" in spelled or spelled.strip(" ") in keyword.kwlist
