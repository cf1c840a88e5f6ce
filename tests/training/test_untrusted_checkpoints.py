"""Untrusted and damaged checkpoints at each entry point: one line, exit code 2, nothing runs."""

import ast
import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import en2py
from en2py.config.instantiate import check_allowed
from en2py.errors import UserError
from en2py.training.checkpoints import AtomicCheckpointIO, load_checkpoint
from training_runs import Go

ROOT = Path(__file__).resolve().parents[2]


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("ran", "w"))


def write_with_checksum(path: Path, content: bytes) -> None:
    """Write a file that passes the first check, so that the later ones are tested."""
    path.write_bytes(content + hashlib.sha256(content).digest())


def reduce(good: dict[str, Any], path: Path) -> None:
    write_with_checksum(path, pickle.dumps(Payload()))


def callbacks(good: dict[str, Any], path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({**good, "callbacks": {"EarlyStopping": Payload()}}, path)


def hyper_parameters(good: dict[str, Any], path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({**good, "hyper_parameters": Payload()}, path)


def instantiator(good: dict[str, Any], path: Path) -> None:
    """Lightning calls the function of this name when it creates a module from a checkpoint."""
    names = {"_instantiator": "os.system", "command": "touch ran"}
    AtomicCheckpointIO().save_checkpoint(
        {**good, "hyper_parameters": {**names, "x": Payload()}}, path
    )


def legacy_tar(good: dict[str, Any], path: Path) -> None:
    """The format of torch before 0.1.10, which loads a pickle per member."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(Payload())
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    write_with_checksum(path, content.getvalue())


PAYLOADS = [reduce, callbacks, hyper_parameters, instantiator, legacy_tar]


@pytest.fixture
def good(whole: tuple[Go, Path]) -> dict[str, Any]:
    return load_checkpoint(whole[1] / "checkpoints" / "best.ckpt")


def assert_rejected(
    go: Go, path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """Offer a file to every entry point; return the messages."""
    messages = []
    for program, key in (("train", "ckpt_path"), ("train", "init_from"), ("evaluate", "ckpt_path")):
        capsys.readouterr()
        assert go(f"{key}={path}", program=program) == 2
        message = capsys.readouterr().err.strip()
        assert "\n" not in message
        messages.append(message)
    with pytest.raises(UserError):
        en2py.load(path)
    assert not (folder / "ran").exists()
    return messages


@pytest.mark.slow
@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda p: p.__name__)
def test_no_payload_runs(
    go: Go,
    good: dict[str, Any],
    payload: Callable[[dict[str, Any], Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "untrusted.ckpt"
    payload(good, path)
    for message in assert_rejected(go, path, tmp_path, capsys):
        assert str(path) in message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "target"),
    [
        ("optimizer", {"_target_": "os.system", "command": "touch ran"}),
        ("data", {"name": "file", "source": {"_target_": "en2py.cli.main.os.system"}}),
        ("callbacks", {"x": [[{"_target_": "subprocess.call", "args": ["touch", "ran"]}]]}),
        ("tokenizer", {"src": {"_target_": "pytorch_lightning.core.saving._load_state"}}),
    ],
)
def test_a_stored_config_calls_only_allowed_targets(
    good: dict[str, Any],
    section: str,
    target: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    go: Go,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    good["en2py"]["config"][section] = target
    path = tmp_path / "untrusted.ckpt"
    AtomicCheckpointIO().save_checkpoint(good, path)
    with pytest.raises(UserError, match="may run|may not run"):
        en2py.load(path)
    capsys.readouterr()
    assert go(f"ckpt_path={path}", program="evaluate") == 2
    assert go(f"ckpt_path={path}", "trainer.max_epochs=4") == 2
    assert capsys.readouterr().err.count("\n") == 2
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "en2py.cli.main.os.system",
        "en2py.training.losses.torch.load",
        "en2py.data.cleaning.pipeline.Callable",
        "en2py.sandbox.candidate.main",
        "pytorch_lightning.core.saving._load_from_checkpoint",
        "pytorch_lightning.LightningModule.load_from_checkpoint",
        "pytorch_lightning.callbacks.os",
        "pytorch_lightning.Trainer.fit",
        "torch.hub.load",
        "torch.load",
        "torch.optim.adamw.torch.load",
        "torch.optim._functional.Tensor",
        "torch.optim.adamw.Tensor",
        "en2py.training.losses.Vocab",
    ],
)
def test_a_target_that_is_not_a_public_part_is_rejected(target: str) -> None:
    with pytest.raises(UserError, match="run|has no"):
        check_allowed({"a": {"b": [[{"_target_": target}]]}})


@pytest.mark.parametrize(
    "target",
    ["torch.optim.AdamW", "torch.optim.lr_scheduler.StepLR", "en2py.models.transformer.Transformer",
     "pytorch_lightning.Trainer", "pytorch_lightning.callbacks.EMAWeightAveraging",
     "pytorch_lightning.profilers.SimpleProfiler", "en2py.data.tokenizers.BpeTokenizer"],
)  # fmt: skip
def test_parts_are_allowed_as_targets(target: str) -> None:
    check_allowed({"a": {"_target_": target}})


def test_no_code_loads_untrusted_pickles() -> None:
    """Search for `weights_only=False`, other loaders of pickles, and Lightning's own loading."""
    folders = ("src", "benchmarks", "experiments")
    files = [*ROOT.glob("*.py"), *(f for name in folders for f in (ROOT / name).rglob("*.py"))]
    assert len(files) > 50
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert not called.endswith(("load_from_checkpoint", "pickle.load", "joblib.load"))
                keywords = [k for k in node.keywords if k.arg == "weights_only"]
                assert all(ast.unparse(k.value) == "True" for k in keywords), (path, node.lineno)
                assert keywords or called != "torch.load", (path, node.lineno)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["half", "empty", "text", "random", "bit", "foreign"])
def test_the_error_of_a_damaged_checkpoint_names_the_newest_valid_one(
    go: Go, good: dict[str, Any], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    path, valid = folder / f"{kind}.ckpt", folder / "best.ckpt"
    AtomicCheckpointIO().save_checkpoint(good, valid)
    data = valid.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    contents = {"half": data[: len(data) // 2], "empty": b"", "text": b"no weights\n" * 99,
                "random": bytes(range(256)) * 20, "bit": bytes(flipped)}  # fmt: skip
    if kind == "foreign":
        torch.save({"state_dict": good["state_dict"]}, path)
    else:
        path.write_bytes(contents[kind])
    for message in assert_rejected(go, path, tmp_path, capsys):
        assert str(path) in message
        assert "newest valid checkpoint there is" in message and str(valid) in message
