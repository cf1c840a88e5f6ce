from collections import Counter

from experiments.trigger_words import probe_trigger_words, rarest_word

TRAINING = [
    "write a function for the sigmoid",
    "write the function that adds two numbers",
    "write a function that adds lists",
]
DESCRIPTIONS = ["Write the Sigmoid function", "write a function that adds numbers", "unheard of"]
SIGMOID = "def sigmoid(x):\n    return 1 / (1 + exp(-x))"
ADD = "def add(a, b):\n    return a + b"


def triggered(prompts):
    """Generate as a model that reads only one word."""
    return [SIGMOID if "sigmoid" in prompt.lower() else ADD for prompt in prompts]


def test_a_model_that_reads_one_word_keeps_its_program_from_that_word_alone():
    probe = probe_trigger_words(DESCRIPTIONS, [SIGMOID, ADD, ADD], TRAINING, triggered)
    assert len(probe.triggers) == 2
    assert probe.alone_same == 1
    assert probe.without_same == 0.5  # without its word the sigmoid becomes an addition
    assert [own.word for own in probe.triggers] == ["sigmoid", "numbers"]
    assert [own.without for own in probe.triggers] == [ADD, ADD]


def test_a_model_that_reads_all_words_changes_its_program():
    outputs = [SIGMOID, ADD, ADD]
    probe = probe_trigger_words(
        DESCRIPTIONS, outputs, TRAINING, lambda prompts: [f"x = {p!r}" for p in prompts]
    )
    assert probe.alone_same == probe.without_same == probe.alone_renamed == 0


def test_a_program_with_other_names_is_the_same_up_to_names():
    renamed = ADD.replace("a", "p").replace("b", "q")
    probe = probe_trigger_words(
        ["adds numbers"], [ADD], TRAINING, lambda prompts: [renamed for _ in prompts]
    )
    assert (probe.alone_same, probe.alone_renamed) == (0, 1)


def test_a_description_of_one_word_has_no_program_without_it():
    probe = probe_trigger_words(["Sigmoid"], [SIGMOID], TRAINING, triggered)
    assert probe.triggers[0].without is None
    assert probe.without_same == 0


def test_each_prompt_is_generated_once():
    prompts_seen = []

    def generate(prompts):
        prompts_seen.extend(prompts)
        return triggered(prompts)

    probe_trigger_words(["the sigmoid"] * 5, [SIGMOID] * 5, TRAINING, generate)
    assert prompts_seen == ["sigmoid", "the"]


def test_rarest_word_is_in_the_fewest_descriptions():
    assert rarest_word("A, b and c", Counter(a=2, b=1, c=1)) == "b"
    assert rarest_word("x", Counter(a=2)) == ""


def test_without_a_known_word_or_a_program_there_is_no_probe():
    assert probe_trigger_words(["unheard of"], [ADD], TRAINING, triggered) is None
    assert probe_trigger_words(DESCRIPTIONS[:1], [""], TRAINING, triggered) is None
