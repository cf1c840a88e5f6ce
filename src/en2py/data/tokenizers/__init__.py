"""Tokenizers; all have the methods of `Tokenizer`.

These imports do not load spaCy or the `tokenizers` library; the first use of a tokenizer does.
"""

from en2py.data.tokenizers.bpe import BpeTokenizer
from en2py.data.tokenizers.english import EnglishTokenizer
from en2py.data.tokenizers.pieces import EnglishPieces, PythonPieces
from en2py.data.tokenizers.protocol import Tokenizer
from en2py.data.tokenizers.python import PythonTokenizer
from en2py.data.tokenizers.spacy import SpacyDefaultTokenizer, SpacyPythonTokenizer

__all__ = [
    "BpeTokenizer",
    "EnglishPieces",
    "EnglishTokenizer",
    "PythonPieces",
    "PythonTokenizer",
    "SpacyDefaultTokenizer",
    "SpacyPythonTokenizer",
    "Tokenizer",
]
