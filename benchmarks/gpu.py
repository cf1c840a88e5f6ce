"""Answer the open questions about GPUs in one short visit; `--device cpu --quick` tries every part.

    python benchmarks/gpu.py                         # at most 8 minutes on an H100-class card
    python benchmarks/gpu.py --path FILE             # (d) on the students' file
    python benchmarks/gpu.py --device cpu --quick    # every part, on a CPU
    python benchmarks/gpu.py --only rates,levers

Each part runs in a process with a time limit of its own; a part that fails or ends at its limit is
reported in one line, and what it had measured is kept. Figures: `results/gpu-<device>.json`. Wall
time, synchronized with the device. `Marian` is Hugging Face's; `bench` in pyproject.toml names the
packages of the peers, a missing one is reported and left out.

Parts: correctness (device against CPU), rates (training against peers), levers (each on and off),
run (30 epochs of `small`), many (several runs on one card), decoding.
"""

import argparse
import contextlib
import io
import json
import logging
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import decode_throughput as decoders
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from peers import Marian, TorchLayers
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from train_throughput import SIZES, padded_loss, widened

from en2py.config.composition import compose_config
from en2py.data.batch import Batch
from en2py.models.incremental import IncrementalDecoder
from en2py.training import build, fitting, run_data
from en2py.training.checkpoints import checkpoint_metadata, load_checkpoint
from en2py.training.module import Seq2SeqModule

HERE = Path(__file__).resolve().parent
LIMITS = {"correctness": 60, "rates": 120, "levers": 110, "run": 60, "many": 70, "decoding": 60}
Record = dict[str, Any]
Save = Callable[[str, Any], None]


class Work:
    """The data, the modules and the clock of one part.

    Args:
        options: Of the command line.
        size: S2 or S3 of `train_throughput.py`, or `base`.
        max_tokens: Target tokens per batch.
    """

    def __init__(
        self, options: argparse.Namespace, size: str = "S2", max_tokens: int = 2048
    ) -> None:
        self.device = torch.device(options.device)
        model, n_src, n_tgt = SIZES.get(size, (size, 1700, 8449))
        n_pairs = 900 if options.quick else 3000
        self.config, choices = settings(
            [
                "experiment=tasks",
                "optimizer=adamw_fast",  # that of the peers
                f"data.source.n_pairs={n_pairs}",
                f"model={model}",
                "model.norm=post",  # the only norm of the peers
                "model.positions=learned",
                f"batch.max_tokens={max_tokens}",
                "trainer=default",
                f"trainer.accelerator={'gpu' if self.device.type == 'cuda' else 'cpu'}",
                *([f"cache='{options.cache}'"] if options.cache else []),
            ]
        )
        config = self.config
        self.prepared = run_data.prepare_data(config)
        self.prepared = replace(
            self.prepared,
            src_vocab=widened(self.prepared.src_vocab, n_src),
            tgt_vocab=widened(self.prepared.tgt_vocab, n_tgt),
        )
        self.metadata = checkpoint_metadata(config, choices, self.prepared, "benchmark")
        self.n_batches = 2 if options.quick else 60

    def module(self, **more: Any) -> Seq2SeqModule:
        """Return a module with new weights on the device; `more` overrides values of the model."""
        config = {**self.config, "model": {**self.config["model"], **more}}
        return build.new_module(config, self.prepared, self.metadata).train().to(self.device)

    def batches(self, n: int | None = None) -> list[Batch]:
        """Return batches of the training split on the device."""
        data = run_data.datamodule(self.config, self.prepared)
        loader = data.train_dataloader()
        found = [batch for batch, _ in zip(loader, range(n or self.n_batches), strict=False)]
        return [batch.to(self.device) for batch in found]

    def seconds(self, work: Callable[[], object]) -> float:
        """Return the wall time of some work, after the device has finished."""
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - began

    def wait(self) -> None:
        """Wait until the device has finished."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def autocast(self, enabled: bool = True) -> Any:
        """Return bf16 autocast on the device."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)


def settings(words: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the resolved config of a command line of `train.py`, and the options of its groups."""
    cfg = compose_config("train", words)
    keys = [key for key in cfg if key != "hydra"]
    config: Any = OmegaConf.to_container(OmegaConf.masked_copy(cfg, keys), resolve=True)
    choices = cfg.hydra.runtime.choices.items()
    return dict(config), {str(k): str(v) for k, v in choices if not str(k).startswith("hydra")}


def loss_of(module: Seq2SeqModule, batch: Batch) -> Tensor:
    """Return our loss of a batch, as training computes it."""
    return module._loss(batch)


def stepper(
    work: Work,
    model: nn.Module,
    loss: Callable[[Batch], Tensor],
    mixed: bool = True,
    fused: bool = True,
) -> Callable[[Batch], None]:
    """Return one training step with AdamW and clipped gradients."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=fused, foreach=not fused)

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        with work.autocast(mixed):
            value = loss(batch)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def rate(work: Work, step: Callable[[Batch], None], batches: list[Batch]) -> float:
    """Return real target tokens per second over batches, after one warm-up pass of two."""
    for batch in batches[:2]:
        step(batch)
    seconds = work.seconds(lambda: [step(batch) for batch in batches])
    return sum(batch.n_tokens for batch in batches) / seconds


# ---------------------------------------------------------------------------------------- parts


def correctness(options: argparse.Namespace, save: Save) -> None:
    """Compare losses, gradients, generated tokens and a resumed run of the device with the CPU."""
    work = Work(options)
    (batch,) = work.batches(1)
    on_device, on_cpu = work.module(dropout=0.0), work.module(dropout=0.0).cpu()
    losses, gradients = [], []
    for module, own in ((on_device, batch), (on_cpu, batch.to(torch.device("cpu")))):
        value = loss_of(module, own)
        value.backward()
        losses.append(value.item())
        gradients.append(torch.cat([p.grad.flatten().cpu() for p in module.parameters()]))
    save("loss fp32, device and CPU", losses)
    save("gradients fp32, relative distance", distance(*gradients))
    on_device.zero_grad()
    with work.autocast():
        value = loss_of(on_device, batch)
    value.backward()
    mixed = torch.cat([p.grad.flatten().cpu() for p in on_device.parameters()])
    save("loss bf16", value.item())
    save("gradients bf16 against fp32, relative distance", distance(mixed, gradients[0]))

    model, _, vocab, sources, max_len = decoders.fresh("S2")
    chunks = decoders.batches(sources, 32, 8 if options.quick else 64, vocab)
    for name, beams in (("greedy", 1), ("beam 4", 4)):
        found = []
        for device in (torch.device("cpu"), work.device):
            write = decoders.ours(IncrementalDecoder(model.to(device)), vocab, max_len)
            found.append([ids for src in chunks for ids in write(src.to(device), beams)])
        save(f"{name}: equal outputs", mean(a == b for a, b in zip(*found, strict=True)))
    save("resumed against uninterrupted, largest difference of a weight", resumed(work))


def distance(a: Tensor, b: Tensor) -> float:
    """Return |a - b| / |b|."""
    return float((a - b).norm() / b.norm())


def mean(values: Iterator[bool]) -> float:
    """Return the share of true values."""
    return statistics.fmean(map(float, values))


def resumed(work: Work) -> float:
    """Train six steps, and again from a checkpoint of the third; return the largest difference."""
    config = {**work.config, "callbacks": {}}
    config["trainer"] = {**config["trainer"], "max_epochs": 1, "limit_val_batches": 0}
    config["trainer"] |= {"limit_train_batches": 6}
    weights = []
    with tempfile.TemporaryDirectory() as root:
        path = str(Path(root) / "third.ckpt")
        for checkpoint in (None, path):
            module, data = work.module(), run_data.datamodule(config, work.prepared)
            trainer = fitting.trainer(config, Path(root), [])
            if checkpoint is None:
                trainer.callbacks.append(SaveThird(path))
            else:
                data.resume_from(load_checkpoint(checkpoint))
            with contextlib.redirect_stdout(io.StringIO()):
                fitting.fit(trainer, module, data, checkpoint)
            weights.append([p.detach().cpu() for p in module.model.parameters()])
    return max(float((a - b).abs().max()) for a, b in zip(*weights, strict=True))


class SaveThird(pl.Callback):
    """Write a checkpoint after the third step."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: Any, module: Any, out: Any, batch: Any, i: int) -> None:
        if i == 2:
            trainer.save_checkpoint(self.path)


def rates(options: argparse.Namespace, save: Save) -> None:
    """Compare training rates with `torch.nn.Transformer` and Marian, interleaved."""
    for size in ("S2",) if options.quick else ("S2", "S3", "base"):
        work = Work(options, size)
        batches, module = work.batches(), work.module()
        dropout = work.config["model"]["dropout"]
        runs: dict[str, Callable[[], float]] = {"ours, trainer": partial(by_lightning, work)}
        step = stepper(work, module, partial(loss_of, module))
        runs["ours, loop"] = partial(rate, work, step, batches)
        layers = TorchLayers(module.model.cpu(), dropout).to(work.device).train()
        module.to(work.device)
        peer = stepper(work, layers, lambda b, m=layers: padded_loss(m(b.src, b.tgt_in), b))
        runs["torch.nn"] = partial(rate, work, peer, batches)
        try:
            marian = Marian(module.model.cpu(), dropout).to(work.device).train()
            module.to(work.device)
            peer = stepper(work, marian, lambda b, m=marian: padded_loss(m(b.src, b.tgt_in), b))
            runs["Marian, loop"] = partial(rate, work, peer, batches)
            runs["Marian, Trainer"] = partial(by_hugging_face, work, marian, batches)
        except ImportError as error:
            save(f"{size}: left out", str(error))
        found: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(1 if options.quick else 3):
            for name, run in runs.items():
                found[name].append(run())
            save(f"{size}: target tokens/s", found)
        ours = found["ours, trainer"]
        for name, each in found.items():
            ratios = sorted(a / b for a, b in zip(ours, each, strict=True))
            save(f"{size}: ours, trainer, against {name}", ratios)
        save(f"{size}: profile of the loop", profile(work, step, batches))


def by_lightning(work: Work) -> float:
    """Return the rate of `train.py` without validation, after ten batches."""
    n_warm = 1 if work.n_batches < 10 else 10
    config = {**work.config, "callbacks": {}}
    config["trainer"] = {**config["trainer"], "max_epochs": 1, "limit_val_batches": 0}
    config["trainer"] |= {"limit_train_batches": n_warm + work.n_batches, "precision": "bf16-mixed"}
    clock = Clock(work, n_warm)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = fitting.trainer(config, Path(folder), [])
        trainer.callbacks.append(clock)
        trainer.fit(work.module(), run_data.datamodule(config, work.prepared))
    return clock.tokens / clock.seconds


class Clock(pl.Callback):
    """Measure wall time and tokens of the batches after the warm-up; two synchronizations."""

    def __init__(self, work: Work, n_warm: int) -> None:
        self.work, self.n_warm, self.tokens, self.seconds = work, n_warm, 0, 0.0

    def on_train_batch_end(self, trainer: Any, module: Any, out: Any, batch: Any, i: int) -> None:
        if i + 1 == self.n_warm:
            self.work.wait()
            self.began = time.perf_counter()
        elif i + 1 > self.n_warm:
            self.tokens += batch.n_tokens

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.work.wait()
        self.seconds = time.perf_counter() - self.began


class WithLoss(nn.Module):
    """A peer that returns its loss, as Hugging Face's Trainer expects."""

    def __init__(self, peer: nn.Module, pad_id: int) -> None:
        super().__init__()
        self.peer, self.pad_id = peer, pad_id

    def forward(self, src: Tensor, tgt: Tensor) -> dict[str, Tensor]:
        logits = self.peer(src, tgt[:, :-1])
        targets = tgt[:, 1:].flatten()
        loss = F.cross_entropy(logits.flatten(0, 1).float(), targets, ignore_index=self.pad_id)
        return {"loss": loss}


def by_hugging_face(work: Work, marian: nn.Module, batches: list[Batch]) -> float:
    """Return the rate of Marian under `transformers.Trainer`, on the same batches."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    clock: dict[str, float] = {}

    class Stopwatch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step == 2:
                work.wait()
                clock["began"] = time.perf_counter()

    items = [{"src": batch.src.cpu(), "tgt": batch.tgt.cpu()} for batch in batches]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=1,  # an item is a batch
            max_steps=len(items) + 2,
            bf16=True,
            use_cpu=work.device.type == "cpu",
            optim="adamw_torch_fused",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            label_names=[],
        )
        trainer = Trainer(
            model=WithLoss(marian, batches[0].pad_id),
            args=arguments,
            train_dataset=items[:2] + items,  # type: ignore[arg-type]
            data_collator=lambda rows: rows[0],
            callbacks=[Stopwatch()],
        )
        trainer.train()
        work.wait()
    return sum(batch.n_tokens for batch in batches) / (time.perf_counter() - clock["began"])


def profile(work: Work, step: Callable[[Batch], None], batches: list[Batch]) -> Record:
    """Return the share of the wall time in kernels, kernels per step, and the largest ones."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    on_gpu = work.device.type == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    chosen = batches[:10]
    seconds = work.seconds(lambda: [step(batch) for batch in chosen])
    with record(activities=kinds) as found:
        for batch in chosen:
            step(batch)
        work.wait()
    time_of = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    rows = sorted(found.key_averages(), key=lambda row: -getattr(row, time_of))
    kernels = sum(getattr(row, time_of) for row in rows) / 1e6
    launches = sum(row.count for row in rows if row.key in ("cudaLaunchKernel", "cuLaunchKernelEx"))
    return {
        "share of wall time in kernels": kernels / seconds,
        "launches per step": launches / len(chosen),
        "largest": {row.key: getattr(row, time_of) / 1e6 / kernels for row in rows[:8]},
    }


def levers(options: argparse.Namespace, save: Save) -> None:
    """Measure each lever on and off, on the plain loop."""
    work = Work(options)
    batches = work.batches()

    def measure(name: str, make: Callable[[], tuple[nn.Module, Callable[[Batch], None]]]) -> None:
        try:
            own = make()[1]
            first = work.seconds(lambda: [own(batch) for batch in batches])
            save(name, {"tokens/s": rate(work, own, batches), "first pass, s": first})
        except Exception as error:  # a lever that fails is a result
            save(name, f"failed: {type(error).__name__}: {error}".split("\n")[0][:200])

    def plain(fused: bool = True) -> tuple[nn.Module, Callable[[Batch], None]]:
        module = work.module()
        return module, stepper(work, module, partial(loss_of, module), fused=fused)

    def compiled(**how: Any) -> tuple[nn.Module, Callable[[Batch], None]]:
        module = work.module()
        module.model.compile(**how)
        return module, stepper(work, module, partial(loss_of, module))

    def torch_loss() -> tuple[nn.Module, Callable[[Batch], None]]:
        module = work.module()

        def loss(batch: Batch) -> Tensor:
            hidden, targets = module._hidden(batch)
            weight, bias = module.model.projection.weight, module.model.projection.bias
            return F.linear_cross_entropy(hidden, weight, targets, linear_bias=bias)

        return module, stepper(work, module, loss)

    measure("as it is", plain)
    measure("AdamW not fused", partial(plain, fused=False))
    measure("F.linear_cross_entropy", torch_loss)
    measure("CUDA graphs, one per shape", partial(graphed, work, batches))
    for n in (4096,) if options.quick else (4096, 16384):
        larger = Work(options, max_tokens=n)
        module = larger.module()
        step = stepper(larger, module, partial(loss_of, module))
        save(f"{n:,} tokens per batch", {"tokens/s": rate(larger, step, larger.batches(20))})
    # Last, because they may take longest.
    quick: Record = {"backend": "eager"} if options.quick else {}
    measure("torch.compile", partial(compiled, **quick))
    measure("torch.compile, dynamic shapes", partial(compiled, dynamic=True, **quick))
    if not options.quick:
        measure("torch.compile, reduce-overhead", partial(compiled, mode="reduce-overhead"))


def graphed(work: Work, batches: list[Batch]) -> tuple[nn.Module, Callable[[Batch], None]]:
    """Return a step whose forward and backward pass is one CUDA graph per shape of a batch.

    The loss is that of logits at all positions, because the number of real ones varies.
    """
    if work.device.type != "cuda":
        raise RuntimeError("CUDA graphs need a GPU")
    module = work.module()
    model = module.model
    optimizer = torch.optim.AdamW(module.parameters(), 1e-4, fused=True)
    graphs: dict[Any, tuple[Any, Tensor, Tensor]] = {}

    def forward_backward(src: Tensor, tgt: Tensor) -> None:
        with work.autocast():
            logits = model.projection(model(src, tgt[:, :-1]))
        targets = tgt[:, 1:].flatten()
        F.cross_entropy(logits.flatten(0, 1).float(), targets, ignore_index=model.pad_id).backward()

    def capture(batch: Batch) -> tuple[Any, Tensor, Tensor]:
        src, tgt = batch.src.clone(), batch.tgt.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                optimizer.zero_grad(set_to_none=False)
                forward_backward(src, tgt)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        optimizer.zero_grad(set_to_none=False)
        with torch.cuda.graph(graph):
            forward_backward(src, tgt)
        return graph, src, tgt

    def step(batch: Batch) -> None:
        key = (batch.src.shape, batch.tgt.shape)
        if key not in graphs:
            graphs[key] = capture(batch)
        graph, src, tgt = graphs[key]
        src.copy_(batch.src)
        tgt.copy_(batch.tgt)
        optimizer.zero_grad(set_to_none=False)
        graph.replay()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()

    return module, step


def run(options: argparse.Namespace, save: Save) -> None:
    """Time `train.py` with `small`, 30 epochs, validation and test included."""
    data = ["~experiment", "data=tasks", "data.source.n_pairs=3000"]
    if options.path:
        data = ["data=english_python", f"data.path={options.path}"]
    save("data", "english_python" if options.path else "tasks, 3,000 pairs")
    with tempfile.TemporaryDirectory() as folder:
        words = [*data, "split=group", "logger=csv", f"output={folder}",
                 *([f"cache={options.cache}"] if options.cache else [])]  # fmt: skip
        if options.quick:
            words += ["trainer=smoke", "model=tiny", "behaviour=false", "decoding.max_len=8"]
        else:
            words += ["model=small"]
        if options.device == "cpu":
            words += ["trainer.accelerator=cpu"]
        command = [sys.executable, str(HERE.parent / "train.py"), *words]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        save("whole command, s", time.perf_counter() - began)
        if done.returncode:
            raise RuntimeError((done.stderr or done.stdout)[-300:])
        (file,) = Path(folder).glob("*/*/result.json")
        result = json.loads(file.read_text())
        save("training and validation, s", result["seconds"])
        save("test, s", result["test_seconds"])


def many(options: argparse.Namespace, save: Save) -> None:
    """Compare several processes on one card with members of one batched model."""
    counts = (1, 2) if options.quick else (1, 2, 4, 8)
    for n in counts:
        barrier, queue = CONTEXT.Barrier(n), CONTEXT.Queue()
        parts = [CONTEXT.Process(target=worker, args=(options, barrier, queue)) for _ in range(n)]
        for part in parts:
            part.start()
        each = [queue.get(timeout=600) for _ in parts]
        for part in parts:
            part.join()
        save(f"{n} processes: target tokens/s in all", sum(each))
    work = Work(options)
    batches = work.batches(4 if options.quick else 20)
    for n in counts if options.quick else (*counts, 16):
        step = batched(work, n)
        save(f"batched model, {n} members: target tokens/s in all", n * rate(work, step, batches))


CONTEXT = multiprocessing.get_context("spawn")


def worker(options: argparse.Namespace, barrier: Any, queue: Any) -> None:
    """Measure the rate of one of several processes that start together."""
    torch.set_num_threads(1)
    work = Work(options)
    module, batches = work.module(), work.batches()
    step = stepper(work, module, partial(loss_of, module))
    for batch in batches[:2]:
        step(batch)
    barrier.wait(timeout=600)
    queue.put(rate(work, step, batches))


def batched(work: Work, n_members: int) -> Callable[[Batch], None]:
    """Return a training step of several models with other seeds, as one batched model.

    Dropout is off and the logits are computed at all positions: `vmap` draws other random numbers,
    and the fused loss does not work under it.
    """
    members = [work.module(dropout=0.0).model for _ in range(n_members)]
    parameters, buffers = stack_module_state(members)
    model = members[0]
    optimizer = torch.optim.AdamW(parameters.values(), 1e-4, fused=True)

    def loss(own: dict[str, Tensor], fixed: dict[str, Tensor], src: Tensor, tgt: Tensor) -> Tensor:
        hidden = functional_call(model, (own, fixed), (src, tgt[:, :-1]))
        logits = F.linear(hidden, own["projection.weight"], own["projection.bias"])
        targets = tgt[:, 1:].flatten()
        return F.cross_entropy(logits.flatten(0, 1).float(), targets, ignore_index=model.pad_id)

    gradients = vmap(grad_and_value(loss), in_dims=(0, 0, None, None))

    def step(batch: Batch) -> None:
        with work.autocast():
            found, _ = gradients(parameters, buffers, batch.src, batch.tgt)
        norms = sum(g.float().flatten(1).pow(2).sum(1) for g in found.values()).sqrt()
        scale = (1.0 / (norms + 1e-6)).clamp(max=1.0)
        for name, parameter in parameters.items():
            gradient = found[name] * scale.view(-1, *[1] * (found[name].ndim - 1))
            parameter.grad = gradient.to(parameter.dtype)
        optimizer.step()

    return step


def decoding(options: argparse.Namespace, save: Save) -> None:
    """Compare generation with `generate` of Hugging Face."""
    device = torch.device(options.device)
    model, _, vocab, sources, max_len = decoders.fresh("S2")
    max_len = 8 if options.quick else max_len
    try:
        theirs = decoders.hugging_face(model, vocab, max_len, device)
    except ImportError as error:
        theirs = None
        save("left out", str(error))
    writers = {"ours": decoders.ours(IncrementalDecoder(model.to(device)), vocab, max_len)}
    if theirs is not None:
        writers["Hugging Face"] = theirs
    sources = sources * 8  # 512
    for name, beams, size in (("greedy 32", 1, 32), ("beam 4, 32", 4, 32), ("greedy 512", 1, 512)):
        size = min(size, 64) if options.quick else size
        src = decoders.batches(sources, size, size, vocab)[0].to(device)
        seconds: dict[str, list[float]] = {writer: [] for writer in writers}
        outputs = {}
        for i in range(2 if options.quick else 4):
            for writer, write in writers.items():
                began = time.perf_counter()
                outputs[writer] = write(src, beams)
                if i:  # the first is the warm-up
                    seconds[writer].append(time.perf_counter() - began)
        n_tokens = sum(min(len(ids) + 1, max_len) for ids in outputs["ours"])
        for writer, each in seconds.items():
            save(f"{name}, {writer}: tokens/s", [n_tokens / s for s in each])
        if theirs is not None:
            pairs = zip(outputs["ours"], outputs["Hugging Face"], strict=True)
            save(f"{name}: equal outputs", mean(a == b for a, b in pairs))


PARTS = {part.__name__: part for part in (correctness, rates, levers, run, many, decoding)}

# ----------------------------------------------------------------------------------------- report


def run_part(options: argparse.Namespace, name: str) -> None:
    """Run one part in this process; write each figure to `--json` as soon as it is known."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    if options.device == "cpu":
        torch.set_num_threads(1)
    found: Record = {}

    def save(key: str, value: Any) -> None:
        found[key] = value
        options.json.write_text(json.dumps(found))
        print(f"  {key}: {shown(value)}", flush=True)

    PARTS[name](options, save)


def shown(value: Any) -> str:
    """Return a figure as text, numbers with four digits."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    if isinstance(value, dict):
        return "; ".join(f"{key} {shown(part)}" for key, part in value.items())
    return str(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="two batches, one round")
    parser.add_argument("--only", default=",".join(PARTS), help="comma list of parts")
    parser.add_argument("--path", help="the students' file, for the part run")
    parser.add_argument("--cache", help="folder of prepared data")
    parser.add_argument("--json", type=Path, help="default: results/gpu-<device>.json")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        run_part(options, options.part)
        return
    names = options.only.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"--only {','.join(unknown)}: choose from {', '.join(PARTS)}")
    on_gpu = options.device.startswith("cuda")
    device = torch.cuda.get_device_name() if on_gpu else "cpu"
    slug = "-".join(device.lower().split())
    target = options.json or HERE / "results" / f"gpu-{slug}.json"
    target.parent.mkdir(exist_ok=True)
    record: Record = {
        "device": device,
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "quick": options.quick,
        "parts": {},
    }
    failed = 0
    given = [f"--device={options.device}", *(["--quick"] if options.quick else [])]
    given += [f"--{key}={getattr(options, key)}" for key in ("path", "cache") if vars(options)[key]]
    for name in names:
        print(f"{name}:", flush=True)
        file = target.with_suffix(f".{name}.part")
        command = [sys.executable, __file__, *given, f"--part={name}", f"--json={file}"]
        began = time.perf_counter()
        try:
            code = subprocess.run(command, timeout=None if not on_gpu else LIMITS[name]).returncode
            end = "" if not code else f"failed with exit code {code}"
        except subprocess.TimeoutExpired:
            end = f"stopped at its limit of {LIMITS[name]} s"
        failed += bool(end)
        figures = json.loads(file.read_text()) if file.exists() else {}
        file.unlink(missing_ok=True)
        seconds = round(time.perf_counter() - began, 1)
        record["parts"][name] = {"seconds": seconds, **({"end": end} if end else {}), **figures}
        target.write_text(json.dumps(record, indent=1) + "\n")
        print(f"  {seconds} s{': ' + end if end else ''}", flush=True)
    print(f"{target}; {failed} parts failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
