"""Where libraries speak while a run goes on: the terminal is for the run's own words."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SPEAKERS = ("pytorch_lightning", "lightning_fabric")  # with handlers of their own, for stderr
_NOISE = "`weights_only` was not set"  # Lightning, at each checkpoint that it writes


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Send what libraries say and warn of to a file.

    Args:
        path: The file; what it holds already stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # the disk is full
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    handler.addFilter(lambda record: _NOISE not in record.getMessage())
    root, speakers = logging.getLogger(), [logging.getLogger(name) for name in _SPEAKERS]
    before = [(speaker.handlers, speaker.propagate) for speaker in speakers]
    for speaker in speakers:
        speaker.handlers, speaker.propagate = [], True
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(level)
        for speaker, (handlers, propagate) in zip(speakers, before, strict=True):
            speaker.handlers, speaker.propagate = handlers, propagate
        handler.close()
