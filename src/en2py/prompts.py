"""What a model can be asked: a description that it cannot read is told in one sentence."""

from en2py.errors import UserError
from en2py.module import Seq2SeqModule


def unknown_words(module: Seq2SeqModule, description: str) -> list[str]:
    """Return the words of a description that a model does not know.

    Raises:
        UserError: If the description is empty, too long, or has no word that the model knows.
    """
    room = module.model.src_embedding.positions.shape[0]
    tokens = module.src_tokenizer.tokenize(description)
    if not tokens:
        raise UserError("the prompt is empty: say in English what the program should do")
    if len(tokens) + 1 > room:
        raise UserError(
            f"the prompt has {len(tokens)} tokens, the model reads at most {room - 1}: "
            f"shorten it (it starts {description[:40]!r})"
        )
    unknown = [token for token in tokens if token not in module.src_vocab]
    if len(unknown) == len(tokens):
        raise UserError(
            f"the model knows no word of the prompt {description[:60]!r}: it was trained on "
            f"{len(module.src_vocab):,} English words"
        )
    return list(dict.fromkeys(unknown))
