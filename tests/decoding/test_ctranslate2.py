import dataclasses
import functools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from en2py.data.vocab import EOS, SPECIAL_TOKENS, UNK, Vocab
from en2py.decoding.beam_search import beam
from en2py.decoding.ctranslate2 import Exported, export
from en2py.decoding.greedy import greedy
from en2py.decoding.hypothesis import Engine, Hypothesis
from en2py.errors import UserError
from en2py.models.incremental import IncrementalDecoder
from en2py.models.transformer import Transformer

ctranslate2 = pytest.importorskip("ctranslate2")

SRC = Vocab([*SPECIAL_TOKENS, *(f"word{i}" for i in range(36))], [0] * 40)
# Tokens of code: with line ends, with what UTF-8 cannot hold, with what JSON escapes.
TGT = Vocab([*SPECIAL_TOKENS, "'\n\n'", "\ud800", '"\\"', *(f"t{i}" for i in range(57))], [0] * 64)
GREEDY = {"max_len": 20, "allow_unk": False}
BEAM = {**GREEDY, "beam_size": 4, "length_penalty": 0.6}


def model(seed: int = 0, **changes) -> Transformer:
    """Return an untrained model with peaked logits: some rows end early and others never."""
    torch.manual_seed(seed)
    settings = {
        "d_model": 32,
        "d_ff": 48,
        "n_heads": 4,
        "n_encoder_layers": 3,
        "n_decoder_layers": 2,
        "dropout": 0.1,
        "max_src_len": 16,
        "max_tgt_len": 24,
        "positions": "learned",
        "norm": "pre",
        "tie_embeddings": "none",
        **changes,
    }
    made = Transformer(len(SRC), len(TGT), SRC.pad_id, **settings).eval()
    for name, parameter in made.named_parameters():
        if parameter.ndim == 1:  # otherwise a missing bias or norm would not be noticed
            torch.nn.init.normal_(parameter, 1.0 if "norm.weight" in name else 0.0, 0.2)
    made.projection.weight.data.mul_(1.5)
    made.projection.bias.data[TGT.eos_id] += 1.5
    return made


def sources(n: int = 12) -> Tensor:
    src = torch.randint(4, len(SRC), (n, 12), generator=torch.Generator().manual_seed(5))
    src[0, 0] = SRC.unk_id
    for row in range(n):
        src[row, 1 + row % 10] = SRC.eos_id
        src[row, 2 + row % 10 :] = SRC.pad_id
    return src


def assert_same(ours: list[list[Hypothesis]], theirs: list[list[Hypothesis]]) -> None:
    """Compare hypotheses; where ours has more finished ones at `max_len`, those of both."""
    for mine, yours in zip(ours, theirs, strict=True):
        if sum(h.finished for h in mine) > sum(h.finished for h in yours):
            yours = [h for h in yours if h.finished]
            programs = [h.ids for h in yours]
            mine = [h for h in mine if h.finished and h.ids in programs]
        assert [(h.ids, h.finished) for h in mine] == [(h.ids, h.finished) for h in yours]
        assert [h.score for h in mine] == pytest.approx([h.score for h in yours], abs=1e-3)


@pytest.mark.parametrize("search", [greedy, beam])
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize(
    "tables", [{}, {"tie_embeddings": "tgt"}, {"src_width": 12, "tgt_width": 20}], ids=str
)
def test_float32_equals_torch(search, norm, positions, tables):
    torch_model = model(norm=norm, positions=positions, **tables)
    exported = Exported(torch_model, SRC, TGT, "float32")
    run = functools.partial(search, **(GREEDY if search is greedy else BEAM))
    assert_same(run(IncrementalDecoder(torch_model), sources(), TGT), run(exported, sources(), TGT))


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_beam_search_stops_at_the_same_step(length_penalty):
    settings = {**BEAM, "length_penalty": length_penalty}
    for seed in range(4):  # some of them reach max_len
        torch_model = model(seed, tie_embeddings="tgt")
        exported = Exported(torch_model, SRC, TGT, "float32")
        ours = beam(IncrementalDecoder(torch_model), sources(), TGT, **settings)
        assert_same(ours, beam(exported, sources(), TGT, **settings))


@pytest.mark.parametrize("search", [greedy, beam])
def test_unk_is_generated_only_where_it_is_allowed(search):
    torch_model = model()
    torch_model.projection.bias.data[TGT.unk_id] = 50.0
    exported = Exported(torch_model, SRC, TGT, "float32")
    settings = GREEDY if search is greedy else BEAM
    for allow_unk in (False, True):
        found = search(exported, sources(3), TGT, **{**settings, "allow_unk": allow_unk})
        assert any(TGT.unk_id in h.ids for row in found for h in row) == allow_unk


def test_export_copies_the_weights():
    torch_model = model()
    exported = Exported(torch_model, SRC, TGT, "float32")
    before = greedy(exported, sources(), TGT, **GREEDY)
    torch_model.projection.weight.data.zero_()
    assert greedy(exported, sources(), TGT, **GREEDY) == before


def test_int8_is_close():
    torch_model = model()
    exported = Exported(torch_model, SRC, TGT, "int8")
    ours = greedy(IncrementalDecoder(torch_model), sources(), TGT, **GREEDY)
    theirs = greedy(exported, sources(), TGT, **GREEDY)
    firsts = [a[0].ids[:1] == b[0].ids[:1] for a, b in zip(ours, theirs, strict=True)]
    assert sum(firsts) >= len(firsts) - 2


def test_only_an_exported_model_is_an_engine():
    assert isinstance(Exported(model(), SRC, TGT, "float32"), Engine)
    assert not isinstance(IncrementalDecoder(model()), Engine)


def test_exported_folder_works_without_this_project(tmp_path: Path):
    torch_model = model()
    export(torch_model, SRC, TGT, tmp_path / "new" / "folder")
    translator = ctranslate2.Translator(str(tmp_path / "new" / "folder"))
    words = [SRC.tokens[i] for i in sources()[5].tolist() if i not in (SRC.pad_id, SRC.eos_id)]
    [result] = translator.translate_batch(
        [words], beam_size=1, max_decoding_length=20, disable_unk=True,
        suppress_sequences=[["<pad>"], ["<bos>"]],
    )  # fmt: skip
    [[ours]] = greedy(IncrementalDecoder(torch_model), sources()[5:6], TGT, **GREEDY)
    assert result.hypotheses[0] == [
        TGT.tokens[i].encode("utf-8", "backslashreplace").decode() for i in ours.ids
    ]
    assert not {EOS, UNK} & set(result.hypotheses[0])


def test_existing_folder_is_not_changed(tmp_path: Path):
    with pytest.raises(UserError, match="exists already"):
        export(model(), SRC, TGT, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"copy": True}, "model.copy=true is not"), ({"sep_id": SRC.bos_id}, "neighbours=nearest ca")],
)
def test_a_model_that_cannot_be_exported_is_refused(tmp_path: Path, changes, reason: str):
    with pytest.raises(UserError, match=reason):
        export(model(**changes), SRC, TGT, tmp_path / "new")


def test_missing_extra_is_reported_with_its_remedy(monkeypatch, tmp_path: Path):
    monkeypatch.setitem(__import__("sys").modules, "ctranslate2", None)
    with pytest.raises(UserError, match=r"pip install -e '.\[ctranslate2\]'"):
        export(model(), SRC, TGT, tmp_path / "new")


def test_hypotheses_are_plain_data():
    [[found]] = greedy(Exported(model(), SRC, TGT, "float32"), sources(1), TGT, **GREEDY)
    fields = dataclasses.asdict(found)
    assert {name: type(value) for name, value in fields.items()} == {
        "ids": list,
        "score": float,
        "finished": bool,
    }
