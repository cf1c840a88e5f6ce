"""Does a single word trigger the whole program? The probe of experiment keyword_weights.

    python experiments/trigger_words.py outputs/STUDY/RUN/checkpoints/best.ckpt [--path FILE]

Test descriptions are reduced to their rarest word, and that word is removed. Print how often the
model generates the same program as for the whole description, and a few examples.
"""

import argparse

from en2py.evaluation.trigger_words import probe_trigger_words
from en2py.training import build
from en2py.training.checkpoints import load_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument("--path", help="location of the data, if it has moved")
    parser.add_argument("--cache", help="folder of prepared data, if not the run's own")
    parser.add_argument("--pairs", type=int, default=200, help="maximum number of descriptions")
    parser.add_argument("--show", type=int, default=5, help="examples to print")
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.checkpoint)
    config = checkpoint["en2py"]["config"]
    if options.cache:
        config["cache"] = options.cache
    if options.path:
        config["data"]["path"] = config["data"]["source"]["path"] = options.path
    prepared, _ = build.prepare_data(config)
    module = build.module_of(checkpoint)
    room = config["model"]["max_src_len"] - 1
    readable = [item for item in prepared.splits["test"] if 0 < len(item.src) <= room]
    step = max(1, len(readable) // options.pairs)
    descriptions = [item.pair.description for item in readable[::step][: options.pairs]]
    probe = probe_trigger_words(
        descriptions,
        module.programs(descriptions),
        [pair.description for pair in prepared.pairs("train")],
        module.programs,
    )
    if probe is None:
        print("no description has a word that training has, or nothing was written")
        return
    print(f"{len(probe.triggers)} of {len(descriptions)} test descriptions. The same program")
    print(f"  from the rarest word alone:  {probe.alone_same:6.1%}, names aside", end=" ")
    print(f"{probe.alone_renamed:.1%}")
    print(f"  without that word:           {probe.without_same:6.1%}, names aside", end=" ")
    print(f"{probe.without_renamed:.1%}")
    same = [own for own in probe.triggers if own.whole.strip() == own.alone.strip()]
    for own in same[: options.show]:
        print(f"\n{own.word!r} yields the same program as: {descriptions[own.place]}")
        print(own.whole.rstrip())


if __name__ == "__main__":
    main()
