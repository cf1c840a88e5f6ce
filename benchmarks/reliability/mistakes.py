"""Run twenty wrong command lines; check the one-sentence messages and the CPU time."""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# The override and a part of its message: the nearest valid name, or the range.
MISTAKES = {
    "sead=1": "seed",
    "lr=1e-3": "optimizer.lr",
    "model.heads=4": "model.n_heads",
    "batch.max_token=100": "batch.max_tokens",
    "trainer.max_epoch=3": "trainer.max_epochs",
    "checkpoints.every_minutes=1": "checkpoints.every_n_minutes",
    "los=smoothed": "loss",
    "tokenizer/sr=bpe": "tokenizer/src",
    "loss=smothed": "smoothed",
    "data=task": "tasks",
    "model=tinny": "tiny",
    "experiment=loss_function": "loss_functions",
    "trainer.precision=bf17": "bf16",
    "model.positions=learnt": "learned",
    "optimizer._target_=torch.optim.AdmaW": "AdamW",
    "trainer.max_epochs=abc": "a whole number from 1",
    "seed=1.5": "a whole number",
    "fresh=maybe": "true or false",
    "model.dropout=1.5": "below 1",
    "model.n_heads=7": "nearest number of heads",
}


def measure(quick: bool = False) -> dict[str, Any]:
    """Return each message and the maximum CPU time."""
    messages, wrong, seconds = {}, [], []
    with tempfile.TemporaryDirectory() as name:
        for word, hint in list(MISTAKES.items())[:: 5 if quick else 1]:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(
                [sys.executable, str(ROOT / "train.py"), word, f"output={name}/out"],
                capture_output=True, text=True, cwd=name,
            )  # fmt: skip
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            messages[word] = done.stderr.strip()
            one_line = done.stderr.count("\n") == 1 and not done.stdout
            if done.returncode != 2 or not one_line or hint not in done.stderr:
                wrong.append(word)
        left = [path.name for path in Path(name).iterdir()]
    return {
        "tried": len(messages),
        "wrong": wrong,
        "written": left,
        "most_cpu_seconds": round(max(seconds), 2),
        "sentences": messages,
    }
