"""Subword pieces of one vocabulary for descriptions and code (BPE, Sennrich et al., 2016).

A token of the English or the Python tokenizer is cut at underscores, case changes, digits and
punctuation, and the parts by BPE. A mark shows where pieces belong to one token, as the joiner of
the OpenNMT tokenizer does (Klein et al., 2017): `find_maxValue` becomes `find ￭_￭ max ￭ Value`, and
the words are the same pieces as in a description. The characters of a piece encode bytes, as in
GPT-2, so there is a spelling for every text and no unknown token.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from en2py.data.text_files import find_file, read_text
from en2py.data.tokenizers.detokenize import LAYOUT_TOKENS
from en2py.data.tokenizers.english import EnglishTokenizer
from en2py.data.tokenizers.protocol import LearnedTokenizer, Tokenizer, encodable
from en2py.data.tokenizers.python import PythonTokenizer
from en2py.errors import UserError

GLUE = "￭"  # not a letter of a byte
_INSIDE = "￮"  # marks the pieces inside a part while they are learned; `GLUE` replaces it
LEAST = 600  # the bytes at the start of a token and inside, the marks, the layout tokens
PiecesVocabSize = Annotated[int, Field(ge=LEAST)]

# Words up to a change of case, numbers, anything else.
_PARTS = re.compile(
    r"[A-Z]+(?![^\W\d_A-Z]) | [A-Z]?[^\W\d_A-Z]+ | \d+ | (?:(?![^\W_]).)+", re.DOTALL | re.VERBOSE
)


class _Pieces(LearnedTokenizer):
    """Pieces of the tokens of another tokenizer; the arguments are those of `EnglishPieces`."""

    _key = "shared_pieces"

    def __init__(self, words: Tokenizer, vocab_size: int, path: Path | None) -> None:
        self.words, self.vocab_size, self.path = words, vocab_size, path
        self._known: dict[str, list[str]] = {}  # part to its pieces

    def fit(self, texts: Iterable[str]) -> None:
        """Learn the merges, deterministically, or read them from the file."""
        self.learn(self.parts(texts))

    def parts(self, texts: Iterable[str]) -> list[str]:
        """Return the marked parts of each text, separated by spaces."""
        rows = (self.words.tokenize(text) for text in texts)
        return [
            " ".join(p for t in row if t not in LAYOUT_TOKENS for p in _parts(t)) for row in rows
        ]

    def learn(self, texts: Sequence[str]) -> None:
        """Learn the merges of texts of `parts`, or read them from the file."""
        if self.path is not None:
            self.load_state_dict(_stored(self.path))
            return
        from tokenizers import Tokenizer as Encoding
        from tokenizers import models, pre_tokenizers, trainers

        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        encoding = Encoding(models.BPE(continuing_subword_prefix=_INSIDE))
        encoding.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size - len(LAYOUT_TOKENS),
            initial_alphabet=[GLUE, *letters],
            # Letters inside a part; the trainer itself would number them in a random order.
            special_tokens=[_INSIDE + letter for letter in [*letters, GLUE]],
            continuing_subword_prefix=_INSIDE,
            min_frequency=2,
            show_progress=False,
        )
        encoding.train_from_iterator(texts, trainer)
        self._encoding = Encoding(encoding.model)  # alone: no token is special

    def vocabulary(self) -> list[str]:
        """Return all pieces, also those that the training split lacks."""
        ids = self.encoding.get_vocab(with_added_tokens=False)
        pieces = (piece.replace(_INSIDE, GLUE) for piece in sorted(ids, key=ids.__getitem__))
        return list(dict.fromkeys([*LAYOUT_TOKENS, *pieces]))

    def tokenize(self, text: str) -> list[str]:
        """Split a text into pieces."""
        pieces = []
        for token in self.words.tokenize(encodable(text)):
            pieces += [token] if token in LAYOUT_TOKENS else self._pieces(token)
        return pieces

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join pieces to text; bytes that are not UTF-8 become replacement characters."""
        return self.words.detokenize(joined(tokens))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state."""
        self._known.clear()
        super().load_state_dict(state)

    def _pieces(self, token: str) -> list[str]:
        found: list[str] = []
        for part in _parts(token):
            if part not in self._known:
                pieces = [
                    piece.value.replace(_INSIDE, GLUE)
                    for piece in self.encoding.model.tokenize(part)
                ]
                if pieces[0] == GLUE and len(pieces) > 1:  # the next piece has a mark itself
                    del pieces[0]
                self._known[part] = pieces
            found += self._known[part]
        return found


class EnglishPieces(_Pieces):
    """Pieces of descriptions.

    Args:
        lowercase: Lowercase all but quoted strings.
        vocab_size: Number of pieces; from few texts there may be fewer.
        path: A file with learned pieces, `vocab/pieces.json` of a run; None: learn them.
    """

    def __init__(self, lowercase: bool, vocab_size: PiecesVocabSize, path: Path | None) -> None:
        super().__init__(EnglishTokenizer(lowercase=lowercase), vocab_size, path)


class PythonPieces(_Pieces):
    """Pieces of code; code that parses is detokenized to the same syntax tree.

    Args:
        vocab_size: Number of pieces; from few texts there may be fewer.
        path: A file with learned pieces, `vocab/pieces.json` of a run; None: learn them.
    """

    def __init__(self, vocab_size: PiecesVocabSize, path: Path | None) -> None:
        super().__init__(PythonTokenizer(), vocab_size, path)


def fit_both(
    src: Tokenizer, tgt: Tokenizer, descriptions: Sequence[str], codes: Sequence[str]
) -> None:
    """Fit the tokenizers of both sides; two of pieces learn one vocabulary from both."""
    if isinstance(src, _Pieces) and isinstance(tgt, _Pieces):
        src.learn([*src.parts(descriptions), *tgt.parts(codes)])
        tgt.load_state_dict(src.state_dict())
    else:
        src.fit(descriptions)
        tgt.fit(codes)


def joined(pieces: Sequence[str]) -> list[str]:
    """Return the tokens that pieces spell; any list of pieces spells some."""
    spelled: list[str] = []
    glued = False  # the piece before ends with a mark
    for piece in pieces:
        if piece in LAYOUT_TOKENS:
            spelled.append(piece)
            glued = False
            continue
        left, letters, right = split_marks(piece)
        if (left or glued) and spelled and spelled[-1] not in LAYOUT_TOKENS:
            spelled[-1] += letters
        else:
            spelled.append(letters)
        glued = right
    return [token if token in LAYOUT_TOKENS else text_of(token) for token in spelled]


def split_marks(piece: str) -> tuple[bool, str, bool]:
    """Return whether a piece is joined to the one before, its letters, and to the one behind."""
    left = piece.startswith(GLUE)
    letters = piece[1:] if left else piece
    right = letters.endswith(GLUE) or piece == GLUE
    return left, letters.removesuffix(GLUE), right


def text_of(letters: str) -> str:
    """Return the text of a token from the letters of its bytes."""
    if letters.isascii():
        return letters
    from tokenizers import decoders

    # One by one: a character that encodes no byte is kept, and the others are decoded.
    text: str = decoders.ByteLevel().decode([*encodable(letters)])
    return text


def unused_pieces() -> list[str]:
    """Return pieces of bytes that no UTF-8 text has; each vocabulary of pieces contains them."""
    letters = [chr(byte) for byte in (0xC0, 0xC1, *range(0xF5, 0x100))]  # as GPT-2 writes them
    return [*letters, *(GLUE + letter for letter in letters)]


@lru_cache(1 << 16)
def letters_of(text: str) -> str:
    """Return the letters of the bytes of a text."""
    from tokenizers import pre_tokenizers

    encoding = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return "".join(letters for letters, _ in encoding.pre_tokenize_str(text))


def _parts(token: str) -> list[str]:
    """Return the parts of a token, in letters of bytes, with marks.

    Words are bare where a part that is no word carries the mark, so that they are the same pieces
    everywhere.
    """
    found = []
    parts = _PARTS.findall(encodable(token))
    are_words = [part[0].isalpha() for part in parts]
    for i, part in enumerate(parts):
        before = i > 0 and not (are_words[i] and not are_words[i - 1])
        behind = i + 1 < len(parts) and not are_words[i] and are_words[i + 1]
        if before and are_words[i]:  # two words
            found.append(GLUE)
            before = False
        found.append(GLUE * before + letters_of(part) + GLUE * behind)
    return found


def _stored(path: Path) -> dict[str, Any]:
    """Read a file of learned pieces.

    Raises:
        UserError: If it is missing, or another file.
    """
    file = find_file(path)
    try:
        state = {"shared_pieces": json.loads(read_text(file))["shared_pieces"]}
        _Pieces(PythonTokenizer(), LEAST, None).load_state_dict(state)
    except Exception:  # the tokenizers library raises nothing more special
        raise UserError(
            f"tokenizer.path={path}: no file of pieces; take vocab/pieces.json of a run with "
            "tokenizer=pieces"
        ) from None
    return state
