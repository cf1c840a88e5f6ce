"""Messages for mistyped command lines and for errors inside of instantiated objects."""

from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from omegaconf.errors import InterpolationKeyError

from en2py.cli.overrides import separate
from en2py.config.composition import CONF, compose_config
from en2py.config.messages import check_options_of_sweep, user_message
from en2py.config.overrides import quoted
from en2py.errors import UserError

CONFIG = "train"


def message_of(*words: str) -> str:
    """Compose a command line that has a mistake and return the message."""
    try:
        _, overrides = separate(list(words))
        overrides = [quoted(override) for override in overrides]
        # Not `compose_config`: it would take the first value of `loss=a,b`, as a sweep does.
        from hydra import compose, initialize_config_dir

        with initialize_config_dir(str(CONF), version_base="1.3", job_name=CONFIG):
            compose(CONFIG, overrides)
    except Exception as error:
        reason = user_message(error, CONFIG, list(words))
        assert reason is not None and "\n" not in reason.strip()
        return reason
    raise AssertionError("composed")


@pytest.mark.parametrize(
    "word", ["tokenizer=pieces", "loss=plain", "seed=1,2", "+data@data.target=tasks", "~loss"]
)
def test_value_of_a_sweep_that_groups_have_is_accepted(word: str) -> None:
    check_options_of_sweep([word])


MISTAKES = [
    ("loss=smothed", "loss=smothed: no such option; did you mean 'smoothed'?"),
    ("tokenizer/tgt=pyton", "tokenizer/tgt=pyton: no such option; did you mean 'python'?"),
    ("experiment=no_such", "experiment=no_such: no such option"),
    ("data=jsonl", "data=jsonl: this option is named data=file now"),
    ("loss=5", "loss=5: no such option; choose from: plain"),
    ("loss=choice(plain,smothed)", "loss=smothed: no such option; did you mean 'smoothed'?"),
    ("+loss=smoothed", "+loss=smoothed: there is a loss already; replace it without a plus, loss="),
    ("++loss=smoothed", "replace it without a plus, loss=smoothed"),
    ("=3", "'=3' is not of the form key=value"),
    ("seed = 3", "seed = 3: no blank may be around =; seed=3"),
    ("loss=smoothed,plain", "add --multirun to your command line"),
    ("los=smoothed", "los: no such key; did you mean loss?"),
    ("tokenizer/sr=bpe", "tokenizer/sr: no such key; did you mean tokenizer/src?"),
    ("tokenizer=bpe", "no such option; did you mean tokenizer/src=bpe or tokenizer/tgt=bpe?"),
    ("lr=1e-3", "lr: no such key; did you mean optimizer.lr?"),
    ("epochs=3", "epochs: no such key; did you mean trainer.max_epochs?"),
    (
        "model.layers=3",
        "model.layers: no such key; did you mean model.n_encoder_layers or model.n_decoder_layers?",
    ),
    (
        "data=my/pairs.csv",
        "data=my/pairs.csv: no such option; a file is read by data=file data.path=my/pairs.csv",
    ),
    ("max_epochs=3", "did you mean trainer.max_epochs?"),
    ("model.heads=4", "did you mean model.n_heads?"),
    ("batch.max_token=1", "did you mean batch.max_tokens?"),
    ("trainer.max_epoch=3", "did you mean trainer.max_epochs? Any other argument"),
    ("trainer.foo=3", ". Any other argument of Lightning's Trainer is added with a plus: +trai"),
    (
        "data.path=x",
        "the data in use has no path; add data=corpus or data=english_python or data=file",
    ),
    (
        "data.source.path=x",
        "the data in use has no source.path; add data=corpus or data=english_py",
    ),
    ("callbacks.weight_averaging.decay=1", "has no weight_averaging.decay; add callbacks=ema"),
    ("hydra.launcher.n_jobs=3", "hydra/launcher in use has no n_jobs; add hydra/launcher=joblib"),
    ("hydra.sweeper.n_trials=3", "hydra/sweeper in use has no n_trials; add hydra/sweeper=search"),
    ("hydra.sweeper.foo=3", "hydra.sweeper.foo: no such key; hydra.sweeper has: params"),
    ("vocab.min_freq=2", "did you mean vocab.src_min_freq or vocab.tgt_min_freq?"),
    ("checkpoints.save_top_k=3", "no such key; checkpoints has: keep, every_n_minutes"),
    ("+seed=3", "An item is already at 'seed'"),
    ("~sed", "sed: no such key; did you mean seed?"),
    ("~batch.max_pairs", "~batch.max_pairs: batch.max_pairs is null, so there is nothing to take"),
    ("--verbos", "--verbos: no such option; did you mean --verbose?"),
    ("--lr=3", "--lr=3: no such option; values are set as lr=VALUE"),
    ("model.dim=1", "did you mean embeddings.vectors.dim? model has: d_model, d_ff, n_heads"),
    ("seed=[1", "seed=[1: this value cannot be parsed"),
    ("zzz=1", "zzz: no such key; the config has: "),
    ("model.zzz=1", "model.zzz: no such key; model has: "),
    ("model.z.zz=1", "model.z.zz: no such key; model has: "),
]


@pytest.mark.parametrize(("word", "sentence"), MISTAKES)
def test_mistake_is_reported(word: str, sentence: str) -> None:
    assert sentence in message_of(word)


def test_an_evaluation_has_no_option_verbose() -> None:
    with pytest.raises(UserError, match="--verbos: no such option; values are set"):
        separate(["--verbos"], takes_checkpoints=True)


def test_abbreviated_word_of_a_key() -> None:
    message = message_of("data=file", "data.source.desc_field=x")
    assert message.endswith("no such key; did you mean data.source.description_field?")


def test_first_of_two_mistakes_is_reported() -> None:
    assert message_of("optimizer.l=1", "model.heads=2").startswith("optimizer.l: no such key")


def test_part_of_a_section_that_a_preset_leaves_out() -> None:
    message = message_of("trainer=overfit", "callbacks.early_stopping.patience=3")
    assert "the chosen options set callbacks.early_stopping=null, so there is no pat" in message


def test_interpolation_of_nothing() -> None:
    cfg = compose_config(CONFIG, ["seed=${no.such}"])
    with pytest.raises(InterpolationKeyError) as raised:
        print(cfg.seed)
    error = raised.value
    assert user_message(error, CONFIG, []) == "seed: Interpolation key 'no.such' not found"
    error.__cause__ = InterpolationKeyError("Interpolation key 'no.such' not found")  # as traced
    assert user_message(error, CONFIG, []) == "seed: Interpolation key 'no.such' not found"


def test_a_word_that_was_not_typed_is_not_the_mistake() -> None:
    error = InterpolationKeyError("Interpolation key 'no.such' not found")
    words = ["~experiment", "data=tasks", "+x=${no.such}"]  # the first comes with `data=`
    assert user_message(error, CONFIG, words) == "Interpolation key 'no.such' not found"


def test_mistake_inside_an_object_is_reported() -> None:
    error = InstantiationException("Error in call to target 'x'")
    error.__cause__ = UserError("the file is empty")
    assert user_message(error, CONFIG, []) == "the file is empty"


def test_bug_inside_an_object_is_not_a_mistake() -> None:
    error = InstantiationException("Error in call to target 'x'")
    error.__cause__ = ZeroDivisionError()
    assert user_message(error, CONFIG, []) is None


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), AssertionError()])
def test_bugs_have_no_message(error: Exception) -> None:
    assert user_message(error, CONFIG, []) is None


def test_sweep_is_composed_with_its_first_values() -> None:
    cfg = compose_config(
        CONFIG, ["seed=3,4", "loss=smoothed,plain", "optimizer.lr=choice(0.1,0.2)"]
    )
    assert (cfg.seed, cfg.loss.label_smoothing, cfg.optimizer.lr) == (3, 0.1, 0.1)


def test_interval_of_a_search_is_not_composed() -> None:
    assert compose_config(CONFIG, ["optimizer.lr=interval(0.1,0.2)"]).optimizer.lr < 0.1


def test_composition_works_in_any_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert compose_config(CONFIG, []).seed == 1
