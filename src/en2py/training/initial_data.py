"""The pairs that the initial weights of a run (`init_from`) were trained on."""

from collections.abc import Iterator, Sequence

from en2py.config.composition import Config
from en2py.config.instantiate import check_allowed
from en2py.config.run_name import canonical
from en2py.data.duplicates import fingerprint, overlapping
from en2py.data.pairs import Pair
from en2py.data.prepare import Prepared
from en2py.training import build
from en2py.training.checkpoints import load_checkpoint, locate_data


def initial_data(config: Config) -> Iterator[tuple[Config, Prepared]]:
    """Yield the config and the data of the checkpoint in `init_from`, then those of its own, ...

    Args:
        config: The config of a run; its cache is used.

    Raises:
        UserError: If a checkpoint cannot be read, or its data are not found.
    """
    while path := config.get("init_from"):
        metadata = load_checkpoint(path, mmap=True)["en2py"]
        config = {**metadata["config"], **{key: config[key] for key in ("cache", "processes")}}
        check_allowed(config)
        config["data"] = locate_data(config, metadata.get("files", {}), path)
        yield config, build.prepare_data(config)[0]


def n_known_to_initial_weights(config: Config, prepared: Prepared, pairs: Sequence[Pair]) -> int:
    """Count the held-out pairs with a near-duplicate among the pairs of the initial weights.

    Args:
        config: The config of a run.
        prepared: Its data.
        pairs: Held-out pairs of these data.

    Raises:
        UserError: If a checkpoint cannot be read, or its data are not found.
    """
    known: set[int] = set()
    for stored, earlier in initial_data(config):
        target = stored["data"].get("target")
        is_cleared = target and canonical(target["source"]) == canonical(config["data"]["source"])
        if is_cleared or earlier.split_hash == prepared.split_hash:
            continue
        trained = [fingerprint(pair) for pair in earlier.pairs("train")]
        found = overlapping(trained, [fingerprint(pair) for pair in pairs])
        known.update(place for place, is_known in enumerate(found) if is_known)
    return len(known)
