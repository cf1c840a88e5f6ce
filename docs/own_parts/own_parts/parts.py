"""A focal loss, and pairs that need no file."""

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from en2py.data.pairs import DataReport, Pair
from en2py.data.vocab import Vocab


class FocalLoss(nn.Module):
    """Cross-entropy that weighs likely targets down (Lin et al., 2017, equation 4).

    Args:
        vocab: The target vocabulary; every loss gets it.
        gamma: 0 is plain cross-entropy.
    """

    def __init__(self, vocab: Vocab, *, gamma: NonNegativeFloat) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, hidden: Tensor, projection: nn.Module, targets: Tensor) -> Tensor:
        """Return the mean over targets `[N]`, given what `projection` maps to their logits."""
        nll = functional.cross_entropy(projection(hidden), targets, reduction="none")  # [N]
        return ((1 - (-nll).exp()) ** self.gamma * nll).mean()


def read_arithmetic(report: DataReport, *, n: PositiveInt) -> list[Pair]:
    """Return `n` functions that add a number to another, each with a test.

    Args:
        report: Receives the number of pairs read.
        n: Number of pairs.
    """
    pairs = [
        Pair(
            id=f"arithmetic/{i}",
            description=f"add {i} to a number",
            code=f"def add(x):\n    return x + {i}\n",
            source="arithmetic",
            family="arithmetic",
            tests=(f"assert add(7) == {7 + i}",),
        )
        for i in range(n)
    ]
    report.read("arithmetic", n)
    return pairs
