"""Byte-level byte-pair encoding (Sennrich et al., 2016; bytes as in GPT-2), learned from text."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from en2py.data.tokenizers.protocol import LearnedTokenizer, encodable


class BpeTokenizer(LearnedTokenizer):
    """Subwords for either side; detokenizing returns every text exactly, with its spaces.

    A token has printable letters for its bytes, `Ġ` for a space and `Ċ` for a newline.

    Args:
        vocab_size: Number of tokens with the 256 single bytes; from few texts there may be fewer.
    """

    def __init__(self, vocab_size: Annotated[int, Field(ge=256)]) -> None:
        self.vocab_size = vocab_size

    def fit(self, texts: Iterable[str]) -> None:
        """Learn the merges; deterministic."""
        from tokenizers import Tokenizer as Encoding
        from tokenizers import decoders, models, pre_tokenizers, trainers

        encoding = Encoding(models.BPE())
        encoding.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        encoding.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        encoding.train_from_iterator(map(encodable, texts), trainer)
        self._encoding = encoding

    def tokenize(self, text: str) -> list[str]:
        """Split a text into tokens."""
        tokens: list[str] = self.encoding.encode(encodable(text)).tokens
        return tokens

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join tokens; bytes that are not UTF-8 become replacement characters."""
        text: str = self.encoding.decoder.decode([encodable(token) for token in tokens])
        return text
