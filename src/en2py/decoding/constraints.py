"""What a search may generate: special tokens, repetitions, and Python's grammar."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict, Unpack

import torch
from pydantic import Field
from torch import Tensor

from en2py.data.tokenizers.protocol import Tokenizer
from en2py.data.vocab import Vocab
from en2py.decoding.cpu_kernels import logsumexp
from en2py.decoding.grammar import Grammar, State

MOST_REFUSED = 50  # tokens that the grammar refuses before the closing is taken
_FORCED = -20.0  # log-probability of a closing's token that is masked


class Limits(TypedDict, total=False):
    """The arguments of every search that limit what it may generate.

    Attributes:
        allow_unk: Whether `<unk>` may be generated; false by default.
        no_repeat_ngram: Generate no sequence of this many tokens twice (Paulus et al., 2018).
        repetition_penalty: Divides positive and multiplies negative logits of tokens that were
            generated before (Keskar et al., 2019, section 4.1); 1 changes nothing.
        grammar: Allow only what Python's grammar can continue, see `Grammar`.
        tokenizer: Of the target side, for the grammar.
    """

    allow_unk: bool
    no_repeat_ngram: Annotated[int, Field(ge=2)] | None
    repetition_penalty: Annotated[float, Field(ge=1)]
    grammar: bool
    tokenizer: Tokenizer | None


class Constraints:
    """The limits of one search, applied to logits.

    Args:
        vocab: The target vocabulary.
        **limits: The limits.
    """

    def __init__(self, vocab: Vocab, **limits: Unpack[Limits]) -> None:
        unknown = [] if limits.get("allow_unk", False) else [vocab.unk_id]
        self._masked = [vocab.pad_id, vocab.bos_id, *unknown]
        self._no_repeat_ngram = limits.get("no_repeat_ngram")
        self._penalty = limits.get("repetition_penalty", 1.0)
        needs_grammar = limits.get("grammar", False)
        self.grammar = Grammar(vocab, limits.get("tokenizer")) if needs_grammar else None

    def mask(self, logits: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits that a search compares, and their log-sum-exp.

        Args:
            logits: Of the model, `[R, V]`; changed in place.
            history: Tokens generated so far, `[R, t]`.

        Returns:
            Logits `[R, V]`, those of tokens that may not be generated -inf; `[R, 1]`.
        """
        logits = logits.float()
        logits[:, self._masked] = -math.inf
        if self._penalty != 1 and history.shape[1]:
            seen = logits.gather(1, history)
            penalized = torch.where(seen > 0, seen / self._penalty, seen * self._penalty)
            logits.scatter_(1, history, penalized)
        n = self._no_repeat_ngram
        if n is None or history.shape[1] < n:
            return logits, logsumexp(logits)
        windows = history.unfold(1, n, 1)  # [R, t - n + 1, n]
        begun = (windows[..., :-1] == history[:, None, history.shape[1] - n + 1 :]).all(-1)
        rows, places = begun.nonzero(as_tuple=True)
        logits[rows, windows[rows, places, -1]] = -math.inf
        return logits, logits.logsumexp(-1, keepdim=True)

    def refuse(self, logits: Tensor, token: int, state: State, room: int) -> None:
        """Mask a refused token, and others that need no check, in the logits `[V]`.

        The probability of a refused end, of the line or the program, goes to the closing of what
        is open, because the next best token would not end it.

        Args:
            logits: Changed in place.
            token: The refused token.
            state: The grammar's state of the hypothesis.
            room: Tokens that may follow, EOS included.
        """
        grammar: Any = self.grammar
        if token in grammar.ends and state.closing and state != grammar.start:
            closing = state.closing[0]
            logits[closing] = torch.logaddexp(logits[closing], logits[token])
        logits[token] = -math.inf
        masked = grammar.masked(state, room)
        if masked is not None:
            logits[masked] = -math.inf

    def force(self, logits: Tensor, token: int, norm: float, allowed: Sequence[int] = ()) -> None:
        """Mask all of the logits `[V]` of a hypothesis but a token's, and those known as allowed.

        The token gets a logit if all of them are masked.
        """
        kept = [token, *allowed]
        values = logits[kept]
        logits.fill_(-math.inf)
        logits[kept] = values
        if not values.isfinite().any():
            logits[token] = norm + _FORCED
