"""Other implementations of the Transformer, with the weights of one of our models.

Our model has post-norm and learned positions here (`model.norm=post model.positions=learned`), as
all of them do. Each maps `src` `[B, S]` and `tgt_in` `[B, T]` to logits `[B, T, V]`.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from en2py.models.transformer import Attention, Transformer

# ----------------------------------- the tutorial's, as in the documented experiments


class TutorialAttention(nn.Module):
    """Attention with three projections; masked scores are a large negative number."""

    def __init__(self, ours: Attention, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = ours.n_heads, nn.Dropout(dropout)
        weights, biases = ours.qkv.weight.chunk(3), ours.qkv.bias.chunk(3)
        self.q, self.k, self.v = (linear(w, b) for w, b in zip(weights, biases, strict=True))
        self.out = linear(ours.out.weight, ours.out.bias)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        n_rows, d_model = len(x), x.shape[-1]
        q, k, v = (
            f(z).view(n_rows, -1, self.n_heads, d_model // self.n_heads).permute(0, 2, 1, 3)
            for f, z in ((self.q, x), (self.k, y), (self.v, y))
        )
        energy = torch.matmul(q, k.permute(0, 1, 3, 2)) / math.sqrt(d_model // self.n_heads)
        energy = energy.masked_fill(mask == 0, -1e10)
        self.weights = torch.softmax(energy, dim=-1)
        x = torch.matmul(self.dropout(self.weights), v)
        return self.out(x.permute(0, 2, 1, 3).contiguous().view(n_rows, -1, d_model))


class TutorialLayer(nn.Module):
    """A layer of the encoder or the decoder."""

    def __init__(self, ours: Any, dropout: float) -> None:
        super().__init__()
        names = [name for name in ("self_attention", "cross_attention") if hasattr(ours, name)]
        self.attentions = nn.ModuleList(
            TutorialAttention(getattr(ours, name), dropout) for name in names
        )
        self.wide, self.narrow = (linear(f.weight, f.bias) for f in list(ours.feed_forward)[::2])
        self.norms = nn.ModuleList(copied(residual.norm) for residual in ours.residuals)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, memory: Any = None, src_mask: Any = None) -> Tensor:
        x = self.norms[0](x + self.dropout(self.attentions[0](x, x, mask)))
        if memory is not None:
            x = self.norms[1](x + self.dropout(self.attentions[1](x, memory, src_mask)))
        y = self.narrow(self.dropout(torch.relu(self.wide(x))))
        return self.norms[-1](x + self.dropout(y))


class Tutorial(nn.Module):
    """The Transformer of the tutorial."""

    def __init__(self, ours: Transformer, dropout: float) -> None:
        super().__init__()
        self.pad_id, self.scale = ours.pad_id, ours.src_embedding.scale
        sides = (ours.src_embedding, ours.tgt_embedding)
        self.tokens = nn.ModuleList(table(side.table.weight) for side in sides)
        self.positions = nn.ModuleList(table(side.positions) for side in sides)
        self.encoder = nn.ModuleList(TutorialLayer(layer, dropout) for layer in ours.encoder)
        self.decoder = nn.ModuleList(TutorialLayer(layer, dropout) for layer in ours.decoder)
        self.out = linear(ours.projection.weight, ours.projection.bias)
        self.dropout = nn.Dropout(dropout)

    def embed(self, side: int, ids: Tensor) -> Tensor:
        places = torch.arange(0, ids.shape[1]).unsqueeze(0).repeat(len(ids), 1)
        return self.dropout(self.tokens[side](ids) * self.scale + self.positions[side](places))

    def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        src_mask = (src != self.pad_id).unsqueeze(1).unsqueeze(2)
        causal = torch.tril(torch.ones((tgt_in.shape[1], tgt_in.shape[1]))).bool()
        mask = (tgt_in != self.pad_id).unsqueeze(1).unsqueeze(2) & causal
        memory = self.embed(0, src)
        for layer in self.encoder:
            memory = layer(memory, src_mask)
        x = self.embed(1, tgt_in)
        for layer in self.decoder:
            x = layer(x, mask, memory, src_mask)
        return self.out(x)


# --------------------------------------------------------------------------- torch's own layers


class TorchLayers(nn.Module):
    """`torch.nn.Transformer` between embeddings and a projection."""

    def __init__(self, ours: Transformer, dropout: float) -> None:
        super().__init__()
        self.pad_id, self.scale = ours.pad_id, ours.src_embedding.scale
        first: Any = ours.encoder[0]
        self.layers = nn.Transformer(
            d_model=ours.projection.in_features,
            nhead=first.self_attention.n_heads,
            num_encoder_layers=len(ours.encoder),
            num_decoder_layers=len(ours.decoder),
            dim_feedforward=first.feed_forward[0].out_features,
            dropout=dropout,
            batch_first=True,
        )
        # Our model has no final norm if each layer ends with one.
        self.layers.encoder.norm = self.layers.decoder.norm = None
        for theirs, mine in zip(
            (*self.layers.encoder.layers, *self.layers.decoder.layers),
            (*ours.encoder, *ours.decoder),
            strict=True,
        ):
            names = {"self_attn": "self_attention", "multihead_attn": "cross_attention"}
            for name, own in names.items():
                if hasattr(mine, own):
                    attention = getattr(mine, own)
                    getattr(theirs, name).in_proj_weight.data.copy_(attention.qkv.weight)
                    getattr(theirs, name).in_proj_bias.data.copy_(attention.qkv.bias)
                    getattr(theirs, name).out_proj.load_state_dict(attention.out.state_dict())
            theirs.linear1.load_state_dict(mine.feed_forward[0].state_dict())
            theirs.linear2.load_state_dict(mine.feed_forward[2].state_dict())
            for i, residual in enumerate(mine.residuals):
                getattr(theirs, f"norm{i + 1}").load_state_dict(residual.norm.state_dict())
        sides = (ours.src_embedding, ours.tgt_embedding)
        self.tokens = nn.ModuleList(table(side.table.weight) for side in sides)
        self.positions = nn.ModuleList(table(side.positions) for side in sides)
        self.out = linear(ours.projection.weight, ours.projection.bias)
        self.dropout = nn.Dropout(dropout)

    def embed(self, side: int, ids: Tensor) -> Tensor:
        x = self.tokens[side](ids) * self.scale + self.positions[side].weight[: ids.shape[1]]
        return self.dropout(x)

    def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        padding = src == self.pad_id
        x = self.layers(
            self.embed(0, src),
            self.embed(1, tgt_in),
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(tgt_in.shape[1]),
            tgt_is_causal=True,
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
        )
        return self.out(x)


# ----------------------------------------------------------------------------------- Hugging Face


class Marian(nn.Module):
    """`transformers.MarianMTModel`, with its default attention kernel (SDPA)."""

    def __init__(self, ours: Transformer, dropout: float) -> None:
        super().__init__()
        from transformers import MarianConfig, MarianMTModel

        first: Any = ours.encoder[0]
        n_heads, d_ff = first.self_attention.n_heads, first.feed_forward[0].out_features
        self.pad_id = ours.pad_id
        max_len = max(ours.src_embedding.max_len, ours.tgt_embedding.max_len)
        self.model = MarianMTModel(
            MarianConfig(
                vocab_size=len(ours.src_embedding.table.weight),
                decoder_vocab_size=len(ours.tgt_embedding.table.weight),
                share_encoder_decoder_embeddings=False,
                tie_word_embeddings=False,
                max_position_embeddings=max_len,
                d_model=ours.projection.in_features,
                encoder_layers=len(ours.encoder),
                decoder_layers=len(ours.decoder),
                encoder_attention_heads=n_heads,
                decoder_attention_heads=n_heads,
                encoder_ffn_dim=d_ff,
                decoder_ffn_dim=d_ff,
                activation_function="relu",
                scale_embedding=True,
                dropout=dropout,
                attention_dropout=0.0,
                activation_dropout=0.0,
                pad_token_id=ours.pad_id,
                decoder_start_token_id=ours.pad_id,
            )
        )
        weights: dict[str, Tensor] = {
            "lm_head.weight": ours.projection.weight,
            "final_logits_bias": ours.projection.bias[None],
        }
        names = {"self_attn": "self_attention", "encoder_attn": "cross_attention"}
        for side, embedding, stack in (
            ("encoder", ours.src_embedding, ours.encoder),
            ("decoder", ours.tgt_embedding, ours.decoder),
        ):
            at = f"model.{side}"
            weights[f"{at}.embed_tokens.weight"] = embedding.table.weight
            positions = self.model.state_dict()[f"{at}.embed_positions.weight"].clone()
            positions[: len(embedding.positions)] = embedding.positions
            weights[f"{at}.embed_positions.weight"] = positions
            for i, layer in enumerate(stack):
                norms = []
                for name, own in names.items():
                    if not hasattr(layer, own):
                        continue
                    attention, there = getattr(layer, own), f"{at}.layers.{i}.{name}"
                    norms.append(f"{name}_layer_norm")
                    for j, part in enumerate("qkv"):
                        weights[f"{there}.{part}_proj.weight"] = attention.qkv.weight.chunk(3)[j]
                        weights[f"{there}.{part}_proj.bias"] = attention.qkv.bias.chunk(3)[j]
                    weights[f"{there}.out_proj.weight"] = attention.out.weight
                    weights[f"{there}.out_proj.bias"] = attention.out.bias
                modules = {"fc1": layer.feed_forward[0], "fc2": layer.feed_forward[2]}
                for name, residual in zip(
                    [*norms, "final_layer_norm"], layer.residuals, strict=True
                ):
                    modules[name] = residual.norm
                for name, module in modules.items():
                    weights[f"{at}.layers.{i}.{name}.weight"] = module.weight
                    weights[f"{at}.layers.{i}.{name}.bias"] = module.bias
        found = self.model.load_state_dict(
            {k: w.detach() for k, w in weights.items()}, strict=False
        )
        assert not found.unexpected_keys, found.unexpected_keys
        assert not [k for k in found.missing_keys if "shared" not in k], found.missing_keys

    def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        mask = (src != self.pad_id).long()
        logits: Tensor = self.model(
            input_ids=src, attention_mask=mask, decoder_input_ids=tgt_in, use_cache=False
        ).logits
        return logits


# ------------------------------------------------------------------------------------ copies


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return a linear map with copies of a weight and a bias."""
    made = nn.Linear(weight.shape[1], weight.shape[0])
    made.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
    return made


def table(weight: Tensor) -> nn.Embedding:
    """Return an embedding with a copy of a weight."""
    return nn.Embedding.from_pretrained(weight.detach().clone(), freeze=False)


def copied(norm: nn.LayerNorm) -> nn.LayerNorm:
    """Return a copy of a norm."""
    made = nn.LayerNorm(norm.normalized_shape, eps=norm.eps)
    made.load_state_dict(norm.state_dict())
    return made
