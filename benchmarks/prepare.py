"""Measure data preparation: time by stage, first time, from the cache, and in one process.

python benchmarks/prepare.py [--english-python FILE] [--root FOLDER] [--quick] [--json FILE]

`--root` is a folder of Python files to mine pairs from for the growth; the default is the packages
of this environment. Seconds are wall clock; the processor seconds of all processes are printed too,
for machines with other load. Memory is the peak of the main process.
"""

import argparse
import json
import multiprocessing
import os
import pickle
import platform
import resource
import sysconfig
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--english-python", metavar="FILE", help="the students' file")
    parser.add_argument("--root", default=sysconfig.get_path("purelib"))
    parser.add_argument("--quick", action="store_true", help="small data, to check that it runs")
    parser.add_argument("--json", default="prepare.json", metavar="FILE")
    args = parser.parse_args()
    rows: list[Row] = []

    def measure(what: str, job: Callable[..., Row], *arguments: Any) -> None:
        # A new process for each: nothing is warm, and the peak of memory is that of the job.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            row = {"what": what, **pool.submit(job, *arguments).result()}
        rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)

    sources = {"tasks": ["experiment=tasks", *(["data.source.n_pairs=900"] * args.quick)]}
    if args.english_python:
        path = f"data.path={args.english_python}"
        sources["english_python"] = ["data=english_python", path, "embeddings=joint"]
    for name, overrides in sources.items():
        with tempfile.TemporaryDirectory() as folder:
            measure(f"{name}, first time", run, [*overrides, f"cache={folder}"])
            measure(f"{name}, from the cache", run, [*overrides, f"cache={folder}"])
        measure(f"{name}, one process", stages, overrides, 1)
        measure(f"{name}, by stage", stages, overrides, os.cpu_count())
    with tempfile.TemporaryDirectory() as folder:
        mined = Path(folder) / "mined.pickle"
        measure("mining", mine, args.root, mined)
        for n in (300,) if args.quick else (1_000, 10_000, 100_000):
            measure(f"growth, {n:,} pairs", grow, mined, n)
    record = {
        "date": date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "rows": rows,
    }
    Path(args.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


class Clock:
    """Wall and processor seconds since its creation, with those of finished processes."""

    def __init__(self) -> None:
        self.began, self.used = time.perf_counter(), self._used()

    def _used(self) -> float:
        both = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(r.ru_utime + r.ru_stime for r in both)

    def read(self) -> Row:
        return {
            "seconds": round(time.perf_counter() - self.began, 2),
            "cpu_seconds": round(self._used() - self.used, 2),
        }


def peak() -> Row:
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def config_of(overrides: list[str]) -> dict[str, Any]:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from en2py.config.composition import CONF, without_preset

    overrides = without_preset("train", overrides)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config: Any = OmegaConf.to_container(compose("train", overrides), resolve=True)
    return dict(config)


def run(overrides: list[str]) -> Row:
    """Do all that a run does before it builds its model, with the cache."""
    config = config_of(overrides)
    from en2py.training import build, run_data

    clock = Clock()
    cached = run_data.is_prepared(config)
    prepared = run_data.prepare_data(config)
    build.word_vectors(config, prepared)
    sizes = prepared.report.facts["sizes"]
    return {**clock.read(), **peak(), "cached": cached, "pairs": sum(sizes.values()),
            "split_hash": prepared.split_hash[:16]}  # fmt: skip


def stages(overrides: list[str], processes: int) -> Row:
    """Run each stage alone."""
    config = config_of(overrides)
    from en2py.config import instantiate
    from en2py.data.cleaning import clean
    from en2py.data.duplicates import fingerprint
    from en2py.data.pairs import DataReport
    from en2py.data.parallel import ProcessPool
    from en2py.training import run_data

    report, row, whole = DataReport(), dict[str, Any](), Clock()

    def timed(stage: str, job: Callable[[], Any]) -> Any:
        clock = Clock()
        result = job()
        row[stage] = clock.read()["seconds"]
        return result

    pairs = timed("read", lambda: instantiate.make(config["data"]["source"])(report))
    steps = run_data.cleaning_steps(config["cleaning"])
    with ProcessPool(processes, 10) as pool:
        pairs = timed("clean", lambda: clean(pairs, steps, report, pool=pool))
        prints = timed("compare", lambda: list(pool.map(fingerprint, pairs)))
    splits = timed("split", lambda: instantiate.make(config["split"])(pairs, report, prints))
    src, tgt = run_data.tokenizers(config)
    src.fit([p.description for p in splits.train])
    tgt.fit([p.code for p in splits.train])
    every = [*splits.train, *splits.val, *splits.test]
    english = timed("English tokens", lambda: [src.tokenize(p.description) for p in every])
    python = timed("Python tokens", lambda: [tgt.tokenize(p.code) for p in every])
    if config["embeddings"]["vectors"]["_target_"].endswith(("joint", "separate", "code")):
        from en2py.data.vocab import Vocab

        vocabs = Vocab.build(english, 1), Vocab.build(python, 1)
        sentences = list(zip(english, python, strict=True))[: len(splits.train)]
        learn = instantiate.make(config["embeddings"]["vectors"])
        timed("word2vec", lambda: learn(sentences, *vocabs, seed=1))
    return {**whole.read(), **peak(), "split_hash": splits.hash[:16], **row}


def mine(root: str, path: Path) -> Row:
    """Mine all pairs and write them to a file."""
    config = config_of(["data=stdlib", f"data.root={root}"])
    from en2py.config import instantiate
    from en2py.data.pairs import DataReport

    clock = Clock()
    pairs = instantiate.make(config["data"]["source"])(DataReport())
    row = {**clock.read(), **peak(), "pairs": len(pairs)}
    path.write_bytes(pickle.dumps(pairs))
    return row


def grow(mined: Path, n: int) -> Row:
    """Prepare `n` of the mined pairs, spread evenly."""
    config = config_of(["data=stdlib"])
    from en2py.config import instantiate
    from en2py.data.duplicates import group_near_duplicates
    from en2py.data.prepare import prepare
    from en2py.training import run_data

    pairs = pickle.loads(mined.read_bytes())
    taken = [pairs[i * len(pairs) // n] for i in range(n)] if n < len(pairs) else pairs
    del pairs
    found: dict[str, Any] = {}

    def read(report: Any) -> list[Any]:
        report.read("mined", len(taken))
        return taken

    def split(pairs: Any, report: Any, prints: Any) -> Any:
        clock = Clock()
        group_near_duplicates(prints)
        found["grouping"] = clock.read()["seconds"]
        return instantiate.make(config["split"])(pairs, report, prints)

    src, tgt = run_data.tokenizers(config)
    clock = Clock()
    prepared = prepare(
        read=read,
        cleaning=run_data.cleaning_steps(config["cleaning"]),
        split=split,
        augment=instantiate.make(config["augmentation"]),
        src_tokenizer=src,
        tgt_tokenizer=tgt,
        **config["vocab"],
        max_src_len=config["model"]["max_src_len"],
        max_tgt_len=config["model"]["max_tgt_len"],
        processes=os.cpu_count() or 1,
    )
    sizes = prepared.report.facts["sizes"]
    return {
        **clock.read(),
        **peak(),
        **found,
        "taken": len(taken),
        "left": sum(sizes.values()),
    }


if __name__ == "__main__":
    main()
