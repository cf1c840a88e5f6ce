"""Stop a run at each step, validation and checkpoint, resume it, compare bit for bit."""

import os
import tempfile
from pathlib import Path
from typing import Any

from runs import finish, run_folder, start, state, wait, write_pairs

from en2py.training.checkpoints import AtomicCheckpointIO, load_checkpoint
from en2py.training.module import Seq2SeqModule

STOPPED = 77


def stopping(hook: str, call: int) -> Any:
    """Return a function that kills the process at the n-th call of a hook of the module.

    For the hook `save_checkpoint`, it is killed after the n-th checkpoint.
    """
    saves = hook == "save_checkpoint"
    owner: Any = AtomicCheckpointIO if saves else Seq2SeqModule

    def install() -> None:
        original, calls = getattr(owner, hook), iter(range(1, 10**9))

        def hooked(self: Any, *args: Any, **kwargs: Any) -> Any:
            last = next(calls) == call
            if last and not saves:
                os._exit(STOPPED)
            result = original(self, *args, **kwargs)
            if last:
                os._exit(STOPPED)
            return result

        setattr(owner, hook, hooked)

    return install


def measure(quick: bool = False) -> dict[str, Any]:
    """Return the number of stopping points and those that did not end equal."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder)
        whole = finish(folder, out="whole")
        expected = state(whole)
        steps = load_checkpoint(whole / "checkpoints" / "last.ckpt")["global_step"]
        points = [("training_step", n) for n in range(2, steps + 1)]
        points += [("validation_step", n) for n in (1, 2, 4)]
        points += [("on_validation_epoch_end", n) for n in (1, 2, 3)]
        points += [("on_train_epoch_end", n) for n in (1, 2, 3)]
        points += [("save_checkpoint", n) for n in range(1, steps + 7)]
        tried, unequal = 0, []
        for workers in (0, 2):
            for hook, call in points[:: 4 if quick else 1]:
                out = f"stopped-{workers}-{hook}-{call}"
                words = (f"batch.num_workers={workers}",)
                code = wait(start(folder, *words, out=out, before=stopping(hook, call)))
                assert code == STOPPED, (code, hook, call)
                assert not (run_folder(folder, out) / "result.json").exists()
                finish(folder, *words, out=out)
                tried += 1
                found = state(run_folder(folder, out))
                if found != expected:
                    parts = [k for k in expected if expected[k] != found[k]]
                    unequal.append(f"{workers} workers, {hook} {call}: {', '.join(parts)}")
    return {"steps": steps, "stopping_points": tried, "unequal": unequal}
