"""Colors and texts that pictures and pages share. Does not import matplotlib."""

# Colors of model rows, by their place in the table; the contrast is at least 3.5 on a white and on
# a black page.
PALETTE = (
    *("#2a78c8", "#d9631e", "#2f8f5b", "#9461c2"),
    *("#cf4468", "#12889b", "#977a06", "#748192"),
)
NEUTRAL = "#787878"  # baselines, reference lines
INK = "#2b2b2b"  # text and axes; in a page they have the text color of the page

_LABEL_CHARS = 18
_LAYOUT_WORDS = {"<nl>": "newline", "<indent>": "indent", "<dedent>": "dedent", "": "''"}
_VISIBLE_BLANKS = str.maketrans(
    {"\n": "\\n", "\t": "\\t", " ": "·", "Ġ": "·", "Ċ": "\\n", "ĉ": "\\t"}  # the letters are BPE's
)
# Line ends other than "\n", and the separators that str.splitlines takes for one.
_BREAKS = "\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029"


def token_label(token: str) -> str:
    """Return a readable token: layout in words, blanks as dots, long ones shortened."""
    return shortened(_LAYOUT_WORDS.get(token, token).translate(_VISIBLE_BLANKS), _LABEL_CHARS)


def shortened(text: str, length: int) -> str:
    """Cut a text to a number of characters, with an ellipsis at its end."""
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"


def visible(text: str) -> str:
    """Replace control characters and halves of surrogate pairs by their escapes."""
    return "".join(
        char
        if char in "\n\t" or char.isprintable() or char.isspace() and char not in _BREAKS
        else f"\\x{ord(char):02x}"
        for char in text.replace("\r\n", "\n")
    )
