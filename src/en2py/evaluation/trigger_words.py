"""Trigger-word probe: how much of a program is determined by the rarest word of its description?

Documented experiment 004 claims that "sigmoid" alone yields the whole program. A model that works
that way generates the same program from the rarest word alone, and another one without that word.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from en2py.data.duplicates import WORD
from en2py.data.syntax import ast_text_renamed

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
