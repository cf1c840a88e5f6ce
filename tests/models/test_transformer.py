import pytest
import torch
from torch import Tensor, nn

from en2py.models.transformer import Attention, Transformer, angles, apply_rotary
from tiny_transformer import N_SRC, N_TGT, PAD, padded_ids, transformer


def encode(model: Transformer, src: Tensor) -> Tensor:
    return model.encode(src, model.src_side(src))


@pytest.mark.parametrize("lengths", [[3, 7, 5], [4], [1], [1, 1]])
def test_hidden_states_have_a_row_per_target_position(model, lengths):
    src, tgt = padded_ids(N_SRC, lengths), padded_ids(N_TGT, lengths[::-1])
    hidden = model(src, tgt)
    assert hidden.shape == (*tgt.shape, 16)
    assert model.projection(hidden).shape == (*tgt.shape, 30)
    assert hidden.isfinite().all()


def test_memory_has_a_row_per_source_position(model):
    assert encode(model, padded_ids(N_SRC, [3, 7])).shape == (2, 7, 16)


def test_later_target_tokens_do_not_change_earlier_hidden_states(model):
    src, tgt = padded_ids(N_SRC, [5, 6]), padded_ids(N_TGT, [8, 8])
    changed = torch.cat([tgt[:, :4], padded_ids(N_TGT, [4, 4], seed=1)], dim=1)
    before, after = model(src, tgt), model(src, changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_padding_does_not_change_hidden_states(model):
    src, tgt = padded_ids(N_SRC, [5, 3]), padded_ids(N_TGT, [4, 6])
    together = model(src, tgt)
    torch.testing.assert_close(together[:1, :4], model(src[:1, :5], tgt[:1, :4]))
    torch.testing.assert_close(together[1:, :6], model(src[1:, :3], tgt[1:, :6]))


def test_every_source_token_affects_every_target_position(model):
    src, tgt = padded_ids(N_SRC, [6]), padded_ids(N_TGT, [5])
    changed = src.clone()
    changed[0, 5] = 4 + (src[0, 5] - 3) % 16
    assert (model(src, tgt) != model(changed, tgt)).any(-1).all()


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_order_of_tokens_matters(positions):
    model = transformer(positions=positions)
    src, tgt = padded_ids(N_SRC, [6]), padded_ids(N_TGT, [5])
    assert not torch.allclose(model(src, tgt), model(src.flip(1), tgt))


def test_sinusoids_are_those_of_section_3_5():
    positions = transformer(positions="sinusoidal").tgt_embedding.positions
    torch.testing.assert_close(positions[3, 0], torch.tensor(3.0).sin())
    torch.testing.assert_close(positions[3, 5], torch.tensor(3 / 10000 ** (4 / 16)).cos())


# ------------------------------------------------------------------------ parity with torch.nn


def copy_attention(ours: Attention, theirs: nn.MultiheadAttention) -> None:
    theirs.in_proj_weight.data.copy_(ours.qkv.weight)
    theirs.in_proj_bias.data.copy_(ours.qkv.bias)
    theirs.out_proj.load_state_dict(ours.out.state_dict())


def torch_stack(layers: nn.ModuleList, kind: type[nn.Module], norm: str) -> nn.ModuleList:
    stack = nn.ModuleList()
    for ours in layers:
        theirs = kind(16, 4, 32, dropout=0.0, batch_first=True, norm_first=norm == "pre").eval()
        copy_attention(ours.self_attention, theirs.self_attn)
        if hasattr(ours, "cross_attention"):
            copy_attention(ours.cross_attention, theirs.multihead_attn)
        theirs.linear1.load_state_dict(ours.feed_forward[0].state_dict())
        theirs.linear2.load_state_dict(ours.feed_forward[2].state_dict())
        for i, residual in enumerate(ours.residuals):
            getattr(theirs, f"norm{i + 1}").load_state_dict(residual.norm.state_dict())
        stack.append(theirs)
    return stack


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_model_equals_torch_layers_with_the_same_weights(norm):
    model = transformer(norm=norm)
    for p in model.parameters():  # biases and norms too, which start at 0 and 1
        p.data.add_(torch.randn_like(p) * 0.1)
    src, tgt = padded_ids(N_SRC, [5, 3]), padded_ids(N_TGT, [6, 6])
    padding = src == PAD
    x = model.src_embedding(src)
    for layer in torch_stack(model.encoder, nn.TransformerEncoderLayer, norm):
        x = layer(x, src_key_padding_mask=padding)
    memory = model.encoder_norm(x)
    y = model.tgt_embedding(tgt)
    causal = nn.Transformer.generate_square_subsequent_mask(6)
    for layer in torch_stack(model.decoder, nn.TransformerDecoderLayer, norm):
        y = layer(y, memory, tgt_mask=causal, memory_key_padding_mask=padding)
    expected = model.decoder_norm(y)
    torch.testing.assert_close(encode(model, src)[~padding], memory[~padding], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model(src, tgt), expected, atol=1e-5, rtol=1e-4)


def test_rotary_scores_depend_on_distance_alone():
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0))
    x = angles(20, 8)
    rotary = torch.stack([x.cos(), x.sin()])

    def score(i: int, j: int) -> Tensor:
        return (apply_rotary(q, rotary[:, i : i + 1]) * apply_rotary(k, rotary[:, j : j + 1])).sum()

    torch.testing.assert_close(score(2, 5), score(12, 15))
    torch.testing.assert_close(score(4, 4), (q * k).sum())
    assert not torch.allclose(score(2, 5), score(5, 2))


# ---------------------------------------------------------------------------- sizes and weights


def test_parameter_count_of_the_documented_experiment():
    model = Transformer(
        1195,
        4412,
        PAD,
        d_model=768,
        d_ff=1024,
        n_heads=4,
        n_encoder_layers=2,
        n_decoder_layers=2,
        dropout=0.1,
        max_src_len=150,
        max_tgt_len=200,
        positions="learned",
        norm="post",
        tie_embeddings="none",
    )
    model.src_embedding.table.requires_grad_(False)
    model.tgt_embedding.table.requires_grad_(False)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 24_149_820


SIZES = {  # d_model, d_ff, n_heads, layers of each stack, as in conf/model
    "tiny": (128, 512, 4, 2),
    "small": (256, 512, 8, 3),
    "wide": (768, 1024, 4, 2),
    "base": (512, 2048, 8, 6),
}
LAYER = {  # of the encoder; D stands for d_model, F for d_ff
    "feed_forward.0.bias": "F",
    "feed_forward.0.weight": "FD",
    "feed_forward.2.bias": "D",
    "feed_forward.2.weight": "DF",
    "residuals.0.norm.bias": "D",
    "residuals.0.norm.weight": "D",
    "residuals.1.norm.bias": "D",
    "residuals.1.norm.weight": "D",
    "self_attention.out.bias": "D",
    "self_attention.out.weight": "DD",
    "self_attention.qkv.bias": "3D",
    "self_attention.qkv.weight": "3DD",
}
DECODER_LAYER = LAYER | {
    "cross_attention.out.bias": "D",
    "cross_attention.out.weight": "DD",
    "cross_attention.qkv.bias": "3D",
    "cross_attention.qkv.weight": "3DD",
    "residuals.2.norm.bias": "D",
    "residuals.2.norm.weight": "D",
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "post"},
        {"positions": "sinusoidal"},
        {"positions": "rotary"},
        {"tie_embeddings": "tgt"},
        {"src_width": 8, "tgt_width": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", SIZES)
def test_state_dict_has_the_names_and_shapes_of_released_checkpoints(size, options):
    d_model, d_ff, n_heads, n_layers = SIZES[size]
    shape = {"D": (d_model,), "F": (d_ff,), "DD": (d_model, d_model), "FD": (d_ff, d_model)}
    shape |= {"DF": (d_model, d_ff), "3D": (3 * d_model,), "3DD": (3 * d_model, d_model)}
    expected = {"projection.bias": (N_TGT,), "projection.weight": (N_TGT, d_model)}
    for side, n_tokens, max_len in (("src", N_SRC, 12), ("tgt", N_TGT, 10)):
        width = options.get(f"{side}_width", d_model)
        expected[f"{side}_embedding.table.weight"] = (n_tokens, width)
        if width != d_model:
            expected[f"{side}_embedding.widen.weight"] = (d_model, width)
        if "positions" not in options:
            expected[f"{side}_embedding.positions"] = (max_len, d_model)
    for stack, names in (("encoder", LAYER), ("decoder", DECODER_LAYER)):
        for i in range(n_layers):
            expected |= {f"{stack}.{i}.{name}": shape[code] for name, code in names.items()}
        if "norm" not in options:
            expected |= {f"{stack}_norm.{part}": (d_model,) for part in ("bias", "weight")}
    with torch.device("meta"):
        settings = {"d_model": d_model, "d_ff": d_ff, "n_heads": n_heads, **options}
        model = transformer(n_encoder_layers=n_layers, n_decoder_layers=n_layers, **settings)
    assert {name: tuple(x.shape) for name, x in model.state_dict().items()} == expected


def test_initial_tokens_and_learned_positions_have_unit_size():
    embedding = transformer(d_model=64, max_src_len=50).src_embedding
    assert (embedding.table.weight * embedding.scale).std().item() == pytest.approx(1, abs=0.1)
    assert embedding.positions.std().item() == pytest.approx(1, abs=0.1)


def test_fused_projection_is_initialized_as_three_matrices():
    weight = transformer(d_model=64).encoder[0].self_attention.qkv.weight
    bound = (6 / (64 + 64)) ** 0.5  # Glorot's for a 64 x 64 matrix
    assert weight.abs().max().item() == pytest.approx(bound, rel=0.01)


def test_same_seed_same_weights():
    for a, b in zip(transformer().parameters(), transformer().parameters(), strict=True):
        assert torch.equal(a, b)


def test_every_parameter_gets_a_gradient(model):
    model.train()
    hidden = model(padded_ids(N_SRC, [12, 3]), padded_ids(N_TGT, [10, 6]))
    model.projection(hidden).square().mean().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_tied_tables_are_one_parameter():
    model = transformer(tie_embeddings="tgt")
    assert model.projection.weight is model.tgt_embedding.table.weight
    assert sum(p.numel() for p in transformer().parameters()) - 30 * 16 == sum(
        p.numel() for p in model.parameters()
    )


def test_tables_of_another_width_are_projected():
    model = transformer(src_width=8, tgt_width=5)
    assert model.src_embedding.table.weight.shape == (20, 8)
    assert model.tgt_embedding.table.weight.shape == (30, 5)
    assert model(padded_ids(N_SRC, [5]), padded_ids(N_TGT, [4])).shape == (1, 4, 16)


@pytest.mark.parametrize("setting", ["dropout", "attention_dropout"])
def test_dropout_is_active_in_training_only(setting):
    model = transformer(**{"dropout": 0.0, setting: 0.5})
    src, tgt = padded_ids(N_SRC, [5]), padded_ids(N_TGT, [4])
    assert torch.equal(model(src, tgt), model(src, tgt))
    model.train()
    assert not torch.equal(model(src, tgt), model(src, tgt))


# ------------------------------------------------------------------------- validation errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 1.0}, r"dropout \(1.0\) is not in \[0, 1\)"),
        ({"n_heads": 5}, r"d_model \(16\) is not divisible by n_heads \(5\)"),
        ({"norm": "mid"}, "norm is 'mid'; choose pre or post"),
        ({"positions": "none"}, "positions is 'none'; choose learned or sinusoidal or rotary"),
        ({"tie_embeddings": "all"}, "tie_embeddings is 'all'; choose none or tgt"),
        ({"tie_embeddings": "tgt", "tgt_width": 8}, r"tgt_width \(8\) is not d_model \(16\)"),
    ],
)
def test_invalid_settings_raise(changes, message):
    with pytest.raises(ValueError, match=message):
        transformer(**changes)


def test_more_tokens_than_positions_raise(model):
    with pytest.raises(ValueError, match="13 tokens, but the model has 12 positions"):
        encode(model, padded_ids(N_SRC, [13]))
    with pytest.raises(ValueError, match="11 tokens, but the model has 10 positions"):
        model(padded_ids(N_SRC, [4]), padded_ids(N_TGT, [11]))
