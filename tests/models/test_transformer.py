import pytest
import torch
from torch import Tensor, nn

from en2py.models.cpu_kernels import Dropout
from en2py.models.packing import Rows
from en2py.models.transformer import Attention, Transformer, attention_weights, rotate, rotations

PAD, BOS = 0, 2


def make(**changes) -> Transformer:
    torch.manual_seed(0)
    settings = {
        "d_model": 16,
        "d_ff": 32,
        "n_heads": 4,
        "n_encoder_layers": 2,
        "n_decoder_layers": 2,
        "dropout": 0.1,
        "max_src_len": 12,
        "max_tgt_len": 10,
        "positions": "learned",
        "norm": "pre",
        "tie_embeddings": "none",
    }
    return Transformer(20, 30, PAD, **{**settings, **changes}).eval()


def rows(n_tokens: int, lengths: list[int], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, n_tokens, (len(lengths), max(lengths)), generator=generator)
    for row, length in zip(ids, lengths, strict=True):
        row[length:] = PAD
    return ids


@pytest.fixture(params=[("pre", "learned"), ("post", "learned"), ("pre", "rotary")])
def model(request) -> Transformer:
    norm, positions = request.param
    return make(norm=norm, positions=positions)


@pytest.mark.parametrize("lengths", [[3, 7, 5], [4], [1], [1, 1]])
def test_hidden_has_a_vector_for_each_target_position(model, lengths):
    src, tgt = rows(20, lengths), rows(30, lengths[::-1])
    hidden = model(src, tgt)
    assert hidden.shape == (*tgt.shape, 16)
    assert model.projection(hidden).shape == (*tgt.shape, 30)
    assert hidden.isfinite().all()


def test_memory_has_a_vector_for_each_source_position(model):
    assert model.encode(rows(20, [3, 7])).shape == (2, 7, 16)


def test_later_target_tokens_do_not_change_earlier_hidden_vectors(model):
    src, tgt = rows(20, [5, 6]), rows(30, [8, 8])
    changed = torch.cat([tgt[:, :4], rows(30, [4, 4], seed=1)], dim=1)
    before, after = model(src, tgt), model(src, changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_padding_changes_nothing(model):
    src, tgt = rows(20, [5, 3]), rows(30, [4, 6])
    together = model(src, tgt)
    torch.testing.assert_close(together[:1, :4], model(src[:1, :5], tgt[:1, :4]))
    torch.testing.assert_close(together[1:, :6], model(src[1:, :3], tgt[1:, :6]))


def test_every_source_token_is_seen_by_every_target_token(model):
    src, tgt = rows(20, [6]), rows(30, [5])
    changed = src.clone()
    changed[0, 5] = 4 + (src[0, 5] - 3) % 16
    assert (model(src, tgt) != model(changed, tgt)).any(-1).all()


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_order_of_tokens_matters(positions):
    model = make(positions=positions)
    src, tgt = rows(20, [6]), rows(30, [5])
    assert not torch.allclose(model(src, tgt), model(src.flip(1), tgt))


def test_sinusoids_are_those_of_section_3_5():
    positions = make(positions="sinusoidal").tgt_embedding.positions
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
    model = make(norm=norm)
    for p in model.parameters():  # biases and norms too, which start at 0 and 1
        p.data.add_(torch.randn_like(p) * 0.1)
    src, tgt = rows(20, [5, 3]), rows(30, [6, 6])
    hidden = src == PAD
    x = model.src_embedding(src)
    for layer in torch_stack(model.encoder, nn.TransformerEncoderLayer, norm):
        x = layer(x, src_key_padding_mask=hidden)
    memory = model.encoder_norm(x)
    y = model.tgt_embedding(tgt)
    causal = nn.Transformer.generate_square_subsequent_mask(6)
    for layer in torch_stack(model.decoder, nn.TransformerDecoderLayer, norm):
        y = layer(y, memory, tgt_mask=causal, memory_key_padding_mask=hidden)
    expected = model.decoder_norm(y)
    torch.testing.assert_close(model.encode(src)[~hidden], memory[~hidden], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model(src, tgt), expected, atol=1e-5, rtol=1e-4)


def test_rotary_scores_depend_on_the_distance_alone():
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0))
    turns = rotations(20, 8)

    def score(i: int, j: int) -> Tensor:
        return (rotate(q, turns[:, i : i + 1]) * rotate(k, turns[:, j : j + 1])).sum()

    torch.testing.assert_close(score(2, 5), score(12, 15))
    torch.testing.assert_close(score(4, 4), (q * k).sum())
    assert not torch.allclose(score(2, 5), score(5, 2))


# ------------------------------------------------------------------------------ attention maps


def test_attention_maps_have_a_weight_per_layer_head_and_pair(model):
    maps = model.attention_maps(rows(20, [5, 3]), rows(30, [6, 4]))
    assert maps.encoder.shape == (2, 2, 4, 5, 5)
    assert maps.decoder.shape == (2, 2, 4, 6, 6)
    assert maps.cross.shape == (2, 2, 4, 6, 5)


def test_attention_maps_sum_to_one_and_skip_what_is_hidden(model):
    maps = model.attention_maps(rows(20, [5, 3]), rows(30, [6, 6]))
    for weights in (maps.encoder, maps.decoder, maps.cross):
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert (maps.cross[:, 1, :, :, 3:] == 0).all()
    assert (maps.encoder[:, 1, :, :, 3:] == 0).all()
    assert (maps.decoder.triu(1) == 0).all()


def test_explicit_weights_give_what_the_fused_kernel_gives(model):
    src, tgt = rows(20, [5, 3]), rows(30, [6, 6])
    around, back, across = [], [], []
    memory_kv = model.memory_kv(model.encode(src, maps=around))
    hidden = model.decode(tgt, memory_kv, model.src_mask(src), maps=(back, across))
    torch.testing.assert_close(hidden, model(src, tgt), atol=1e-5, rtol=1e-4)


def test_attention_weights_by_hand():
    q, k = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]]), torch.eye(4)[None, None]
    mask = torch.tensor([True, True, False, True])
    e = torch.tensor(0.5).exp()  # one score is 1 / sqrt(4), the others are 0
    expected = torch.tensor([e, 1.0, 0.0, 1.0]) / (e + 2)
    torch.testing.assert_close(attention_weights(q, k, mask)[0, 0, 0], expected)


# ------------------------------------------------------------------ padding kept out of the work


@pytest.mark.parametrize("lengths", [[3, 7, 5], [4], [1, 1]])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("spare_rows", [False, True])
def test_without_padding_hidden_vectors_and_gradients_stay(
    model, lengths, precision, spare_rows, monkeypatch
):
    if spare_rows:  # in both precisions, so that they are held to the tolerance of float32 too
        monkeypatch.setattr(
            "en2py.models.packing.Rows", lambda places, shape, *_: Rows(places, shape, 64)
        )
    src, tgt = rows(20, lengths), rows(30, lengths[::-1])
    real = tgt != PAD
    places = [(side != PAD).flatten().nonzero().squeeze(1) for side in (src, tgt)]
    weigh = torch.randn(int(real.sum()), 16)
    found = []
    for hidden in (lambda: model(src, tgt)[real], lambda: model.hidden(src, tgt, *places)):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            out = hidden()
        found.append((out, *torch.autograd.grad((out * weigh).sum(), trained(model))))
    atol = 1e-5 if precision == torch.float32 else 0.1
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, atol=atol, rtol=1e-4)


def trained(model: Transformer) -> list[nn.Parameter]:
    return [p for name, p in model.named_parameters() if not name.startswith("projection")]


def test_rows_keep_to_their_places():
    packed = torch.arange(1.0, 7.0).view(3, 2)
    layout = Rows(torch.tensor([0, 2, 3]), torch.Size([2, 2]))
    padded = layout.pad(packed)
    assert padded.tolist() == [[[1, 2], [0, 0]], [[3, 4], [5, 6]]]
    assert torch.equal(layout.pack(padded), packed)
    assert layout.columns.tolist() == [0, 0, 1]


def test_spare_rows_come_from_nowhere_and_go_nowhere():
    layout = Rows(torch.tensor([0, 2, 3]), torch.Size([2, 2]), multiple=4)
    assert layout.of(torch.tensor([[5, 6], [7, 8]])).tolist() == [5, 7, 8, 0]
    padded = torch.arange(1.0, 9.0).view(2, 2, 2).requires_grad_()
    packed = layout.pack(padded)
    assert packed.tolist() == [[1, 2], [5, 6], [7, 8], [0, 0]]
    layout.pad(packed + 1).sum().backward()
    assert padded.grad.tolist() == [[[1, 1], [0, 0]], [[1, 1], [1, 1]]]
    rows = torch.ones(4, 2, requires_grad=True)
    layout.pad(rows).sum().backward()
    assert rows.grad.tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]


def test_bf16_attention_is_close_to_fp32s(model):
    src, tgt = rows(20, [12, 7]), rows(30, [10, 10])
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(src, tgt)
    torch.testing.assert_close(hidden, model(src, tgt), atol=0.1, rtol=0)


# -------------------------------------------------------------------------------- cached steps


def test_cached_steps_equal_the_full_pass(model):
    src, tgt = rows(20, [5, 3, 1]), rows(30, [7, 7, 7])
    expected = model.projection(model(src, tgt))
    cache = model.start(src)
    for t in range(7):
        logits = model.step(tgt[:, t], cache)
        torch.testing.assert_close(logits, expected[:, t], atol=1e-5, rtol=1e-4)


def test_reordered_hypotheses_go_on_from_their_parents(model):
    src = rows(20, [5, 3])
    cache = model.start(src, width=3, max_len=6)
    tokens = rows(30, [6] * 6).view(2, 3, 6)  # [B, W, T]
    tokens[..., 0] = BOS
    parents = torch.tensor([[[0, 0, 2], [1, 1, 1]], [[2, 0, 1], [0, 2, 2]], [[1, 1, 0], [0, 1, 2]]])
    history = tokens.new_empty(2, 3, 0)
    for t in range(4):
        if t:
            cache.reorder(parents[t - 1])
            history = history.gather(1, parents[t - 1][..., None].expand_as(history))
        history = torch.cat([history, tokens[..., t : t + 1]], dim=-1)
        logits = model.step(tokens[..., t].flatten(), cache)
    hidden = model(src.repeat_interleave(3, 0), history.flatten(0, 1))
    torch.testing.assert_close(logits, model.projection(hidden[:, -1]), atol=1e-5, rtol=1e-4)


def test_selected_sources_go_on_as_before(model):
    src, tgt = rows(20, [5, 3, 4]), rows(30, [6, 6, 6])
    kept = torch.tensor([2, 0, 0])
    cache = model.start(src)
    for t in range(3):
        model.step(tgt[:, t], cache)
    cache.select(kept)
    tgt = tgt[kept]
    for t in range(3, 6):
        logits = model.step(tgt[:, t], cache)
    expected = model.projection(model(src[kept], tgt)[:, -1])
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)


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


def test_state_dict_names_say_what_they_hold():
    keys = set(make(n_encoder_layers=1, n_decoder_layers=1, src_width=8).state_dict())
    assert {
        "src_embedding.table.weight",
        "src_embedding.widen.weight",
        "tgt_embedding.positions",
        "encoder.0.self_attention.qkv.weight",
        "decoder.0.cross_attention.out.bias",
        "decoder.0.residuals.2.norm.weight",
        "decoder_norm.weight",
        "projection.bias",
    } <= keys


def test_sinusoids_are_not_stored():
    assert not [key for key in make(positions="sinusoidal").state_dict() if "positions" in key]


def test_tokens_and_learned_positions_start_at_unit_size():
    embedding = make(d_model=64, max_src_len=50).src_embedding
    assert (embedding.table.weight * embedding.scale).std().item() == pytest.approx(1, abs=0.1)
    assert embedding.positions.std().item() == pytest.approx(1, abs=0.1)


def test_fused_projections_start_as_three_matrices():
    weight = make(d_model=64).encoder[0].self_attention.qkv.weight
    bound = (6 / (64 + 64)) ** 0.5  # Glorot's for a 64 x 64 matrix
    assert weight.abs().max().item() == pytest.approx(bound, rel=0.01)


def test_same_seed_gives_the_same_weights():
    for a, b in zip(make().parameters(), make().parameters(), strict=True):
        assert torch.equal(a, b)


def test_every_parameter_gets_a_gradient(model):
    model.train()
    hidden = model(rows(20, [12, 3]), rows(30, [10, 6]))
    model.projection(hidden).square().mean().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_tied_tables_are_one_parameter():
    model = make(tie_embeddings="tgt")
    assert model.projection.weight is model.tgt_embedding.table.weight
    assert sum(p.numel() for p in make().parameters()) - 30 * 16 == sum(
        p.numel() for p in model.parameters()
    )


def test_tables_of_another_width_are_projected():
    model = make(src_width=8, tgt_width=5)
    assert model.src_embedding.table.weight.shape == (20, 8)
    assert model.tgt_embedding.table.weight.shape == (30, 5)
    assert model(rows(20, [5]), rows(30, [4])).shape == (1, 4, 16)


@pytest.mark.parametrize("setting", ["dropout", "attention_dropout"])
def test_dropout_is_on_in_training_alone(setting):
    model = make(**{"dropout": 0.0, setting: 0.5})
    src, tgt = rows(20, [5]), rows(30, [4])
    assert torch.equal(model(src, tgt), model(src, tgt))
    model.train()
    assert not torch.equal(model(src, tgt), model(src, tgt))


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_hides_its_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    x = torch.ones(401, 499)  # not a multiple of four
    dropped = Dropout(p).train()(x)
    assert (dropped == 0).double().mean().item() == pytest.approx(p, abs=0.005)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=1e-4)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)


def test_dropout_hides_the_same_numbers_in_the_gradient():
    x = torch.ones(50, 7, requires_grad=True)
    dropped = Dropout(0.5).train()(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped)


def test_dropout_depends_on_the_seed_alone():
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append(Dropout(0.5).train()(torch.ones(99)))
    assert torch.equal(*draws)


def test_dropout_keeps_the_precision():
    assert Dropout(0.1).train()(torch.ones(8, dtype=torch.bfloat16)).dtype == torch.bfloat16


# ------------------------------------------------------------------------------------ refusals


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
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_more_tokens_than_positions_are_refused(model):
    with pytest.raises(ValueError, match="13 tokens, but the model has 12 positions"):
        model.encode(rows(20, [13]))
    with pytest.raises(ValueError, match="11 tokens, but the model has 10 positions"):
        model(rows(20, [4]), rows(30, [11]))


def test_decoding_beyond_the_positions_is_refused(model):
    with pytest.raises(ValueError, match=r"max_len \(11\) is more than the model's 10 positions"):
        model.start(rows(20, [4]), max_len=11)
