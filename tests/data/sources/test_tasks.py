"""The generator of tasks: programs pass their tests; retrieval does not solve the test split."""

import ast
import contextlib
import functools
import io
import operator
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import pytest
from omegaconf import OmegaConf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union

from en2py.data.pairs import DataReport
from en2py.data.sources.tasks import generate, read_tasks
from en2py.data.sources.tasks.collectors import COLLECTORS
from en2py.data.sources.tasks.inputs import arguments
from en2py.data.sources.tasks.sources import draw_source
from en2py.data.sources.tasks.stages import draw_stages
from en2py.data.sources.tasks.streams import WRITERS, writable
from en2py.data.sources.tasks.task import function, normal_form
from en2py.data.splits import composition_split
from en2py.data.tokenizers import PythonTokenizer
from en2py.data.tree_text import ast_text_renamed

pytestmark = pytest.mark.slow  # all default data is generated, split and executed
CONFIG = OmegaConf.load(Path(__file__).parents[3] / "conf/data/tasks.yaml")
N_PAIRS = CONFIG.source.n_pairs  # the default data, all of it
SHAPE = re.compile(r"assert .+ == .+", re.DOTALL)


@pytest.fixture(scope="module")
def generated():
    return read_tasks(DataReport(), n_pairs=N_PAIRS, seed=CONFIG.source.seed)


@pytest.fixture(scope="module")
def splits(generated):
    return composition_split(generated, DataReport(), ratios=[0.7, 0.15, 0.15], seed=1)


renamed = functools.cache(ast_text_renamed)
code_tokens = functools.cache(PythonTokenizer().tokenize)


def words_of(pair):
    return re.findall(r"\w+|[^\w\s]", pair.description.lower())


def code_tokens_of(pair):
    return code_tokens(pair.code)


def draw_parts(rng):
    """Draw a collector, a source and stages; stages are None if they do not fit."""
    collector, source = rng.choice(COLLECTORS), draw_source(rng)
    stages = draw_stages(rng, source)
    if stages is None or stages.order not in collector.orders:
        return collector, source, None
    changed = stages.change.to if stages.change and stages.order != "property" else source.kind
    return collector, source, stages if changed in collector.kinds else None


def result_of(code, call):
    """Return the result of a call; for an empty list some styles raise an error, others do not."""
    scope = {}
    exec(code, scope)
    try:
        answer = eval(call, scope)
    except (ValueError, IndexError, ZeroDivisionError):
        return "no result"
    return "no result" if answer in (None, "") else answer


def failing(pair):
    """Return the tests of a pair that its own program does not pass."""
    scope = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(pair.code, scope)
        for test in pair.tests:
            try:
                exec(test, scope)
            except AssertionError:
                yield test


def test_the_number_of_pairs_is_as_configured(generated):
    assert len(generated) == N_PAIRS
    assert len({(pair.description, pair.code) for pair in generated}) == N_PAIRS
    assert [pair.id for pair in generated[:2]] == ["tasks/00000", "tasks/00001"]


def test_at_least_60_families(generated):
    assert len({pair.family for pair in generated}) >= 60


def test_at_least_1500_programs_up_to_names(generated):
    assert len({renamed(pair.code) for pair in generated}) >= 1500


def test_every_program_passes_its_own_tests(generated):
    programs = {
        (pair.code, pair.tests): pair for pair in generated
    }.values()  # once for all its wordings
    assert [(pair.code, test) for pair in programs for test in failing(pair)] == []


def test_every_pair_has_three_tests_of_the_same_shape(generated):
    assert all(len(pair.tests) >= 3 for pair in generated)
    assert all(SHAPE.fullmatch(test) for pair in generated for test in pair.tests)
    for pair in generated[:500]:
        for test in pair.tests:
            comparison = ast.parse(test).body[0].test
            assert isinstance(comparison.ops[0], ast.Eq)
            ast.literal_eval(comparison.comparators[0])


def test_tests_have_different_results(generated):
    results = [{test.rpartition(" == ")[2] for test in pair.tests} for pair in generated]
    assert all(len(different) >= 2 for different in results)


def test_each_description_has_one_program(generated):
    programs = defaultdict(set)
    for pair in generated:
        words = re.sub(r"[.\s]+", " ", pair.description.lower()).strip()
        programs[words].add(renamed(pair.code))
    assert [words for words, several in programs.items() if len(several) > 1] == []


def test_programs_mostly_combine_several_primitives(generated):
    sizes = Counter(len(pair.combination.split("|")) for pair in generated)
    assert sizes[1] == 0
    assert sum(n for size, n in sizes.items() if size >= 3) >= 0.9 * len(generated)


def test_the_same_seed_draws_the_same_pairs_with_any_hash_seed():
    script = (
        "import dataclasses, hashlib, json; from en2py.data.sources.tasks import generate;"
        "generate.CHUNK = 300; pairs = map(dataclasses.asdict, generate.draw_pairs('3/0'));"
        "print(hashlib.sha256(json.dumps([*pairs]).encode()).hexdigest())"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1")
    }
    assert len(hashes) == 1


def test_another_seed_draws_other_pairs(monkeypatch):
    monkeypatch.setattr(generate, "CHUNK", 30)
    one, two = (read_tasks(DataReport(), n_pairs=20, seed=seed) for seed in (1, 2))
    assert {pair.description for pair in one}.isdisjoint(pair.description for pair in two)


def test_the_report_counts_the_generated_pairs(monkeypatch):
    monkeypatch.setattr(generate, "CHUNK", 70)
    report = DataReport()
    pairs = read_tasks(report, n_pairs=50, seed=1)
    assert report.steps["tasks"].read == 50
    assert report.facts["tasks"]["families"] == len({pair.family for pair in pairs})


def test_held_out_combinations_are_new_and_their_primitives_are_not(splits):
    trained = {pair.combination for pair in splits.train}
    primitives = {part for combination in trained for part in combination.split("|")}
    for pair in splits.test:
        assert pair.combination not in trained
        assert primitives.issuperset(pair.combination.split("|"))


def test_retrieval_solves_at_most_a_fifth_of_the_test_split(splits):
    tfidf = make_union(
        TfidfVectorizer(ngram_range=(1, 2)),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5)),
    )
    known = tfidf.fit_transform([pair.description for pair in splits.train])
    queries = tfidf.transform([pair.description for pair in splits.test])
    nearest = (queries @ known.T).toarray().argmax(axis=1)
    hits = sum(
        renamed(pair.code) == renamed(splits.train[i].code)
        for pair, i in zip(splits.test, nearest, strict=True)
    )
    assert hits <= 0.2 * len(splits.test)


def test_test_words_and_code_tokens_were_all_trained(splits):
    for tokens in (words_of, code_tokens_of):
        seen = {token for pair in splits.train for token in tokens(pair)}
        counts = Counter(token for pair in splits.test for token in tokens(pair))
        unknown = sum(n for token, n in counts.items() if token not in seen)
        assert unknown <= 0.001 * counts.total()


def test_vocabularies_stay_small(generated):
    assert len({token for pair in generated for token in words_of(pair)}) < 1500
    assert len({token for pair in generated for token in code_tokens_of(pair)}) < 600


def test_programs_are_short(generated):
    sizes = sorted(len(code_tokens_of(pair)) for pair in generated)
    assert sizes[len(sizes) // 20] >= 15
    assert sizes[-len(sizes) // 20] <= 100


def test_descriptions_are_one_line_of_plain_english(generated):
    for pair in generated:
        assert re.fullmatch(r"[A-Za-z].*[\w\".!#*_-]", pair.description), pair.description
        assert not re.search(r"[\[\]{}<>]|  | [,.]", pair.description), pair.description
        assert not re.search(r"\b[Aa] [aeio]\w", pair.description), pair.description


def test_all_styles_of_a_stream_return_the_same_results():
    rng, compared = Random(1), Counter()
    while compared["recursion"] < 60:
        collector, source, stages = draw_parts(rng)
        if stages is None:
            continue
        styles = [s for s in WRITERS if s != "generator" and writable(s, source, stages, collector)]
        if len(styles) < 2:
            continue
        codes = {
            style: normal_form(
                function(collector.name, source.params, *WRITERS[style](source, stages, collector))
            )
            for style in styles
        }
        given = arguments(rng, source.inputs, codes[styles[0]])
        results = {
            style: result_of(code, f"{collector.name}({given})") for style, code in codes.items()
        }
        with_result = [style for style, answer in results.items() if answer != "no result"]
        detail = (given, codes, results)
        assert all(results[style] == results[with_result[0]] for style in with_result), detail
        compared.update(with_result)
    assert compared.keys() >= {"short", "loop", "recursion", "functional"}


def test_arithmetic_equals_its_named_parts(generated):
    changes = {
        "map:square": lambda x: x * x,
        "map:cube": lambda x: x * x * x,
        "map:double": lambda x: x + x,
        "map:last_digit": lambda x: x % 10,
        "map:absolute": abs,
    }
    operations = {
        "op:plus": operator.add,
        "op:minus": operator.sub,
        "op:times": operator.mul,
        "op:larger": max,
        "op:smaller": min,
    }
    checked = 0
    for pair in generated:
        parts = pair.combination.split("|")
        if parts[0] == "over:two" and len(parts) == 3 and parts[1] in changes:
            change, operation = changes[parts[1]], operations[parts[2]]
            for test in pair.tests:
                call = ast.parse(test).body[0].test
                a, b = (ast.literal_eval(argument) for argument in call.left.args)
                assert operation(change(a), change(b)) == ast.literal_eval(call.comparators[0])
                checked += 1
    assert checked > 20
