"""Search by Python's grammar: every output compiles; real programs are allowed."""

import keyword
import random
from collections import Counter

import pytest
import torch

from en2py.data.tokenizers import BpeTokenizer, EnglishPieces, PythonPieces, PythonTokenizer
from en2py.data.tokenizers.pieces import GLUE, fit_both
from en2py.data.vocab import Vocab
from en2py.decoding import grammar as grammar_module
from en2py.decoding.beam_search import beam
from en2py.decoding.grammar import Grammar, State, compiles
from en2py.decoding.greedy import greedy
from en2py.decoding.hypothesis import Hypothesis
from en2py.decoding.mbr import mbr
from en2py.decoding.sampling import sample
from en2py.models.incremental import IncrementalDecoder
from en2py.models.transformer import Transformer

PROGRAMS = [
    "def add(a, b=1, *c, d=2, **e):\n    return a + b",
    "for i in range(10):\n    if i % 2 == 0:\n        print(i, end='x')\n    else:\n        pass",
    "try:\n    x = [i for i in y if not i]\nexcept (A, B) as e:\n    raise C\nfinally: del x",
    "class A(B):\n    @property\n    def f(self):\n        return {**self.x, 'a': [1, *b]}",
    "f = lambda x, *y: x if y else (x, -1)\nwith open(x) as g, h:\n    assert x is not None, 'no'",
    "while True:\n    try:\n        import a.b as c\n    except:\n        break",
    "def f():\n    global x\n    try:\n        yield x\n    finally:\n        x += y[1:2, ::3]",
    "async def f():\n    async with x as y:\n        return [z async for z in await y]",
    "match x:\n    case 1:\n        print(f'{x!r:>3} {y(1)}')\n    case _:\n        x = 'it\\'s'",
    "@a.b(1)\n@c\ndef isEven(x: int) -> bool: return not x in (1, 2)",
    "x = '''a\nb''' \"c\"\nprint(1e-5 + 0x1F, 3.14j, ...)\nif (n := 1) > 0: print(n)",
    "def f(n):\n    if n:\n        return n * f(n - 1)\n    elif not n:\n        return 1\nf(3)",
    "def f(x, y):\n    def g(a):\n        nonlocal x, y\n        x = (*y, (*a,))",
    "match x:\n    case -1 | 1:\n        y\n    case [0, 1] | (0 | 1):\n        y",
    "match {x: y, **x}:\n    case {1: y, **x}:\n        y",
    "match x:\n    case 0 + 1j | -1 - 1j:\n        y",
    "try:\n    x\nexcept* A:\n    y\nexcept* B as e:\n    y",
]
PYTHON = PythonTokenizer()
EXTRA = "async await finally lambda < <= ~ ]] } ) : = ==".split()
WORDS = Vocab.build([*map(PYTHON.tokenize, PROGRAMS), EXTRA], 1)
PIECES = PythonPieces(vocab_size=700, path=None)
fit_both(
    EnglishPieces(lowercase=True, vocab_size=700, path=None), PIECES, ["even words"], PROGRAMS * 3
)
IN_PIECES = Vocab.count(PIECES.vocabulary(), map(PIECES.tokenize, PROGRAMS))
KINDS = {"words": (WORDS, PYTHON), "pieces": (IN_PIECES, PIECES)}
SEARCHES = {
    "greedy": (greedy, {}),
    "beam": (beam, {"beam_size": 2, "length_penalty": 0.6}),
    "sample": (
        sample,
        {"n_samples": 2, "temperature": 1.5, "top_k": None, "top_p": 0.95, "seed": 1},
    ),
}


def decoder(vocab: Vocab, seed: int, eos: float = 0.0) -> IncrementalDecoder:
    """Return an untrained model, which writes nonsense without the grammar."""
    torch.manual_seed(seed)
    model = Transformer(
        20,
        len(vocab),
        vocab.pad_id,
        d_model=16,
        d_ff=32,
        n_heads=2,
        n_encoder_layers=1,
        n_decoder_layers=1,
        dropout=0.1,
        max_src_len=8,
        max_tgt_len=40,
        positions="learned",
        norm="pre",
        tie_embeddings="none",
    ).eval()
    model.projection.bias.data[vocab.eos_id] = eos
    return IncrementalDecoder(model)


SOURCES = torch.randint(4, 20, (2, 6), generator=torch.Generator().manual_seed(5))


def texts_of(kind: str, search: str, **changes) -> list[str]:
    vocab, tokenizer = KINDS[kind]
    function, settings = SEARCHES[search]
    texts = []
    for seed, eos in ((0, 0.0), (1, -20.0)):
        found = function(
            decoder(vocab, seed, eos),
            SOURCES,
            vocab,
            **{"max_len": 20, "allow_unk": False, **settings, **changes},
            tokenizer=tokenizer,
        )
        texts += [tokenizer.detokenize(vocab.decode(h.ids)) for own in found for h in own]
    return texts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("search", SEARCHES)
def test_every_output_compiles(kind, search):
    texts = texts_of(kind, search, grammar=True)
    assert all(map(compiles, texts)) and any(texts)
    assert not all(map(compiles, texts_of(kind, search)))


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("max_len", [2, 3, 5, 9])
def test_programs_are_closed_within_a_short_limit(search, max_len):
    assert all(map(compiles, texts_of("words", search, grammar=True, max_len=max_len)))


@pytest.mark.parametrize("search", SEARCHES)
def test_outputs_compile_where_repetitions_are_forbidden_too(search):
    texts = texts_of("words", search, grammar=True, no_repeat_ngram=2, repetition_penalty=1.5)
    assert all(map(compiles, texts)) and any(texts)


def refused(kind: str, code: str) -> list[str]:
    """Return the tokens of a program up to the first one that is refused."""
    vocab, tokenizer = KINDS[kind]
    grammar = Grammar(vocab, tokenizer)
    state, tokens = grammar.start, tokenizer.tokenize(code)
    for place, token_id in enumerate(vocab.encode(tokens)):
        state = grammar.extend(state, token_id, 1000)
        if state is None:
            return tokens[: place + 1]
    return [] if grammar.extend(state, vocab.eos_id, 0) else [*tokens, "<eos>"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", PROGRAMS)
def test_tokens_of_a_program_are_allowed(kind, code):
    assert refused(kind, code) == []


@pytest.mark.parametrize(
    "tokens",
    [
        "x x",
        "print 1",
        "return",
        "x = <nl>",
        "print ( <nl>",
        "x <nl> <indent>",
        "x <nl> <dedent>",
        "x <nl> <nl>",
        "if x : <nl> x",
        "try : <nl> <indent> x <nl> <dedent> x",
        "break",
        "1 =",
        ")",
        "else",
    ],
)
def test_last_token_is_refused(tokens):
    grammar = Grammar(WORDS, PYTHON)
    state = grammar.start
    *before, last = tokens.split()
    for token in before:
        state = grammar.extend(state, *WORDS.encode([token]), 1000)
        assert state is not None, token
    assert grammar.extend(state, *WORDS.encode([last]), 1000) is None


class Wishes:
    """A model that wants the same tokens for every source, one after the other."""

    def __init__(self, tokens: str) -> None:
        self.ids = WORDS.encode(tokens.split())

    def start(self, src, width=1, max_len=None):
        self.step_ids = iter(self.ids)
        return self

    def step(self, ids, cache):
        logits = torch.full((len(ids), len(WORDS)), -9.0)
        logits[:, WORDS.encode(["+"])] = 1.0  # the next best
        logits[:, next(self.step_ids)] = 3.0
        return logits

    def select(self, rows): ...

    def reorder(self, parents): ...


@pytest.mark.parametrize("search", [greedy, beam])
def test_end_of_a_line_closes_what_is_open(search):
    settings = {} if search is greedy else {"beam_size": 1, "length_penalty": 0.0}
    [[found]] = search(
        Wishes("print ( f ( x <nl> <nl> <nl> x <eos> <eos>"),
        SOURCES[:1],
        WORDS,
        max_len=30,
        allow_unk=False,
        grammar=True,
        tokenizer=PYTHON,
        **settings,
    )
    assert WORDS.decode(found.ids) == "print ( f ( x ) ) <nl> x".split()


def test_end_is_refused_inside_a_statement():
    grammar = Grammar(WORDS, PYTHON)
    state = grammar.extend(grammar.start, *WORDS.encode(["if"]), 1000)
    assert grammar.extend(state, WORDS.eos_id, 1000) is None


@pytest.mark.parametrize("kind", KINDS)
def test_program_has_a_statement(kind):
    vocab, tokenizer = KINDS[kind]
    grammar = Grammar(vocab, tokenizer)
    assert grammar.extend(grammar.start, vocab.eos_id, 0) is None


@pytest.mark.parametrize("text", ["", "\n", "# x", "# x\n# y\n"])
def test_text_without_a_statement_is_no_program(text):
    assert not compiles(text)


def test_comment_alone_is_no_program():
    grammar = Grammar(IN_PIECES, PIECES)
    state = grammar.extend(grammar.start, IN_PIECES.tokens.index("#"), 1000)
    assert grammar.extend(state, IN_PIECES.eos_id, 1000) is None
    while (token_id := grammar.forced(state)) != IN_PIECES.eos_id:
        state = grammar.extend(state, token_id, len(state.closing))
    assert state.done == "#\n"


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("max_len", [2, 9])
def test_model_that_ends_at_once_writes_a_statement(search, max_len):
    function, settings = SEARCHES[search]
    for kind, (vocab, tokenizer) in KINDS.items():
        model = decoder(vocab, 0, eos=20.0)
        limits = {"max_len": max_len, "grammar": True, "tokenizer": tokenizer}
        found = function(model, SOURCES, vocab, **settings, **limits)
        assert all(
            compiles(tokenizer.detokenize(vocab.decode(h.ids))) for own in found for h in own
        ), kind


def test_beam_finds_as_many_programs_where_repetitions_are_forbidden():
    limits = {"max_len": 10, "grammar": True, "no_repeat_ngram": 2, "tokenizer": PYTHON}
    model = decoder(WORDS, 4, -20.0)
    found = beam(model, SOURCES, WORDS, beam_size=1, length_penalty=0.6, **limits)
    assert list(map(len, found)) == [1, 1]


@pytest.mark.parametrize("width", [1, 3])
def test_beam_keeps_allowed_tokens_where_many_others_are_refused(width):
    model = Wishes("import x as y" + " <eos>" * 8)
    settings = {"max_len": 12, "beam_size": width, "length_penalty": 0.0}
    [found] = beam(model, SOURCES[:1], WORDS, grammar=True, tokenizer=PYTHON, **settings)
    assert WORDS.decode(found[0].ids) == "import x as y".split()


def test_token_whose_closing_does_not_fit_is_refused():
    grammar = Grammar(WORDS, PYTHON)
    token = WORDS.encode(["("])[0]
    state = State()
    assert grammar.extend(state, token, 2) is not None  # `)` and the end
    assert grammar.extend(state, token, 1) is None


@pytest.mark.parametrize("kind", KINDS)
def test_closings_lead_to_the_end(kind):
    vocab, tokenizer = KINDS[kind]
    grammar = Grammar(vocab, tokenizer)
    for code in PROGRAMS:
        state = State()
        for token_id in vocab.encode(tokenizer.tokenize(code)[:9]):
            state = grammar.extend(state, token_id, 1000)
        ids = vocab.encode(tokenizer.tokenize(code)[:9])
        while (token_id := grammar.forced(state)) != vocab.eos_id:
            state = grammar.extend(state, token_id, len(state.closing))
            ids.append(token_id)
        assert compiles(tokenizer.detokenize(vocab.decode(ids)))


def test_closings_of_nonsense_lead_to_the_end_too():
    grammar = Grammar(IN_PIECES, PIECES)
    frequent = [IN_PIECES.tokens.index(token) for token in (f"{GLUE}#", *"#([{,:", "<nl>", "try")]
    n_words = 0
    for seed in range(12):
        chance, state, ids = random.Random(seed), State(), list[int]()
        for _ in range(120):
            one_of = frequent if chance.random() < 0.5 else range(4, len(IN_PIECES))
            ids.append(chance.choice(one_of))
            longer = grammar.extend(state, ids[-1], 1000)
            if longer is None:
                ids.pop()
                continue
            state, closed = longer, longer
            while (token_id := grammar.forced(closed)) != IN_PIECES.eos_id:
                closed = grammar.extend(closed, token_id, len(closed.closing))
                assert closed is not None, PIECES.detokenize(IN_PIECES.decode(ids))
            n_words += 1
    assert n_words > 100


def test_comment_in_open_brackets_is_refused():  # only a new line would end it
    grammar, state = following("print ( x ,")
    assert grammar.extend(state, IN_PIECES.tokens.index(f"{GLUE}#"), 1000) is None


def test_part_of_a_keyword_may_become_a_name():
    grammar = Grammar(IN_PIECES, PIECES)
    state = State()
    for piece in PIECES.tokenize("def isEven(x): pass"):
        assert piece in IN_PIECES and piece not in keyword.softkwlist
        state = grammar.extend(state, *IN_PIECES.encode([piece]), 1000)
        assert state is not None, piece


def following(text: str) -> tuple[Grammar, State]:
    """Return the grammar of pieces and its state after a text, of which the last token is open."""
    grammar = Grammar(IN_PIECES, PIECES)
    state = State()
    for piece in text.split():
        state = grammar.extend(state, IN_PIECES.tokens.index(piece), 1000)
        assert state is not None, piece
    return grammar, state


OPEN = [f"print ( ' {GLUE}x", f"x = f {GLUE}' {GLUE}{{ {GLUE}x"]


@pytest.mark.parametrize("text", OPEN)
def test_tokens_that_are_masked_are_refused(text):
    grammar, state = following(text)
    masked = grammar.masked(state, 1000)
    allowed = [i for i in range(len(masked)) if grammar.extend(state, i, 1000) is not None]
    assert allowed and not masked[allowed].any() and masked.sum() > len(masked) / 4


@pytest.mark.parametrize("text", [*OPEN, "print ( x", "x +"])
def test_only_the_closing_is_left_where_nothing_else_fits(text):
    grammar, state = following(text)
    masked = grammar.masked(state, len(state.closing))
    left = [IN_PIECES.tokens[i] for i in (~masked).nonzero().flatten().tolist()]
    first = IN_PIECES.tokens[grammar.forced(state)]
    assert {"x", "1", "None"} < set(left) and "(" not in left if text == "x +" else left == [first]


def test_where_each_token_has_to_be_checked_none_is_masked():
    grammar, state = following("print ( x")
    assert grammar.masked(state, len(state.closing) + 1) is None


@pytest.mark.parametrize("text", OPEN)
def test_other_tokens_than_pieces_are_refused_in_an_open_string_without_a_check(text, monkeypatch):
    grammar, state = following(text)
    for name in ("compile_error", "parse"):
        monkeypatch.setattr(grammar_module, name, None)
    assert grammar.extend(state, IN_PIECES.tokens.index("x"), 1000) is None
    assert grammar.extend(state, IN_PIECES.tokens.index("<nl>"), 1000) is None


def test_string_that_cannot_be_completed_is_refused_by_itself(monkeypatch):
    grammar, state = following(f"print ( f {GLUE}' {GLUE}}}")  # `}}` is a brace
    checked = []
    monkeypatch.setattr(grammar_module, "parse", checked.append)
    monkeypatch.setattr(grammar_module, "compile_error", lambda text, flags: checked.append(text))
    assert grammar.extend(state, IN_PIECES.tokens.index(f"{GLUE}x"), 1000) is None
    assert checked and not any("print" in text for text in checked)


@pytest.mark.parametrize("pieces", ["@x @'' @'", "@x @' @''"])
def test_pieces_may_write_the_quotes_that_end_a_string_one_after_the_other(pieces):
    _, state = following(f"x = ''' {pieces}".replace("@", GLUE))
    assert state.closing == ()


# A parameter whose name begins with that of another one, strings in an f-string, and an escape.
_LONGER = ["def f ( x , x", "x = f @\" @{ @x @[ @'", "x = ' @\\ @x"]


@pytest.mark.parametrize(
    "pieces", ["if x ( ) = @=", "def x ( * y , * @*", "x = ' @x @' f @'", *_LONGER]
)
def test_token_may_be_written_in_pieces(pieces):
    _, state = following(pieces.replace("@", GLUE))
    assert len(state.closing) > 0


def test_expression_in_a_string_is_closed_with_all_its_brackets():
    opened = " ".join(GLUE + letter for letter in "'{x([x(")
    grammar, state = following(f"print ( f {opened}")
    closing = "".join(IN_PIECES.tokens[i] for i in state.closing).replace(GLUE, "")
    assert closing == ")])}')"


@pytest.mark.parametrize("text", ["return", "x <nl> break"])
def test_statement_in_the_wrong_place_does_not_begin_a_name(text):
    *before, last = text.split()
    grammar, state = following(" ".join(before))
    assert grammar.extend(state, IN_PIECES.tokens.index(last), 1000) is None


def test_at_the_limit_no_draw_is_repeated(monkeypatch):
    calls = []
    own = Grammar.extend

    def counted(self, state, token_id, room):
        if len(state.closing) >= room:
            calls.append((state, room))
        return own(self, state, token_id, room)

    monkeypatch.setattr(Grammar, "extend", counted)
    assert all(map(compiles, texts_of("words", "sample", grammar=True, max_len=9)))
    names = WORDS.encode(["x"])
    most = max(n for (state, _), n in Counter(calls).items() if state.closing[:1] != (*names,))
    assert most == 2  # refused once, then the closing


def test_other_tokens_than_pythons_are_refused():
    with pytest.raises(ValueError, match="needs tokenizer/tgt=python or pieces"):
        Grammar(WORDS, BpeTokenizer(vocab_size=300))


# ------------------------------------------------------------------------------------ minimum risk


def draws(n: int = 6, **changes):
    settings = {"temperature": 1.0, "top_k": None, "top_p": None, "seed": 1, "max_len": 20}
    return mbr(
        decoder(WORDS, 0, 2.0),
        SOURCES,
        WORDS,
        **{"n_samples": n, "similarity": "chrf", "allow_unk": False, **settings, **changes},
        tokenizer=PYTHON,
    )


@pytest.mark.parametrize("similarity", ["chrf", "bleu"])
def test_draws_that_compile_are_ranked_first(similarity):
    for hypotheses in draws(similarity=similarity):
        flags = [compiles(PYTHON.detokenize(WORDS.decode(h.ids))) for h in hypotheses]
        assert flags == sorted(flags, reverse=True) and len(flags) == 6


def test_the_draw_nearest_to_the_others_is_first(monkeypatch):
    texts = ["x = 1", "print(i)", "print(x)", "print(x)"]
    drawn = [Hypothesis(WORDS.encode(PYTHON.tokenize(text)), -1.0, True) for text in texts]
    monkeypatch.setattr("en2py.decoding.mbr.sample", lambda *args, **settings: [drawn])
    [ranked] = draws()
    assert [h.ids for h in ranked] == [drawn[i].ids for i in (2, 3, 1, 0)]


def test_minimum_risk_needs_the_tokenizer():
    with pytest.raises(ValueError, match="needs their tokenizer"):
        mbr(
            decoder(WORDS, 0),
            SOURCES,
            WORDS,
            max_len=5,
            n_samples=2,
            similarity="chrf",
            temperature=1.0,
            top_k=None,
            top_p=None,
            seed=1,
            allow_unk=False,
        )
