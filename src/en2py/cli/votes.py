"""Programs of `decoding=votes`: pools of a checkpoint, ranked with weights stored beside it."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from en2py.data.files import digest, file_digest, write_atomically
from en2py.data.pairs import Pair, evenly_spaced
from en2py.data.prepare import Prepared
from en2py.decoding.votes import Votes
from en2py.errors import UserError
from en2py.evaluation.behaviour.cached import execution_digest
from en2py.evaluation.pool_ranking import PoolRanker, PoolWeights
from en2py.evaluation.scores import TrainingData
from en2py.training.module import Seq2SeqModule

log = logging.getLogger(__name__)

MOST_VALIDATION = 500  # validation pairs that the weights are learned from, evenly spaced


@dataclass(frozen=True)
class Pool:
    """The pools of a checkpoint.

    Attributes:
        ranker: Ranks them.
        key: What the weights depend on: the checkpoint, its search, its data, the memory of the
            sandbox and the code.
        file: The weights, beside the checkpoint.
    """

    ranker: PoolRanker
    key: dict[str, Any]
    file: Path

    @classmethod
    def of(
        cls,
        checkpoint: Path,
        module: Seq2SeqModule,
        prepared: Prepared,
        max_pairs: int | None,
        sandbox: dict[str, Any],
    ) -> "Pool | None":
        """Return the pools of a module that decodes with `votes`, None if it does not."""
        if not isinstance(module.search, Votes):
            return None
        config = module.metadata["config"]
        n, folder = module.search.n_retrieved, Path(config["cache"])
        training = TrainingData.of(prepared, max_pairs)
        source = next((pair.source for pair in prepared.pairs("val")), "")
        ranker = PoolRanker(training, source, n, module.likelihoods, sandbox, folder)
        key = {
            "checkpoint": file_digest(checkpoint),
            "decoding": config["decoding"],
            "data": prepared.split_hash,
            "max_pairs": max_pairs,
            # Not the time limit: the calls have their own.
            "memory_mb": sandbox["memory_mb"],
            "code": [*ranker.key["code"], execution_digest()],
        }
        name = f"{checkpoint.stem}.votes-{digest(key)[:12]}.json"
        return cls(ranker, key, checkpoint.with_name(name))

    def stored_weights(self) -> PoolWeights | None:
        """Return the stored weights, None if they were not learned."""
        if not self.file.is_file():
            return None
        return PoolWeights(**json.loads(self.file.read_text(encoding="utf-8"))["weights"])

    def learn_weights(
        self, validation: Sequence[Pair], write: Callable[[list[Pair]], list[list[str]]]
    ) -> PoolWeights:
        """Learn the weights from programs that the model writes, and store them.

        Raises:
            UserError: If there is no validation pair.
        """
        pairs = [validation[i] for i in evenly_spaced(len(validation), MOST_VALIDATION)]
        readable = [
            (pair, programs) for pair, programs in zip(pairs, write(pairs), strict=True) if programs
        ]
        if not readable:
            raise UserError(
                "decoding=votes: its weights are learned from validation pairs, and there is none "
                "that the model can read; use another search"
            )
        log.info(f"learning the weights of the pools from {len(readable):,} validation pairs")
        weights, means = self.ranker.fit(*zip(*readable, strict=True))
        record = {**self.key, "weights": asdict(weights), "n_pairs": len(readable), **means}
        write_atomically(self.file, json.dumps(record, indent=1).encode())
        log.info(f"they are stored beside the checkpoint: {self.file.name}")
        return weights
