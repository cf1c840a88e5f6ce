"""Tokenizers, all of one shape (`Tokenizer`).

None of these imports loads spaCy or Hugging Face's library; making a tokenizer that needs one does.
"""

from en2py.data.tokenizers.python import PythonTokenizer
from en2py.data.tokenizers.shape import Tokenizer

__all__ = ["PythonTokenizer", "Tokenizer"]
