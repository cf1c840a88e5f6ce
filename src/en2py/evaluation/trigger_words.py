"""What a model makes of a description's single words: the trigger-word probe.

Documented experiment 004 claims that "sigmoid" alone brings the whole program. If that is how a
model works, a description cut to its rarest word gets the same program, and the description
without that word another one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from en2py.data.duplicates import WORD
from en2py.data.syntax import ast_text_renamed

Generate = Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class Trigger:
    """One description, its rarest word, and what was written for which part of it.

    Attributes:
        place: Of the description in what was asked.
        word: The rarest word.
        whole: The program for the whole description.
        alone: The program for the word alone.
        without: The program for the description without the word; None where nothing is left.
    """

    place: int
    word: str
    whole: str
    alone: str
    without: str | None


@dataclass(frozen=True)
class TriggerProbe:
    """What came out of `probe_trigger_words`.

    Attributes:
        n: Descriptions that were asked: those with a word that training has.
        alone_same: Share of them whose program stays the same from the rarest word alone.
        alone_renamed: The same, names set aside.
        without_same: Share whose program stays the same without that word, of those in which
            other words are left.
        without_renamed: The same, names set aside.
        triggers: Each of them.
    """

    n: int
    alone_same: float
    alone_renamed: float
    without_same: float
    without_renamed: float
    triggers: list[Trigger]


def probe_trigger_words(
    descriptions: Sequence[str],
    outputs: Sequence[str],
    training_descriptions: Sequence[str],
    generate: Generate,
) -> TriggerProbe | None:
    """Ask a model again with only the rarest word of each description, and with all but it.

    Args:
        descriptions: The prompts.
        outputs: What the model wrote for each; a pair with an empty output is left out.
        training_descriptions: Tell how rare a word is: in how many of them it stands. Words that
            stand in none are no triggers, for nothing was learned of them.
        generate: Writes a program for each of a list of descriptions, such as a module's own.

    Returns:
        The shares, None where no description has a known word.

    Raises:
        ValueError: If the lengths differ.
    """
    if len(descriptions) != len(outputs):
        raise ValueError(f"{len(descriptions)} descriptions but {len(outputs)} outputs")
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
    # Most words come more than once, and are asked once.
    prompts = list(dict.fromkeys([*words.values(), *rests.values()]))
    answers = dict(zip(prompts, generate(prompts), strict=True))
    triggers = [
        Trigger(
            place,
            word,
            outputs[place],
            answers[word],
            answers[rests[place]] if place in rests else None,
        )
        for place, word in words.items()
    ]
    alone = [(own.whole, own.alone) for own in triggers]
    without = [(own.whole, own.without) for own in triggers if own.without is not None]
    return TriggerProbe(
        len(triggers),
        _share(alone, _same_text),
        _share(alone, _same_renamed),
        _share(without, _same_text),
        _share(without, _same_renamed),
        triggers,
    )


def rarest_word(description: str, known: Counter[str]) -> str:
    """Return the word that the fewest training descriptions have; empty where none has any.

    Of equals the first is taken.
    """
    words = [word for word in dict.fromkeys(_words(description)) if known[word]]
    return min(words, key=lambda word: known[word], default="")


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _without(text: str, word: str) -> str:
    """Leave a word out, wherever it stands."""
    kept = WORD.sub(lambda found: "" if found[0].lower() == word else found[0], text)
    return " ".join(kept.split())


def _share(pairs: Sequence[tuple[str, str]], same: Callable[[str, str], bool]) -> float:
    return sum(same(a, b) for a, b in pairs) / len(pairs) if pairs else 0.0


def _same_text(a: str, b: str) -> bool:
    return a.strip() == b.strip()


def _same_renamed(a: str, b: str) -> bool:
    tree = ast_text_renamed(a)
    return tree is not None and tree == ast_text_renamed(b) or _same_text(a, b)
