"""Beam search and sampling together: the written programs of a pool."""

from functools import partial
from typing import Any, Unpack

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from en2py.data.vocab import Vocab
from en2py.decoding.beam_search import beam
from en2py.decoding.constraints import Limits
from en2py.decoding.grammar import compiles
from en2py.decoding.hypothesis import Hypothesis, Model
from en2py.decoding.sampling import Draws, sample
from en2py.ranges import Length


class Votes:
    """A search that finds many programs; `evaluation.pool_ranking` ranks them with retrieved ones.

    A search knows the model and the source alone. Descriptions, training pairs and the sandbox,
    which the ranking needs, come from `cli.votes`.

    Args:
        max_len: Most steps, in tokens with EOS.
        n_retrieved: Training programs that the ranking adds.
        beam_size: See `beam`.
        length_penalty: See `beam`.
        n_samples: Draws per source; 0: none.
        **draws: See `sample`; with the tokenizer of the target side.
    """

    def __init__(
        self,
        *,
        max_len: Length,
        n_retrieved: NonNegativeInt,
        beam_size: PositiveInt,
        length_penalty: NonNegativeFloat,
        n_samples: NonNegativeInt,
        **draws: Unpack[Draws],
    ) -> None:
        tokenizer = draws.get("tokenizer")
        if tokenizer is None:
            raise ValueError("votes compile programs, so they need their tokenizer")
        self.n_retrieved, self._tokenizer = n_retrieved, tokenizer
        limits: Any = {
            name: value for name, value in draws.items() if name in Limits.__annotations__
        }
        beams = partial(beam, beam_size=beam_size, length_penalty=length_penalty)
        self.searches = [partial(beams, max_len=max_len, **limits)]
        if n_samples:
            self.searches.append(partial(sample, max_len=max_len, n_samples=n_samples, **draws))

    @torch.inference_mode()
    def __call__(self, model: Model, src: Tensor, vocab: Vocab) -> list[list[Hypothesis]]:
        """Return the distinct programs that compile, all if none does, by likelihood per token."""
        found = [search(model, src, vocab) for search in self.searches]
        return [
            self._ranked([h for of_search in hypotheses for h in of_search], vocab)
            for hypotheses in zip(*found, strict=True)
        ]

    def _ranked(self, hypotheses: list[Hypothesis], vocab: Vocab) -> list[Hypothesis]:
        distinct = list({tuple(h.ids): h for h in reversed(hypotheses)}.values())
        texts = [self._tokenizer.detokenize(vocab.decode(h.ids)) for h in distinct]
        valid = [
            h for h, text in zip(distinct, texts, strict=True) if h.finished and compiles(text)
        ]
        return sorted(valid or distinct, key=lambda h: h.score / (len(h.ids) + 1), reverse=True)
