"""Export of a trained model to CTranslate2, and search with it.

CTranslate2 (https://github.com/OpenNMT/CTranslate2) is an inference engine in C++, installed by the
extra `en2py[ctranslate2]`. In float32 it generates the same tokens as the torch model.

Shape letters: B sources, S source length, D d_model.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from en2py.data.vocab import BOS, EOS, PAD, UNK, Vocab
from en2py.decoding.hypothesis import Hypothesis
from en2py.errors import UserError

if TYPE_CHECKING:
    from en2py.models.transformer import Attention, Embedding, Transformer

Arithmetic = Literal["float32", "int8"]


class Exported:
    """A copy of a model in CTranslate2; an `Engine`.

    Args:
        model: In eval mode; its weights are copied.
        src_vocab: Vocabulary of the descriptions.
        tgt_vocab: Vocabulary of the code.
        arithmetic: int8 rounds the weights of all matrices, and their inputs row by row.
    """

    def __init__(
        self, model: "Transformer", src_vocab: Vocab, tgt_vocab: Vocab, arithmetic: Arithmetic
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            export(model, src_vocab, tgt_vocab, Path(folder) / "model")
            self._translator = import_ctranslate2().Translator(
                f"{folder}/model", compute_type=arithmetic, intra_threads=torch.get_num_threads()
            )
        self._src_tokens, self._tgt_vocab = _utf8_tokens(src_vocab), tgt_vocab
        self._tgt_ids = {token: i for i, token in enumerate(_utf8_tokens(tgt_vocab))}

    def search(
        self, src: Tensor, *, width: int, max_len: int, allow_unk: bool
    ) -> list[list[Hypothesis]]:
        """Return the `width` best hypotheses per source, by score; see `Engine.search`."""
        special = (self._tgt_vocab.pad_id, self._tgt_vocab.eos_id)
        sources = [[self._src_tokens[i] for i in row if i not in special] for row in src.tolist()]
        results = self._translator.translate_batch(
            sources,
            beam_size=width,
            num_hypotheses=width,
            max_decoding_length=max_len,
            min_decoding_length=0,
            max_input_length=0,
            disable_unk=not allow_unk,
            suppress_sequences=[[PAD], [BOS]],
            # Changes no score, but with 0 the search would run until the best beam has ended.
            length_penalty=1e-9,
            return_scores=True,
        )
        return [
            [
                Hypothesis([self._tgt_ids[t] for t in tokens], score, len(tokens) < max_len)
                for tokens, score in zip(result.hypotheses, result.scores, strict=True)
            ]
            for result in results
        ]


def export(model: "Transformer", src_vocab: Vocab, tgt_vocab: Vocab, folder: Path) -> None:
    """Write a model as a CTranslate2 model in float32, which can be loaded in int8 as well.

    Its input and output are tokens of this project's tokenizers; it adds EOS to a source.

    Args:
        model: A model with any options.
        src_vocab: Vocabulary of the descriptions.
        tgt_vocab: Vocabulary of the code.
        folder: Created by this function.

    Raises:
        UserError: If the extra is not installed, the model has segments, or the folder exists.
    """
    if model.src_embedding.segments is not None:
        raise UserError(
            "CTranslate2 has no embeddings of segments, so a model with neighbours=nearest cannot "
            "be exported"
        )
    if type(model.projection) is not nn.Linear:
        raise UserError("CTranslate2 cannot copy, so a model with model.copy=true is not exported")
    specs = import_ctranslate2().specs
    if folder.exists():
        raise UserError(f"export={folder}: exists already; choose another folder, or remove it")
    spec = _spec_of(model, specs)
    spec.register_source_vocabulary(_utf8_tokens(src_vocab))
    spec.register_target_vocabulary(_utf8_tokens(tgt_vocab))
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = UNK, BOS, EOS
    spec.config.decoder_start_token = BOS
    spec.config.add_source_eos = True
    spec.validate()
    spec.optimize()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as beside:  # appears whole or not at all
        written = Path(beside) / "model"
        written.mkdir()
        spec.save(str(written))
        os.replace(written, folder)


def _spec_of(model: "Transformer", specs: Any) -> Any:
    """Return the sizes and weights of a model in the form of CTranslate2."""
    stacks: Any = model.encoder, model.decoder  # a ModuleList does not know the type of its layers
    encoder, decoder = map(list, stacks)
    pre: bool = encoder[0].residuals[0].pre
    sizes: dict[str, Any] = {"num_heads": encoder[0].self_attention.n_heads, "pre_norm": pre}
    if model.src_embedding.rotary is not None:  # pairs are a head's first and second half
        sizes |= {"rotary_dim": 0, "rotary_interleave": False}
    spec = specs.TransformerSpec(
        specs.TransformerEncoderSpec(len(encoder), **sizes),
        specs.TransformerDecoderSpec(len(decoder), **sizes),
    )
    for stack, layers in ((spec.encoder, encoder), (spec.decoder, decoder)):
        for target, layer in zip(stack.layer, layers, strict=True):
            sublayers = [target.self_attention, target.ffn]
            _copy_attention(target.self_attention, layer.self_attention, split=False)
            if stack is spec.decoder:
                sublayers.insert(1, target.attention)
                _copy_attention(target.attention, layer.cross_attention, split=True)
            first, _, second = layer.feed_forward
            _copy_linear(target.ffn.linear_0, first)
            _copy_linear(target.ffn.linear_1, second)
            for sublayer, residual in zip(sublayers, layer.residuals, strict=True):
                _copy_norm(sublayer.layer_norm, residual.norm)
    if pre:
        _copy_norm(spec.encoder.layer_norm, model.encoder_norm)
        _copy_norm(spec.decoder.layer_norm, model.decoder_norm)
    _copy_embedding(spec.encoder, spec.encoder.embeddings[0], model.src_embedding)
    _copy_embedding(spec.decoder, spec.decoder.embeddings, model.tgt_embedding)
    _copy_linear(spec.decoder.projection, model.projection)
    spec.config.layer_norm_epsilon = encoder[0].residuals[0].norm.eps
    return spec


def _copy_linear(target: Any, linear: nn.Linear) -> None:
    target.weight, target.bias = _tensor(linear.weight), _tensor(linear.bias)


def _copy_norm(target: Any, norm: Any) -> None:
    target.gamma, target.beta = _tensor(norm.weight), _tensor(norm.bias)


def _copy_attention(target: Any, attention: "Attention", *, split: bool) -> None:
    """Copy the projections; `split` separates queries from keys and values."""
    d_model = attention.out.in_features
    sizes = [d_model, 2 * d_model] if split else [3 * d_model]
    weights, biases = (torch.split(x, sizes) for x in (attention.qkv.weight, attention.qkv.bias))
    for linear, weight, bias in zip(target.linear[:-1], weights, biases, strict=True):
        linear.weight, linear.bias = _tensor(weight), _tensor(bias)
    _copy_linear(target.linear[-1], attention.out)


def _copy_embedding(stack: Any, target: Any, embedding: "Embedding") -> None:
    """Copy a token table, projected and scaled, and its positions."""
    target.weight = _tensor(embedding.widen(embedding.table.weight) * embedding.scale)
    stack.scale_embeddings = False
    if embedding.positions is not None:
        stack.position_encodings.encodings = _tensor(embedding.positions)


def _tensor(x: Tensor) -> Tensor:
    return x.detach().float().cpu().contiguous().clone()


def _utf8_tokens(vocab: Vocab) -> Sequence[str]:
    """Return the tokens in valid UTF-8: lone surrogates are escaped."""
    return [token.encode("utf-8", "backslashreplace").decode() for token in vocab.tokens]


def import_ctranslate2() -> Any:
    """Import CTranslate2, which is an extra.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import ctranslate2
    except ImportError:
        raise UserError(
            "CTranslate2 is not installed; pip install -e '.[ctranslate2]' installs it"
        ) from None
    return ctranslate2
