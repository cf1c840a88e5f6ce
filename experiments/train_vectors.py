"""Train word vectors on docstrings of installed Python packages.

    python experiments/train_vectors.py english.vec
    python train.py experiment=pretrained_vectors embeddings=pretrained embeddings.path=english.vec

A substitute for GloVe without a download. The text consists of the docstrings and README files of
Python's standard library and the installed packages: English about programs by other authors than
those of the data. Words are tokenized as by `tokenizer/src=spacy`. The same packages give the same
file, in word2vec's text format, or binary if its name ends in `.bin`.
"""

import argparse
import ast
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from gensim.models import Word2Vec

from en2py.data.tokenizers import EnglishTokenizer

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
PAGES = {".md", ".rst", ".txt"}


def texts(root: Path) -> Iterator[str]:
    """Yield the docstrings and README files below a folder, in file order."""
    for file in sorted(root.rglob("*")):
        if file.suffix != ".py" and file.suffix not in PAGES and file.name != "METADATA":
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        yield from docstrings(text) if file.suffix == ".py" else [text]


def docstrings(code: str) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError):
            return
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield text


def sentences(roots: list[Path], max_words: int) -> Iterator[list[str]]:
    """Yield each distinct paragraph as a list of words, up to `max_words` in total."""
    tokenizer, seen, n_words = EnglishTokenizer(lowercase=True), set(), 0
    for root in roots:
        for text in texts(root):
            for paragraph in text.split("\n\n"):
                line = " ".join(paragraph.split())
                if line in seen or " " not in line:
                    continue
                seen.add(line)
                # Intern, so that all occurrences of a word share one string.
                words = [sys.intern(w) for w in tokenizer.tokenize(line[:5000]) if not w.isspace()]
                yield words
                n_words += len(words)
                if n_words >= max_words:
                    return


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="output file; .bin: binary")
    parser.add_argument("--dim", type=int, default=256, help="width of the vectors")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--min-count", type=int, default=5, help="minimum frequency of a word")
    parser.add_argument("--max-words", type=int, default=10_000_000)
    parser.add_argument("--root", type=Path, action="append", help="source folders")
    options = parser.parse_args()
    places = sysconfig.get_paths()
    roots = options.root or [Path(places["stdlib"]), Path(places["purelib"])]
    found = list(sentences(roots, options.max_words))
    model = Word2Vec(
        sentences=found,
        vector_size=options.dim,
        epochs=options.epochs,
        min_count=options.min_count,
        sg=1,  # skip-gram, better for rare words
        workers=1,  # several workers are not reproducible
        seed=options.seed,
    )
    options.file.parent.mkdir(parents=True, exist_ok=True)
    model.wv.save_word2vec_format(str(options.file), binary=options.file.suffix == ".bin")
    n_words = sum(map(len, found))
    print(
        f"{len(found):,} paragraphs, {n_words:,} words, {len(model.wv):,} vectors: {options.file}"
    )


if __name__ == "__main__":
    main()
