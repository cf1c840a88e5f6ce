"""Report in one sentence that memory ran out, and what to change."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from en2py.errors import Fault

EVALUATION_REMEDIES = "decoding=greedy, or stop other programs that use memory"


@contextmanager
def report_out_of_memory(remedies: str, max_tokens: int | None = None) -> Iterator[None]:
    """Replace an out-of-memory error of the GPU or the CPU by one sentence with remedies.

    Args:
        remedies: End of the sentence: what helps besides smaller batches.
        max_tokens: Target tokens per batch; None if `batch.max_tokens` does not set them.

    Raises:
        Fault: If memory ran out inside the block.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if max_tokens is None:
            raise Fault(f"out of memory: use {remedies}") from error
        raise Fault(
            f"out of memory with batches of {max_tokens:,} target tokens: use "
            f"batch.max_tokens={max(1, max_tokens // 2)} {remedies}"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    messages = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in messages)
