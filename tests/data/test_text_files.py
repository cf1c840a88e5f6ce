"""Reading text files: what is accepted, and the sentence for each refused file."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from en2py.data.text_files import read_text
from en2py.errors import UserError


@pytest.fixture
def write(tmp_path):
    def write(content: bytes, name: str = "pairs.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_becomes_a_newline(write, end):
    assert read_text(write(b"# add" + end + b"a + b" + end)) == "# add\na + b\n"


def test_byte_order_mark_is_removed(write):
    assert read_text(write(b"\xef\xbb\xbf# add\na + b\n")) == "# add\na + b\n"


def test_non_ascii_text_is_kept(write):
    assert (
        read_text(write("# na\u00efve \u2265 \U0001f40d".encode()))
        == "# na\u00efve \u2265 \U0001f40d"
    )


def test_home_folder_is_expanded(write, monkeypatch):
    path = write(b"# add")
    monkeypatch.setenv("HOME", str(path.parent))
    assert read_text("~/pairs.txt") == "# add"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is empty"]),
        (b" \r\n\t\n", ["is empty"]),
        (b"\xef\xbb\xbf\n", ["is empty"]),
        ("# add".encode("utf-16"), ["is UTF-16 text", "iconv -f UTF-16 -t UTF-8"]),
        ("# add".encode("utf-16-be"), ["is UTF-16BE text", "iconv -f UTF-16BE -t UTF-8"]),
        ("# add".encode("utf-16-le"), ["is UTF-16LE text", "iconv -f UTF-16LE -t UTF-8"]),
        ("# add".encode("utf-32"), ["is UTF-32 text", "iconv -f UTF-32 -t UTF-8"]),
        ("# add\n# naïve".encode("latin-1"), ["line 2", "0xef", "cp1252"]),
        (b"# add\r# na\xefve", ["line 2", "0xef"]),
        (b"\xef\xbb\xbf# na\xefve", ["line 1", "0xef"]),
        (
            b"# add\nx = '\x00'\n",
            ["is not a text file: byte 0x00 in line 2; supported: UTF-8 text"],
        ),
        (bytes(range(256)) * 20, ["is not a text file: byte 0x00 in line 1"]),
        (b"\x89PNG\r\n\x1a\n\x01\x02", ["is not a text file: byte 0x01 in line 3"]),
    ],
)
def test_other_files_than_utf8_text_are_refused_with_the_reason(write, content, words):
    path = write(content)
    with pytest.raises(UserError) as error:
        read_text(path)
    assert [word for word in (str(path), *words) if word not in str(error.value)] == []


def test_too_large_a_file_is_refused(write, monkeypatch):
    monkeypatch.setattr("en2py.data.text_files.MAX_FILE", 10)
    with pytest.raises(UserError, match="larger than 10 bytes.*split"):
        read_text(write(b"12345\n67890\n"))


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="pairs.txt does not exist"):
        read_text(tmp_path / "pairs.txt")


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000, "~nobody-here/x"])
def test_impossible_path_is_refused(path):
    with pytest.raises(UserError):
        read_text(path)


@pytest.mark.parametrize("path", ["/dev", "/dev/zero"])
def test_folder_and_device_are_refused(path):
    with pytest.raises(UserError, match="not an ordinary file"):
        read_text(path)


@given(st.binary(max_size=200))
def test_any_bytes_return_text_or_raise_one_sentence(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.txt"
        path.write_bytes(content)
        try:
            text = read_text(path)
        except UserError as error:
            assert "\n" not in str(error)
        else:
            assert "\r" not in text and "\0" not in text and text.strip()
