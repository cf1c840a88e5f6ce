from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from en2py.data import datamodule
from en2py.data.batch import Example, Store, collate
from en2py.data.datamodule import PairDataModule
from en2py.data.epoch_batches import EpochBatches
from en2py.data.pairs import DataReport, Pair
from en2py.data.prepare import Prepared, TokenizedPair
from en2py.data.vocab import Vocab

LENGTHS = [(3 + i % 11, 4 + (i * 7) % 60) for i in range(200)]


def epoch(n: int, seed: int = 1, world: int = 1, rank: int = 0, skip: int = 0) -> list[list[int]]:
    batches = EpochBatches(LENGTHS, 256, seed, rank, world)
    batches.set_epoch(n)
    batches.skip = skip
    return list(batches)


def test_an_epoch_has_every_pair_once() -> None:
    assert sorted(i for batch in epoch(0) for i in batch) == list(range(len(LENGTHS)))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    assert epoch(3) == epoch(3)
    assert epoch(3) != epoch(4)
    assert epoch(3, seed=1) != epoch(3, seed=2)


def test_pairs_are_batched_differently_in_each_epoch() -> None:
    assert {frozenset(b) for b in epoch(0)} != {frozenset(b) for b in epoch(1)}


def test_the_length_equals_the_number_of_batches() -> None:
    batches = EpochBatches(LENGTHS, 256, seed=1)
    for n in range(5):
        batches.set_epoch(n)
        assert len(list(batches)) == len(batches)


def test_no_batch_exceeds_the_budget() -> None:
    for batch in epoch(0):
        width = max(LENGTHS[i][1] for i in batch)
        assert len(batch) * width <= 256 or len(batch) == 1


def test_a_pair_longer_than_the_budget_is_a_batch_alone() -> None:
    batches = EpochBatches([(3, 500), (3, 5), (3, 500)], 256, seed=1)
    assert sorted(map(len, batches)) == [1, 1, 1]


MakeData = Callable[[int], PairDataModule]


def data_of(prepared: Prepared, max_tokens: int = 500, denoising: float = 0.0) -> PairDataModule:
    return PairDataModule(
        prepared,
        max_tokens=max_tokens,
        max_src_len=99,
        max_tgt_len=99,
        max_pairs=None,
        num_workers=0,
        seed=1,
        denoising=denoising,
    )


@pytest.fixture
def data_with(pairs: list[Pair], src_vocab: Vocab, tgt_vocab: Vocab) -> MakeData:
    """Return data modules by `max_tokens`."""
    train = [TokenizedPair(p, p.description.split(), p.code.split()) for p in pairs]
    prepared = Prepared({"train": train}, src_vocab, tgt_vocab, {}, {}, DataReport(), "")
    return lambda n: data_of(prepared, n)


def test_a_sample_of_most_pairs_covers_the_whole_split(
    data_with: MakeData, pairs: list[Pair]
) -> None:
    places = [pairs.index(pair) for pair in data_with(500).sample("train", 8)]
    assert places == [0, 1, 3, 4, 6, 7, 9, 10]
    assert len(data_with(500).sample("train", 99)) == len(pairs)


def test_the_training_sample_is_of_the_source_that_is_validated(
    data_with: MakeData, pairs: list[Pair]
) -> None:
    train = [
        TokenizedPair(replace(p, source=source), [], p.code.split())
        for source in ("main", "other")
        for p in pairs
    ]
    prepared = replace(data_with(500).prepared, splits={"train": train, "val": train[:1]})
    data = data_of(prepared)
    sampled = data.examples["train_sample"]
    assert [example.index for example in sampled] == list(range(len(pairs)))


@pytest.mark.parametrize("max_tokens", [10, 500])
def test_batches_of_one_pair_are_reported(
    data_with: MakeData, caplog: pytest.LogCaptureFixture, max_tokens: int
) -> None:
    data_with(max_tokens).train_dataloader()
    assert ("batch.max_tokens=10: each batch has one pair" in caplog.text) is (max_tokens == 10)


@pytest.mark.parametrize(("length", "denoising", "warns"), [(9, 1.0, True), (12, 0.1, False)])
def test_denoising_that_denoises_no_program_is_reported(
    data_with: MakeData,
    caplog: pytest.LogCaptureFixture,
    length: int,
    denoising: float,
    warns: bool,
) -> None:
    prepared = data_with(500).prepared
    train = [replace(item, tgt=["x"] * length) for item in prepared.splits["train"]]
    data_of(replace(prepared, splits={"train": train}), denoising=denoising)
    assert ("no program is denoised; this needs programs of 10 pieces" in caplog.text) is warns


@pytest.mark.parametrize("n_hypotheses", [1, 2, 50])
def test_batches_of_generation_have_a_hypothesis_per_eight_tokens(
    data_with: MakeData, n_hypotheses: int
) -> None:
    data = data_with(32).for_evaluation("train", n_hypotheses)
    sizes = [len(batch.src) for batch in data.predict_dataloader()]
    assert max(sizes) == max(1, 32 // 8 // n_hypotheses)
    assert sum(sizes) == len(data.examples["train"])


def test_the_training_split_too_is_scored_with_half_of_the_tokens(data_with: MakeData) -> None:
    width = max(example.lengths[1] for example in data_with(32).examples["train"])
    for batch in data_with(4 * width).for_evaluation("train").test_dataloader():
        assert batch.tgt_out.numel() <= 2 * width


def test_batches_of_generation_are_bounded(
    data_with: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datamodule, "HYPOTHESES", 2)
    data = data_with(16_384).for_evaluation("train", 1)
    assert max(len(batch.src) for batch in data.predict_dataloader()) == 2


def test_padding_is_a_small_share() -> None:
    padded = sum(len(b) * max(LENGTHS[i][1] for i in b) for b in epoch(0))
    assert padded / sum(tgt for _, tgt in LENGTHS) < 1.25


def test_a_resumed_epoch_continues_after_its_last_batch() -> None:
    assert epoch(2, skip=5) == epoch(2)[5:]


def test_batches_are_skipped_in_one_epoch_only() -> None:
    batches = EpochBatches(LENGTHS, 256, seed=1)
    batches.skip = 5
    assert len(list(batches)) == len(batches) - 5
    assert len(list(batches)) == len(batches)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_an_epoch_in_equal_steps(world: int) -> None:
    parts = [epoch(0, world=world, rank=rank) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1
    counts = Counter(i for part in parts for batch in part for i in batch)
    assert sorted(counts) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("world", [3, 4, 7])
def test_every_rank_has_a_batch_if_there_are_fewer_than_ranks(world: int) -> None:
    parts = [list(EpochBatches([(3, 5)], 256, 1, rank, world)) for rank in range(world)]
    assert parts == [[[0]]] * world


def test_ranks_evaluate_every_pair_exactly_once() -> None:
    parts = [
        i for rank in range(3) for batch in EpochBatches(LENGTHS, 256, None, rank, 3) for i in batch
    ]
    assert sorted(parts) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("world", [1, 2])
def test_limited_evaluation_reads_batches_of_all_lengths(world: int) -> None:
    for rank in range(world):
        batches = EpochBatches(LENGTHS, 256, None, rank, world)
        everything = list(batches)
        batches.n_read = 4
        n, read = len(everything), [everything.index(batch) for batch in batches]
        assert n > 8 and len(batches) == n
        assert [4 * place // n for place in read] == [0, 1, 2, 3]  # one of each quarter


@pytest.mark.parametrize(("limit", "n"), [(2, 2), (99, 6), (0.5, 3), (1.0, 6), (0, 0)])
def test_validation_has_the_batches_of_its_limit(
    monkeypatch: pytest.MonkeyPatch, data_with: MakeData, limit: float, n: int
) -> None:
    data = data_with(2)  # each pair is a batch
    data.examples["val"] = [replace(data.examples["train"][0]) for _ in range(6)]
    data.trainer = Mock(limit_val_batches=limit, global_rank=0, world_size=1)
    monkeypatch.setattr(data, "_device", lambda: None)
    val, _ = data.val_dataloader()
    assert len(list(val)) == n


def test_collate_pads_shifts_and_counts(tgt_vocab: Vocab) -> None:
    v = tgt_vocab
    batch = collate([Example(7, [4, 5], [6], 10, 3), Example(2, [4], [5, 6, 7], 5, 0)], v)
    assert batch.src.tolist() == [[4, 5, v.eos_id], [4, v.eos_id, v.pad_id]]
    assert batch.tgt_in.tolist() == [[v.bos_id, 6, v.eos_id, v.pad_id], [v.bos_id, 5, 6, 7]]
    assert batch.tgt_out.tolist() == [[6, v.eos_id, v.pad_id, v.pad_id], [5, 6, 7, v.eos_id]]
    assert batch.n_tokens == int(batch.tgt_mask.sum()) == 6
    assert batch.src_places.tolist() == [0, 1, 2, 3, 4]
    assert batch.tgt_places.tolist() == [0, 1, 4, 5, 6, 7]
    assert (batch.n_characters, batch.spelling_bits) == (15, 3)
    assert torch.equal(batch.indices, torch.tensor([7, 2]))


def test_a_store_gathers_the_examples_at_some_positions(tgt_vocab: Vocab) -> None:
    examples = [
        Example(7, [4, 5], [6], 10, 3),
        Example(2, [4], [5, 6, 7], 5, 0),
        Example(3, [5], [], 0, 1),
    ]
    store = Store(examples, tgt_vocab)
    assert len(store) == 3
    for places in ([0, 1, 2], [2, 0], [1], [2]):
        ours, alone = store[places], collate([examples[i] for i in places], tgt_vocab)
        for name, value in vars(alone).items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(getattr(ours, name), value), name
                assert getattr(ours, name).dtype == value.dtype == torch.int64, name
            else:
                assert getattr(ours, name) == value, name
    last = store[[2, 0]]
    assert last.tgt.tolist() == [
        [tgt_vocab.bos_id, tgt_vocab.eos_id, tgt_vocab.pad_id],
        [tgt_vocab.bos_id, 6, tgt_vocab.eos_id],
    ]
    assert (last.n_tokens, last.n_characters, last.spelling_bits) == (3, 10, 4)


class Places(Dataset[list[int]]):
    """Returns the positions of each batch."""

    def __getitem__(self, places: list[int]) -> list[int]:
        return places


def test_the_order_does_not_depend_on_the_number_of_workers() -> None:
    def order(n_workers: int) -> list[list[int]]:
        batches = EpochBatches(LENGTHS, 256, seed=1)
        batches.set_epoch(2)
        batches.skip = 3
        return list(DataLoader(Places(), sampler=batches, batch_size=None, num_workers=n_workers))

    assert order(0) == epoch(2, skip=3) == order(1) == order(2) == order(4)
