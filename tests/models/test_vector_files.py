"""Files of word vectors: every format is read, damaged files are refused."""

import gzip
import struct

import pytest
import torch

from en2py.data.vocab import Vocab
from en2py.errors import UserError
from en2py.models.embeddings import Vectors, pretrained

PYTHON = Vocab.build([["pass"]], min_freq=1)
WORDS = {"cat": [0.5, -1.0, 2.0], "new york": [1.0, 2.0, 3.0], "Dog": [4.0, 5.0, 6.0]}
WORDS |= {"it": [0.25, 0.5, 0.75], "3": [7.0, 8.0, 9.0]}
ENGLISH = Vocab.build([["cat", "CAT", "Dog", "dog", "It", "3", "zebra", "new york"]], min_freq=1)


def of(vocab: Vocab, rows: torch.Tensor, token: str) -> torch.Tensor:
    return rows[vocab.encode([token])[0]]


def glove(words=WORDS) -> bytes:
    return "".join(f"{w} {' '.join(map(str, v))}\n" for w, v in words.items()).encode()


def word2vec_text(words=WORDS) -> bytes:
    return f"{len(words)} 3\n".encode() + glove(words).replace(b"\n", b" \n")


def word2vec_binary(words=WORDS, end=b"\n") -> bytes:
    rows = [w.encode() + b" " + struct.pack("<3f", *v) + end for w, v in words.items()]
    return f"{len(words)} 3\n".encode() + b"".join(rows)


def load(tmp_path, content: bytes, name="vectors") -> Vectors:
    (tmp_path / name).write_bytes(content)
    return pretrained([], ENGLISH, PYTHON, seed=1, dim=99, path=str(tmp_path / name))


SPACELESS = {word: vector for word, vector in WORDS.items() if " " not in word}
FORMATS = {
    "glove": glove(),
    "glove_gz": gzip.compress(glove(), mtime=0),
    "glove_tabs": glove(SPACELESS).replace(b" ", b"\t"),
    "glove_crlf": glove().replace(b"\n", b"\r\n"),
    "word2vec_text": word2vec_text(),
    "word2vec_text_gz": gzip.compress(word2vec_text(), mtime=0),
    "word2vec_binary": word2vec_binary(SPACELESS),
    "word2vec_binary_gz": gzip.compress(word2vec_binary(SPACELESS), mtime=0),
    "word2vec_binary_unbroken": word2vec_binary(SPACELESS, end=b""),
}


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_file_format_is_read(tmp_path, file_format):
    vectors = load(tmp_path, FORMATS[file_format])
    assert vectors.src.shape == (len(ENGLISH), 3)
    for word in ("cat", "Dog", "3"):
        assert of(ENGLISH, vectors.src, word).tolist() == WORDS[word]


def test_a_file_has_no_python_vectors(tmp_path):
    assert load(tmp_path, glove()).tgt is None


def test_a_word_with_a_space_is_found_in_text(tmp_path):
    assert of(ENGLISH, load(tmp_path, glove()).src, "new york").tolist() == WORDS["new york"]


def test_a_word_that_the_file_lacks_is_looked_up_in_lower_case(tmp_path):
    vectors = load(tmp_path, glove())
    assert of(ENGLISH, vectors.src, "It").tolist() == WORDS["it"]
    assert of(ENGLISH, vectors.src, "CAT").tolist() == WORDS["cat"]


def test_upper_case_is_not_looked_up(tmp_path):
    vectors = load(tmp_path, glove())
    assert not vectors.src_found[ENGLISH.encode(["dog"])[0]]
    assert vectors.coverage == {"src": 6 / 8}


def test_files_of_gensim_are_read(tmp_path, pairs, src_vocab):
    from gensim.models import Word2Vec

    model = Word2Vec(
        [pair.description.split() for pair in pairs], vector_size=5, min_count=1, workers=1
    )
    for binary in (True, False):
        path = tmp_path / f"gensim{binary}"
        model.wv.save_word2vec_format(str(path), binary=binary)
        vectors = pretrained([], src_vocab, PYTHON, seed=1, dim=5, path=str(path))
        assert vectors.coverage == {"src": 1.0}
        number = of(src_vocab, vectors.src, "numbers")
        assert torch.allclose(number, torch.tensor(model.wv["numbers"]), atol=1e-6)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"a story of a cat\nand a dog\n", "no file of word vectors"),
        (b"\x80\x04\x95 pickle\x00\xff\xfe", "no file of word vectors"),
        (b"5 3\n", "ends after 0 of 5"),
        (b"5 0\ncat\n", "header of 5 vectors of 0"),
        (b"5 9999999999\ncat 1 2\n", "header of 5 vectors of 9999999999"),
        (word2vec_text()[:-20], "ends after 4 of 5|line 6"),
        (word2vec_binary(SPACELESS)[:-5], "ends after 3 of 4"),
        (gzip.compress(glove(), mtime=0)[:-9], "damaged gzip"),
        (glove({"cat": [1.0, float("nan"), 2.0]}), "'cat' contains NaN"),
        (glove({"bird": [1.0, 2.0]}), "any of the 8 English tokens"),
        (
            glove({f"w{i}": [1.0, 2.0] for i in range(60)}) + b"cat 1\n",
            "line 61: expected a word and 2",
        ),
    ],
)
def test_an_invalid_file_is_reported_with_name_and_reason(tmp_path, content, reason):
    with pytest.raises(UserError, match=reason) as error:
        load(tmp_path, content, "bad.txt")
    assert "bad.txt" in str(error.value)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        pretrained([], ENGLISH, PYTHON, seed=1, dim=3, path=str(tmp_path / "nothing.vec"))
