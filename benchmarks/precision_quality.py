"""Compare the final validation NLL of full runs in bf16 and fp32, paired by seed.

    python benchmarks/precision_quality.py data=english_python data.path=FILE model=small
    python benchmarks/precision_quality.py trainer.max_epochs=2 loss=smoothed  # as for train.py

Runs are stored under outputs/precision; finished ones are not trained again.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
from pathlib import Path

SEEDS = (1, 2, 3)
PRECISIONS = ("32-true", "bf16-mixed")
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="of train.py, the same for all runs")
    words = parser.parse_args().overrides
    best: dict[str, dict[int, float]] = {precision: {} for precision in PRECISIONS}
    for seed in SEEDS:
        for precision in PRECISIONS:
            best[precision][seed] = best_nll([*words, f"seed={seed}"], precision)
    for precision, by_seed in best.items():
        values = list(by_seed.values())
        values_text = ", ".join(f"{value:.4f}" for value in values)
        mean, spread = statistics.mean(values), statistics.stdev(values)
        print(f"{precision:<12}{mean:.4f} (sd {spread:.4f}): {values_text}")
    pairs = [best[PRECISIONS[1]][seed] - best[PRECISIONS[0]][seed] for seed in SEEDS]
    print(f"bf16 less fp32, same seed: {', '.join(f'{pair:+.4f}' for pair in pairs)}")


def best_nll(words: list[str], precision: str) -> float:
    """Train with these overrides; return the validation NLL of the best epoch."""
    words = [*words, f"trainer.precision={precision}", "logger=csv", "callbacks.samples=null"]
    folder = ROOT / "outputs" / "precision" / hashlib.sha256(repr(words).encode()).hexdigest()[:10]
    command = [sys.executable, str(ROOT / "train.py"), *words, f"output={folder}"]
    subprocess.run(command, check=True, cwd=ROOT)
    (result,) = folder.glob("*/*/result.json")
    return float(json.loads(result.read_text())["best"]["val/nll"])


if __name__ == "__main__":
    main()
