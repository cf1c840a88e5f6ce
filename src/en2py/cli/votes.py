"""Programs of `decoding=votes`: pools of a checkpoint, ranked with weights stored beside it."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from en2py.data.files import digest, write_atomically
from en2py.data.pairs import Pair
from en2py.data.prepare import Prepared
from en2py.decoding.votes import Votes
from en2py.errors import UserError
from en2py.evaluation.pool import PoolRanker, PoolWeights
from en2py.evaluation.scores import TrainingData
from en2py.training.module import Seq2SeqModule

log = logging.getLogger(__name__)

MOST_VALIDATION = 500  # validation pairs that the weights are learned from, evenly spaced


@dataclass(frozen=True)
class RankedSearch:
    """The pools of a checkpoint.

    Attributes:
        checkpoint: Its file.
        key: What the weights depend on: the checkpoint, its search and its data.
        ranker: Ranks its pools.
    """

    checkpoint: Path
    key: Mapping[str, Any]
    ranker: PoolRanker

    @classmethod
    def of(
        cls,
        checkpoint: Path,
        sha256: str,
        module: Seq2SeqModule,
        prepared: Prepared,
        sandbox: Mapping[str, Any],
    ) -> "RankedSearch | None":
        """Return the pools of a module that decodes with `votes`; None if it does not.

        Args:
            checkpoint: The file.
            sha256: Its digest.
            module: Its module.
            prepared: The data of its training.
            sandbox: Settings of the sandbox.
        """
        if not isinstance(module.search, Votes):
            return None
        config = module.metadata["config"]
        key = {
            "checkpoint": sha256,
            "decoding": config["decoding"],
            "data": prepared.split_hash,
        }
        training, n = TrainingData.of(prepared), module.search.n_retrieved
        ranker = PoolRanker(training, n, module.likelihoods, sandbox, Path(config["cache"]))
        return cls(checkpoint, key, ranker)

    @property
    def file(self) -> Path:
        """Return the file of the weights, beside the checkpoint."""
        return self.checkpoint.with_name(
            f"{self.checkpoint.stem}.votes-{digest(self.key)[:8]}.json"
        )

    def stored_weights(self) -> PoolWeights | None:
        """Return the stored weights; None if there are none for this key."""
        try:
            record = json.loads(self.file.read_text(encoding="utf-8"))
            return PoolWeights(**record["weights"]) if record["key"] == self.key else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def weights(
        self, validation: Sequence[Pair], write: Callable[[Sequence[Pair]], list[list[str]]]
    ) -> PoolWeights:
        """Return the weights; where none are stored, learn and store them.

        Args:
            validation: All validation pairs of the checkpoint's own data.
            write: Returns the programs that the model writes for some of them.

        Raises:
            UserError: If there is no validation pair.
        """
        if (stored := self.stored_weights()) is not None:
            log.info(f"weights of the pool: {self.file.name}")
            return stored
        n = min(len(validation), MOST_VALIDATION)
        pairs = [validation[i * len(validation) // n] for i in range(n)]
        written = write(pairs)
        readable = [i for i, own in enumerate(written) if own]
        if not readable:
            raise UserError(
                "decoding=votes: its weights are learned from validation pairs, and there is none "
                "that the model can read; use another search"
            )
        log.info(f"learning the weights of the pool from {len(readable):,} validation pairs")
        weights, means = self.ranker.fit(
            [pairs[i] for i in readable], [written[i] for i in readable]
        )
        record = {
            "key": self.key, "weights": asdict(weights), "validation": {"n": len(readable), **means}
        }  # fmt: skip
        write_atomically(self.file, json.dumps(record, indent=1).encode())
        log.info(f"weights of the pool: {self.file.name} (stored beside the checkpoint)")
        return weights

    def ranking_key(self, weights: PoolWeights) -> dict[str, Any]:
        """Return what the ranking of written programs depends on."""
        return {**self.key, "weights": asdict(weights), **self.ranker.key}

    def rank(
        self, descriptions: Sequence[str], written: Sequence[Sequence[str]], weights: PoolWeights
    ) -> list[list[str]]:
        """Return the best programs per description; none where the model wrote none."""
        places = [i for i, own in enumerate(written) if own]
        ranked = self.ranker.rank(
            [descriptions[i] for i in places], [written[i] for i in places], weights
        )
        found: list[list[str]] = [[] for _ in descriptions]
        for i, own in zip(places, ranked, strict=True):
            found[i] = own
        return found
