"""Incremental decoding with a key-value cache."""

from collections.abc import Callable

import torch
from torch import Tensor


class Cache:
    """What decoding remembers of B sources with W hypotheses each.

    The hypotheses of a source share one store: slot `t * W + w` holds position t of hypothesis w,
    and `path` marks the slots on the way of each. So a hypothesis that goes on from another one
    (beam search) takes over a row of booleans, and no keys or values are copied.
    """

    def __init__(
        self,
        memory_kv: list[list[Tensor]],
        src_mask: Tensor,
        projection: Callable[[Tensor], Tensor],
        width: int,
        max_len: int,
    ) -> None:
        self.memory_kv = memory_kv  # per layer keys and values, [B, H, S, K], made once
        self.src_mask = src_mask  # [B, 1, 1, S]
        self.projection = projection  # hidden vectors to logits
        n_src, n_heads, _, d_head = memory_kv[0][0].shape
        slots = max_len * width
        self.kv = [[x.new_empty(n_src, n_heads, slots, d_head) for x in kv] for kv in memory_kv]
        self.path = src_mask.new_zeros(n_src, 1, width, slots)
        self.width = width
        self.length = 0  # tokens read so far

    def open(self) -> None:
        """Make room for one more token: each newest slot lies on the way of its own hypothesis."""
        own = torch.eye(self.width, dtype=torch.bool, device=self.path.device)
        self.path[..., self.length * self.width :][..., : self.width] = own
        self.length += 1

    def recall(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Store the newest keys and values `[B, H, W, K]`; return all, and what each may see."""
        end = self.length * self.width
        keys, values = (store[:, :, :end] for store in self.kv[layer])
        keys[:, :, -self.width :], values[:, :, -self.width :] = k, v
        return keys, values, None if self.width == 1 else self.path[..., :end]

    def reorder(self, parents: Tensor) -> None:
        """Let each hypothesis go on from one of its source's hypotheses, `parents` `[B, W]`."""
        self.path = self.path.gather(2, parents[:, None, :, None].expand_as(self.path))

    def select(self, rows: Tensor) -> None:
        """Keep these sources in this order, `rows` `[B']`; one named twice is doubled."""
        end = self.length * self.width
        self.memory_kv = [[x.index_select(0, rows) for x in kv] for kv in self.memory_kv]
        for kv in self.kv:
            for i, old in enumerate(kv):
                kv[i] = old.new_empty(len(rows), *old.shape[1:])
                kv[i][:, :, :end] = old[:, :, :end].index_select(0, rows)
        self.src_mask, self.path = self.src_mask[rows], self.path[rows]
