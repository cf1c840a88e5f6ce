"""Map tokens to ids and back."""

from collections import Counter
from collections.abc import Iterable, Sequence

PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<bos>", "<eos>"
SPECIAL_TOKENS = (PAD, UNK, BOS, EOS)


class Vocab:
    """An ordered list of tokens; the position is the id, the special tokens come first.

    Args:
        tokens: All tokens, the four special ones first.
        counts: Occurrences of each token in train, same order; 0 for special tokens.
    """

    def __init__(self, tokens: Sequence[str], counts: Sequence[int]) -> None:
        if tuple(tokens[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
            raise ValueError(f"a vocabulary starts with {SPECIAL_TOKENS}, not {tuple(tokens[:4])}")
        if len(counts) != len(tokens):
            raise ValueError(f"{len(tokens)} tokens but {len(counts)} counts")
        self.tokens = list(tokens)
        self.counts = list(counts)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            raise ValueError("a vocabulary lists each token once")
        self.pad_id, self.unk_id, self.bos_id, self.eos_id = range(len(SPECIAL_TOKENS))

    @classmethod
    def build(cls, sentences: Iterable[Sequence[str]], min_freq: int) -> "Vocab":
        """Collect tokens with at least `min_freq` occurrences; frequent first, ties by spelling."""
        counter = Counter(token for sentence in sentences for token in sentence)
        for token in SPECIAL_TOKENS:
            counter.pop(token, None)
        kept = sorted(
            (t for t, n in counter.items() if n >= min_freq), key=lambda t: (-counter[t], t)
        )
        return cls([*SPECIAL_TOKENS, *kept], [0] * len(SPECIAL_TOKENS) + [counter[t] for t in kept])

    @classmethod
    def count(cls, tokens: Sequence[str], sentences: Iterable[Sequence[str]]) -> "Vocab":
        """Create a vocabulary of given tokens, with their occurrences in sentences."""
        counter = Counter(token for sentence in sentences for token in sentence)
        listed = [*SPECIAL_TOKENS, *tokens]
        return cls(listed, [0] * len(SPECIAL_TOKENS) + [counter[token] for token in tokens])

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the ids of tokens, `unk_id` for unknown ones; adds no BOS or EOS."""
        return [self._ids.get(token, self.unk_id) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids up to the first EOS, without PAD and BOS."""
        tokens = []
        for i in ids:
            if i == self.eos_id:
                break
            if i not in (self.pad_id, self.bos_id):
                tokens.append(self.tokens[i])
        return tokens

    def to_dict(self) -> dict[str, list[str] | list[int]]:
        """Return the arguments that create it, for a checkpoint or a JSON file."""
        return {"tokens": list(self.tokens), "counts": list(self.counts)}


BITS_PER_BYTE = 8


def spelling_bits(tokens: Iterable[str], vocab: Vocab) -> int:
    """Return the cost in bits of the tokens of a program that are not in the target vocabulary.

    A model that predicts `<unk>` has not predicted the token. To compare models with different
    vocabularies, the spelling is added: the UTF-8 bytes and an end mark, each as one of 256.
    """
    unknown = [token for token in tokens if token not in vocab]
    return BITS_PER_BYTE * sum(len(token.encode(errors="surrogatepass")) + 1 for token in unknown)
