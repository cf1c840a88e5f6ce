"""The pairs that the initial weights of a run (`init_from`) were trained on."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from en2py.config.composition import Config, mapped
from en2py.config.instantiate import check_allowed
from en2py.config.run_name import canonical
from en2py.data.cache import cached
from en2py.data.duplicates import fingerprint, overlapping
from en2py.data.files import digest
from en2py.data.pairs import Pair
from en2py.data.prepare import Prepared
from en2py.training import run_data
from en2py.training.checkpoints import load_checkpoint, locate_data


def initial_data(
    config: Config, is_skipped: Callable[[Config], bool] = lambda metadata: False
) -> Iterator[tuple[Prepared, list[Pair]]]:
    """Yield the data of the checkpoint in `init_from`, then those of its own, and so on.

    The cache of the config is used. Data of a checkpoint whose metadata `is_skipped` are left out.

    Yields:
        The data, and the pairs of them that the checkpoint was trained on.

    Raises:
        UserError: If a checkpoint cannot be read, or its data are not found.
    """
    seen = set[str]()  # a file may have been replaced by a later run that began with it
    while (path := config.get("init_from")) and path not in seen:
        seen.add(path)
        metadata = load_checkpoint(path, mmap=True)["en2py"]
        config = {**metadata["config"], **{key: config[key] for key in ("cache", "processes")}}
        if is_skipped(metadata):
            continue
        check_allowed(config)
        config["data"] = locate_data(config, metadata.get("files", {}), path)
        prepared = run_data.prepare_data(config)
        yield prepared, prepared.pairs("train")[: config["batch"]["max_pairs"]]


def n_known_to_initial_weights(config: Config, prepared: Prepared, pairs: Sequence[Pair]) -> int:
    """Count the held-out pairs with a near-duplicate among the pairs of the initial weights.

    Raises:
        UserError: If a checkpoint cannot be read, or its data are not found.
    """
    source = canonical(config["data"]["source"])

    def is_cleared(metadata: Config) -> bool:
        if not (target := metadata["config"]["data"].get("target")):
            return False
        # With the content at that time: no pair that a file has got since was compared.
        files = {path: sha256 for path, (_, sha256) in metadata.get("files", {}).items()}
        return bool(canonical(mapped(target["source"], lambda t: files.get(t, t))) == source)

    known: set[int] = set()
    for earlier, trained in initial_data(config, is_cleared):
        if earlier.split_hash == prepared.split_hash:
            continue

        def find(trained: Sequence[Pair] = trained) -> list[int]:
            prints = [[fingerprint(pair) for pair in members] for members in (trained, pairs)]
            return [i for i, is_known in enumerate(overlapping(*prints)) if is_known]

        lists = {"trained": trained, "held_out": pairs}
        key = {
            name: digest([[p.description, p.code] for p in members])
            for name, members in lists.items()
        }
        known.update(cached(Path(config["cache"]), "known", key, find))
    return len(known)
