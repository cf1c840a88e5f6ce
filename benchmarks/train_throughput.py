"""Measure training throughput against other implementations, in real target tokens per second.

    python benchmarks/train_throughput.py --path FILE     # the students' file
    python benchmarks/train_throughput.py                 # experiment=tasks, which needs no file
    python benchmarks/train_throughput.py --quick         # few batches, two rounds

Ours is what `python train.py` runs: Lightning's Trainer with our module, batches, callbacks and
metrics file. The others have the same weights and dropout (`benchmarks/peers.py`): the tutorial's
Transformer on batches of 128 random pairs with Adam; `torch.nn.Transformer` and Hugging Face's
Marian on our batches with fused AdamW. They alternate in one process with one thread; a figure is
the median over rounds, a ratio is computed within a round. Processor time is measured, so other
work on the machine has little effect. Real target tokens include EOS, but not BOS and padding.

Needs the extra `en2py[bench]`.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from peers import Marian, TorchLayers, Tutorial
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from en2py.config.composition import CONF
from en2py.data.batch import Batch, collate
from en2py.data.datamodule import PairDataModule
from en2py.data.prepare import Prepared
from en2py.data.vocab import Vocab
from en2py.training import build, fitting, run_data
from en2py.training.metrics_file import MetricsFile
from en2py.training.module import Seq2SeqModule

SIZES = {
    "S2": ("small", 1700, 8449),
    "S3": ("wide", 1195, 4412),
}  # model; least vocabulary of each side
DROPOUT = 0.1
WARM_UP = 2  # batches before the measurement, which allocate states and memory
Measurement = Callable[[], tuple[float, int]]  # trains some batches: processor seconds, tokens


def configured(options: argparse.Namespace, size: str) -> dict[str, Any]:
    """Return the config of an ordinary run on the selected data."""
    data = ["experiment=tasks", "optimizer=adamw_fast"]  # that of the peers
    if options.path:
        data = ["~experiment", "data=english_python", f"data.path='{options.path}'"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(
            "train",
            overrides=[
                *data,
                f"model={SIZES[size][0]}",
                "model.norm=post",  # the only norm of the other implementations
                "model.positions=learned",
                f"model.dropout={DROPOUT}",
                f"batch.max_tokens={options.max_tokens}",
                "trainer=default",
                "trainer.accelerator=cpu",
                "logger=csv",
                *([f"cache='{options.cache}'"] if options.cache else []),
            ],
        )
        config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    return config


def widened(vocab: Vocab, n_tokens: int) -> Vocab:
    """Return a vocabulary of at least `n_tokens`; the added tokens are never used."""
    more = [f"unused {i}" for i in range(len(vocab), n_tokens)]
    return Vocab([*vocab.tokens, *more], [*vocab.counts, *(0 for _ in more)])


# -------------------------------------------------------------------------------- implementations


class Clock(pl.Callback):
    """Measure processor time and tokens of a run's batches after the warm-up."""

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, i: int
    ) -> None:
        if i + 1 < WARM_UP:
            return
        if i + 1 == WARM_UP:
            self.began, self.tokens = time.process_time(), 0
        else:
            self.tokens += batch.n_tokens
            self.seconds = time.process_time() - self.began


def by_trainer(
    config: dict[str, Any], prepared: Prepared, n_batches: int, precision: str
) -> Measurement:
    """Return a measurement of `train.py` without validation."""
    config = {**config, "trainer": {**config["trainer"], "precision": precision, "max_epochs": 1}}
    config["trainer"] |= {"limit_train_batches": n_batches + WARM_UP, "limit_val_batches": 0}
    config["callbacks"] = {}  # they act in validation only

    def measurement() -> tuple[float, int]:
        module, data = (
            build.new_module(config, prepared, {**STATES}),
            run_data.datamodule(config, prepared),
        )
        with tempfile.TemporaryDirectory() as folder:
            record = MetricsFile(Path(folder) / "metrics.csv", None)
            trainer = fitting.trainer(config, Path(folder), [record])
            clock = Clock()
            trainer.callbacks.append(clock)
            with contextlib.redirect_stdout(io.StringIO()):
                trainer.fit(module, data)
        return clock.seconds, clock.tokens

    return measurement


STATES: dict[str, Any] = {"src_state": {}, "tgt_state": {}}


def in_a_loop(module: Seq2SeqModule, batches: Sequence[Batch], precision: str) -> Measurement:
    """Return a measurement of a plain loop, without Lightning, callbacks and metrics file."""
    optimizer = module._optimizer(module.parameters())

    def step(batch: Batch) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            hidden, targets = module._hidden(batch)
            loss = module.loss(hidden, module.model.projection, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return timed(step, batches)


def of_peer(
    model: nn.Module,
    batches: Sequence[Batch],
    optimizer: torch.optim.Optimizer,
    mixed: bool,
    item: bool,
    warm_up: int = WARM_UP,
) -> Measurement:
    """Return a measurement of another implementation: logits at all positions."""

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            logits = model(batch.src, batch.tgt_in)
        loss = padded_loss(logits, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if item:
            loss.item()

    return timed(step, batches, warm_up)


def padded_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Return the mean over real target positions, of logits at all of them."""
    targets = batch.tgt_out.flatten()
    return F.cross_entropy(logits.flatten(0, 1).float(), targets, ignore_index=batch.pad_id)


def timed(
    step: Callable[[Batch], None], batches: Sequence[Batch], warm_up: int = WARM_UP
) -> Measurement:
    """Return a measurement of all batches after the warm-up."""

    def measurement() -> tuple[float, int]:
        for batch in batches[:warm_up]:
            step(batch)
        began, timed_ones = time.process_time(), batches[warm_up:]
        for batch in timed_ones:
            step(batch)
        return time.process_time() - began, sum(batch.n_tokens for batch in timed_ones)

    return measurement


def random_batches(data: PairDataModule, vocab: Vocab, n: int, n_pairs: int) -> list[Batch]:
    """Return the tutorial's batches: random pairs, padded to the longest."""
    examples, order = data.examples["train"], torch.Generator().manual_seed(0)
    places = torch.randperm(len(examples), generator=order).tolist()
    return [
        collate([examples[i] for i in places[k * n_pairs : (k + 1) * n_pairs]], vocab)
        for k in range(n)
    ]


# ------------------------------------------------------------------------------ operations, bytes


def needed_flops(module: Seq2SeqModule, batches: Sequence[Batch]) -> float:
    """Return the operations of real tokens, forward and backward (twice the forward)."""
    model = module.model
    d_model, n_tgt = model.projection.in_features, model.projection.out_features
    first: Any = model.encoder[0]
    d_ff = first.feed_forward[0].out_features
    n_enc, n_dec = len(model.encoder), len(model.decoder)
    src_each = 2 * (n_enc * (4 * d_model**2 + 2 * d_model * d_ff) + n_dec * 2 * d_model**2)
    tgt_each = 2 * (n_dec * (6 * d_model**2 + 2 * d_model * d_ff) + d_model * n_tgt)
    total = 0.0
    for batch in batches:
        s, t = batch.src_lengths.double(), batch.tgt_lengths.double()
        attention = n_enc * s * s + n_dec * (t * (t + 1) / 2 + t * s)
        total += float((s * src_each + t * tgt_each + 4 * d_model * attention).sum())
    return 3 * total


class Traffic(TorchDispatchMode):
    """Count the bytes that operators read and write, without any cache."""

    n_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [
                x for x in torch.utils._pytree.tree_leaves((args, out)) if isinstance(x, Tensor)
            ]
            self.n_bytes += sum(x.numel() * x.element_size() for x in tensors)
        return out


def ceilings(mixed: bool) -> tuple[float, float]:
    """Return operations per second of a large product, and bytes per second of a large copy."""

    def best(work: Callable[[], Any]) -> float:
        work()
        times = []
        for _ in range(5):
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
        return min(times)

    a, b = (torch.randn(2048, 2048, dtype=torch.bfloat16 if mixed else None) for _ in range(2))
    source, target = torch.ones(2**26), torch.ones(2**26)
    return 2 * 2048**3 / best(lambda: a @ b), 2 * 2**28 / best(lambda: target.copy_(source))


def epoch_ms(data: PairDataModule) -> tuple[float, int]:
    """Return the time to create an epoch's batches in ms, and their number."""
    loader, times = data.train_dataloader(), []
    for _ in range(3):
        began = time.process_time()
        n_batches = sum(1 for _ in loader)
        times.append((time.process_time() - began) * 1000)
    return min(times), n_batches


# ----------------------------------------------------------------------------------------- report


def measure(options: argparse.Namespace, size: str) -> dict[str, Any]:
    """Measure one size, print and return the figures."""
    config = configured(options, size)
    prepared = run_data.prepare_data(config)
    STATES.update(src_state=prepared.src_state, tgt_state=prepared.tgt_state)
    _, n_src, n_tgt = SIZES[size]
    prepared = replace(
        prepared,
        src_vocab=widened(prepared.src_vocab, n_src),
        tgt_vocab=widened(prepared.tgt_vocab, n_tgt),
    )
    vocab, best = prepared.tgt_vocab, fitting.precision("auto")
    data = run_data.datamodule(config, prepared)
    batches = [
        batch
        for batch, _ in zip(data.train_dataloader(), range(options.batches + WARM_UP), strict=False)
    ]
    pairs = random_batches(data, vocab, 2, options.pairs)
    print(
        f"\n{size}: {len(prepared.src_vocab):,} / {len(vocab):,} words, "
        f"{options.batches} batches per round, of "
        f"{statistics.mean(b.n_tokens for b in batches[WARM_UP:]):,.0f} target tokens"
    )

    def module() -> Seq2SeqModule:
        return build.new_module(config, prepared, {**STATES}).train()

    model = module().model
    tutorial, layers, marian = (
        Tutorial(model, DROPOUT),
        TorchLayers(model, DROPOUT),
        Marian(model, DROPOUT),
    )
    losses = same_loss(
        module().eval(), {"tutorial": tutorial, "torch": layers, "marian": marian}, batches[1]
    )
    runs: dict[str, Measurement] = {}
    if not options.without_tutorial:
        adam = torch.optim.Adam(tutorial.parameters(), 1e-4, fused=False, foreach=False)
        runs["tutorial, random pairs"] = of_peer(
            tutorial, pairs, adam, mixed=False, item=True, warm_up=1
        )

    def fused(peer: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(peer.parameters(), 1e-4, fused=True)

    runs["torch.nn"] = of_peer(layers, batches, fused(layers), False, False)
    runs["Marian"] = of_peer(marian, batches, fused(marian), False, False)
    runs["ours, fp32"] = by_trainer(config, prepared, options.batches, "32-true")
    if best != "32-true":
        again = Marian(model, DROPOUT)
        runs["Marian, bf16"] = of_peer(again, batches, fused(again), True, False)
        runs["ours, bf16"] = by_trainer(config, prepared, options.batches, best)
    runs["ours, bare loop"] = in_a_loop(module(), batches, best)
    ours = "ours, bf16" if best != "32-true" else "ours, fp32"

    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            seconds, tokens = run()
            rates[name].append(tokens / seconds)
    print(f"{'tokens/s, median':<26}{'':>8}   {ours} speed-up (median, minimum to maximum)")
    figures: dict[str, Any] = {"losses": losses, "rates": rates, "ratios": {}}
    for name, each in rates.items():
        ratios = sorted(a / b for a, b in zip(rates[ours], each, strict=True))
        figures["ratios"][name] = ratios
        text = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"{name:<26}{statistics.median(each):>8,.0f}   {text}")
    if best != "32-true":
        ratios = [a / b for a, b in zip(rates["ours, fp32"], rates["Marian"], strict=True)]
        figures["fp32 against Marian"] = ratios
        print(f"ours, fp32, against Marian: {statistics.median(ratios):.2f}")
    overhead = statistics.median(figures["ratios"]["ours, bare loop"])
    print(f"Lightning, callbacks and metrics file: {1 / overhead - 1:.1%} of a step")
    return (
        figures
        | roofline(module(), batches, rates[ours], best == "bf16-mixed")
        | batch_statistics(data)
    )


def same_loss(module: Seq2SeqModule, peers: dict[str, nn.Module], batch: Batch) -> dict[str, float]:
    """Check that all losses are equal in fp32; return them, and that of bf16."""
    losses = {}
    with torch.no_grad():
        for name, mixed in (("ours", False), ("ours, bf16", True)):
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                hidden, targets = module._hidden(batch)
                losses[name] = module.loss(hidden, module.model.projection, targets).item()
        for name, peer in peers.items():
            losses[name] = padded_loss(peer.eval()(batch.src, batch.tgt_in), batch).item()
            peer.train()
            assert abs(losses[name] - losses["ours"]) < 1e-4, losses
    print("one batch's loss: " + ", ".join(f"{name} {loss:.5f}" for name, loss in losses.items()))
    return losses


def roofline(
    module: Seq2SeqModule, batches: Sequence[Batch], rates: Sequence[float], mixed: bool
) -> dict[str, Any]:
    """Count a step's operations and bytes, and its share of the machine's best rates."""
    sample = batches[: WARM_UP + 2]
    step = in_a_loop(module, sample, "bf16-mixed" if mixed else "32-true")
    with FlopCounterMode(display=False) as counter:
        step()
    with Traffic() as traffic:
        step()
    needed, tokens = needed_flops(module, sample), sum(batch.n_tokens for batch in sample)
    gemm, copy = ceilings(mixed)
    rate = statistics.median(rates)
    figures = {
        "needed MFLOP per token": needed / tokens / 1e6,
        "executed over needed operations": counter.get_total_flops() / needed,
        "MB per token": traffic.n_bytes / tokens / 1e6,
        "GFLOP/s of a product": gemm / 1e9,
        "GB/s of a copy": copy / 1e9,
        "share of the product's rate": needed / tokens * rate / gemm,
        "share of the copy's rate": traffic.n_bytes / tokens * rate / copy,
    }
    for name, value in figures.items():
        print(f"{name:<30}{value:>10.3f}")
    return figures


def batch_statistics(data: PairDataModule) -> dict[str, Any]:
    """Print the time to create an epoch's batches, and their padding."""
    ms, n_batches = epoch_ms(data)
    padded = real = 0
    for batch in data.train_dataloader():
        padded, real = padded + batch.tgt_out.numel(), real + batch.n_tokens
    print(
        f"an epoch's {n_batches} batches are created in {ms:.1f} ms; "
        f"target padding {padded / real:.3f}"
    )
    return {"epoch ms": ms, "batches": n_batches, "padded over real target tokens": padded / real}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--path", default=None, help="default: experiment=tasks")
    parser.add_argument("--cache", default=None, help="folder of prepared data")
    parser.add_argument("--sizes", default="S2,S3", help="comma list")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=8, help="batches of ours per round")
    parser.add_argument(
        "--max-tokens", type=int, default=2048, help="target tokens per batch of ours"
    )
    parser.add_argument("--pairs", type=int, default=128, help="pairs per batch of the tutorial")
    parser.add_argument("--without-tutorial", action="store_true", help="saves half the time")
    parser.add_argument("--quick", action="store_true", help="two rounds of two batches, 16 pairs")
    parser.add_argument("--json", type=Path, default=None, help="where to write the figures")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.batches, options.pairs = 2, 2, 16
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    record: dict[str, Any] = {
        "machine": [platform.machine(), torch.cpu.get_capabilities().get("cpu_name")],
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "options": {
            k: str(v) for k, v in vars(options).items() if k not in ("path", "cache", "json")
        },
        "sizes": {size: measure(options, size) for size in options.sizes.split(",")},
    }
    if options.json:
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
