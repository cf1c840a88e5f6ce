"""The programs `en2py-train`, `en2py-evaluate` and `en2py-generate` of an installed package.

`train.py`, `evaluate.py` and `generate.py` of a checkout are the same programs.
"""

import sys

try:
    import argparse
    import io
    import logging
    import re
    from functools import partial
    from importlib.metadata import version
    from pathlib import Path
    from typing import Any

    from omegaconf import DictConfig

    from en2py.cli.main import command, refuse
    from en2py.errors import UserError
except KeyboardInterrupt:  # Ctrl-C in the first second
    sys.exit(130)

log = logging.getLogger(__name__)


def train() -> int:
    """Train a model, or with `-m` a sweep of models, and return the exit code."""
    return command(run_training, "train")


def evaluate() -> int:
    """Evaluate checkpoints and baselines, and return the exit code."""
    evaluations: list[Any] = []  # of a sweep

    def compare() -> None:
        if evaluations:
            from en2py.cli.evaluate import compare_sweep

            compare_sweep(evaluations)
        elif any(re.match("hydra/launcher=(?!basic$)", word) for word in sys.argv):
            log.info(
                "no table of the whole sweep: a launcher ran it in other processes; the same "
                "command without hydra/launcher= takes programs and scores from the cache and "
                "writes the table"
            )

    return command(partial(run_evaluation, of_sweep=evaluations), "evaluate", after_sweep=compare)


def run_training(cfg: DictConfig) -> float:
    """Train and test one run, and return its best validation NLL, which a search minimizes."""
    from en2py.cli.train import train  # torch takes seconds: after the validation

    return train(cfg)


def run_evaluation(cfg: DictConfig, of_sweep: list[Any] | None = None) -> Any:
    """Evaluate checkpoints and baselines, or summarize a study; see `cli.evaluate.evaluate`."""
    if cfg.study is not None:
        from en2py.sweeps.study import summarize_study

        return summarize_study(Path(cfg.study), target=Path(cfg.folder) if cfg.folder else None)
    from en2py.cli.evaluate import evaluate  # torch takes seconds: after the validation

    return evaluate(cfg, of_sweep)


def generate() -> int:
    """Print the program for a description, or a JSON line for each line of stdin."""
    usage = "%(prog)s [OPTION ...] CHECKPOINT [TEXT]"
    parser = argparse.ArgumentParser(usage=usage, description="Generate code with a checkpoint.")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file, or the folder of a "
                        "run; several generate one after the other")  # fmt: skip
    parser.add_argument("text", metavar="TEXT", nargs="*", default=[], help="the "
                        "description, as it is; '-' or none: read descriptions from stdin, one a "
                        "line")  # fmt: skip
    parser.add_argument("--decoding", metavar="OPTION", action="append", default=[], help="greedy, "
                        "beam, sample, mbr, votes, or a value like beam_size=8; may be repeated; "
                        "default: as trained")  # fmt: skip
    parser.add_argument("--allow", metavar="PACKAGE", action="append", default=[], help="an own "
                        "package that the config of the checkpoint may name; may be "
                        "repeated")  # fmt: skip
    parser.add_argument("--version", action="version", version=f"en2py {version('en2py')}")
    options = parser.parse_intermixed_args()
    words: list[str] = options.text
    n_more = next((i for i, word in enumerate(words) if not _is_checkpoint(word)), len(words))
    checkpoints, texts = [options.checkpoint, *words[:n_more]], words[n_more:] or ["-"]
    for text in texts if len(texts) > 1 else ():
        if re.match(r"decoding[.=]\w", text):
            parser.error(f"{text}: write {in_own_words(text)}")
    if any(" " in text for text in texts[1:]):
        parser.error("one TEXT at a time; several descriptions are lines of stdin: "
                     f"{parser.prog} CHECKPOINT < FILE")  # fmt: skip
    if len(texts) > 1:
        parser.error(f'TEXT is one word for the shell: put it in quotes, "{" ".join(texts)}"')
    if not texts[0].strip():
        return refuse('TEXT is empty: write what the program should do, "add two numbers"')
    overrides = [f"decoding.{o}" if "=" in o else f"decoding={o}" for o in options.decoding]
    overrides.append(f"ckpt_path={','.join(checkpoints)}")
    overrides.append(f"allowed_packages=[{','.join(options.allow)}]")
    if texts != ["-"]:
        overrides.append(f"prompt={texts[0]}")

    def run(cfg: DictConfig) -> None:
        from en2py.cli import generate  # torch takes seconds: after the validation

        generate.generate(cfg, read_stdin() if texts == ["-"] else None)

    return command(run, "evaluate", argv=[sys.argv[0], *overrides], in_words=in_own_words)


def _is_checkpoint(word: str) -> bool:
    """Return whether a word is a checkpoint or a folder, written as a path, rather than TEXT."""
    return word.endswith(".ckpt") or ("/" in word and Path(word).is_dir())


def in_own_words(message: str) -> str:
    """Return a message of evaluate.py with the arguments of generate.py and demo.py."""
    message = re.sub(r"'allowed_packages=\[(\w+)\]'", r"--allow \1", message)
    # They read no other data.
    message = re.sub(r"'?\bdata\.path=\S+ names its present place", "put it there again", message)
    message = re.sub(r"\bckpt_path=", "CHECKPOINT ", message)
    message = re.sub(r"\bckpt_path\b", "CHECKPOINT", message)
    message = re.sub(r"(?<!the )\bprompt\b", "TEXT", message)
    return re.sub(r"\bdecoding[.=](?=\w)", "--decoding ", message)


def read_stdin() -> str:
    """Read UTF-8 text from stdin, whatever the encoding of the terminal."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")
    try:
        text = sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UserError(
            f"stdin: byte 0x{error.object[error.start]:02x} is not UTF-8; if it is Latin-1 or "
            "Windows text, convert it first: iconv -f cp1252 -t UTF-8 FILE"
        ) from None
    if not text.strip():
        raise UserError("stdin is empty: it needs one description a line; or type a TEXT in quotes")
    return text


if __name__ == "__main__":  # a run of a sweep that trains on several devices
    sys.exit(train())
