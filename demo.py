"""Try trained models in the browser: `python demo.py best.ckpt [other.ckpt] [--port 7860]`."""

import argparse
import os
import sys

from en2py.cli.main import refuse
from en2py.errors import UserError


def main() -> int:
    """Load the checkpoints and serve the page on this machine until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help="shown side by side")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    options = parser.parse_args()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the page asks no server for anything
    try:
        try:
            from en2py.demo.page import serve
        except ModuleNotFoundError as error:
            if error.name != "gradio":
                raise
            raise UserError(
                "the demo page needs Gradio, which is not installed: pip install -e '.[demo]'"
            ) from None
        from en2py.demo.answers import load

        try:
            serve(load(options.checkpoints), options.port)
        except OSError as error:
            if options.port is None:
                raise
            raise UserError(f"port {options.port} is not free ({error}): take another") from None
    except UserError as error:
        return refuse(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
