"""The Lightning module: training, validation, test and generation of a batch.

Shape letters: B batch, S source length, T target length, D d_model, N real target tokens.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, overload

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MeanMetric

from en2py.data.batch import Batch, Example, collate
from en2py.data.datamodule import HYPOTHESES
from en2py.data.neighbours import Neighbours
from en2py.data.tokenizers.protocol import Tokenizer
from en2py.data.vocab import BOS, EOS, Vocab, spelling_bits
from en2py.decoding.hypothesis import Engine, Hypothesis, Model, hypotheses_per_source
from en2py.errors import UserError, check_returned
from en2py.evaluation.metrics.token_metrics import TokenMetrics, TokenScores, score_hidden
from en2py.models.attention_maps import attention_maps
from en2py.models.incremental import IncrementalDecoder
from en2py.models.packing import PackedLayout
from en2py.models.transformer import Transformer
from en2py.training.losses import normalizer, token_weights

EVAL_SPLITS = ("val", "train")  # the two validation loaders: the split, and a sample of training
_SCORED_TOKENS = 4096  # padded target tokens of a batch of `likelihoods`
Search = Callable[[Model | Engine, Tensor, Vocab], list[list[Hypothesis]]]


def real_hidden(model: Transformer, batch: Batch) -> Tensor:
    """Return the hidden states at the real target positions, `[N, D]`.

    On CPU only attention processes padding. A GPU is limited by the number of kernels more than by
    their size: there all rows are computed, and the real ones are selected at the end.
    """
    tgt_layout = PackedLayout(batch.tgt_places, batch.tgt_in.shape)
    if batch.src.device.type != "cpu":
        return tgt_layout.pack(model(batch.src, batch.tgt_in))
    src_layout = PackedLayout(batch.src_places, batch.src.shape)
    hidden: Tensor = model(batch.src, batch.tgt_in, src_layout, tgt_layout)
    return hidden[: len(tgt_layout.places)]


def constructed(
    section: str, kind: type, part: Callable[..., Any], *arguments: Any, **named: Any
) -> Any:
    """Return what the part of a section of the config constructs.

    Raises:
        UserError: If it is of torch, which refuses the settings, or constructs something else.
    """
    try:
        built = part(*arguments, **named)
    except (TypeError, ValueError, RuntimeError) as error:
        if not getattr(part, "func", part).__module__.startswith("torch."):
            raise
        raise UserError(f"{section}: torch refuses these settings: {error}") from error
    check_returned(section, kind, f"an {kind.__name__} of torch", built)
    return built


class _WeightedMean(MeanMetric):
    """Mean by the weights given; torchmetrics 1.9 ignores them where it does not search for NaN."""

    def _cast_and_nan_check_input(self, x: Any, weight: Any = None) -> tuple[Tensor, Tensor]:
        return x.to(self.dtype), weight.to(self.dtype)


class Seq2SeqModule(pl.LightningModule):
    """An English-to-Python Transformer with its loss, optimizer, search and tokenizers.

    Args:
        model: The Transformer.
        loss: Called with hidden states `[N, D]`, the output projection and targets `[N]`.
        optimizer: Called with the named parameters.
        scheduler: Called with the optimizer and `total_steps`.
        search: A decoding function, called with model, source ids and the target vocabulary.
        src_tokenizer: For descriptions.
        tgt_tokenizer: For code.
        src_vocab: Of descriptions.
        tgt_vocab: Of code.
        freeze_epochs: Epochs in which token tables that word vectors initialized are frozen;
            -1: all epochs.
        frozen: The sides (`src`, `tgt`) whose table word vectors initialized.
        clean: Cleans a description as those of the training data.
        metadata: Plain containers that every checkpoint stores (config, vocabularies, ...).
    """

    def __init__(
        self,
        *,
        model: Transformer,
        loss: nn.Module,
        optimizer: Callable[[Iterable[tuple[str, nn.Parameter]]], torch.optim.Optimizer],
        scheduler: Callable[..., LRScheduler],
        search: Search,
        src_tokenizer: Tokenizer,
        tgt_tokenizer: Tokenizer,
        src_vocab: Vocab,
        tgt_vocab: Vocab,
        freeze_epochs: int,
        frozen: Sequence[str],
        clean: Callable[[str], str] = str,
        metadata: dict[str, Any],
    ) -> None:
        super().__init__()
        self.model, self.loss, self.search = model, loss, search
        self.src_tokenizer, self.tgt_tokenizer = src_tokenizer, tgt_tokenizer
        self.src_vocab, self.tgt_vocab = src_vocab, tgt_vocab
        self.metadata, self.clean = metadata, clean
        self.neighbours: Neighbours | None = None  # those that sources contain
        self._optimizer, self._scheduler = optimizer, scheduler
        self._freeze_epochs = freeze_epochs
        self._tables = [getattr(model, f"{side}_embedding").table for side in frozen]
        # Persistent: a run that is resumed inside an epoch continues the epoch's mean.
        # Not searched for NaN, for that would synchronize with the device in every step.
        self.train_loss = _WeightedMean(nan_strategy="disable")
        self.train_loss.persistent(True)
        names = ("val_split", "train_split", "test_split")  # a ModuleDict refuses `train`
        self.eval_metrics = nn.ModuleDict({name: TokenMetrics(tgt_vocab) for name in names})
        self.eval_losses = nn.ModuleDict({name: MeanMetric() for name in names})
        self._freeze(epoch=0)

    # -- training ---------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean loss over the real target tokens of a batch."""
        loss = self._loss(batch)
        if batch_idx == 0:
            self.train_loss.reset()
        value, weights = loss.detach(), self._token_weights()
        # Batches of a plain loss count equally, as in the updates: they have similar numbers of
        # tokens. Their sums of weights differ more, and the loss grows with the weights.
        size = 1.0 if weights is None else normalizer(weights, batch.targets)
        # A non-finite loss is excluded from the epoch's mean.
        self.train_loss.update(value.nan_to_num(0.0, 0.0, 0.0), weight=size * value.isfinite())
        return loss

    def _loss(self, batch: Batch) -> Tensor:
        hidden = real_hidden(self.model, batch)  # [N, D]
        loss: Tensor = self.loss(hidden, self.model.projection, batch.targets)
        return loss

    def on_train_start(self) -> None:
        """Restore what a run that is resumed inside an epoch needs beside its state.

        That is which tables are frozen, and that the loss of all ranks so far counts once.
        """
        self._freeze(self.current_epoch)
        if self.global_rank != 0:
            self.train_loss.reset()

    def on_train_epoch_start(self) -> None:
        """Unfreeze the token tables after their frozen epochs."""
        self._freeze(self.current_epoch)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Let Lightning validate after the last update, in any epoch and also within one."""
        trainer = self.trainer
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True
            trainer.fit_loop.min_epochs = None  # it would forbid this stop
        if trainer.should_stop and trainer.fit_loop._can_stop_early:  # `max_time` too
            trainer.check_val_every_n_epoch = 1

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean loss, whose scale is not comparable between criteria.

        It is the mean over the batches, of weighted losses by the sum of their weights.
        """
        self.log("train/loss", self.train_loss.compute())
        self._log_epoch_number()

    def configure_optimizers(self) -> Any:
        """Return the optimizer and its schedule, stepped after each update."""
        optimizer = constructed(
            "optimizer", torch.optim.Optimizer, self._optimizer, self.named_parameters()
        )
        total_steps = int(self.trainer.estimated_stepping_batches)
        schedule = constructed(
            "scheduler", LRScheduler, self._scheduler, optimizer, total_steps=total_steps
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients by their norm or value, in bf16 too.

        Under mixed precision Lightning rejects clipping with a fused optimizer, for fp16 gradients
        are still scaled at this point; bf16 gradients are not scaled.
        """
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )
        elif gradient_clip_val and gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        elif gradient_clip_val:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def _freeze(self, epoch: int) -> None:
        learn = 0 <= self._freeze_epochs <= epoch
        for table in self._tables:
            table.weight.requires_grad_(learn)

    # -- evaluation -------------------------------------------------------------------------------

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Update the token metrics by a batch of the validation split or the training sample."""
        split = EVAL_SPLITS[dataloader_idx]
        self._update_metrics(batch, split, self._score(batch))

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Return the places of the examples in their split, and their token counts."""
        scored = self._score(batch)
        metrics, _ = self._metrics("test")
        owners = torch.arange(len(batch.indices), device=batch.src.device)[:, None]
        owners = owners.expand_as(batch.tgt_mask)[batch.tgt_mask]  # [N]
        table = metrics.per_example(scored[0], owners, len(batch.indices))
        self._update_metrics(batch, "test", scored)
        return {"places": batch.indices.tolist(), "counts": table.tolist()}

    def _score(self, batch: Batch) -> tuple[TokenScores, Tensor]:
        """Return the scores `[N]` of a batch's target tokens, and its mean loss."""
        with self._full_precision():
            hidden = real_hidden(self.model, batch)
            divisor = partial(normalizer, self._token_weights())
            return score_hidden(hidden, self.model.projection, batch.targets, self.loss, divisor)

    def _update_metrics(self, batch: Batch, split: str, scored: tuple[TokenScores, Tensor]) -> None:
        """Update the metrics and the mean loss of a split by a batch."""
        (scores, value), (metrics, loss) = scored, self._metrics(split)
        metrics.update(scores, n_characters=batch.n_characters, spelling_bits=batch.spelling_bits)
        loss.update(value, weight=normalizer(self._token_weights(), scores.targets))

    def _token_weights(self) -> Tensor | None:
        return token_weights(self.loss, len(self.tgt_vocab))

    def _metrics(self, split: str) -> tuple[Any, Any]:
        """Return the token metrics and the mean loss of a split."""
        return self.eval_metrics[f"{split}_split"], self.eval_losses[f"{split}_split"]

    def on_validation_epoch_end(self) -> None:
        """Log the same metrics for validation and training, and the generalization gap."""
        nll = {split: self._log_split(split) for split in EVAL_SPLITS}
        self.log("gap/nll", nll["val"] - nll["train"])
        self._log_epoch_number()

    def _log_epoch_number(self) -> None:
        """Log the number of the epoch, from 1; Lightning itself would count from 0."""
        self.log("epoch", float(self.current_epoch + 1))

    def on_test_epoch_end(self) -> None:
        """Log the token metrics of the test split."""
        self._log_split("test")

    def _log_split(self, split: str) -> Tensor:
        metrics, loss = self._metrics(split)
        values: dict[str, Tensor] = {**metrics.compute()}
        # `train/loss` is the running mean with dropout; that of the sample is in eval mode.
        values["eval_loss" if split == "train" else "loss"] = loss.compute()
        for name, value in values.items():
            self.log(f"{split}/{name}", value)
        metrics.reset()
        loss.reset()
        return values["nll"]

    # -- generation -------------------------------------------------------------------------------

    @contextmanager
    def searching_with(self, search: Search) -> Iterator[None]:
        """Decode with another search inside the `with` block."""
        usual, self.search = self.search, search
        try:
            yield
        finally:
            self.search = usual

    def predict_step(self, batch: Batch, batch_idx: int) -> list[tuple[int, list[str]]]:
        """Return (place in the split, candidate programs, best first) per source."""
        with self._full_precision():
            results = self.search(IncrementalDecoder(self.model), batch.src, self.tgt_vocab)
        return [
            (index, [self.text(hypothesis) for hypothesis in hypotheses])
            for index, hypotheses in zip(batch.indices.tolist(), results, strict=True)
        ]

    @overload  # a text is also an iterable of texts, and the first match counts
    def generate(  # type: ignore[overload-overlap]
        self, descriptions: str, search: Search | None = ...
    ) -> str: ...

    @overload
    def generate(self, descriptions: Iterable[str], search: Search | None = ...) -> list[str]: ...

    @torch.inference_mode()
    def generate(
        self,
        descriptions: str | Iterable[str],
        search: Search | None = None,
    ) -> str | list[str]:
        """Generate a program for a description, or a list of programs for a list of descriptions.

        Args:
            descriptions: Tasks in English.
            search: A decoding function; None: that of the module.

        Raises:
            UserError: If a description is no text, is empty or too long, or has no known word; the
                message contains its index.
        """
        is_one = isinstance(descriptions, str)
        if isinstance(descriptions, str):
            texts = [descriptions]
        elif isinstance(descriptions, Iterable) and not isinstance(descriptions, bytes):
            texts = list(descriptions)
        else:
            raise UserError(
                f"descriptions={descriptions!r:.60}: expected a text or a list of texts"
            )
        for i, text in enumerate(texts):
            name = "the description" if is_one else f"descriptions[{i}]"
            if unknown := self.unknown_words(text, name):
                words = ", ".join(unknown)
                warnings.warn(
                    f"{name} has words that the model does not know: {words}", stacklevel=3
                )
        programs = self.programs(texts, search)
        return programs[0] if is_one else programs

    def programs(self, descriptions: Iterable[str], search: Search | None = None) -> list[str]:
        """Return the best program of a search per description, whatever words the model knows."""
        return [self.text(found[0]) for found in self.candidates(descriptions, search)]

    @torch.inference_mode()
    def candidates(
        self,
        descriptions: Iterable[str],
        search: Search | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return the hypotheses of a search, best first, per description; see `generate`.

        After each batch `on_progress` is called with the number of descriptions so far.

        Raises:
            UserError: If a single text is given, whose characters would be the descriptions.
        """
        if isinstance(descriptions, str | bytes):
            raise UserError(f"descriptions={descriptions!r:.60}: expected a list of texts")
        examples = [
            Example(i, self.src_vocab.encode(tokens), ())
            for i, tokens in enumerate(self._sources(list(descriptions)))
        ]
        examples.sort(key=lambda example: len(example.src))
        found: list[list[Hypothesis]] = [[] for _ in examples]
        search, decoder = search or self.search, IncrementalDecoder(self.model)
        n_sources = max(1, HYPOTHESES // hypotheses_per_source(search))
        with self._without_dropout(), self._full_precision():
            for first in range(0, len(examples), n_sources):
                rows = examples[first : first + n_sources]
                src = collate(rows, self.tgt_vocab).src.to(self.device)
                results = search(decoder, src, self.tgt_vocab)
                for example, hypotheses in zip(rows, results, strict=True):
                    found[example.index] = hypotheses
                if on_progress is not None:
                    on_progress(first + len(rows))
        return found

    @torch.inference_mode()
    def likelihoods(
        self, descriptions: Sequence[str], codes: Sequence[str]
    ) -> list[tuple[float, int]]:
        """Return the negative log-likelihood in nats of programs, and their tokens with EOS.

        Unknown tokens are charged for their spelling. Of a program that is longer than the model
        writes the beginning is scored.
        """
        distinct = list(dict.fromkeys(descriptions))
        sources = dict(
            zip(distinct, map(self.src_vocab.encode, self._sources(distinct)), strict=True)
        )
        limit = self.model.tgt_embedding.max_len - 1
        cut = {code: self.tgt_tokenizer.tokenize(code)[:limit] for code in dict.fromkeys(codes)}
        examples = [
            Example(i, sources[text], self.tgt_vocab.encode(cut[code]))
            for i, (text, code) in enumerate(zip(descriptions, codes, strict=True))
        ]
        examples.sort(key=lambda example: len(example.tgt), reverse=True)
        found = [(0.0, 1)] * len(examples)
        with self._without_dropout():
            while examples:
                n = max(1, _SCORED_TOKENS // (len(examples[0].tgt) + 1))
                batch = collate(examples[:n], self.tgt_vocab).to(self.device)
                nll = torch.split(self._score(batch)[0].nll, batch.tgt_lengths.tolist())
                sums = [of_pair.sum().item() for of_pair in nll]
                for example, total in zip(examples[:n], sums, strict=True):
                    bits = spelling_bits(cut[codes[example.index]], self.tgt_vocab)
                    found[example.index] = (total + math.log(2) * bits, len(example.tgt) + 1)
                examples = examples[n:]
        return found

    def _sources(self, descriptions: Sequence[str]) -> list[list[str]]:
        """Return the source tokens of descriptions, with those of their nearest neighbours."""
        sources = [
            self.tokenize_description(text, f"descriptions[{i}]")
            for i, text in enumerate(descriptions)
        ]
        if self.neighbours is None:
            return sources
        near = map(
            self.neighbours.tokens,
            self.neighbours.nearest([self.clean(text) for text in descriptions]),
        )
        return [tokens + added for tokens, added in zip(sources, near, strict=True)]

    def tokenize_description(self, description: str, name: str) -> list[str]:
        """Return the tokens of a description, cleaned as those of the training data.

        The name is what an error message calls it.

        Raises:
            UserError: If it is no text, or is empty or too long.
        """
        if not isinstance(description, str):
            raise UserError(f"{name} is {description!r:.60}, not a text")
        tokens = self.src_tokenizer.tokenize(self.clean(description))
        most = self.model.src_embedding.max_len - 1  # one for <eos>
        most -= 0 if self.neighbours is None else self.neighbours.max_len
        if not tokens:
            raise UserError(f"{name} is empty: describe in English what the program should do")
        if len(tokens) > most:
            raise UserError(
                f"{name} has {len(tokens)} tokens, the model reads at most {most}: shorten it (it "
                f"starts {description[:40]!r})"
            )
        return tokens

    def unknown_words(self, description: str, name: str) -> list[str]:
        """Return the words of a description that are not in the vocabulary.

        Raises:
            UserError: If it is no text, is empty or too long, or has no known word.
        """
        tokens = self.tokenize_description(description, name)
        unknown = [token for token in tokens if token not in self.src_vocab]
        if len(unknown) == len(tokens):
            raise UserError(
                f"the model knows no word of {name} {description[:60]!r}: it was trained on "
                f"{len(self.src_vocab):,} English words"
            )
        return list(dict.fromkeys(unknown))

    def _full_precision(self) -> torch.autocast:
        """Disable autocast, so that evaluation does not depend on the training precision."""
        return torch.autocast(self.device.type, enabled=False)

    @contextmanager
    def _without_dropout(self) -> Iterator[None]:
        training = self.model.training
        self.model.eval()
        try:
            yield
        finally:
            self.model.train(training)

    def text(self, hypothesis: Hypothesis) -> str:
        """Return the program of a hypothesis."""
        return self.tgt_tokenizer.detokenize(self.tgt_vocab.decode(hypothesis.ids))

    @torch.inference_mode()
    def attention(
        self, description: str, code: str
    ) -> tuple[dict[str, tuple[list[str], list[str]]], dict[str, Tensor]]:
        """Return the attention maps of a description and a program, a generated one or a reference.

        Returns:
            Per kind (`cross`, `encoder`, `decoder`) the labels of rows and columns, and the weights
            `[L, H, rows, columns]`.
        """
        (src,) = self._sources([description])
        tgt = self.tgt_tokenizer.tokenize(code)
        tgt = tgt[: self.model.tgt_embedding.max_len - 1]
        example = Example(0, self.src_vocab.encode(src), self.tgt_vocab.encode(tgt))
        batch = collate([example], self.tgt_vocab).to(self.device)
        with self._without_dropout(), self._full_precision():
            maps = attention_maps(self.model, batch.src, batch.tgt_in)
        # A row is the token that is predicted at that place.
        read, written = [*src, EOS], [*tgt, EOS]
        labels = {
            "cross": (written, read),
            "encoder": (read, read),
            "decoder": (written, [BOS, *tgt]),
        }
        return labels, {kind: maps[kind][:, 0].float().cpu() for kind in labels}

    # -- checkpoints ------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store config and vocabularies: a checkpoint needs no other file.

        The sums of the epoch's mean loss are those of all ranks, not of rank 0 alone.
        """
        checkpoint["en2py"] = self.metadata
        with self.train_loss.sync_context():
            sums = self.train_loss.state_dict(prefix="train_loss.")
        for weights in ("state_dict", "current_model_state"):  # with weight averaging, both
            if weights in checkpoint:
                checkpoint[weights].update(sums)
