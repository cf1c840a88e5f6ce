"""Small runs in forked processes, which start in a second instead of ten."""

import csv
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from en2py.cli.main import command
from en2py.training.callbacks.throughput import TIMES
from en2py.training.checkpoints import load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # train.py
torch.set_num_threads(1)
os.environ.setdefault("WANDB_MODE", "disabled")
WORDS = [
    "data=file", "split=random", "model=tiny", "model.d_model=32", "model.d_ff=64",
    "model.n_heads=2", "model.dropout=0.2", "batch.max_tokens=200", "trainer.max_epochs=3",
    "trainer.accelerator=cpu", "callbacks.samples.n_samples=2",
    "callbacks.samples.every_n_epochs=1",
    "decoding.max_len=12", "logger=csv", "processes=1", "checkpoints.every_n_steps=1",
    "checkpoints.keep=all",
]  # fmt: skip


def write_pairs(folder: Path) -> Path:
    """Write forty small pairs, which make an epoch of a few batches."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pairs.jsonl"
    lines = [
        {
            "description": f"write a function that adds {i} to a {name}",
            "code": f"def add({name}):\n    return {name} + {i}\n",
        }
        for name in ("total", "value", "number", "item")
        for i in range(10)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def start(folder: Path, *words: str, out: str = "out", before: Any = None, **env: str) -> int:
    """Start a training run in a forked process and return its number.

    Args:
        folder: Contains `pairs.jsonl`, output, cache and `log`.
        words: More overrides; the last one of a key counts.
        out: Output folder.
        before: Called first in the new process.
        env: More environment variables.
    """
    number = os.fork()
    if number:
        return number
    code = 99
    try:
        os.environ.update(env)
        if not os.environ.get("WANDB_MODE"):
            os.environ.pop("WANDB_MODE", None)
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if before is not None:
            before()
        from en2py.cli.programs import run_training as main

        given = [*WORDS, f"data.path={folder / 'pairs.jsonl'}", f"cache={folder / 'cache'}",
                 f"output={folder / out}", *words]  # fmt: skip
        last = {word.split("=")[0]: word for word in given}
        code = command(main, "train", argv=["train.py", *last.values()])
        sys.stdout.flush()
    finally:
        os._exit(code)


def wait(number: int) -> int:
    """Wait for a process; return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def finish(folder: Path, *words: str, out: str = "out", **more: Any) -> Path:
    """Finish a run and return its folder."""
    code = wait(start(folder, *words, out=out, **more))
    assert code == 0, (code, words, (folder / "log").read_text()[-2000:])
    return run_folder(folder, out)


def run_folder(folder: Path, out: str = "out") -> Path:
    """Return the folder of the only run in an output folder."""
    (found,) = (f for f in (folder / out / "adhoc").glob("*-seed*") if f.is_dir())
    return found


def checksum(value: Any) -> str:
    """Return the SHA-256 of nested plain containers and tensors, types and order included."""
    state = hashlib.sha256()

    def update(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            tensor = value.detach().cpu().contiguous()
            state.update(f"tensor {tensor.dtype} {tuple(tensor.shape)}".encode())
            if tensor.numel():
                state.update(tensor.reshape(-1).view(torch.uint8).numpy())
        elif isinstance(value, dict | list | tuple):
            state.update(f"{type(value).__name__} {len(value)}".encode())
            for item in value.items() if isinstance(value, dict) else value:
                update(item)
        else:
            state.update(f"{type(value).__name__} {value!r}\0".encode("utf-8", "surrogatepass"))

    update(value)
    return state.hexdigest()


def state(folder: Path) -> dict[str, Any]:
    """Return the checksums of weights and states, and the metrics, for comparison."""
    found: dict[str, Any] = {}
    for name in ("last.ckpt", "best.ckpt"):
        checkpoint = load_checkpoint(folder / "checkpoints" / name)
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "epoch",
                    "global_step"):  # fmt: skip
            found[f"{name} {key}"] = checksum(checkpoint[key])
    with open(folder / "metrics.csv") as file:
        rows = [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]
    found["metrics"] = checksum(rows)
    result = json.loads((folder / "result.json").read_text())
    found["test"] = checksum({k: v for k, v in result["test"].items()})
    return found
