import torch

from en2py.models.attention_maps import attention_maps, recorded
from tiny_transformer import N_SRC, N_TGT, padded_ids


def test_maps_have_a_weight_per_layer_head_and_pair_of_positions(model):
    maps = attention_maps(model, padded_ids(N_SRC, [5, 3]), padded_ids(N_TGT, [6, 4]))
    assert {kind: tuple(weights.shape) for kind, weights in maps.items()} == {
        "encoder": (2, 2, 4, 5, 5),
        "decoder": (2, 2, 4, 6, 6),
        "cross": (2, 2, 4, 6, 5),
    }


def test_weights_sum_to_one_and_are_zero_where_masked(model):
    maps = attention_maps(model, padded_ids(N_SRC, [5, 3]), padded_ids(N_TGT, [6, 6]))
    for weights in maps.values():
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert (maps["cross"][:, 1, :, :, 3:] == 0).all()
    assert (maps["encoder"][:, 1, :, :, 3:] == 0).all()
    assert (maps["decoder"].triu(1) == 0).all()


def test_recording_does_not_change_hidden_states(model):
    src, tgt = padded_ids(N_SRC, [5, 3]), padded_ids(N_TGT, [6, 6])
    with recorded(model):
        hidden = model(src, tgt)
    torch.testing.assert_close(hidden, model(src, tgt), atol=1e-5, rtol=1e-4)


def test_recording_ends_with_its_block(model):
    src, tgt = padded_ids(N_SRC, [5]), padded_ids(N_TGT, [6])
    with recorded(model) as maps:
        model(src, tgt)
    model(src, tgt)
    assert {kind: len(weights) for kind, weights in maps.items()} == {
        "encoder": 2,
        "decoder": 2,
        "cross": 2,
    }
