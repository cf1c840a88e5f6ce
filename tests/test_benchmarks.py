"""Scripts have a help text and call what there is; the peers compute what our model computes."""

import ast
import inspect
import re
import runpy
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from benchmarks.peers import Marian, TorchLayers, Tutorial

from en2py.config.composition import compose_config
from en2py.config.overrides import check_repeated
from en2py.models.transformer import Transformer

PAD = 0
ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [
    path
    for folder in ("benchmarks", "benchmarks/reliability", "experiments")
    for path in sorted((ROOT / folder).glob("*.py"))
    if "__main__" in path.read_text()
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_explains_itself(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.syspath_prepend(script.parent)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(script), run_name="__main__")
    assert end.value.code == 0 and capsys.readouterr().out.startswith("usage:")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_calls_our_functions_with_arguments_that_they_have(script, monkeypatch):
    monkeypatch.syspath_prepend(script.parent)
    names = runpy.run_path(str(script), run_name="imported")
    for call in ast.walk(ast.parse(script.read_text())):
        function = _ours(call, names)
        keywords = {keyword.arg: keyword for keyword in getattr(call, "keywords", ())}
        if function and None not in keywords and ast.Starred not in map(type, call.args):
            inspect.signature(function).bind(*call.args, **keywords)  # raises a TypeError


def _ours(call, names):
    """Return the function of en2py that a node of a syntax tree calls, by the names of a script."""
    if not isinstance(call, ast.Call) or not re.fullmatch(r"[\w.]+", ast.unparse(call.func)):
        return None
    name, *attributes = ast.unparse(call.func).split(".")
    function = names.get(name)
    for attribute in attributes:
        function = getattr(function, attribute, None)
    return function if str(getattr(function, "__module__", "")).startswith("en2py.") else None


@pytest.mark.parametrize(("quick", "width"), [(False, 256), (True, 128)])
def test_the_run_of_the_gpu_benchmark_composes(quick, width, monkeypatch):
    script, words = ROOT / "benchmarks" / "gpu.py", []
    monkeypatch.syspath_prepend(script.parent)

    def record(command, **_):
        words.extend(command[2:])
        return Namespace(returncode=1, stderr="not started")

    monkeypatch.setattr(subprocess, "run", record)
    options = Namespace(path=None, cache=None, quick=quick, device="cpu")
    with pytest.raises(RuntimeError, match="not started"):
        runpy.run_path(str(script))["run"](options, lambda name, value: None)
    check_repeated(words)
    assert compose_config("train", words).model.d_model == width


@pytest.mark.parametrize("peer", [Tutorial, TorchLayers, Marian])
def test_peer_output_equals_ours(peer):
    if peer is Marian:
        pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = Transformer(
        20, 30, PAD, d_model=16, d_ff=32, n_heads=4, n_encoder_layers=2, n_decoder_layers=1,
        dropout=0.1, max_src_len=12, max_tgt_len=10, positions="learned", norm="post",
        tie_embeddings="none",
    ).eval()  # fmt: skip
    for p in model.parameters():  # biases and norms too, which start at 0 and 1
        p.data.add_(torch.randn_like(p) * 0.1)
    src = torch.tensor([[5, 6, 7, 8], [9, 4, PAD, PAD]])
    tgt_in = torch.tensor([[2, 5, 6, PAD, PAD], [2, 7, 8, 9, 10]])
    ours = model.projection(model(src, tgt_in))
    theirs = peer(model, dropout=0.1).eval()(src, tgt_in)
    real = tgt_in != PAD
    torch.testing.assert_close(theirs[real], ours[real], atol=1e-4, rtol=1e-4)
