"""Damage a checkpoint in six ways and flip random bits; count what is accepted."""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from runs import ROOT, finish, write_pairs

from en2py.training.checkpoints import is_valid


def _damaged(good: bytes, folder: Path) -> dict[str, Path]:
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 8
    contents = {
        "half": good[: len(good) // 2],
        "empty": b"",
        "text": b"these are no weights\n" * 100,
        "random": random.Random(1).randbytes(5000),
        "bit": bytes(flipped),
    }
    paths = {kind: folder / f"{kind}.ckpt" for kind in (*contents, "foreign")}
    for kind, content in contents.items():
        paths[kind].write_bytes(content)
    torch.save({"state_dict": {"w": torch.ones(3)}, "epoch": 1}, paths["foreign"])
    return paths


def measure(quick: bool = False) -> dict[str, Any]:
    """Return the error message for each kind of damage, and the number of detected bit flips."""
    flips, chance = 200 if quick else 5000, random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder)
        run = finish(folder)
        good = run / "checkpoints" / "best.ckpt"
        content = good.read_bytes()
        sentences, codes = {}, {}
        for kind, path in _damaged(content, good.parent).items():
            for program in ("train.py", "evaluate.py"):
                done = subprocess.run(
                    [sys.executable, str(ROOT / program), f"ckpt_path={path}"],
                    capture_output=True, text=True, cwd=folder,
                )  # fmt: skip
                codes[f"{kind} {program}"] = done.returncode
            message = done.stderr.strip()
            assert "\n" not in message and path.name in message, message
            sentences[kind] = message.replace(str(good.parent) + os.sep, "")
            path.unlink()
        target, missed = folder / "flipped.ckpt", []
        started = time.process_time()
        for _ in range(flips):
            place = chance.randrange(len(content) * 8)
            flipped = bytearray(content)
            flipped[place // 8] ^= 1 << place % 8
            target.write_bytes(flipped)
            if is_valid(target):
                missed.append(place)
    return {
        "sentences": sentences,
        "exit_codes": codes,
        "bytes": len(content),
        "flipped_bits": flips,
        "missed": missed,
        "cpu_ms_a_flip": round(1000 * (time.process_time() - started) / flips, 1),
    }
