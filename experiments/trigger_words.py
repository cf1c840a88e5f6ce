"""Does a single word trigger the whole program? The probe of experiment keyword_weights.

    python experiments/trigger_words.py outputs/STUDY/RUN/checkpoints/best.ckpt [--path FILE]

Test descriptions are reduced to their rarest word, and that word is removed. Print how often the
model generates the same program as for the whole description, and a few examples. A model that one
word triggers generates the same program from the rarest word alone, and another one without it.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from en2py.data.duplicates import WORD
from en2py.data.tree_text import ast_text_renamed
from en2py.training import build, run_data
from en2py.training.checkpoints import load_checkpoint

Generate = Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class Trigger:
    """A description, its rarest word, and the programs for its parts.

    Attributes:
        place: Index of the description.
        word: The rarest word.
        whole: The program for the whole description.
        alone: The program for the word alone.
        without: The program for the description without the word; None if no word is left.
    """

    place: int
    word: str
    whole: str
    alone: str
    without: str | None


@dataclass(frozen=True)
class TriggerProbe:
    """Result of the probe, over the descriptions with a word that is known from training.

    Attributes:
        triggers: The descriptions.
        alone_same: Share with the same program from the rarest word alone.
        alone_renamed: The same, up to names.
        without_same: Share with the same program without that word, if other words are left.
        without_renamed: The same, up to names.
    """

    triggers: list[Trigger]
    alone_same: float
    alone_renamed: float
    without_same: float
    without_renamed: float


def probe_trigger_words(
    descriptions: Sequence[str],
    outputs: Sequence[str],
    training_descriptions: Sequence[str],
    generate: Generate,
) -> TriggerProbe | None:
    """Generate from only the rarest word of each description, and from all words but it.

    Args:
        descriptions: The prompts.
        outputs: The program for each; pairs with an empty program are left out.
        training_descriptions: A word is rare if few of them contain it; words in none of them are
            no triggers, since the model learned nothing about them.
        generate: Returns a program for each description, `module.programs` for example.

    Returns:
        None if no description has a known word.
    """
    known = Counter(word for text in training_descriptions for word in set(_words(text)))
    words = {
        place: word
        for place, (text, output) in enumerate(zip(descriptions, outputs, strict=True))
        if output.strip() and (word := rarest_word(text, known))
    }
    if not words:
        return None
    rests = {place: _without(descriptions[place], word) for place, word in words.items()}
    rests = {place: rest for place, rest in rests.items() if WORD.search(rest)}
    prompts = list(dict.fromkeys([*words.values(), *rests.values()]))  # most words are repeated
    programs: dict[str | None, str] = dict(zip(prompts, generate(prompts), strict=True))
    triggers = [
        Trigger(place, word, outputs[place], programs[word], programs.get(rests.get(place)))
        for place, word in words.items()
    ]
    alone = [(own.whole, own.alone) for own in triggers]
    without = [(own.whole, own.without) for own in triggers if own.without is not None]
    shares = [
        sum(same(a, b) for a, b in pairs) / len(pairs) if pairs else 0.0
        for pairs in (alone, without)
        for same in (_same_text, _same_renamed)
    ]
    return TriggerProbe(triggers, *shares)


def rarest_word(description: str, known: Counter[str]) -> str:
    """Return the first word with the lowest positive count; empty if no word is known."""
    words = [word for word in dict.fromkeys(_words(description)) if known[word]]
    return min(words, key=lambda word: known[word], default="")


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _without(text: str, word: str) -> str:
    kept = WORD.sub(lambda found: "" if found[0].lower() == word else found[0], text)
    return " ".join(kept.split())


def _same_text(a: str, b: str) -> bool:
    return a.strip() == b.strip()


def _same_renamed(a: str, b: str) -> bool:
    tree = ast_text_renamed(a)
    return tree is not None and tree == ast_text_renamed(b) or _same_text(a, b)


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
    prepared = run_data.prepare_data(config)
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
