"""Encoder-decoder Transformer (Vaswani et al., 2017, "Attention Is All You Need").

The order is the paper's: attention (3.2), feed-forward (3.3), embeddings and positions (3.4, 3.5),
the layers (3.1); then the whole model and what decoding remembers.

Shape letters: B batch, S source length, T target length, D d_model, H heads, K size of a head,
V target vocabulary, L layers; in decoding W hypotheses per source, C positions there is room for.
Masks are boolean; True means the position may be attended to. Padding stands at the end of a row.
Token-wise layers do not care how rows lie: `[B, T, D]` padded, or `[N, D]` the N real tokens alone
(with the spare rows of `Rows` at the end, which are nobody's).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from en2py.models.attention_maps import AttentionMaps
from en2py.models.cpu_kernels import Dropout, packed
from en2py.models.incremental import Cache
from en2py.models.packing import ROWS_IN_BF16, Rows

Norm = Literal["pre", "post"]
Positions = Literal["learned", "sinusoidal", "rotary"]
Tying = Literal["none", "tgt"]
ALL, QUERIES, KEYS_AND_VALUES = slice(0, 3), slice(0, 1), slice(1, 3)  # of a fused projection


@dataclass(frozen=True)
class Sizes:
    """What every layer has to know; the arguments of `Transformer` explain the words."""

    d_model: int
    d_ff: int
    n_heads: int
    dropout: float
    attention_dropout: float
    norm: Norm


# ------------------------------------------------------------------- rows with and without padding


# ------------------------------------------------------------------------ attention, section 3.2


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(q k^T / sqrt(K)), equation 1, of `[B, H, T, K]` and `[B, H, S, K]`."""
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)  # [B, H, T, S]
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1)


class Attention(nn.Module):
    """Multi-head attention, section 3.2.2."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.n_heads = sizes.n_heads
        self.dropout = sizes.attention_dropout
        self.qkv = nn.Linear(sizes.d_model, 3 * sizes.d_model)  # one product instead of three
        self.out = nn.Linear(sizes.d_model, sizes.d_model)

    def project(
        self,
        x: Tensor,
        parts: slice = ALL,
        turns: Tensor | None = None,
        rows: Rows | None = None,
    ) -> list[Tensor]:
        """Map `[B, T, D]` to queries, keys, values or some of them, `[B, H, T, K]` each.

        Args:
            x: What is projected; `[N, D]` if `rows` are given.
            parts: Which of the three.
            turns: Rotary positions of queries and keys, `[2, T, K / 2]`; None for no such.
            rows: Where real tokens stand, if `x` holds these alone.
        """
        d_model = x.shape[-1]
        if parts == ALL:
            x = self.qkv(x)
        else:
            some = slice(parts.start * d_model, parts.stop * d_model)
            x = F.linear(x, self.qkv.weight[some], self.qkv.bias[some])
        if rows is not None:
            x = rows.pad(x)
        x = x.view(*x.shape[:2], parts.stop - parts.start, self.n_heads, -1)  # [B, T, parts, H, K]
        heads = [part.transpose(1, 2) for part in x.unbind(2)]
        if turns is not None:
            heads[:2] = [rotate(part, turns) for part in heads[:2]]
        return heads

    def mix(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        is_causal: bool = False,
        rows: Rows | None = None,
        maps: list[Tensor] | None = None,
    ) -> Tensor:
        """Attend, join the heads and project.

        Args:
            q: Queries, `[B, H, T, K]`.
            k: Keys, `[B, H, S, K]`.
            v: Values, `[B, H, S, K]`.
            mask: What may be attended to, broadcast to `[B, H, T, S]`.
            is_causal: In place of a mask: nobody sees later positions; kernels skip that half.
            rows: Where real queries stand: the others are left out of the result.
            maps: Where to append the weights.

        Returns:
            `[B, T, D]`; `[N, D]` if `rows` are given.
        """
        dropout = self.dropout if self.training else 0.0
        # In bf16 torch's CPU kernel takes five times as long for its gradients as plain products.
        plain = q.device.type == "cpu" and q.dtype == torch.bfloat16
        if plain or maps is not None:
            if is_causal:
                mask = q.new_ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()
            weights = attention_weights(q, k, mask)
            if maps is not None:
                maps.append(weights)
            x = F.dropout(weights, dropout) @ v
        else:
            x = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal)
        x = x.transpose(1, 2).flatten(2)  # [B, H, T, K] -> [B, T, D]
        out: Tensor = self.out(x if rows is None else rows.pack(x))
        return out


# --------------------------------------------------------------------- feed-forward, section 3.3


class FeedForward(nn.Sequential):
    """Two linear maps with a ReLU between, equation 2."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__(nn.Linear(d_model, d_ff), nn.ReLU(inplace=True), nn.Linear(d_ff, d_model))


# ----------------------------------------------------- embeddings and positions, sections 3.4, 3.5


def sinusoids(max_len: int, d_model: int) -> Tensor:
    """Return the fixed positions of section 3.5, `[max_len, D]`: sines in the even columns."""
    rates = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    angles = torch.arange(max_len)[:, None] * rates  # [max_len, D / 2]
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :d_model]


def rotations(max_len: int, d_head: int) -> Tensor:
    """Return cosines and sines of rotary positions, `[2, max_len, K / 2]`; see `rotate`."""
    rates = 10000.0 ** (-torch.arange(0, d_head, 2) / d_head)
    angles = torch.arange(max_len)[:, None] * rates  # [max_len, K / 2]
    return torch.stack([angles.cos(), angles.sin()])


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn pairs of columns of `[B, H, T, K]` by their position (Su et al., 2021, equation 34).

    The product of a turned query and a turned key depends on how far apart they are, not on where.
    """
    cos, sin = turns.to(x.dtype)  # [T, K / 2]
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Embedding(nn.Module):
    """Token ids to vectors that know their position; a table of another width is projected."""

    def __init__(
        self, n_tokens: int, width: int, max_len: int, positions: Positions, sizes: Sizes
    ) -> None:
        super().__init__()
        d_model = sizes.d_model
        self.scale = math.sqrt(d_model)  # section 3.4
        self.table = nn.Embedding(n_tokens, width)
        self.widen = nn.Identity() if width == d_model else nn.Linear(width, d_model, bias=False)
        self.positions: Tensor
        self.rotary = positions == "rotary"
        if positions == "learned":
            self.positions = nn.Parameter(torch.empty(max_len, d_model))
        elif positions == "sinusoidal":
            self.register_buffer("positions", sinusoids(max_len, d_model), persistent=False)
        else:  # they are not added, but turn queries and keys
            self.register_buffer("positions", torch.zeros(max_len, 1), persistent=False)
            turns = rotations(max_len, d_model // sizes.n_heads)
            self.register_buffer("rotations", turns, persistent=False)
        self.dropout = Dropout(sizes.dropout)

    def forward(self, ids: Tensor, start: int = 0, rows: Rows | None = None) -> Tensor:
        """Embed rows `[B, T]` whose first token stands at position `start`, as `[B, T, D]`.

        If `rows` are given, only the real tokens are embedded, as `[N, D]`.
        """
        end, room = start + ids.shape[1], len(self.positions)
        if end > room:
            raise ValueError(f"{end} tokens, but the model has {room} positions for them")
        positions = self.positions[start:end]
        if rows is not None:
            ids, positions = rows.of(ids), F.embedding(rows.columns, positions)
        x: Tensor = self.widen(self.table(ids)) * self.scale + positions
        x = self.dropout(x)
        return x

    def turns(self, start: int, n: int) -> Tensor | None:
        """Return the rotary positions `start` to `start + n`, `[2, n, K / 2]`; None without."""
        if not self.rotary:
            return None
        table: Tensor = self.rotations  # type: ignore[assignment]
        return table[:, start : start + n]


# ---------------------------------------------------------------------------- layers, section 3.1


class Residual(nn.Module):
    """What surrounds a sublayer: dropout, the sum, and a norm after it (the paper) or in front."""

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

    def forward(
        self,
        x: Tensor,
        src_mask: Tensor,
        turns: Tensor | None = None,
        rows: Rows | None = None,
        maps: list[Tensor] | None = None,
    ) -> Tensor:
        """Map `[B, S, D]` (`[N, D]` at `rows`) to the same shape; `src_mask` is `[B, 1, 1, S]`."""

        def look_around(y: Tensor) -> Tensor:
            q, k, v = self.self_attention.project(y, turns=turns, rows=rows)
            return self.self_attention.mix(q, k, v, src_mask, rows=rows, maps=maps)

        out: Tensor = self.residuals[1](self.residuals[0](x, look_around), self.feed_forward)
        return out


class DecoderLayer(nn.Module):
    """Self-attention to earlier tokens, attention to the memory, then feed-forward."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.self_attention = Attention(sizes)
        self.cross_attention = Attention(sizes)
        self.feed_forward = FeedForward(sizes.d_model, sizes.d_ff)
        self.residuals = nn.ModuleList(Residual(sizes) for _ in range(3))

    def forward(
        self,
        x: Tensor,
        memory_kv: list[Tensor],
        src_mask: Tensor,
        turns: Tensor | None = None,
        rows: Rows | None = None,
        recall: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor | None]] | None = None,
        maps: tuple[list[Tensor], list[Tensor]] | None = None,
    ) -> Tensor:
        """Map `[B, T, D]` (`[N, D]` at `rows`) to the same shape.

        Args:
            x: A whole target; in decoding the newest token of W hypotheses, `[B, W, D]`.
            memory_kv: Keys and values of the memory, `[B, H, S, K]` each.
            src_mask: Real source positions, `[B, 1, 1, S]`.
            turns: Rotary positions of the target, if there are any.
            rows: Where real target tokens stand, if `x` holds these alone.
            recall: In decoding: newest keys and values in, those of all tokens and a mask out.
            maps: Where to append the weights of self-attention and of cross-attention.
        """
        self_maps, cross_maps = maps or (None, None)

        def look_back(y: Tensor) -> Tensor:
            q, k, v = self.self_attention.project(y, turns=turns, rows=rows)
            if recall is not None:
                return self.self_attention.mix(q, *recall(k, v))
            return self.self_attention.mix(q, k, v, is_causal=True, rows=rows, maps=self_maps)

        def look_at_memory(y: Tensor) -> Tensor:
            [q], (k, v) = self.cross_attention.project(y, QUERIES, rows=rows), memory_kv
            return self.cross_attention.mix(q, k, v, src_mask, rows=rows, maps=cross_maps)

        x = self.residuals[0](x, look_back)
        x = self.residuals[1](x, look_at_memory)
        out: Tensor = self.residuals[2](x, self.feed_forward)
        return out


# --------------------------------------------------------------------------------- the whole model


class Transformer(nn.Module):
    """The model; vocabularies are known before it is made.

    Args:
        n_src: Size of the source vocabulary.
        n_tgt: Size of the target vocabulary.
        pad_id: The id that fills rows, the same on both sides.
        d_model: Width of the model.
        d_ff: Width inside feed-forward.
        n_heads: Heads per attention; must divide `d_model`.
        n_encoder_layers: Number of encoder layers.
        n_decoder_layers: Number of decoder layers.
        dropout: Probability of dropping a number after each sublayer and embedding (section 5.4).
        max_src_len: Most source tokens.
        max_tgt_len: Most target tokens.
        positions: Learned ones, the paper's sinusoids, or rotary ones (Su et al., 2021), which say
            how far apart two tokens are.
        norm: Layer norm in front of each sublayer and behind each stack, or as in the paper after
            each sublayer.
        tie_embeddings: "tgt" shares one table between the decoder's embedding and `projection`.
        attention_dropout: Probability of dropping an attention weight. The paper has none, and on
            CPU in fp32 it costs the fast kernel (1.6 times the attention's time).
        src_width: Width of the source token table where it is not `d_model`; it is projected.
        tgt_width: The same for the target token table.
    """

    def __init__(
        self,
        n_src: int,
        n_tgt: int,
        pad_id: int,
        *,
        d_model: int,
        d_ff: int,
        n_heads: int,
        n_encoder_layers: int,
        n_decoder_layers: int,
        dropout: float,
        max_src_len: int,
        max_tgt_len: int,
        positions: Positions,
        norm: Norm,
        tie_embeddings: Tying,
        attention_dropout: float = 0.0,
        src_width: int | None = None,
        tgt_width: int | None = None,
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
        self.src_embedding = Embedding(n_src, src_width, max_src_len, positions, sizes)
        self.tgt_embedding = Embedding(n_tgt, tgt_width, max_tgt_len, positions, sizes)
        self.encoder = nn.ModuleList(EncoderLayer(sizes) for _ in range(n_encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(sizes) for _ in range(n_decoder_layers))
        self.encoder_norm = nn.LayerNorm(d_model) if norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(d_model) if norm == "pre" else nn.Identity()
        self.projection = nn.Linear(d_model, n_tgt)
        self.apply(initialise)
        if tie_embeddings == "tgt":
            self.projection.weight = self.tgt_embedding.table.weight

    def src_mask(self, src: Tensor) -> Tensor:
        """Return True at the real tokens of `src` `[B, S]`, as `[B, 1, 1, S]`."""
        return (src != self.pad_id)[:, None, None]

    def encode(
        self, src: Tensor, rows: Rows | None = None, maps: list[Tensor] | None = None
    ) -> Tensor:
        """Map source ids `[B, S]` to the memory `[B, S, D]` (`[N, D]` at `rows`).

        `maps` takes the layers' attention weights.
        """
        x = self.src_embedding(src, rows=rows)
        mask = self.src_mask(src)
        turns = self.src_embedding.turns(0, src.shape[1])
        for layer in self.encoder:
            x = layer(x, mask, turns, rows, maps)
        memory: Tensor = self.encoder_norm(x)
        return memory

    def memory_kv(self, memory: Tensor, rows: Rows | None = None) -> list[list[Tensor]]:
        """Return each decoder layer's keys and values of the memory, `[B, H, S, K]` each."""
        layers: Iterable[Any] = self.decoder  # a ModuleList does not know what it holds
        return [
            layer.cross_attention.project(memory, KEYS_AND_VALUES, rows=rows) for layer in layers
        ]

    def decode(
        self,
        tgt_in: Tensor,
        memory_kv: list[list[Tensor]],
        src_mask: Tensor,
        rows: Rows | None = None,
        maps: tuple[list[Tensor], list[Tensor]] | None = None,
    ) -> Tensor:
        """Map target ids `[B, T]` to hidden vectors `[B, T, D]` (`[N, D]` at `rows`)."""
        x = self.tgt_embedding(tgt_in, rows=rows)
        turns = self.tgt_embedding.turns(0, tgt_in.shape[1])
        for layer, kv in zip(self.decoder, memory_kv, strict=True):
            x = layer(x, kv, src_mask, turns, rows, maps=maps)
        hidden: Tensor = self.decoder_norm(x)
        return hidden

    def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        """Map `src` `[B, S]` and `tgt_in` `[B, T]` to hidden vectors `[B, T, D]`.

        Logits are `projection(hidden)`; they are left to the caller, who needs few of the rows.
        """
        return self.decode(tgt_in, self.memory_kv(self.encode(src)), self.src_mask(src))

    def hidden(self, src: Tensor, tgt_in: Tensor, src_places: Tensor, tgt_places: Tensor) -> Tensor:
        """Return what `forward` gives at the real target positions, `[N, D]`.

        On CPU padding passes through attention alone, which saves some 5 % of a step. A GPU is
        held up by the number of kernels more than by their size: there the padded rows are
        worked through, and the real ones taken at the end.

        Args:
            src: Source ids, `[B, S]`.
            tgt_in: Target ids, `[B, T]`.
            src_places: Where in the flattened `src` real tokens stand.
            tgt_places: The same for `tgt_in`, `[N]`.
        """
        if src.device.type != "cpu":
            return Rows(tgt_places, tgt_in.shape).pack(self(src, tgt_in))
        multiple = ROWS_IN_BF16 if torch.is_autocast_enabled("cpu") else 1
        src_rows = Rows(src_places, src.shape, multiple)
        tgt_rows = Rows(tgt_places, tgt_in.shape, multiple)
        memory_kv = self.memory_kv(self.encode(src, src_rows), src_rows)
        hidden = self.decode(tgt_in, memory_kv, self.src_mask(src), tgt_rows)
        return hidden[: len(tgt_places)]

    @torch.no_grad()
    def attention_maps(self, src: Tensor, tgt_in: Tensor) -> AttentionMaps:
        """Return what attends to what; in eval mode the weights are those of `forward`."""
        around, back, across = [], [], []  # type: tuple[list[Tensor], list[Tensor], list[Tensor]]
        memory_kv = self.memory_kv(self.encode(src, maps=around))
        self.decode(tgt_in, memory_kv, self.src_mask(src), maps=(back, across))
        return AttentionMaps(torch.stack(around), torch.stack(back), torch.stack(across))

    def start(self, src: Tensor, width: int = 1, max_len: int | None = None) -> Cache:
        """Read sources `[B, S]`; make room for `width` hypotheses of `max_len` tokens each."""
        room = len(self.tgt_embedding.positions)
        if max_len is not None and max_len > room:
            raise ValueError(f"max_len ({max_len}) is more than the model's {room} positions")
        memory_kv = [[x.contiguous() for x in kv] for kv in self.memory_kv(self.encode(src))]
        projection = packed(self.projection, len(src) * width)
        return Cache(memory_kv, self.src_mask(src), projection, width, max_len or room)

    def step(self, ids: Tensor, cache: Cache) -> Tensor:
        """Map each hypothesis's newest token, `[B * W]`, to logits of its next, `[B * W, V]`."""
        x = self.tgt_embedding(ids[:, None], cache.length)  # [B * W, 1, D]
        x = x.view(-1, cache.width, x.shape[-1])  # [B, W, D]
        turns = self.tgt_embedding.turns(cache.length, 1)  # all stand at the same place
        cache.open()
        for i, layer in enumerate(self.decoder):
            x = layer(x, cache.memory_kv[i], cache.src_mask, turns, recall=partial(cache.recall, i))
        return cache.projection(self.decoder_norm(x).flatten(0, 1))


def initialise(module: nn.Module) -> None:
    """Draw weights anew: Glorot for matrices; tokens (once scaled) and positions of unit size."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Attention):
        for matrix in module.qkv.weight.chunk(3):  # each as if it stood alone
            nn.init.xavier_uniform_(matrix)
    elif isinstance(module, Embedding):
        nn.init.normal_(module.table.weight, std=1 / module.scale)
        if isinstance(module.positions, nn.Parameter):
            nn.init.normal_(module.positions)  # smaller ones learn to reverse a row half as fast
