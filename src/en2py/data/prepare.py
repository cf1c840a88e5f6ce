"""Prepare data: read, clean, split, augment, tokenize, build vocabularies, in this order.

The result is plain data, for training, checkpoints and the cache.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

from en2py.console import counted
from en2py.data.augmentation import original_id
from en2py.data.cleaning import clean
from en2py.data.cleaning.content import remove_fences
from en2py.data.cleaning.limits import NOT_PARSED
from en2py.data.cleaning.pipeline import apply
from en2py.data.duplicates import Fingerprint, fingerprint, overlapping
from en2py.data.files import digest
from en2py.data.pairs import SPLITS, DataReport, Pair
from en2py.data.parallel import SECONDS_PER_ITEM, ProcessPool
from en2py.data.splits import OF_THE_SOURCE, Splits
from en2py.data.syntax import compile_error
from en2py.data.tokenizers.pieces import fit_both
from en2py.data.tokenizers.protocol import Tokenizer
from en2py.data.vocab import Vocab
from en2py.errors import UserError, check_returned

MIN_HELD_OUT = 30  # pairs
N_COMPILED = 200  # programs that a warning is based on
MAX_TOO_LONG = 0.1  # share of the pairs of a split
MAX_UNKNOWN = 0.5  # share of the training tokens of a side
MAX_LEAKING = 0.2  # share of the test pairs, in the split of a source
IS_IT_CODE = "is the code Python, and in the form and the field that data= reads?"
MIN_TO_TOKENIZE = 10_000  # pairs per process: 3 s of tokenization, 2 s to load spaCy


@dataclass(frozen=True)
class TokenizedPair:
    """A pair with its source and target tokens."""

    pair: Pair
    src: list[str]
    tgt: list[str]


@dataclass(frozen=True)
class Prepared:
    """Data ready for training.

    Attributes:
        splits: `train`, `val`, `test`: pairs with their tokens. The training split has only pairs
            within the length limits of the model; the others have all, so that every run is
            evaluated on the same pairs.
        src_vocab: English tokens of the training split.
        tgt_vocab: Python tokens of the training split.
        src_state: State of the English tokenizer.
        tgt_state: State of the Python tokenizer.
        report: What happened to each pair.
        split_hash: SHA-256 over ids and texts of the splits.
    """

    splits: dict[str, list[TokenizedPair]]
    src_vocab: Vocab
    tgt_vocab: Vocab
    src_state: dict[str, Any]
    tgt_state: dict[str, Any]
    report: DataReport
    split_hash: str

    def pairs(self, split: str) -> list[Pair]:
        """Return the pairs of a split."""
        return [item.pair for item in self.splits[split]]

    def held_out_hash(self) -> str:
        """Return a digest of the pairs of validation and test, which are those to be compared."""
        return digest([[pair.content for pair in self.pairs(split)] for split in SPLITS[1:]])

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers for the cache; tokens as numbers load faster."""
        items = list(chain.from_iterable(self.splits.values()))
        tokens = dict.fromkeys(chain.from_iterable((*item.src, *item.tgt) for item in items))
        ids = {token: i for i, token in enumerate(tokens)}
        return {
            "sizes": {name: len(items) for name, items in self.splits.items()},
            "pairs": [astuple(item.pair) for item in items],
            "tokens": list(tokens),
            "src": [[ids[token] for token in item.src] for item in items],
            "tgt": [[ids[token] for token in item.tgt] for item in items],
            "src_vocab": self.src_vocab.to_dict(),
            "tgt_vocab": self.tgt_vocab.to_dict(),
            "src_state": self.src_state,
            "tgt_state": self.tgt_state,
            "report": self.report.to_dict(),
            "split_hash": self.split_hash,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Prepared":
        """Create from `to_dict`."""
        pairs = (Pair(*map(_tuple, row)) for row in record["pairs"])
        tokens = record["tokens"]
        sides = ([[tokens[i] for i in ids] for ids in record[side]] for side in ("src", "tgt"))
        items = map(TokenizedPair, pairs, *sides)
        return cls(
            splits={name: list(islice(items, n)) for name, n in record["sizes"].items()},
            src_vocab=Vocab(**record["src_vocab"]),
            tgt_vocab=Vocab(**record["tgt_vocab"]),
            src_state=record["src_state"],
            tgt_state=record["tgt_state"],
            report=DataReport.from_dict(record["report"]),
            split_hash=record["split_hash"],
        )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def prepare(
    *,
    read: Callable[[DataReport], list[Pair]],
    cleaning: Mapping[str, Callable[..., Pair]],
    split: Callable[[Sequence[Pair], DataReport, Sequence[Fingerprint]], Splits],
    augment: Callable[[Sequence[Pair]], list[Pair]],
    src_tokenizer: Tokenizer,
    tgt_tokenizer: Tokenizer,
    src_min_freq: int,
    tgt_min_freq: int,
    max_src_len: int,
    max_tgt_len: int,
    target: Callable[[DataReport], list[Pair]] | None = None,
    processes: int | None = 1,
    seconds_per_pair: float = SECONDS_PER_ITEM,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Prepare data; each argument is one stage of the pipeline.

    Args:
        read: Reads the source.
        cleaning: Steps by name, in order.
        split: Splits pairs into train, validation and test.
        augment: Adds variants to the training split.
        src_tokenizer: For descriptions; fitted on the training split.
        tgt_tokenizer: For code; fitted on the training split.
        src_min_freq: Rarer English tokens become `<unk>`.
        tgt_min_freq: Rarer Python tokens become `<unk>`.
        max_src_len: Longest source of the model, in tokens with EOS.
        max_tgt_len: Longest target of the model, in tokens with EOS.
        target: Reads the data that a model will be fine-tuned and tested on: pairs in a group of
            near-duplicates with one of them are dropped.
        processes: For cleaning, fingerprints and tokenization; None: one per core.
        seconds_per_pair: Limit of processor time for a pair in each of these; slower pairs are
            dropped.
        progress: Called with (cleaned pairs, all pairs).

    Raises:
        UserError: If no pair is left or a split is empty.
    """
    report = DataReport()
    given = _without_fences(_pairs_of("data.source", read(report)), report)
    tick = (lambda done: progress(done, len(given))) if progress else None
    with ProcessPool(processes, seconds_per_pair) as pool:
        pairs = clean(given, cleaning, report, pool=pool, progress=tick)
        pairs, prints = apply(fingerprint, pairs, report, pool)
        if target is not None:
            pairs, prints = _without_target(pairs, prints, target, cleaning, report, pool)
        n_unparsable = sum(report.steps[name].reasons[NOT_PARSED] for name in cleaning)
        if not pairs:
            raise UserError(_why_none_is_left(given, n_unparsable, report))
        _check_named_splits(given, pairs, report)
        splits = split(pairs, report, prints)
        check_returned("split", Splits, "en2py.data.splits.Splits", splits)
        train = _pairs_of("augmentation", augment(splits.train))
        parts = {"train": train, "val": splits.val, "test": splits.test}
        report.facts["augmented"] = len(parts["train"]) - len(splits.train)
        tokenized = _tokenized_splits(parts, src_tokenizer, tgt_tokenizer, report, pool)
    tokenized["train"] = _fitting(tokenized["train"], max_src_len, max_tgt_len, report)
    for name, items in tokenized.items():
        if not items:
            raise UserError(_why_split_is_empty(name, len(pairs), report))
    src_vocab = _vocab(src_tokenizer, [item.src for item in tokenized["train"]], src_min_freq)
    tgt_vocab = _vocab(tgt_tokenizer, [item.tgt for item in tokenized["train"]], tgt_min_freq)
    report.facts.update(_facts(tokenized, src_vocab, tgt_vocab, max_src_len, max_tgt_len))
    trained = {item.pair.id for item in tokenized["train"]}
    report.facts["leakage"] = splits.leakage(trained | {*map(original_id, trained)})
    report.facts["held_out"] = splits.held_out
    report.warnings += _unexpected_pairs(len(given), n_unparsable, pairs, prints)
    report.warnings += _weak_vocabularies(report.facts)
    report.warnings += _weak_splits(report.facts, len(pairs))
    return Prepared(
        splits=tokenized,
        src_vocab=src_vocab,
        tgt_vocab=tgt_vocab,
        src_state=src_tokenizer.state_dict(),
        tgt_state=tgt_tokenizer.state_dict(),
        report=report,
        split_hash=splits.hash,
    )


def _pairs_of(part: str, returned: Any) -> list[Pair]:
    """Return the pairs that a part of the config returned.

    Raises:
        UserError: If it returned something else.
    """
    items = [*returned] if isinstance(returned, Iterable) else [returned]
    if wrong := [item for item in items if not isinstance(item, Pair)]:
        raise UserError(
            f"{part}: expected a list of en2py.data.pairs.Pair, and its _target_ returned "
            f"{'a list with ' if isinstance(returned, Iterable) else ''}{type(wrong[0]).__name__}"
        )
    return items


def _without_fences(pairs: list[Pair], report: DataReport) -> list[Pair]:
    """Take code out of Markdown fences; list the step only if a pair has them."""
    unfenced = [remove_fences(pair) for pair in pairs]
    if n := sum(before is not after for before, after in zip(pairs, unfenced, strict=True)):
        report.read("markdown fences", len(pairs), changed=n)
    return unfenced


def _without_target(
    pairs: list[Pair],
    prints: list[Fingerprint],
    target: Callable[[DataReport], list[Pair]],
    cleaning: Mapping[str, Callable[..., Pair]],
    report: DataReport,
    pool: ProcessPool,
) -> tuple[list[Pair], list[Fingerprint]]:
    """Drop pairs in a group of near-duplicates with a pair of the target data.

    All target pairs count, not only those of the held-out splits, so that the rest is free of
    leakage for every split of them.

    Returns:
        The pairs left, and their fingerprints.
    """
    target_report = DataReport()
    given = _without_fences(_pairs_of("data.target.source", target(target_report)), target_report)
    others = clean(given, cleaning, target_report, pool=pool)
    others, keys = apply(fingerprint, others, target_report, pool)
    report.read("target", len(pairs))
    report.facts["target: pairs"] = len(others)
    kept = []
    for i, overlaps in enumerate(overlapping(keys, prints)):
        if overlaps:
            report.dropped("target", pairs[i].id, "in a group with a pair of the target data")
        else:
            kept.append(i)
    return [pairs[i] for i in kept], [prints[i] for i in kept]


def _why_none_is_left(given: Sequence[Pair], n_unparsable: int, report: DataReport) -> str:
    """Return for an error message why no pair is left of those given."""
    why = f"no pair is left of the {len(given)} read: {_drop_reasons(report)}"
    if 2 * n_unparsable > len(given):
        why += f"; {IS_IT_CODE} The first begins with {given[0].code!r:.60}"
    return why


def _why_split_is_empty(name: str, n_pairs: int, report: DataReport) -> str:
    """Return for an error message why a split of the cleaned pairs is empty, and the remedy."""
    is_one_group = report.facts.get("groups", {}).get("n") == 1
    remedy = "take more data" if is_one_group else "take more data or other split.ratios"
    return (
        f"the {name} split is empty: {n_pairs} pairs are left after cleaning "
        f"({_drop_reasons(report)}){_about_groups(report)}; {remedy}"
    )


def _check_named_splits(given: Sequence[Pair], left: Sequence[Pair], report: DataReport) -> None:
    """Refuse a split of the source without a pair that is left: another one would replace it."""
    main = report.facts.get("mixture: main source", given[0].source)
    named = Counter(pair.split for pair in given if pair.source == main)
    found = {pair.split for pair in left if pair.source == main}
    for name in SPLITS:
        if named[name] and name not in found:
            raise UserError(
                f"no {name} pair of the source is left of the {named[name]:,} read: "
                f"{_drop_reasons(report)}"
            )


def _unexpected_pairs(
    total: int, n_unparsable: int, pairs: Sequence[Pair], prints: Sequence[Fingerprint]
) -> Iterator[str]:
    """Yield warnings about pairs that are probably not what the user expects.

    Of `total` pairs read, the programs of `n_unparsable` do not parse; `pairs` are the cleaned
    ones.
    """
    if 2 * n_unparsable > total:
        yield f"{n_unparsable:,} of {total:,} programs do not parse and are dropped: {IS_IT_CODE}"
    errors = [error for pair in pairs[:N_COMPILED] if (error := compile_error(pair.code))]
    if 2 * len(errors) > (n := len(pairs[:N_COMPILED])):
        reasons = [error.msg if isinstance(error, SyntaxError) else str(error) for error in errors]
        yield (
            f"{len(errors):,} of the first {n:,} programs parse but do not compile "
            f"({Counter(reasons).most_common(1)[0][0]}): is the rest of each, as its first line, "
            "in another field?"
        )
    programs: dict[str, set[str]] = defaultdict(set)
    for pair, print_ in zip(pairs, prints, strict=True):
        programs[pair.description].add(print_.renamed)
    n_shared = sum(len(programs[pair.description]) > 1 for pair in pairs)
    if 2 * n_shared > len(pairs):
        yield (
            f"{n_shared:,} of {len(pairs):,} pairs have a description that other programs have "
            "too: a model cannot know which program is wanted; check the field of the description"
        )


def _weak_vocabularies(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning for each side whose vocabulary lacks most of the training tokens."""
    for side, language in (("src", "English"), ("tgt", "Python")):
        if (share := facts["out_of_vocabulary"]["train"][side]) > MAX_UNKNOWN:
            yield (
                f"{100 * share:.0f} % of the {language} tokens of the training split are not in "
                f"the vocabulary and become <unk>: lower vocab.{side}_min_freq, or choose other "
                "tokens (tokenizer=pieces)"
            )


def _weak_splits(facts: Mapping[str, Any], n_pairs: int) -> Iterator[str]:
    """Yield warnings about held-out splits, by the facts of a report, that say little."""
    sizes = {"validation": facts["sizes"]["val"], "test": facts["sizes"]["test"]}
    too_long = dict(zip(sizes, map(facts["over_max_len"].get, SPLITS[1:]), strict=True))
    if any(too_long[split] > MAX_TOO_LONG * n for split, n in sizes.items()):
        counts = (f"{too_long[split]:,} of {n:,} {split} pairs" for split, n in sizes.items())
        yield (
            f"{' and '.join(counts)} are too long for the model: loss, perplexity, accuracy and "
            "bits per character leave them out; raise model.max_src_len or model.max_tgt_len"
        )
    is_of_source = facts["held_out"] == OF_THE_SOURCE
    if is_of_source and (share := facts["leakage"]["test"]["any"]) > MAX_LEAKING:
        yield (
            f"{round(share * sizes['test']):,} of {sizes['test']:,} test pairs have a "
            "near-duplicate in train, so their scores are too good for new descriptions; "
            "split=group splits all pairs anew and keeps near-duplicates together"
        )
    small = {split: n for split, n in sizes.items() if n < MIN_HELD_OUT}
    if small:
        n = min(small.values())
        margin = 98 / math.sqrt(n + 3.84)  # half of Wilson's 95 % interval of a rate of 50 %
        sizes_text = " and ".join(counted(n, f"{split} pair") for split, n in small.items())
        remedies = [
            "more data",
            # A share of 20 % of fewer pairs is too small as well.
            *(["a larger share ('split.ratios=[0.6,0.2,0.2]')"] * (n_pairs >= 5 * MIN_HELD_OUT)),
            "several splits (-m split.seed=1,2,3)",
        ]
        if is_of_source:
            remedies = ["more data", "split=group, which splits all pairs anew"]
        say = "says" if sum(small.values()) == 1 else "say"
        yield (
            f"{sizes_text} {say} little: a pass rate of 50 % on {counted(n, 'pair')} has a 95 % "
            f"interval of ±{margin:.0f} points; take {', '.join(remedies[:-1])} or {remedies[-1]}"
        )


def _vocab(tokenizer: Tokenizer, sentences: Sequence[list[str]], min_freq: int) -> Vocab:
    """Return the vocabulary of a tokenizer that has one, else that of the training split."""
    tokens = tokenizer.vocabulary()
    return Vocab.build(sentences, min_freq) if tokens is None else Vocab.count(tokens, sentences)


def _tokenized_splits(
    parts: Mapping[str, Sequence[Pair]],
    src_tokenizer: Tokenizer,
    tgt_tokenizer: Tokenizer,
    report: DataReport,
    pool: ProcessPool,
) -> dict[str, list[TokenizedPair]]:
    """Fit the tokenizers on the training split, and tokenize the pairs of all splits."""
    pairs = parts["train"]
    descriptions, codes = zip(*((pair.description, pair.code) for pair in pairs), strict=True)
    fit_both(src_tokenizer, tgt_tokenizer, descriptions, codes)
    tokenize = partial(_tokenized, src_tokenizer, tgt_tokenizer)
    return {
        name: apply(tokenize, part, report, pool, MIN_TO_TOKENIZE)[1]
        for name, part in parts.items()
    }


def _tokenized(src: Tokenizer, tgt: Tokenizer, pair: Pair) -> TokenizedPair:
    return TokenizedPair(pair, src.tokenize(pair.description), tgt.tokenize(pair.code))


def _fitting(
    items: list[TokenizedPair], max_src_len: int, max_tgt_len: int, report: DataReport
) -> list[TokenizedPair]:
    """Keep pairs within the length limits, which include EOS; raise UserError if none is."""
    kept = []
    report.read("max_len", len(items))
    for item in items:
        if len(item.src) + 1 > max_src_len:
            report.dropped("max_len", item.pair.id, f"description over {max_src_len} tokens")
        elif len(item.tgt) + 1 > max_tgt_len:
            report.dropped("max_len", item.pair.id, f"code over {max_tgt_len} tokens")
        else:
            kept.append(item)
    if items and not kept:
        raise UserError(
            f"none of {len(items):,} training pairs fits into model.max_src_len={max_src_len} and "
            f"model.max_tgt_len={max_tgt_len}: {_drop_reasons(report)}; set larger ones"
        )
    return kept


def _facts(
    splits: dict[str, list[TokenizedPair]],
    src_vocab: Vocab,
    tgt_vocab: Vocab,
    max_src_len: int,
    max_tgt_len: int,
) -> dict[str, Any]:
    """Return sizes, shares of unknown tokens, and pairs over the length limits, per split."""
    facts: dict[str, Any] = {"sizes": {name: len(items) for name, items in splits.items()}}
    facts["vocab"] = {"src": len(src_vocab), "tgt": len(tgt_vocab)}
    facts["tokens"], facts["out_of_vocabulary"], facts["over_max_len"] = {}, {}, {}
    for name, items in splits.items():
        facts["tokens"][name], facts["out_of_vocabulary"][name] = {}, {}
        for side, vocab in (("src", src_vocab), ("tgt", tgt_vocab)):
            known = [token in vocab for item in items for token in getattr(item, side)]
            facts["tokens"][name][side] = len(known)
            facts["out_of_vocabulary"][name][side] = known.count(False) / max(1, len(known))
        facts["over_max_len"][name] = sum(
            len(item.src) + 1 > max_src_len or len(item.tgt) + 1 > max_tgt_len for item in items
        )
    return facts


def _about_groups(report: DataReport) -> str:
    """Return for an error message why a split by groups of near-duplicates may stay empty."""
    if (groups := report.facts.get("groups")) is None:
        return ""
    return (
        f", in {counted(groups['n'], 'group')} of near-duplicates; a group is in one split, and "
        f"the largest has {counted(groups['largest'], 'pair')} (split=random ignores groups, so "
        "duplicates leak)"
    )


def _drop_reasons(report: DataReport) -> str:
    """Return the three most frequent reasons for drops, for an error message."""
    reasons: Counter[str] = Counter()
    for step in report.steps.values():
        reasons.update({f"{step.name}: {reason}": n for reason, n in step.reasons.items()})
    found = [f"{n} dropped by {reason}" for reason, n in reasons.most_common(3)]
    return ", ".join(found) or "no rule dropped any"
