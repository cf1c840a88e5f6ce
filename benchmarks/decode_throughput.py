"""Measure decoding throughput against other implementations, in target tokens per second.

    python benchmarks/decode_throughput.py                    # random weights and sources
    python benchmarks/decode_throughput.py --checkpoint FILE  # a trained model on its test split
    python benchmarks/decode_throughput.py --quick            # two minutes

All implementations have the same weights and one thread: the tutorial's loop (one sentence at a
time, the whole prefix recomputed for each token), Hugging Face `generate` with its cache (Marian),
CTranslate2 in float32 and int8, and ours. They alternate in one process; a figure is the median
over rounds, and a ratio is computed within a round. Processor time is measured, so other work on
the machine has little effect.

Hugging Face's Marian has post-norm and added positions: a checkpoint is compared with it if it was
trained with `model.norm=post model.positions=learned` (or `sinusoidal`).

Needs the extra `en2py[bench]`.
"""

import argparse
import functools
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from torch import Tensor

from en2py.data.batch import Example, collate
from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.decoding.beam_search import beam
from en2py.decoding.ctranslate2 import Exported
from en2py.decoding.greedy import greedy
from en2py.models.incremental import IncrementalDecoder
from en2py.models.transformer import Transformer
from en2py.training import build, run_data
from en2py.training.checkpoints import load_checkpoint

SIZES = {  # layers, d_model, d_ff, heads, vocabulary of each side
    "S2": {"n_layers": 3, "d_model": 256, "d_ff": 512, "n_heads": 8, "n_src": 1700, "n_tgt": 8449},
    "S3": {"n_layers": 2, "d_model": 768, "d_ff": 1024, "n_heads": 4, "n_src": 1195, "n_tgt": 4412},
}
Peer = Callable[[Tensor, int], list[list[int]]]  # sources and beams in, ids without BOS, EOS out


# ----------------------------------------------------------------------------------------- models


def fresh(size: str) -> tuple[Transformer, Vocab, Vocab, list[list[int]], int]:
    """Return random weights and 64 sources; almost no row ends before its 64 tokens."""
    sizes = dict(SIZES[size])
    n_layers, n_src, n_tgt = sizes.pop("n_layers"), sizes.pop("n_src"), sizes.pop("n_tgt")
    torch.manual_seed(0)
    model = Transformer(
        n_src,
        n_tgt,
        0,
        **sizes,
        n_encoder_layers=n_layers,
        n_decoder_layers=n_layers,
        dropout=0.1,
        max_src_len=128,
        max_tgt_len=256,
        positions="learned",
        norm="post",
        tie_embeddings="none",
    ).eval()
    vocabs = [
        Vocab([*SPECIAL_TOKENS, *(f"token{i}" for i in range(n - 4))], [0] * n)
        for n in (n_src, n_tgt)
    ]
    lengths = torch.randint(5, 30, (64,)).tolist()
    return model, *vocabs, [torch.randint(4, n_src, (n,)).tolist() for n in lengths], 64


def trained(path: str, cache: str | None) -> tuple[Transformer, Vocab, Vocab, list[list[int]], int]:
    """Return a checkpoint's model and the sources of its test split."""
    checkpoint = load_checkpoint(path)
    config = checkpoint["en2py"]["config"]
    module = build.module_of(checkpoint)
    if cache:
        config = {**config, "cache": cache}
    prepared = run_data.prepare_data(config)
    max_src_len = config["model"]["max_src_len"]
    ids = [module.src_vocab.encode(item.src) for item in prepared.splits["test"]]
    ids = [row for row in ids if len(row) < max_src_len]
    limit = config["model"]["max_tgt_len"]
    return module.model, module.src_vocab, module.tgt_vocab, ids, limit


# -------------------------------------------------------------------------------- implementations


def tutorial(model: Transformer, vocab: Vocab, max_len: int) -> Peer:
    """Decode one sentence at a time, with explicit attention and logits at all positions."""

    def attend(attention: Any, x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
        weights, biases = attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3)
        q, k, v = (
            F.linear(z, w, b).view(len(z), -1, attention.n_heads, w.shape[0] // attention.n_heads)
            for z, w, b in zip((x, y, y), weights, biases, strict=True)
        )
        q, k, v = (z.permute(0, 2, 1, 3) for z in (q, k, v))
        energy = q @ k.permute(0, 1, 3, 2) / math.sqrt(q.shape[-1])
        if mask is not None:
            energy = energy.masked_fill(~mask, -1e10)
        x = (energy.softmax(-1) @ v).permute(0, 2, 1, 3).contiguous()
        return attention.out(x.flatten(2))

    def around(residual: Any, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return (
            residual.norm(x + sublayer(x)) if not residual.pre else x + sublayer(residual.norm(x))
        )

    def embed(embedding: Any, ids: Tensor) -> Tensor:
        x = embedding.widen(embedding.table(ids)) * embedding.scale
        return x + embedding.positions[: ids.shape[1]]

    def write(src: Tensor, beams: int) -> list[list[int]]:
        found = []
        for row in src:
            x = embed(model.src_embedding, row[row != vocab.pad_id][None])
            for layer in model.encoder:
                x = around(
                    layer.residuals[0], x, lambda y, a=layer.self_attention: attend(a, y, y, None)
                )
                x = around(layer.residuals[1], x, layer.feed_forward)
            memory = model.encoder_norm(x)
            ids = [vocab.bos_id]
            while len(ids) <= max_len and (ids[-1] != vocab.eos_id):
                x = embed(model.tgt_embedding, torch.tensor([ids]))
                mask = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
                for layer in model.decoder:
                    own, cross = layer.self_attention, layer.cross_attention
                    x = around(layer.residuals[0], x, lambda y, a=own, m=mask: attend(a, y, y, m))
                    x = around(
                        layer.residuals[1], x, lambda y, a=cross, z=memory: attend(a, y, z, None)
                    )
                    x = around(layer.residuals[2], x, layer.feed_forward)
                logits = model.projection(model.decoder_norm(x))  # [1, T, V]
                logits[:, :, [vocab.pad_id, vocab.unk_id, vocab.bos_id]] = -math.inf
                ids.append(int(logits[0, -1].argmax()))
            found.append([i for i in ids[1:] if i != vocab.eos_id])
        return found

    return torch.no_grad()(write)


def hugging_face(
    model: Transformer, vocab: Vocab, max_len: int, device: torch.device | None = None
) -> Peer | None:
    """Decode by `generate` of Marian with these weights; None for a model that Marian lacks."""
    from transformers import GenerationConfig, MarianConfig, MarianMTModel

    residual = model.encoder[0].residuals[0]
    if residual.pre or model.src_embedding.positions is None:
        return None
    embeddings = (model.src_embedding, model.tgt_embedding)
    n_src, n_tgt = (len(embedding.table.weight) for embedding in embeddings)
    d_model, d_ff = residual.norm.weight.numel(), model.encoder[0].feed_forward[0].out_features
    config = MarianConfig(
        vocab_size=n_src,
        decoder_vocab_size=n_tgt,
        share_encoder_decoder_embeddings=False,
        tie_word_embeddings=False,
        max_position_embeddings=max(embedding.max_len for embedding in embeddings),
        d_model=d_model,
        encoder_layers=len(model.encoder),
        decoder_layers=len(model.decoder),
        encoder_attention_heads=model.encoder[0].self_attention.n_heads,
        decoder_attention_heads=model.encoder[0].self_attention.n_heads,
        encoder_ffn_dim=d_ff,
        decoder_ffn_dim=d_ff,
        activation_function="relu",
        scale_embedding=True,
        pad_token_id=vocab.pad_id,
        eos_token_id=vocab.eos_id,
        bos_token_id=vocab.bos_id,
        decoder_start_token_id=vocab.bos_id,
        forced_eos_token_id=None,
    )
    theirs = MarianMTModel(config).eval()
    weights: dict[str, Tensor] = {"lm_head.weight": model.projection.weight}
    for side, embedding, stack in zip(
        ("encoder", "decoder"), embeddings, (model.encoder, model.decoder), strict=True
    ):
        weights[f"model.{side}.embed_tokens.weight"] = embedding.widen(embedding.table.weight)
        positions = theirs.state_dict()[f"model.{side}.embed_positions.weight"].clone()
        positions[: len(embedding.positions)] = embedding.positions
        weights[f"model.{side}.embed_positions.weight"] = positions
        for i, layer in enumerate(stack):
            attentions = {"self_attn": layer.self_attention}
            if side == "decoder":
                attentions["encoder_attn"] = layer.cross_attention
            at = f"model.{side}.layers.{i}"
            for name, attention in attentions.items():
                parts = zip(
                    ("q", "k", "v"),
                    attention.qkv.weight.chunk(3),
                    attention.qkv.bias.chunk(3),
                    strict=True,
                )
                for part, weight, bias in parts:
                    weights[f"{at}.{name}.{part}_proj.weight"] = weight
                    weights[f"{at}.{name}.{part}_proj.bias"] = bias
                weights[f"{at}.{name}.out_proj.weight"] = attention.out.weight
                weights[f"{at}.{name}.out_proj.bias"] = attention.out.bias
            norms = [f"{name}_layer_norm" for name in attentions] + ["final_layer_norm"]
            for name, residual in zip(norms, layer.residuals, strict=True):
                weights[f"{at}.{name}.weight"] = residual.norm.weight
                weights[f"{at}.{name}.bias"] = residual.norm.bias
            for name, linear in (("fc1", layer.feed_forward[0]), ("fc2", layer.feed_forward[2])):
                weights[f"{at}.{name}.weight"] = linear.weight
                weights[f"{at}.{name}.bias"] = linear.bias
    # Special tokens are masked by a bias, which is faster than a logits processor.
    bias = model.projection.bias.clone()
    bias[[vocab.pad_id, vocab.unk_id, vocab.bos_id]] = -1e9
    weights["final_logits_bias"] = bias[None]
    missing = theirs.load_state_dict({k: v.detach() for k, v in weights.items()}, strict=False)
    assert not missing.unexpected_keys, missing.unexpected_keys
    assert not [key for key in missing.missing_keys if "shared" not in key], missing.missing_keys
    theirs.to(device or "cpu")

    def write(src: Tensor, beams: int) -> list[list[int]]:
        settings = GenerationConfig(
            max_new_tokens=max_len,
            num_beams=beams,
            do_sample=False,
            use_cache=True,
            length_penalty=0.0,
            early_stopping=beams > 1,
            pad_token_id=vocab.pad_id,
            eos_token_id=vocab.eos_id,
            bos_token_id=vocab.bos_id,
            decoder_start_token_id=vocab.bos_id,
        )
        mask = (src != vocab.pad_id).long()
        rows = theirs.generate(src, attention_mask=mask, generation_config=settings).tolist()
        return [
            [i for i in row if i not in (vocab.bos_id, vocab.eos_id, vocab.pad_id)] for row in rows
        ]

    return torch.inference_mode()(write)


def ours(model: Any, vocab: Vocab, max_len: int) -> Peer:
    """Decode by this project's search, with the torch model or an exported one."""

    def write(src: Tensor, beams: int) -> list[list[int]]:
        search = functools.partial(greedy, max_len=max_len, allow_unk=False)
        if beams > 1:
            search = functools.partial(
                beam, max_len=max_len, allow_unk=False, beam_size=beams, length_penalty=0.0
            )
        return [found[0].ids for found in search(model, src, vocab)]

    return write


# ------------------------------------------------------------------------------------ measurement


def batches(sources: Sequence[list[int]], size: int, n: int, vocab: Vocab) -> list[Tensor]:
    """Return batches of `n` sources spread over the split, sorted by length."""
    chosen = [sources[i * len(sources) // n] for i in range(min(n, len(sources)))]
    chosen.sort(key=len)
    return [
        collate([Example(0, ids, ()) for ids in chosen[i : i + size]], vocab).src
        for i in range(0, len(chosen), size)
    ]


def measure(
    peers: dict[str, Peer], work: list[Tensor], beams: int, rounds: int, max_len: int
) -> dict[str, Any]:
    """Run all implementations alternately; return tokens per second and ratios to ours."""
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    written: dict[str, list[list[int]]] = {}
    for i in range(rounds + 1):  # the first is the warm-up
        names = list(peers)
        for name in names[i % len(names) :] + names[: i % len(names)]:
            began = time.process_time()
            found = [ids for src in work for ids in peers[name](src, beams)]
            seconds[name].append(time.process_time() - began)
            written[name] = found
    us, n_sources = "ours", sum(map(len, work))
    n_tokens = sum(min(len(ids) + 1, max_len) for ids in written[us])
    result: dict[str, Any] = {"sources": n_sources, "tokens": n_tokens, "peers": {}}
    for name, took in seconds.items():
        ratios = [a / b for a, b in zip(took[1:], seconds[us][1:], strict=True)]
        same = sum(a == b for a, b in zip(written[name], written[us], strict=True))
        result["peers"][name] = {
            "tokens_per_second": n_tokens / statistics.median(took[1:]),
            "ours_is_faster_by": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
            "same": same / n_sources,
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", help="a trained model; default: random weights")
    parser.add_argument("--cache", help="folder of the checkpoint's prepared data, if it has moved")
    parser.add_argument(
        "--size", choices=SIZES, default="S2", help="size of the model without a checkpoint"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="less work, two rounds")
    parser.add_argument(
        "--only", default=None, help="comma list of implementations, including `ours`"
    )
    parser.add_argument("--json", type=Path, default=None, help="where to write the figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds = 2 if options.quick else options.rounds
    model, src_vocab, vocab, sources, max_len = (
        trained(options.checkpoint, options.cache) if options.checkpoint else fresh(options.size)
    )
    if options.quick:
        max_len = min(max_len, 64)
    peers: dict[str, Peer | None] = {
        "tutorial": None
        if model.src_embedding.positions is None
        else tutorial(model, vocab, max_len),
        "hugging face": hugging_face(model, vocab, max_len),
        "ctranslate2": ours(Exported(model, src_vocab, vocab, "float32"), vocab, max_len),
        "ctranslate2 int8": ours(Exported(model, src_vocab, vocab, "int8"), vocab, max_len),
        "ours": ours(IncrementalDecoder(model), vocab, max_len),
    }
    if options.only:
        peers = {name: peers[name] for name in options.only.split(",")}
    for name in [name for name, peer in peers.items() if peer is None]:
        print(f"{name}: does not support this model (pre-norm or rotary positions)")
    record: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "model": options.checkpoint or options.size,
        "rounds": rounds,
        "settings": {},
    }
    for beams, size in ((1, 1), (1, 32), (4, 1), (4, 32)):
        n = (4 if options.quick else 12) if size == 1 else (32 if options.quick else 64)
        work = batches(sources, size, n, vocab)
        present = {
            name: peer
            for name, peer in peers.items()
            if peer is not None and not (name == "tutorial" and beams > 1)
        }
        name = f"{'greedy' if beams == 1 else f'beam {beams}'}, batch {size}"
        record["settings"][name] = found = measure(present, work, beams, rounds, max_len)
        print(f"\n{name} ({found['sources']} sources, {found['tokens']} tokens)")
        for peer, row in found["peers"].items():
            print(
                f"  {peer:18}{row['tokens_per_second']:9.0f} tokens/s   ours is"
                f" {row['ours_is_faster_by']:6.2f} x ({row['lowest']:.2f} to {row['highest']:.2f})"
                f"   same tokens: {row['same']:.1%}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
