"""Encoder-decoder Transformer (Vaswani et al., 2017, "Attention Is All You Need").

The order is the paper's: attention (3.2), feed-forward (3.3), embeddings and positions (3.4, 3.5),
the layers (3.1), the whole model. Fast kernels, packed batches, attention maps and the key-value
cache are in the other modules of this package; they plug in at `Layout` and `Attention.attend`.

Shape letters: B batch, S source length, T target length, D d_model, H heads, K size of a head,
V target vocabulary. Masks are boolean; True means the position may be attended to. Padding is at
the end of a row. Token-wise layers map the last dimension: their rows may be padded, `[B, T, D]`,
or packed, `[N, D]` (see `Layout`); shapes below are those of padded rows.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from en2py.models.copying import CopyProjection, with_source
from en2py.models.cpu_kernels import Dropout, scaled_dot_product_attention
from en2py.models.packing import PADDED, Layout
from en2py.ranges import Length, ProperFraction

Positions = Literal["learned", "sinusoidal", "rotary"]
Norm = Literal["pre", "post"]
Tying = Literal["none", "tgt"]
N_SEGMENTS = 3  # of a source: two separators
ALL, QUERIES, KEYS_AND_VALUES = slice(0, 3), slice(0, 1), slice(1, 3)  # of a fused projection


@dataclass(frozen=True)
class Sizes:
    """Settings shared by all layers; see the arguments of `Transformer`."""

    d_model: int
    d_ff: int
    n_heads: int
    dropout: float
    attention_dropout: float
    norm: Norm


@dataclass(frozen=True)
class Side:
    """The source or the target of a batch, as its layers need it.

    Attributes:
        mask: Real positions, `[B, 1, 1, S]`; None for a target, whose attention is causal.
        rotary: Rotary positions, `[2, T, K / 2]`; None for other kinds of positions.
        layout: Arrangement of its tokens.
    """

    mask: Tensor | None = None
    rotary: Tensor | None = None
    layout: Layout = PADDED


class Attention(nn.Module):
    """Multi-head attention, section 3.2.2."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.n_heads = sizes.n_heads
        self.dropout = sizes.attention_dropout
        self.qkv = nn.Linear(sizes.d_model, 3 * sizes.d_model)  # one product instead of three
        self.out = nn.Linear(sizes.d_model, sizes.d_model)

    def project(self, x: Tensor, side: Side, parts: slice = ALL) -> list[Tensor]:
        """Map `[B, T, D]` to queries, keys, values or some of them, `[B, H, T, K]` each.

        Args:
            x: Hidden states.
            side: The side that `x` belongs to. Its rotary positions apply to self-attention only:
                positions of two sides cannot be compared.
            parts: Which of the three; `ALL` in self-attention.
        """
        d_model = x.shape[-1]
        rows = slice(parts.start * d_model, parts.stop * d_model)
        x = F.linear(x, self.qkv.weight[rows], self.qkv.bias[rows])
        x = side.layout.pad(x)
        x = x.view(*x.shape[:2], parts.stop - parts.start, self.n_heads, -1)  # [B, T, parts, H, K]
        heads = [part.transpose(1, 2) for part in x.unbind(2)]
        if side.rotary is not None and parts == ALL:
            heads[:2] = [apply_rotary(part, side.rotary) for part in heads[:2]]
        return heads

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Return softmax(q k^T / sqrt(K)) v, equation 1, `[B, H, T, K]`.

        `mask` broadcasts to `[B, H, T, S]`; `is_causal` replaces it: position t attends up to t.
        """
        dropout = self.dropout if self.training else 0.0
        return scaled_dot_product_attention(q, k, v, mask, dropout, is_causal)

    def mix(
        self, qkv: list[Tensor], side: Side, mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attend, concatenate the heads and project; `side` is that of the queries, `[B, T, D]`."""
        q, k, v = qkv
        x = self.attend(q, k, v, mask, is_causal)
        x = x.transpose(1, 2).flatten(2)  # [B, H, T, K] -> [B, T, D]
        out: Tensor = self.out(side.layout.pack(x))
        return out


class FeedForward(nn.Sequential):
    """Two linear maps with a ReLU between, equation 2."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__(nn.Linear(d_model, d_ff), nn.ReLU(inplace=True), nn.Linear(d_ff, d_model))


def angles(max_len: int, width: int) -> Tensor:
    """Return position / 10000^(2i / width), `[max_len, width / 2]`, of section 3.5."""
    rates = 10000.0 ** (-torch.arange(0, width, 2) / width)
    return torch.arange(max_len)[:, None] * rates


def sinusoids(max_len: int, d_model: int) -> Tensor:
    """Return the fixed positions of section 3.5, `[max_len, D]`: sines in the even columns."""
    x = angles(max_len, d_model)
    return torch.stack([x.sin(), x.cos()], dim=-1).flatten(1)[:, :d_model]


def apply_rotary(x: Tensor, rotary: Tensor) -> Tensor:
    """Rotate pairs of columns of `[B, H, T, K]` by their position (Su et al., 2021, equation 34).

    The product of a rotated query and a rotated key depends on their distance alone.
    """
    cos, sin = rotary.to(x.dtype)  # [T, K / 2]
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Embedding(nn.Module):
    """Token table and positions; a table of another width is projected to D."""

    positions: Tensor | None  # added to the tokens, [max_len, D]
    rotary: Tensor | None  # applied to queries and keys, [2, max_len, K / 2]

    def __init__(
        self,
        n_tokens: int,
        width: int,
        max_len: int,
        positions: Positions,
        sizes: Sizes,
        sep_id: int | None = None,
    ) -> None:
        super().__init__()
        d_model = sizes.d_model
        self.max_len, self.sep_id = max_len, sep_id
        self.segments = None if sep_id is None else nn.Embedding(N_SEGMENTS, d_model)
        self.scale = math.sqrt(d_model)  # section 3.4
        self.table = nn.Embedding(n_tokens, width)
        self.widen = nn.Identity() if width == d_model else nn.Linear(width, d_model, bias=False)
        if positions == "learned":
            self.positions = nn.Parameter(torch.empty(max_len, d_model))
        else:
            fixed = sinusoids(max_len, d_model) if positions == "sinusoidal" else None
            self.register_buffer("positions", fixed, persistent=False)
        rotary = None
        if positions == "rotary":
            x = angles(max_len, d_model // sizes.n_heads)
            rotary = torch.stack([x.cos(), x.sin()])
        self.register_buffer("rotary", rotary, persistent=False)
        self.dropout = Dropout(sizes.dropout)

    def forward(self, ids: Tensor, layout: Layout = PADDED, start: int = 0) -> Tensor:
        """Embed ids `[B, T]` whose first column is at position `start`, as `[B, T, D]`."""
        end = start + ids.shape[1]
        if end > self.max_len:
            raise ValueError(f"{end} tokens, but the model has {self.max_len} positions for them")
        x = self.widen(self.table(layout.pack(ids))) * self.scale
        if self.positions is not None:
            x = x + layout.positions(self.positions[start:end])
        if self.segments is not None and self.sep_id is not None:
            x = x + self.segments(layout.pack(ids.eq(self.sep_id).cumsum(1)))
        out: Tensor = self.dropout(x.to(self.table.weight.dtype))  # `widen` may return bf16
        return out

    def rotary_at(self, start: int, n: int) -> Tensor | None:
        """Return the rotary positions `start` to `start + n`, `[2, n, K / 2]`, if there are any."""
        return None if self.rotary is None else self.rotary[:, start : start + n]


class Residual(nn.Module):
    """Residual connection with dropout, and a norm after it (the paper) or before the sublayer."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(sizes.d_model)
        self.dropout = Dropout(sizes.dropout)
        self.pre = sizes.norm == "pre"

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """Return `x` `[B, T, D]` with the sublayer's result added."""
        y: Tensor = x + self.dropout(sublayer(self.norm(x) if self.pre else x))
        return y if self.pre else self.norm(y)


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.self_attention = Attention(sizes)
        self.feed_forward = FeedForward(sizes.d_model, sizes.d_ff)
        self.residuals = nn.ModuleList(Residual(sizes) for _ in range(2))

    def forward(self, x: Tensor, src: Side) -> Tensor:
        """Map `[B, S, D]` to the same shape."""

        def attend_to_source(y: Tensor) -> Tensor:
            return self.self_attention.mix(self.self_attention.project(y, src), src, src.mask)

        x = self.residuals[0](x, attend_to_source)
        out: Tensor = self.residuals[1](x, self.feed_forward)
        return out


class DecoderLayer(nn.Module):
    """Self-attention to earlier tokens, attention to the memory, then feed-forward."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.self_attention = Attention(sizes)
        self.cross_attention = Attention(sizes)
        self.feed_forward = FeedForward(sizes.d_model, sizes.d_ff)
        self.residuals = nn.ModuleList(Residual(sizes) for _ in range(3))

    def forward(self, x: Tensor, memory_kv: list[Tensor], src: Side, tgt: Side) -> Tensor:
        """Map `[B, T, D]` to the same shape.

        `memory_kv` are keys and values of the memory for this layer, `[B, H, S, K]` each.
        """

        def attend_to_target(y: Tensor) -> Tensor:
            return self.self_attention.mix(self.self_attention.project(y, tgt), tgt, is_causal=True)

        def attend_to_source(y: Tensor) -> Tensor:
            q = self.cross_attention.project(y, tgt, QUERIES)
            return self.cross_attention.mix(q + memory_kv, tgt, src.mask)

        x = self.residuals[0](x, attend_to_target)
        x = self.residuals[1](x, attend_to_source)
        out: Tensor = self.residuals[2](x, self.feed_forward)
        return out


class Transformer(nn.Module):
    """Map source ids and the target tokens so far to a hidden state of each target position.

    `projection` maps hidden states to logits of the next token; the caller applies it.

    Args:
        n_src: Size of the source vocabulary.
        n_tgt: Size of the target vocabulary.
        pad_id: The id of padding, the same on both sides.
        d_model: Width of the model.
        d_ff: Width inside feed-forward.
        n_heads: Heads per attention; must divide `d_model`.
        n_encoder_layers: Number of encoder layers.
        n_decoder_layers: Number of decoder layers.
        dropout: Probability of dropping a number after each sublayer and embedding (section 5.4).
        max_src_len: Most source tokens.
        max_tgt_len: Most target tokens.
        positions: Learned, the paper's sinusoids, or rotary (Su et al., 2021): attention depends
            on the distance of two tokens.
        norm: "pre": layer norm before each sublayer and after each stack; "post": after each
            sublayer, as in the paper.
        tie_embeddings: "tgt" shares one table between the decoder's embedding and `projection`.
        attention_dropout: Probability of dropping an attention weight. The paper has none, and on
            CPU in fp32 it costs the fast kernel (1.6 times the attention's time).
        src_width: Width of the source token table if it is not `d_model`; it is projected.
        tgt_width: The same for the target token table.
        sep_id: The id that separates the segments of a source, each with an embedding of its own.
        copy: Mix copies of source tokens into the probabilities, see `CopyProjection`.
    """

    def __init__(
        self,
        n_src: int,
        n_tgt: int,
        pad_id: int,
        *,
        d_model: PositiveInt,
        d_ff: PositiveInt,
        n_heads: PositiveInt,
        n_encoder_layers: PositiveInt,
        n_decoder_layers: PositiveInt,
        dropout: ProperFraction,
        max_src_len: Length,
        max_tgt_len: Length,
        positions: Positions,
        norm: Norm,
        tie_embeddings: Tying,
        attention_dropout: ProperFraction = 0.0,
        src_width: int | None = None,
        tgt_width: int | None = None,
        sep_id: int | None = None,
        copy: bool = False,
    ) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model ({d_model}) is not divisible by n_heads ({n_heads})")
        if positions == "rotary" and d_model // n_heads % 2:
            raise ValueError(f"positions is 'rotary', but a head has {d_model // n_heads} columns")
        for name, value, kind in (
            ("positions", positions, Positions),
            ("norm", norm, Norm),
            ("tie_embeddings", tie_embeddings, Tying),
        ):
            if value not in get_args(kind):
                raise ValueError(f"{name} is '{value}'; choose {' or '.join(get_args(kind))}")
        if tie_embeddings == "tgt" and (tgt_width or d_model) != d_model:
            raise ValueError(f"tie_embeddings: tgt_width ({tgt_width}) is not d_model ({d_model})")
        sizes = Sizes(d_model, d_ff, n_heads, dropout, attention_dropout, norm)
        src_width, tgt_width = src_width or d_model, tgt_width or d_model
        self.pad_id = pad_id
        self.src_embedding = Embedding(n_src, src_width, max_src_len, positions, sizes, sep_id)
        self.tgt_embedding = Embedding(n_tgt, tgt_width, max_tgt_len, positions, sizes)
        self.encoder = nn.ModuleList(EncoderLayer(sizes) for _ in range(n_encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(sizes) for _ in range(n_decoder_layers))
        self.encoder_norm = nn.LayerNorm(d_model) if norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(d_model) if norm == "pre" else nn.Identity()
        self.projection = (CopyProjection if copy else nn.Linear)(d_model, n_tgt)
        self.apply(initialize)
        if tie_embeddings == "tgt":
            self.projection.weight = self.tgt_embedding.table.weight

    def src_mask(self, src: Tensor) -> Tensor:
        """Return True at the real tokens of `src` `[B, S]`, as `[B, 1, 1, S]`."""
        return (src != self.pad_id)[:, None, None]

    def src_side(self, src: Tensor, layout: Layout = PADDED) -> Side:
        """Return the side of source ids `[B, S]`."""
        return Side(self.src_mask(src), self.src_embedding.rotary_at(0, src.shape[1]), layout)

    def encode(self, src: Tensor, side: Side) -> Tensor:
        """Map source ids `[B, S]` to the memory `[B, S, D]`."""
        x = self.src_embedding(src, side.layout)
        for layer in self.encoder:
            x = layer(x, side)
        memory: Tensor = self.encoder_norm(x)
        return memory

    def memory_kv(self, memory: Tensor, side: Side) -> list[list[Tensor]]:
        """Return each decoder layer's keys and values of the memory, `[B, H, S, K]` each."""
        layers: Iterable[Any] = self.decoder  # a ModuleList does not know the type of its layers
        return [layer.cross_attention.project(memory, side, KEYS_AND_VALUES) for layer in layers]

    def forward(
        self,
        src: Tensor,
        tgt_in: Tensor,
        src_layout: Layout = PADDED,
        tgt_layout: Layout = PADDED,
    ) -> Tensor:
        """Map `src` `[B, S]` and `tgt_in` `[B, T]` to the rows that `projection` maps to logits.

        They are the hidden states, `[B, T, D]`; with `copy`, the source's attention weights and ids
        follow in each row, `[B, T, D + 2 S]`. The projection is left to the caller, who needs few
        of the rows.
        """
        source = self.src_side(src, src_layout)
        target = Side(None, self.tgt_embedding.rotary_at(0, tgt_in.shape[1]), tgt_layout)
        memory_kv = self.memory_kv(self.encode(src, source), source)
        x = self.tgt_embedding(tgt_in, tgt_layout)
        for layer, kv in zip(self.decoder, memory_kv, strict=True):
            x = layer(x, kv, source, target)
        return with_source(
            self.projection, self.decoder_norm(x), memory_kv, src, source.mask, tgt_layout
        )


def initialize(module: nn.Module) -> None:
    """Draw weights: Glorot for matrices; unit size for scaled tokens and learned positions."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Attention):
        for matrix in module.qkv.weight.chunk(3):  # as three separate matrices
            nn.init.xavier_uniform_(matrix)
    elif isinstance(module, Embedding):
        nn.init.normal_(module.table.weight, std=1 / module.scale)
        if isinstance(module.positions, nn.Parameter):
            # As large as the tokens after their scaling, which positions do not get: with smaller
            # ones models took twice as long to learn to reverse sequences, a task of positions.
            nn.init.normal_(module.positions)
