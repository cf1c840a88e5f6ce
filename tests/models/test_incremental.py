import pytest
import torch

from en2py.models.incremental import IncrementalDecoder
from tiny_transformer import BOS, N_SRC, N_TGT, padded_ids, transformer

VARIANTS = [{}, {"norm": "post"}, {"positions": "rotary"}, {"copy": True}]


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize(
    "tables",
    [{}, {"tie_embeddings": "tgt"}, {"src_width": 8, "tgt_width": 5}, {"copy": True}],
    ids=str,
)
def test_cached_steps_equal_the_full_forward_pass(norm, positions, tables):
    model = transformer(norm=norm, positions=positions, **tables)
    for p in model.parameters():  # biases and norms too, which start at 0 and 1
        p.data.add_(torch.randn_like(p) * 0.1)
    src, tgt = padded_ids(N_SRC, [5, 3, 1]), padded_ids(N_TGT, [7, 7, 7])
    expected = model.projection(model(src, tgt))
    decoder = IncrementalDecoder(model)
    cache = decoder.start(src)
    for t in range(7):
        logits = decoder.step(tgt[:, t], cache)
        torch.testing.assert_close(logits, expected[:, t], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_reordered_hypotheses_continue_their_parents(changes):
    model = transformer(**changes)
    src, decoder = padded_ids(N_SRC, [5, 3]), IncrementalDecoder(model)
    cache = decoder.start(src, width=3, max_len=6)
    tokens = padded_ids(N_TGT, [6] * 6).view(2, 3, 6)  # [B, W, T]
    tokens[..., 0] = BOS
    parents = torch.tensor([[[0, 0, 2], [1, 1, 1]], [[2, 0, 1], [0, 2, 2]], [[1, 1, 0], [0, 1, 2]]])
    history = tokens.new_empty(2, 3, 0)
    for t in range(4):
        if t:
            cache.reorder(parents[t - 1])
            history = history.gather(1, parents[t - 1][..., None].expand_as(history))
        history = torch.cat([history, tokens[..., t : t + 1]], dim=-1)
        logits = decoder.step(tokens[..., t].flatten(), cache)
    hidden = model(src.repeat_interleave(3, 0), history.flatten(0, 1))
    torch.testing.assert_close(logits, model.projection(hidden[:, -1]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_selected_sources_continue_as_before(changes):
    model = transformer(**changes)
    src, tgt = padded_ids(N_SRC, [5, 3, 4]), padded_ids(N_TGT, [6, 6, 6])
    selected, decoder = torch.tensor([2, 0, 0]), IncrementalDecoder(model)
    cache = decoder.start(src)
    for t in range(3):
        decoder.step(tgt[:, t], cache)
    cache.select(selected)
    tgt = tgt[selected]
    for t in range(3, 6):
        logits = decoder.step(tgt[:, t], cache)
    expected = model.projection(model(src[selected], tgt)[:, -1])
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)


def test_decoding_beyond_the_positions_raises(model):
    with pytest.raises(ValueError, match=r"max_len \(11\) is more than the model's 10 positions"):
        IncrementalDecoder(model).start(padded_ids(N_SRC, [4]), max_len=11)
