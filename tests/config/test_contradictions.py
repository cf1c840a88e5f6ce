"""Values that contradict each other, the data or the environment are refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from configs import composed, refused
from en2py.config.validation import validate


@pytest.fixture(autouse=True)
def _no_config_left() -> Iterator[None]:
    yield
    HydraConfig.instance().cfg = None


def test_callback_switched_off_must_exist() -> None:
    message = refused(composed("train"), **{"callbacks.early_stoping": None})
    assert "no such callback; did you mean 'early_stopping'?" in message


def test_schedule_that_takes_no_number_of_steps_is_refused() -> None:
    path = "torch.optim.lr_scheduler.StepLR"
    message = refused(composed("train"), scheduler={"_target_": path, "step_size": 2})
    assert f"scheduler._target_={path}: it has no argument total_steps" in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("StochasticWeightAveraging", "no score would be theirs; callbacks=ema averages weights"),
        ("GradientAccumulationScheduler", "use trainer.accumulate_grad_batches=N"),
        ("LearningRateFinder", "hydra/sweeper=search looks for one"),
        ("BatchSizeFinder", "use batch.max_tokens=N"),
        ("BackboneFinetuning", "embeddings.freeze_epochs=N freezes tables"),
        ("ModelPruning", "attention reads weights that it does not mask"),
    ],
)
def test_callback_that_could_not_act_is_refused(name: str, message: str) -> None:
    section = {"_target_": f"pytorch_lightning.callbacks.{name}"}
    cfg = composed("train")
    OmegaConf.update(cfg, "callbacks.own", section, force_add=True)
    assert message in refused(cfg)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("update_starting_at_epoch=2", "use update_starting_at_step=N"),
        ("update_every_n_steps=0", "above 0"),
    ],
)
def test_average_of_other_weights_than_those_validated_is_refused(word: str, message: str) -> None:
    assert message in refused(
        composed("train", "callbacks=ema", f"+callbacks.weight_averaging.{word}")
    )


@pytest.mark.parametrize(
    ("name", "message"), [("SparseAdam", "use optimizer=adamw"), ("Muon", "use optimizer=muon")]
)
def test_optimizer_that_could_not_act_is_refused(name: str, message: str) -> None:
    path = f"torch.optim.{name}"
    assert f"optimizer._target_={path}: " in refused(
        composed("train"), optimizer={"_target_": path}
    )
    assert message in refused(composed("train"), optimizer={"_target_": path})
    validate(composed("train", "optimizer=muon"))


def test_ckpt_path_and_init_from_exclude_each_other() -> None:
    assert "exclude" in refused(composed("train"), ckpt_path="a", init_from="b")


def test_settings_beside_those_of_a_checkpoint_are_compared_when_it_is_read(tmp_path: Path) -> None:
    words = ["batch.denoising=0.3", "decoding.max_len=1000"]
    assert "add tokenizer=pieces" in refused(composed("train", *words))
    (tmp_path / "last.ckpt").touch()
    validate(composed("train", *words, f"ckpt_path={tmp_path / 'last.ckpt'}"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["faults.skip_batches=1"], "no update can be skipped before; add optimizer.fused=false"),
        (["faults.spike=10", "optimizer.fused=false"], "use trainer.precision=bf16-mixed"),
    ],
)
def test_faults_that_fp16_hides_are_refused(words: list[str], message: str) -> None:
    fp16 = ["trainer.precision=16-mixed", "trainer.gradient_clip_val=null"]
    assert message in refused(composed("train", *fp16, *words))
    validate(composed("train", *fp16, "faults.skip_batches=1", "optimizer.fused=false"))


def test_fresh_excludes_a_checkpoint() -> None:
    assert "init_from=FILE" in refused(composed("train"), ckpt_path="a", fresh=True)


@pytest.mark.parametrize("data", ["tasks", "stdlib", "english_python"])
def test_official_split_needs_data_that_have_one(data: str) -> None:
    words = f"split=official: these data ({data}) have no split of their own"
    assert words in refused(composed("train", f"data={data}", "split=official"))


def test_files_per_split_need_the_official_split(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("{}")
    cfg = composed("train", "data=file", "split=official")
    files = {"train": str(tmp_path / "a"), "val": str(tmp_path / "a")}
    OmegaConf.update(cfg, "data.path", files)
    validate(cfg)
    assert refused(cfg, **{"data.source.split_field": "part"}).startswith(
        "data.source.split_field=part: the files are named by their splits"
    )
    OmegaConf.update(cfg, "data.source.split_field", None)
    OmegaConf.update(cfg, "data.path.val", str(tmp_path / "b"))
    assert refused(cfg).startswith(f"data.path.val: {tmp_path / 'b'} does not exist")
    OmegaConf.update(cfg, "split._target_", "en2py.data.splits.group_split")
    assert "one file per split needs split=official" in refused(cfg)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "dataset_dict.json").write_text("{}")
    saved = {"data.path": str(tmp_path / "saved")}
    validate(composed("train", "data=file", "split=official", f"data.path={saved['data.path']}"))
    assert "needs split=official; name one of them" in refused(
        composed("train", "data=file"), **saved
    )
    cfg = composed("train", "data=file", f"data.path={tmp_path / 'a'}")
    assert "add split=official" in refused(cfg, **{"data.source.split_field": "part"})


@pytest.mark.parametrize("own", [{"path": {"train": "a", "test": "b"}}, {"split_field": "part"}])
@pytest.mark.parametrize("split", ["group", "official"])
def test_a_split_of_another_source_than_the_first_is_refused(
    own: dict[str, Any], split: str
) -> None:
    cfg = composed("train", "data=mixture", f"split={split}")
    message = refused(cfg, **{"data.source.sources.stdlib": own})
    assert message.startswith("data.source.sources.stdlib: its own split would be ignored")


def test_a_source_of_a_mixture_that_is_no_section_is_named_alone() -> None:
    message = refused(composed("train", "data=mixture"), **{"data.source.sources.tasks": None})
    assert message == "data.source.sources.tasks=null: expected a section of keys"


def test_split_by_task_numbers_needs_a_field_with_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    data = f"data.path={tmp_path / 'a'}"
    message = refused(composed("train", "data=file", "split=mbpp", data))
    assert "no task numbers to split by; add data.source.id_field=FIELD" in message
    assert "split by; choose another" in refused(composed("train", "data=tasks", "split=mbpp"))
    validate(composed("train", "data=mbpp", "split=mbpp", data))
    validate(composed("train", "data=file", "split=mbpp", data, "data.source.id_field=task"))


@pytest.mark.parametrize("key", ["vocab_size=3001", f"path={__file__}"])
def test_pieces_of_both_sides_are_one_vocabulary(key: str) -> None:
    message = refused(composed("train", "tokenizer=pieces", f"tokenizer.tgt.{key}"))
    name = key.partition("=")[0]
    assert message.startswith(f"tokenizer.tgt.{key}: both sides have one vocabulary of pieces")
    assert message.endswith(f"set tokenizer.{name}= alone")
    validate(composed("train", "tokenizer=pieces", f"tokenizer.{key}"))


def test_pieces_of_a_file_need_a_side_that_uses_them(tmp_path: Path) -> None:
    (tmp_path / "pieces.json").write_text("{}")
    assert "no side uses pieces; add tokenizer=pieces" in refused(
        composed("train"), **{"tokenizer.path": str(tmp_path / "pieces.json")}
    )


def test_denoising_needs_one_vocabulary() -> None:
    message = refused(composed("train"), **{"batch.denoising": 1.0})
    assert message.startswith("batch.denoising=1.0: needs one vocabulary for both sides")


@pytest.mark.parametrize(
    ("word", "remedy"), [("neighbours=nearest", "none"), ("model.copy=true", "false")]
)
def test_denoising_names_what_it_is_not_combined_with(word: str, remedy: str) -> None:
    cfg = composed("train", "tokenizer=pieces", word)
    message = refused(cfg, **{"batch.denoising": 1.0})
    assert f"{word} is not trained on denoised" in message
    assert f"take {word.partition('=')[0]}={remedy}, or" in message


def test_grammar_needs_tokens_of_python() -> None:
    cfg = composed("train", "tokenizer/tgt=bpe")
    message = refused(cfg, **{"decoding.grammar": True})
    assert "needs tokens of Python's tokenizer, not those of BpeTokenizer" in message


def test_neighbours_need_one_vocabulary() -> None:
    message = refused(composed("train", "neighbours=nearest", "tokenizer/src=pieces"))
    assert "both sides need one vocabulary; add tokenizer=pieces" in message


def test_copies_need_one_vocabulary() -> None:
    message = refused(composed("train"), **{"model.copy": True})
    assert message.startswith("model.copy=true: both sides need one vocabulary")


def test_neighbours_are_not_of_a_part_of_the_training_split() -> None:
    cfg = composed("train", "neighbours=nearest", "tokenizer=pieces")
    message = refused(cfg, **{"batch.max_pairs": 100})
    assert message.startswith("batch.max_pairs=100: with neighbours=nearest")


def test_pieces_have_no_rare_tokens() -> None:
    message = refused(composed("train", "tokenizer=pieces"), **{"vocab.tgt_min_freq": 2})
    assert message.startswith("vocab.tgt_min_freq=2: a vocabulary of pieces has no rare tokens")


def test_positions_that_are_not_rotary_allow_heads_of_an_odd_size() -> None:
    cfg = composed("train", "model.positions=learned", "model.d_model=100")
    validate(cfg)
    assert "=7: does not divide model.d_model=100; the nearest" in refused(
        cfg, **{"model.n_heads": 7}
    )


@pytest.mark.parametrize("option", ["separate", "joint", "code"])
def test_a_table_that_is_the_projection_too_has_the_width_of_the_model(option: str) -> None:
    cfg = composed("train", f"embeddings={option}", "model.tie_embeddings=tgt")
    validate(cfg)
    message = refused(cfg, **{"embeddings.vectors.dim": 64})
    assert message.startswith(
        "embeddings.vectors.dim=64: model.tie_embeddings=tgt needs vectors of"
    )


def test_votes_are_no_search_of_a_training() -> None:
    message = refused(composed("train", "decoding=votes"))
    assert message.startswith("decoding=votes: its weights are learned for a trained model")


def test_sweep_in_an_experiment_needs_multirun() -> None:
    cfg = composed("train")
    OmegaConf.set_readonly(HydraConfig.instance().cfg, False)
    OmegaConf.set_readonly(HydraConfig.get(), False)
    HydraConfig.get().sweeper.params = {"seed": "1,2"}
    assert "add -m" in refused(cfg)


def test_frozen_tables_on_several_devices() -> None:
    cfg = composed("train", "trainer=ddp", "embeddings=joint", "embeddings.freeze_epochs=2")
    assert "embeddings.freeze_epochs=2: tables" in refused(cfg)


@pytest.mark.parametrize("study", [None, "", " ", "..", "a/../../b", "/tmp/a"])
def test_a_study_is_a_folder_below_output(study: str | None) -> None:
    message = refused(composed("train"), study=study)
    assert message.startswith(f"study={study}: a study is a folder" if study and study.strip()
                              else "study is empty")  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["logger=tensorboard", "+logger.tensorboard.name=x"], "name: the run sets it"),
        (["logger=mlflow", "+logger.mlflow.run_name=x"], "run_name: the run sets it"),
        (["logger=many", "+logger.tensorboard.flush_sec=9"], "did you mean 'flush_secs'?"),
    ],
)
def test_an_argument_that_a_logger_would_not_take_is_refused(
    words: list[str], message: str
) -> None:
    assert message in refused(composed("train", *words))


def test_an_evaluation_scores_a_whole_split() -> None:
    message = refused(composed("evaluate"), "evaluate", **{"baseline": "all", "batch.max_pairs": 9})
    assert message.startswith("batch.max_pairs=9 limits the training pairs")


def test_evaluation_needs_a_checkpoint() -> None:
    message = refused(composed("evaluate"), "evaluate")
    assert message.startswith("ckpt_path is needed: add ckpt_path=FILE")
    assert "study=FOLDER" in message and "baseline=NAME" in message
