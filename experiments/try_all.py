"""Run every training command of the experiments' README for a few steps.

    python experiments/try_all.py english_python_data.txt --only cleaning --two-cores
    python experiments/try_all.py english_python_data.txt --mbpp FILE --conala FILE --vectors FILE

Each configuration of each command is trained for three batches and tested with short outputs, with
one seed. Commands that need a missing file are listed and skipped. Exit code 1 if one failed.
"""

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
BRIEF = (
    "seed=1 trainer=smoke trainer.max_epochs=1 behaviour=false decoding.max_len=8"
    " callbacks.samples=null logger=csv"
).split()
TWO_CORES = "two cores"


def commands(two_cores: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield the section and the overrides of each training command of one size.

    Sections without a two-core command yield their full one.
    """
    text = (HERE / "README.md").read_text(encoding="utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name = section.split("\n", 1)[0]
        lines = re.findall(r"^python train\.py (.*)$", section, flags=re.MULTILINE)
        small = [line for line in lines if TWO_CORES in line]
        wanted = small if two_cores else [line for line in lines if line not in small]
        for line in wanted or lines:
            yield name, shlex.split(line.split("   #")[0])


def brief(words: list[str], files: dict[str, str | None], output: str) -> list[str] | None:
    """Return a command limited to a few steps; None if it needs a missing file."""
    kept = []
    for word in words:
        key = word.split("=")[0]
        given = next((file for part, file in files.items() if part in key), "")
        if given is None:
            return None
        if key not in ("seed", "trainer.max_epochs"):
            kept.append(f"{key}={given}" if given else word)
    if any(word.startswith("experiment=") for word in kept):  # the others need no file
        kept.append(f"data.path={files['data.path']}")
    else:
        kept.append("data.source.n_pairs=900")
    return [*kept, *BRIEF, f"output={output}"]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser for the data files and for the commands to run."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("english_python", help="the students' file")
    parser.add_argument("--mbpp", help="mbpp.jsonl")
    parser.add_argument("--conala", help="conala-train.json")
    parser.add_argument("--vectors", help="a file of word vectors")
    sections = sorted({name for name, _ in commands(two_cores=True)})
    parser.add_argument(
        "--only", nargs="*", choices=sections, metavar="SECTION", help="sections; default: all"
    )
    parser.add_argument("--two-cores", action="store_true", help="the two-core commands")
    return parser


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--cache", help="folder of prepared data")
    options = parser.parse_args()
    files = {
        "mbpp.path": options.mbpp,
        "conala.path": options.conala,
        "embeddings.path": options.vectors,
        "data.path": options.english_python,
    }
    failed = []
    with tempfile.TemporaryDirectory() as output:
        for name, words in commands(options.two_cores):
            if options.only and name not in options.only:
                continue
            command = brief(words, files, output)
            title = f"{name}: {' '.join(words)}"
            if command is None:
                print(f"skipped, its file is missing: {title}", flush=True)
                continue
            if options.cache:
                command.append(f"cache={options.cache}")
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, HERE.parent / "train.py", *command],
                capture_output=True,
                text=True,
                errors="replace",
            )
            word = "ok" if done.returncode == 0 else f"FAILED ({done.returncode})"
            print(f"{word}, {time.monotonic() - began:.0f} s: {title}", flush=True)
            if done.returncode:
                failed.append(title)
                print(done.stdout[-3000:], done.stderr[-3000:], sep="\n", flush=True)
    print(f"{len(failed)} failed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
