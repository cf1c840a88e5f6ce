import ast
import io
import json
import os
import pathlib
import subprocess
import sys
import textwrap
import tokenize
import warnings
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF

from en2py.data.parallel import ProcessPool
from en2py.data.syntax import parse
from en2py.evaluation.metrics import code_bleu
from en2py.evaluation.metrics.bleu import TrainingCode, bleu_value, crystal_counts
from en2py.evaluation.metrics.code_tokens import (
    DEDENT,
    INDENT,
    NEWLINE,
    conala_tokens,
    layout_tokens,
    token_class,
)
from en2py.evaluation.metrics.program_metrics import edit_similarity, metric_value, score

ADD = "def add(a, b):\n    return a + b"
PLUS = "def plus(x, y):\n    return x + y"
LOOP = "total = 0\nfor n in [1, 2]:\n    if n:\n        total += n\nprint('a  b', total)"
SWAP = "def swap(x, y, z):\n    a, b = x + z, y\n    b = a + x + y\n    return b, a"
OUTPUTS = [ADD, PLUS, "def f(:\n  return 'a  b'", LOOP.replace("  ", ""), ""]
REFERENCES = [ADD, ADD, ADD, LOOP, "x = 1"]


def value(name, output, reference, **settings):
    return score([output], [reference], **settings).values.get(name)


# -- tokens -----------------------------------------------------------------------------------


def stdlib_tokens(code):
    layout = {tokenize.NEWLINE: NEWLINE, tokenize.INDENT: INDENT, tokenize.DEDENT: DEDENT}
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER)
    tokens, nested, start = [], 0, (0, 0)
    code = io.StringIO(code, newline=None).read()  # the parser takes any line end
    lines = code.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "FSTRING_START":  # Python 3.12 cuts f-strings, 3.11 does not
            nested, start = nested + 1, start if nested else token.start
        elif kind == "FSTRING_END":
            nested -= 1
            if not nested:
                (first, a), (last, b) = start, token.end
                text = lines[first - 1 : last]
                text[-1] = text[-1][:b]
                text[0] = text[0][a:]
                tokens.append("".join(text))
        elif not nested and token.type not in skipped:
            tokens.append(layout.get(token.type, token.string))
    return tokens


def valid_codes():
    import json as package

    for path in sorted(pathlib.Path(package.__file__).parents[1].glob("*.py"))[:40]:
        yield path.read_text(encoding="utf-8")
    if "EN2PY_DATA" in os.environ:
        path = pathlib.Path(os.environ["EN2PY_DATA"], "mbpp", "mbpp.jsonl")
        yield from (json.loads(line)["code"] for line in path.open(encoding="utf-8"))


def test_tokens_of_valid_programs_are_those_of_tokenize():
    for code in valid_codes():
        if parse(code) is not None:
            assert list(layout_tokens(code)) == stdlib_tokens(code)


def test_invalid_code_keeps_its_layout():
    assert list(layout_tokens("def f(:\n  x = 'a\n  y")) == [
        *("def", "f", "(", ":", NEWLINE, INDENT, "x", "=", "'", "a", NEWLINE, "y", NEWLINE, DEDENT)
    ]


@given(st.text())
def test_any_text_has_tokens(text):
    tokens = layout_tokens(text)
    assert tokens.count(INDENT) <= tokens.count(NEWLINE)
    assert score([text], ["x = 1"]).values["exact_match"] in (0, 1)


def test_conala_tokens_split_words_at_case_changes_and_unify_quotes():
    code = "x_1 = getName('a \"b\"')\n"
    assert conala_tokens(code) == [
        *("x_1", "=", "get", "Name", "(", "`", "a", "`", "b", "`", "`", ")")
    ]


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("def", "keyword"),
        ("None", "keyword"),
        ("match", "identifier"),
        ("naïve", "identifier"),
        ("==", "operator"),
        ("(", "operator"),
        ("...", "operator"),
        ("1e-5j", "literal"),
        ("0xff", "literal"),
        ("rb'x\\''", "literal"),
        ('"""a\nb"""', "literal"),
        ("<nl>", "layout"),
        ("\n    ", "layout"),
        ("ĊĠĠĠ", "layout"),
        ("Ġreturn", "keyword"),
        ("<unk>", "other"),
        ("<eos>", "other"),
        ("# note", "other"),
        ("'open", "other"),
    ],
)
def test_class_of_a_token(token, kind):
    assert token_class(token) == kind


# -- verdicts ---------------------------------------------------------------------------------


def test_exact_match_ignores_only_blank_ends():
    assert value("exact_match", f"\n{ADD}\n\n", ADD) == 1
    assert value("exact_match", ADD.replace("a + b", "a+b"), ADD) == 0


def test_exact_match_of_trees_ignores_layout_but_not_names():
    assert value("exact_match_ast", ADD.replace("a + b", "(a+b)  # sum"), ADD) == 1
    assert value("exact_match_ast", PLUS, ADD) == 0


def test_exact_match_up_to_names_ignores_only_names():
    assert value("exact_match_renamed", PLUS, ADD) == 1
    assert value("exact_match_renamed", PLUS.replace("x + y", "y + x"), ADD) == 0


def test_two_invalid_programs_never_match():
    scores = score(["x ="], ["y ="])
    assert scores.values["exact_match_ast"] == scores.values["exact_match_renamed"] == 0


@pytest.mark.parametrize("code", ["return 1", "x = = 1", "a\0b", "(" * 500, "", "# only words"])
def test_invalid_programs_do_not_compile(code):
    assert value("compiles", code, ADD) == 0


def test_compiling_prints_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert value("compiles", r"x = '\d' is 'y'", ADD) == 1


def test_missing_indentation_lowers_bleu_and_chrf_but_not_conala_bleu():
    flat = "\n".join(line.strip() for line in LOOP.splitlines())
    values = score([flat], [LOOP]).values
    assert values["bleu_conala"] == 100
    assert values["bleu"] < 90
    assert values["chrf"] < 99


def test_function_name_applies_only_to_references_with_a_function():
    assert value("function_name", ADD, f"import os\n{ADD}") == 1
    assert value("function_name", PLUS, ADD) == 0
    assert value("function_name", ADD, "x = 1") is None
    assert score([ADD, ADD], [ADD, "x = 1"]).values["function_name"] == 1


def test_outputs_with_unknown_tokens_are_counted():
    assert value("has_unk", "print(<unk>)", ADD) == 1
    assert value("has_unk", "print(unk)", ADD) == 0


def test_copied_compares_tokens_with_all_training_programs():
    training = TrainingCode([ADD, LOOP])
    assert value("copied", ADD.replace("a + b", "a+b  # sum"), PLUS, training=training) == 1
    assert value("copied", PLUS, PLUS, training=training) == 0
    assert value("copied", PLUS, PLUS) is None


def test_any_metrics_accept_each_known_program():
    values = score([LOOP, LOOP], [ADD, ADD], known=[[PLUS, LOOP], []]).values
    assert values["exact_match"] == 0
    assert values["exact_match_any"] == 0.5
    assert values["bleu_any"] > values["bleu"]


def lcs_length(a, b):
    row = [0] * (len(b) + 1)
    for x in a:
        left = [0]
        for j, y in enumerate(b):
            left.append(row[j] + 1 if x == y else max(row[j + 1], left[j]))
        row = left
    return row[-1]


@given(st.text("abc", max_size=80), st.text("abcd", max_size=80))
def test_edit_similarity_is_that_of_the_longest_common_subsequence(a, b):
    total = len(a) + len(b)
    assert edit_similarity(a, b) == (2 * lcs_length(a, b) / total if total else 1)


# -- the BLEU family --------------------------------------------------------------------------


def layout_text(code):
    return " ".join(token.replace(" ", "␣") for token in layout_tokens(code))


@pytest.mark.parametrize(("name", "metric"), [("bleu", BLEU(tokenize="none")), ("chrf", CHRF())])
def test_summed_counts_equal_the_corpus_score_of_sacrebleu(name, metric):
    scores = score(OUTPUTS, REFERENCES)
    expected = metric.corpus_score(
        [layout_text(code) for code in OUTPUTS], [[layout_text(code) for code in REFERENCES]]
    )
    assert scores.values[name] == pytest.approx(expected.score, rel=1e-12)
    assert scores.signatures[name] == f"pre:python-layout-1|{metric.get_signature()}"


def test_several_references_equal_sacrebleu():
    known = [[PLUS], [], [PLUS, LOOP], [], []]
    streams = [REFERENCES, [PLUS, None, PLUS, None, None], [None, None, LOOP, None, None]]
    metric = BLEU(tokenize="none")
    expected = metric.corpus_score(
        [layout_text(code) for code in OUTPUTS],
        [[code and layout_text(code) for code in stream] for stream in streams],
    )
    values = score(OUTPUTS, REFERENCES, known=known).values
    assert values["bleu_any"] == pytest.approx(expected.score, rel=1e-12)


def test_white_space_in_a_string_is_part_of_its_token():
    assert value("bleu", "print('a b c d e')", "print('a  b c d e')") < 50


def test_crystal_bleu_without_common_ngrams_is_bleu():
    scores = score(OUTPUTS, REFERENCES, training=TrainingCode([ADD, LOOP], k=0))
    assert scores.values["crystal_bleu"] == pytest.approx(scores.values["bleu"], rel=1e-12)


def test_crystal_bleu_by_hand():
    train = TrainingCode(["(", "(", ")"], k=2)
    assert train.common == {(NEWLINE,), ("(",)}
    length, wanted, *ngrams = crystal_counts("x ( y )", "a ( y )", train.common)
    assert (length, wanted) == (5, 5)  # with the line's end
    # Of x ( y ) ⏎ the words y ) match, x does not; of 4, 3, 2 longer n-grams one each does not.
    assert ngrams == [2, 3, 2, 1, 3, 4, 3, 2]
    assert score([ADD], [ADD], training=train).signatures["crystal_bleu"].endswith("|k:2")


def test_common_ngrams_do_not_depend_on_the_order_of_the_programs():
    codes = [ADD, PLUS, LOOP]
    assert TrainingCode(codes, k=20).common == TrainingCode(codes[::-1], k=20).common


def test_bleu_value_by_hand():
    # Nothing found of orders 3 and 4 is smoothed to 1/2 and 1/4 of a match.
    mean = (2 / 4 * 1 / 3 * 0.5 / 2 * 0.25 / 1) ** 0.25
    assert bleu_value([4, 4, 2, 1, 0, 0, 4, 3, 2, 1]) == pytest.approx(100 * mean)
    assert bleu_value([4, 4, 4, 3, 2, 1, 4, 3, 2, 1]) == 100
    assert bleu_value([4, 8, 4, 3, 2, 1, 4, 3, 2, 1]) == pytest.approx(100 / 2.718281828459)


# -- CodeBLEU ---------------------------------------------------------------------------------


def test_code_bleu_equals_its_package_over_layout_tokens():
    package = pytest.importorskip("codebleu")
    expected = package.calc_codebleu(REFERENCES, OUTPUTS, "python", tokenizer=layout_tokens)
    scores = score(OUTPUTS, REFERENCES, with_code_bleu=True)
    assert scores.values["code_bleu"] == pytest.approx(100 * expected["codebleu"], rel=1e-12)
    assert "codebleu:0.7.0" in scores.signatures["code_bleu"]


def test_code_bleu_of_a_pair_on_every_python():
    pytest.importorskip("tree_sitter_python")
    found = value("code_bleu", SWAP.replace("z", "q"), SWAP, with_code_bleu=True)
    assert found == pytest.approx(90.76841662186148)


def functions_of_the_standard_library(n):
    found = []
    for path in sorted(pathlib.Path(json.__file__).parents[1].glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and 3 < node.end_lineno - node.lineno < 9:
                found.append(textwrap.dedent("    " + ast.get_source_segment(text, node)))
        if len(found) >= n:
            return found[:n]


def test_code_bleu_equals_its_package_on_200_pairs():
    package = pytest.importorskip("codebleu")
    references = functions_of_the_standard_library(200)
    others = references[1:] + references[:1]
    outputs = [  # a third is another function, a third is cut, a third has another name
        [other, own[: 2 * len(own) // 3], own.replace("self", "this")][place % 3]
        for place, (own, other) in enumerate(zip(references, others, strict=True))
    ]
    expected = package.calc_codebleu(references, outputs, "python", tokenizer=layout_tokens)
    rows = map(code_bleu.code_bleu_counts, outputs, references)
    parts = code_bleu.code_bleu_parts([sum(column) for column in zip(*rows, strict=True)])
    assert parts["ngrams"] == pytest.approx(expected["ngram_match_score"], rel=1e-12)
    assert parts["weighted"] == pytest.approx(expected["weighted_ngram_match_score"], rel=1e-12)
    assert parts["trees"] == expected["syntax_match_score"]
    for program in outputs + references:  # the package numbers names by the hash seed
        flow = package.dataflow_match.get_data_flow(
            program, [code_bleu._parser(), package.parser.DFG_python]
        )
        ordered = [(name, at, how, sorted(names), []) for name, at, how, names, _ in flow]
        wanted = package.dataflow_match.normalize_dataflow(ordered)
        found = [(name, how, list(names)) for name, how, names in code_bleu._data_flow(program)]
        assert found == wanted


def test_code_bleu_of_an_empty_program_is_zero():
    pytest.importorskip("tree_sitter_python")  # the package's: an empty data flow counts as found
    assert value("code_bleu", "", LOOP, with_code_bleu=True) == 0
    assert value("code_bleu", LOOP, LOOP, with_code_bleu=True) == pytest.approx(100)


@pytest.mark.parametrize("output", ["\ud800 = 1", "(" * 300, "\0", "x = '" + "a" * 3000, "é = '€'"])
def test_code_bleu_accepts_any_text(output):
    pytest.importorskip("tree_sitter_python")
    assert 0 <= value("code_bleu", output, LOOP, with_code_bleu=True) < 30


def test_without_its_package_code_bleu_is_not_available(monkeypatch):
    monkeypatch.setitem(sys.modules, "tree_sitter_python", None)
    code_bleu._parser.cache_clear()
    assert "'.[codebleu]'" in code_bleu.available()


# -- rows and buckets -------------------------------------------------------------------------


def test_counts_of_a_bucket_give_its_values():
    scores = score(OUTPUTS, REFERENCES, known=[[]] * 5, training=TrainingCode([ADD, PLUS]))
    places = [0, 2, 3]
    alone = score(
        [OUTPUTS[i] for i in places],
        [REFERENCES[i] for i in places],
        known=[[]] * 3,
        training=TrainingCode([ADD, PLUS]),
    )
    for name, rows in scores.counts.items():
        total = [sum(column) for column in zip(*(rows[i] for i in places), strict=True)]
        assert metric_value(name, total) == alone.values[name]


def test_summed_counts_give_the_value_of_each_metric():
    scores = score(OUTPUTS, REFERENCES, training=TrainingCode([ADD]))
    for name, rows in scores.counts.items():
        total = [sum(column) for column in zip(*rows, strict=True)]
        assert metric_value(name, total) == scores.values[name]


def test_verdicts():
    verdicts = Counter(row.verdict.split(":")[0] for row in score(OUTPUTS, REFERENCES).rows)
    assert verdicts == {
        "exact": 1,
        "same up to names": 1,
        "does not compile (SyntaxError": 1,
        "does not compile (IndentationError": 1,
        "does not compile (nothing was written)": 1,
    }


SCORE_STORED = """
import json, sys
from en2py.evaluation.metrics.bleu import TrainingCode
from en2py.evaluation.metrics.program_metrics import score
lines = [json.loads(line) for line in open(sys.argv[1])]
outputs, references = ([line[key] for line in lines] for key in ("output", "reference"))
training = TrainingCode(references[:2])
scores = score(
    outputs,
    references,
    known=[references] * len(lines),
    training=training,
    with_code_bleu=bool(sys.argv[2:]),
)
print(json.dumps([scores.values, scores.counts, scores.signatures, [str(r) for r in scores.rows]]))
"""


def test_scores_do_not_depend_on_the_hash_seed(tmp_path):
    file = tmp_path / "predictions.jsonl"
    pairs = [*zip(OUTPUTS, REFERENCES, strict=True), (LOOP, PLUS), (SWAP, SWAP[:-5] + "z, x")]
    lines = [json.dumps({"output": output, "reference": wanted}) for output, wanted in pairs]
    with_code_bleu = [] if code_bleu.available() else ["code_bleu"]
    file.write_text("\n".join(lines))
    written = {
        subprocess.run(
            [sys.executable, "-c", SCORE_STORED, file, *with_code_bleu],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(written) == 1


def test_scores_do_not_depend_on_the_number_of_processes():
    outputs, references = OUTPUTS * 90, REFERENCES * 90
    with ProcessPool(2, 60.0) as pool:
        assert score(outputs, references, pool=pool) == score(outputs, references)


def test_no_outputs_have_no_values():
    assert score([], []).values == {}
