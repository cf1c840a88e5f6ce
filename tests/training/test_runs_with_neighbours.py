"""A run with `neighbours=nearest model.copy=true`: trained, resumed, loaded, evaluated."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import en2py
from en2py.errors import UserError
from en2py.training import build, run_data
from en2py.training.checkpoints import load_checkpoint
from en2py.training.module import Seq2SeqModule
from training_runs import Go, assert_resumed_equals_uninterrupted, folder_of, runner

WORDS = """
apple bread chair dress earth field glass house iron jelly knife lemon mouse night ocean
paper queen river stone table uncle violin water yacht zebra angle beach cloud dream eagle
""".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("neighbours")


@pytest.fixture(scope="module")
def run(folder: Path) -> tuple[Go, list[str]]:
    """Train a run in `whole`; return the function that trained it, and its overrides."""
    lines = [
        {"description": f"add {i} to the {word}", "code": f"def add(x):\n    return x + {i}\n"}
        for i, word in enumerate(WORDS)
    ]
    data = folder / "words.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["tokenizer=pieces", "neighbours=nearest", "neighbours.k=2", "neighbours.omit=0.3"]
    words += ["split=group", f"data.path={data}", "neighbours.max_len=60", "trainer.max_epochs=2"]
    words += ["batch.max_tokens=120", "model.copy=true", "behaviour=false"]
    go = runner(folder)
    assert go(*words, out="whole") == 0
    return go, words


@pytest.fixture(scope="module")
def module(run: tuple[Go, list[str]], folder: Path) -> Seq2SeqModule:
    return en2py.load(folder_of(folder, "whole"))


def test_neighbours_of_all_splits_are_training_pairs_of_other_groups(
    module: Seq2SeqModule,
) -> None:
    config = module.metadata["config"]
    prepared = run_data.prepare_data(config)
    data = run_data.datamodule(config, prepared, module.neighbours)
    trained = {tuple(item.tgt) for item in prepared.splits["train"]}
    for split in ("train", "val", "test"):
        for example in data.examples[split]:
            own, neighbour = prepared.splits[split][example.index], prepared.src_vocab
            tokens = [neighbour.tokens[i] for i in example.src[len(own.src) :]]
            code = tuple(tokens[len(tokens) - tokens[::-1].index("<bos>") :])
            assert code in trained and code != tuple(own.tgt)


def test_held_out_pairs_have_the_neighbour_of_their_description_also_if_they_are_in_train(
    module: Seq2SeqModule,
) -> None:
    config = module.metadata["config"]
    prepared = run_data.prepare_data(config)
    leaking = replace(prepared, splits={**prepared.splits, "test": prepared.splits["train"]})
    data = run_data.datamodule(config, leaking, module.neighbours)
    texts = [leaking.splits["test"][e.index].pair.description for e in data.examples["test"]]
    expected = map(module.src_vocab.encode, module._sources(texts))
    assert [list(example.src) for example in data.examples["test"]] == list(map(list, expected))


def test_a_loaded_model_generates_with_the_neighbours_of_its_training(
    module: Seq2SeqModule,
) -> None:
    text = "add 7 to the river bank"
    (source,) = module._sources([text])
    own, neighbour = source[: source.index("<bos>")], source[source.index("<bos>") + 1 :]
    assert own == module.src_tokenizer.tokenize(text)
    assert "def" in neighbour[neighbour.index("<bos>") :]
    assert module.generate(text) == module.generate([text])[0]
    labels, maps = module.attention(text, "x = 1\n")
    assert labels["cross"][1] == [*source, "<eos>"] and maps["cross"].shape[-1] == len(source) + 1


def test_the_limit_of_descriptions_is_that_of_the_model_without_neighbours(
    module: Seq2SeqModule,
) -> None:
    with pytest.raises(UserError, match="the model reads at most 127"):
        module.generate("apple " * 128)


def test_sources_without_neighbour_have_one_segment(module: Seq2SeqModule) -> None:
    embedding = module.model.src_embedding
    assert embedding.segments is not None
    ids = torch.tensor([[5, 6, 2, 7, 2, 8]])
    with torch.no_grad():
        numbers = torch.tensor([[0, 0, 1, 1, 2, 2]])
        expected = embedding.table(ids) * embedding.scale + embedding.segments(numbers)
        assert torch.equal(embedding(ids), expected)


def test_evaluate_reports_what_training_reported(
    run: tuple[Go, list[str]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = folder_of(folder, "whole")
    ckpt = trained / "checkpoints" / "best.ckpt"
    words = ["baseline=none", "behaviour=false", "n_maps=1", f"folder={folder / 'report'}"]
    assert run[0](f"ckpt_path={ckpt}", *words, program="evaluate") == 0
    (row,) = json.loads((folder / "report" / "results.json").read_text())["rows"]
    result = json.loads((trained / "result.json").read_text())
    assert row["figures"]["nll"]["value"] == pytest.approx(result["test"]["nll"], abs=1e-6)


def test_missing_training_data_are_named_in_one_sentence(
    run: tuple[Go, list[str]], folder: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(folder_of(folder, "whole") / "checkpoints" / "best.ckpt")
    words = folder / "words.jsonl"
    kept = shutil.move(words, tmp_path / "kept")
    try:
        with pytest.raises(UserError, match=r"words\.jsonl does not exist.*put it there again"):
            build.module_of(checkpoint)
    finally:
        shutil.move(kept, words)


def test_engine_without_segments_is_refused(module: Seq2SeqModule) -> None:
    with pytest.raises(UserError, match="model with neighbours=nearest cannot be exported"):
        build._exported(module, "ctranslate2")


def test_a_resumed_run_draws_the_same_neighbours(
    run: tuple[Go, list[str]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, words = run
    every_step = "checkpoints.every_n_steps=1"
    assert_resumed_equals_uninterrupted(go, folder, monkeypatch, words, 6, every_step)
