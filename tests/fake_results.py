"""A fabricated comparison: four configurations of three seeds, three baselines, odd texts."""

import math
import random
from dataclasses import replace

from en2py.evaluation.aggregation import difference_by_seed
from en2py.evaluation.results import (
    AttentionSample,
    Difference,
    Estimate,
    ResultRow,
    Results,
    Sample,
    SampleOutput,
)
from en2py.evaluation.statistics import over_seeds

SEEDS = ("1", "2", "3")
SETTINGS = [
    {"loss": "plain", "embeddings": "none"},
    {"loss": "smoothed", "embeddings": "none"},
    {"loss": "plain", "embeddings": "joint"},
    {"loss": "smoothed", "embeddings": "joint"},
]
NAMES = [", ".join(f"{k}={v}" for k, v in own.items()) for own in SETTINGS]
SHARES = {"passes_tests": 0.62, "exact_match_renamed": 0.55, "compiles": 0.95, "copied": 0.08}
SHARES |= {"exact_match": 0.41, "function_name": 0.7, "has_unk": 0.03, "edit_similarity": 0.8}
OTHERS = {"bleu": 61.0, "crystal_bleu": 48.0, "chrf": 70.0, "bpc": 0.71, "nll": 0.64, "ppl": 1.9}
OTHERS |= {f"{m}_{c}": 0.5 for m in ("nll", "accuracy") for c in ("keyword", "layout", "literal")}
EVIL = "<script>alert('x')</script>"
VERDICTS = ["exact", "passes", "behaves", "compiles", "wrong", "does not compile"]


def of_seeds(values, *, share=False):
    interval = over_seeds(values)
    by_seed = dict(zip(SEEDS, values, strict=True))
    k, of = (round(sum(values) * 300), 900) if share else (None, None)
    return Estimate(interval.value, interval.low, interval.high, "seeds", 3, by_seed, k, of)


def of_clusters(value, *, share=False):
    half = 0.02 if share else value * 0.04
    low, high = max(0.0, value - half), value + half
    k, of = (round(value * 300), 300) if share else (None, None)
    return Estimate(value, low, high, "clusters", 260, {}, k, of)


def model_row(place, rng):
    better = 0.04 * (place % 2) + 0.01 * (place // 2)

    def drawn(mean):
        return [mean * (1 + better + rng.gauss(0, 0.012)) for _ in SEEDS]

    figures = {
        name: of_seeds([min(1.0, v) for v in drawn(mean)], share=True)
        for name, mean in SHARES.items()
    }
    figures |= {name: of_seeds(drawn(mean)) for name, mean in OTHERS.items()}
    validation = {"nll": of_seeds([0.7 - better + rng.gauss(0, 0.006) for _ in SEEDS])}
    return ResultRow(
        name=NAMES[place],
        kind="model",
        settings=SETTINGS[place],
        runs=[f"tasks-tiny-{place}-seed{seed}" for seed in SEEDS],
        figures=figures,
        validation=validation,
        differences={},
        failures={
            "wrong value": 40 - place,
            "NameError": 12,
            f"TypeError: {EVIL} | `x`": 3 + place,
        },
        groups={
            "seen descriptions": {"n": 40.0, "passes_tests": 0.9, "bleu": 80.0},
            "new descriptions": {"n": 260.0, "passes_tests": 0.5 + better, "bleu": 55.0},
        },
        notes=["bits per character leave 12 <unk> targets out"] if place == 2 else [],
    )


def baseline_row(name, level):
    figures = {n: of_clusters(mean * level, share=True) for n, mean in SHARES.items()}
    figures |= {n: of_clusters(OTHERS[n] * level) for n in ("bleu", "crystal_bleu", "chrf")}
    figures["copied"] = Estimate(1.0, 1.0, 1.0, "clusters", 260, {}, 300, 300)
    low = {"passes_tests": Difference(-0.4, -0.47, -0.33, "clusters", True)}
    failures = {"wrong value": 200, "NameError": 5}
    return ResultRow(name, "baseline", {}, [], figures, {}, low, failures, {}, [])


def curves(rng):
    found = {}
    for place in range(4):
        for seed in SEEDS:
            n_epochs = 12 if (place, seed) != (1, "3") else 9
            found[f"tasks-tiny-{place}-seed{seed}"] = [
                {
                    "epoch": float(epoch),
                    "train/nll": 2.5 * math.exp(-epoch / 3) + 0.3 + rng.gauss(0, 0.01),
                    "val/nll": 2.3 * math.exp(-epoch / 3)
                    + 0.66
                    + 0.01 * place
                    + rng.gauss(0, 0.02),
                }
                for epoch in range(1, n_epochs + 1)
            ]
    return found


def samples():
    texts = [
        "add the numbers of a list, but only the even ones",
        f"print {EVIL} & | `a` \n second line",
        "return the longest word of a sentence",
        "count vowels — «señor», 数, \u202e reversed \ud800 half",
        "say whether a number is a prime",
        "turn seconds into hours, minutes and seconds",
        "",
    ]
    codes = [
        "def add_even(numbers):\n    return sum(n for n in numbers if n % 2 == 0)",
        f'print("{EVIL}")\nx = "```" | \'</script><!--\'',
        "def longest(text):\n    # the first one wins\n    return max(text.split(), key=len)",
        "def vowels(text):\n\treturn sum(c in 'aeiou' for c in text)\n\n\ndef other(:\n",
        "def prime(n):\n    return n > 1 and all(n % i for i in range(2, int(n**0.5) + 1))",
        "def clock(seconds):\n    return seconds // 3600, seconds % 3600 // 60, seconds % 60",
        "",
    ]
    rows = [*NAMES, "retrieval", "constant", "nearest_by_bleu"]
    found = []
    for i, (text, code) in enumerate(zip(texts, codes, strict=True)):
        outputs = {}
        for j, row in enumerate(rows):
            verdict = VERDICTS[(i + 2 * j) % len(VERDICTS)]
            own = code if verdict == "exact" else codes[(i + j) % len(codes)]
            detail = (
                ""
                if j % 2
                else f"add_even([1, 2]) gave 3 where 2 was wanted {EVIL if i == 1 else ''}"
            )
            outputs[row] = SampleOutput(own, verdict, "" if verdict == "exact" else detail)
        found.append(Sample(f"pair-{i}", text, code, outputs))
    return found


def attention(rng):
    src = ["add", "the", "numbers", EVIL, "</script>", "<eos>"]
    tgt = ["<bos>", "def", "add_even", "(", "numbers", ")", ":", "<nl>", "<indent>", "return"]

    def maps(n, m, *, causal=False):
        def row(i):
            raw = [rng.random() ** 4 * (not causal or j <= i) for j in range(m)]
            return [round(w / sum(raw), 4) for w in raw]

        return [[[row(i) for i in range(n)] for _ in range(4)] for _ in range(2)]

    return [
        AttentionSample(
            row=row,
            sample=sample,
            labels={"cross": (tgt, src), "encoder": (src, src), "decoder": (tgt, tgt)},
            weights={
                "cross": maps(len(tgt), len(src)),
                "encoder": maps(len(src), len(src)),
                "decoder": maps(len(tgt), len(tgt), causal=True),
            },
        )
        for row in NAMES[:2]
        for sample in ("pair-0", "pair-1")
    ]


def with_differences(row, reference):
    known = {**row.figures, "val/nll": row.validation["nll"]}
    theirs = {**reference.figures, "val/nll": reference.validation["nll"]}
    found = {
        name: difference_by_seed(figure.by_seed, theirs[name].by_seed)
        for name, figure in known.items()
    }
    return replace(row, differences=found)


def fake_results():
    rng = random.Random(0)
    models = [model_row(place, rng) for place in range(4)]
    models[1:] = [with_differences(row, models[0]) for row in models[1:]]
    rows = sorted(models, key=lambda row: row.validation["nll"].value)
    rows += [baseline_row(n, v) for n, v in (("retrieval", 0.4), ("constant", 0.1))]
    rows += [baseline_row("nearest_by_bleu", 0.6)]
    return Results(
        title="Loss and embeddings on tasks",
        data={
            "name": "tasks",
            "part": "test",
            "n_pairs": 300,
            "n_clusters": 260,
            "split_hash": "a3f4c0",
            "test_hash": "99bb",
        },
        axes=["loss", "embeddings"],
        fixed={"model": "tiny", "data": "tasks", "trainer.max_epochs": "12"},
        rows=rows,
        reference_row=NAMES[0],
        oracles={
            "with tests": 300,
            "n": 412,
            "functions": {"testable": 74, "of": 100},
            "scripts": {"testable": 5, "of": 12},
            "reasons": {"takes no parameter": 20, EVIL: 6},
            "own tests": {"passing": 297, "of": 300, "first": f"x/3 fails: {EVIL}"},
        },
        samples=samples(),
        attention=attention(rng),
        curves=curves(rng),
        signatures={
            "bleu": "nrefs:1|case:mixed|eff:no|tok:none|smooth:exp|pre:layout|version:2.6.0",
            "bpc": "bits a character of the reference; an unknown token pays for its spelling",
        },
        versions={"en2py": "0.1.0", "torch": "2.13.0"},
    )


def row(name, *, kind="model", runs=3, **parts):
    """Return a row with the given parts and nothing else."""
    empty = {"figures": {}, "validation": {}, "differences": {}, "failures": {}, "groups": {}}
    names = [f"{name}-seed{i}" for i in range(runs)] if kind == "model" else []
    own = {"settings": {}, "notes": [], **empty, **parts}
    return ResultRow(name=name, kind=kind, runs=names, **own)


def figure(value, half=0.01, **more):
    return Estimate(value, value - half, value + half, more.pop("over", "seeds"), 3, **more)


def results(*rows, **parts):
    """Return results with other rows; the first model is the reference row."""
    first = next((own.name for own in rows if own.kind == "model"), "")
    own = {"rows": list(rows), "reference_row": first, "axes": [], **parts}
    return replace(fake_results(), **own)
