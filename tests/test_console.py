"""What libraries say goes to a file and not to the terminal."""

import io
import logging
import warnings
from pathlib import Path

import pytest

from en2py.console import log_file


@pytest.mark.parametrize("name", ["pytorch_lightning", "lightning_fabric"])
def test_libraries_with_handlers_of_their_own_speak_to_the_file(tmp_path: Path, name: str) -> None:
    terminal, path = io.StringIO(), tmp_path / "new" / "run.log"
    handler, logger = logging.StreamHandler(terminal), logging.getLogger(name)
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)  # as at Lightning's import; other tests raise it
    try:
        with log_file(path):
            logger.warning("a warning")
            logging.getLogger(f"{name}.callbacks").info("so it goes")
            logger.info("`weights_only` was not set, defaulting to `False`.")
            warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated", FutureWarning, 1)
        assert terminal.getvalue() == ""
        text = path.read_text()
        assert "a warning" in text and "so it goes" in text and "LeafSpec" in text
        assert "weights_only" not in text
        assert logger.handlers == [handler] and not logger.propagate
        logger.warning("afterwards")
        assert terminal.getvalue() == "afterwards\n" and "afterwards" not in path.read_text()
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])
