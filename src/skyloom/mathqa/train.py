"""Supervised fine-tuning: make the response likelier given the question; nothing else carries loss.

Formula  loss = sum over rows b and response tokens t of weight_b * -log p(token_bt | before) / denominator;
         denominator = weighted response tokens of the whole update (`token`), or its weighted rows (`example`: eq. 2)
Source   Skywork-Math (arXiv 2407.08348, eq. 2, sections 3.2 and 4.1): 3 epochs, 32 rows an update, warm-up 3%; stage 1, then stage 2 from
         its model. Not said: whether stage 2 begins its schedule anew (here it does) and repeats rows of stage 1 (here `replay`)
Flow     collect -> synthesize -> curate -> [train] -> evaluate -> report
Layout   model/ rows.json metrics.jsonl; stage-1/model/ with keep_stages. Hidden: .key, and a folder a phase with its checkpoints
Run      skyloom run skywork_math --set train.epochs=1
Resume   exact, by core/trainer.py: batches are pure functions of (seed, phase, epoch), and a finished phase is not made again
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from skyloom.core import distributed, store
from skyloom.core.config import fingerprint
from skyloom.core.errors import BadInput
from skyloom.core.llm.adapters import add_adapter, merge_adapter
from skyloom.core.llm.attention import FLASH, PIECES, attention_of
from skyloom.core.llm.backbones import load_backbone, load_tokenizer, pad_id, save_backbone
from skyloom.core.llm.config import TINY
from skyloom.core.llm.packing import plan_steps
from skyloom.core.losses import LossOut
from skyloom.core.metrics import METRICS, MetricLog, read_metrics
from skyloom.core.records import Raw
from skyloom.core.trainer import Trainer
from skyloom.mathqa.settings import TrainConfig
from skyloom.mathqa.sft_loss import Layout, batch_loss, cpu_budget, denominator, layout_for, read_tokens, validate
from skyloom.mathqa.sft_rows import Encoded, Example, Phase, Rows, examples_of, phases_of, prepare, use_template

__all__ = ["MODEL", "ROWS", "Example", "PhaseDone", "Trained", "examples_of", "train"]

MODEL: str = "model"
ROWS: str = "rows.json"
KEY: str = ".key"
TIMING: str = "timing.json"


class PhaseDone(NamedTuple):
    """What one phase did."""

    name: str
    """`stage-1`, `stage-2`; empty where there is one phase."""
    rows: int
    """Rows of one epoch, repeated ones counted."""
    updates: int
    best_step: int
    """Update of this phase whose weights went on."""
    read: int
    """Tokens that the machine reads in one epoch, padding counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """rows.json: what became of every row, and what training did."""

    learn: int
    """Rows learnt."""
    valid: int
    """Rows validated on."""
    left_out: dict[str, dict[str, int]]
    """Stage -> reason -> rows left out."""
    cut: dict[str, int]
    """Stage -> rows whose response lost its end."""
    tokens: int
    """Tokens of all rows learnt, each once."""
    response_tokens: int
    """Those of them that carry loss."""
    layout: Layout
    phases: tuple[PhaseDone, ...]
    weights: int
    """Parameters of the model."""
    trained_weights: int
    """Parameters that were trained: fewer with an adapter."""

    @property
    def updates(self) -> int:
        """Updates of all phases."""
        return sum(phase.updates for phase in self.phases)

    @property
    def best_step(self) -> int:
        """Update whose weights are the model's, counted over all phases."""
        return self.updates - self.phases[-1].updates + self.phases[-1].best_step


class _Work(NamedTuple):
    """All that a training process needs."""

    rows: Rows
    tokenizer: PreTrainedTokenizerBase
    config: TrainConfig
    seed: int
    out: Path


class _Fitted(NamedTuple):
    """What a training process returns."""

    model: PreTrainedModel | None
    """None from a group of processes, none of which holds all of it."""
    phases: tuple[PhaseDone, ...]
    layout: Layout


def train(examples: Sequence[Example], config: TrainConfig, seed: int, out: Path) -> Trained:
    """Tune the backbone on the examples; the best checkpoint by validation loss goes to `out/model`.

    Resumes what an interrupted call left in `out`; a finished one is read and returned, nothing else.

    Raises:
        BadInput: no rows are left to train or to validate on; settings, a tokenizer or a template that cannot train; `out` holds the
            work of other rows or settings.
        FailedWork: the loss is not finite, naming the rows; or the disk is full.
    """
    _check(config)
    key: str = _key_of(examples, config, seed)
    if _is_finished(out, key):
        return read_trained(out)
    corpus: list[str] = [text for example in examples for text in (example.question, example.response)]
    tokenizer = load_tokenizer(config.backbone, corpus if config.backbone.model == TINY else None)
    end: int = use_template(tokenizer, config)
    rows: Rows = prepare(examples, tokenizer, config, seed)
    if not rows.learn or not rows.valid:
        told = "; ".join(
            f"{stage}: {reason}: {n:,}" for stage, each in rows.left_out.items() for reason, n in each.items()
        )
        raise BadInput(
            f"training: {len(rows.learn)} rows to learn from and {len(rows.valid)} to validate on; give more rows"
            + (f" (left out: {told})" if told else "")
        )
    store.write_bytes(out / KEY, key.encode())
    work = _Work(rows, tokenizer, config, seed, out)
    fitted: _Fitted = distributed.spawn(config.optim.processes, _fit, work)
    phases = phases_of(rows.learn, config, seed)
    model: PreTrainedModel = fitted.model or _restored(work, phases[-1], fitted.phases[-1])
    parameters = [(each.numel(), each.requires_grad) for each in model.parameters()]
    _write_model(model, tokenizer, end, out / MODEL)
    if config.keep_stages and len(phases) > 1:
        _write_model(_restored(work, phases[0], fitted.phases[0]), tokenizer, end, out / phases[0].name / MODEL)
    _join_metrics(out, phases)
    trained = Trained(
        learn=len(rows.learn),
        valid=len(rows.valid),
        left_out=rows.left_out,
        cut=rows.cut,
        tokens=sum(len(row.ids) for row in rows.learn),
        response_tokens=sum(row.learnt for row in rows.learn),
        layout=fitted.layout,
        phases=fitted.phases,
        weights=sum(count for count, _ in parameters),
        trained_weights=sum(count for count, learns in parameters if learns),
    )
    told_phases = [phase._asdict() for phase in trained.phases]
    store.write_json(out / ROWS, {**asdict(trained), "phases": told_phases})
    return trained


def read_trained(out: Path) -> Trained:
    """What a finished training in `out` did. Raises BadInput where it is not finished."""
    if not (out / ROWS).is_file():
        raise BadInput(f"{out}: training has not finished; run the same command again")
    (raw,) = store.read_json_rows(out / ROWS)
    told: dict[str, Any] = dict(cast(Raw, raw).data)  # Any: JSON
    told["phases"] = tuple(PhaseDone(**phase) for phase in told["phases"])
    return Trained(**told)


def _check(config: TrainConfig) -> None:
    half = config.backbone.dtype == "bfloat16"
    rules = (
        (int(os.environ.get("WORLD_SIZE", "1")) == 1,
            "started by torchrun, every process would write the same files; start one, with optim.processes=N"),
        (config.adapter is not None or not half,
            "backbone.dtype=bfloat16: weights of three digits round small updates away and stay as they are; leave it at float32 and "
            "set optim.dtype=bfloat16, or train an adapter"),
        (config.backbone.attention != FLASH or half or config.optim.dtype == "bfloat16",
            "flash_attention_2 has no float32 kernels; set optim.dtype=bfloat16"),
    )  # fmt: skip
    for holds, rule in rules:
        if not holds:
            raise BadInput(f"train: {rule}")


def _key_of(examples: Sequence[Example], config: TrainConfig, seed: int) -> str:
    """What is trained, as a hash: the settings that change results, the seed, the rows."""
    found = hashlib.blake2b(f"{fingerprint(config)} {seed}".encode(), digest_size=16)
    for example in examples:
        found.update(repr(example).encode())
    return found.hexdigest()


def _is_finished(out: Path, key: str) -> bool:
    """Whether `out` holds the finished work of this key; BadInput where it holds that of another one."""
    file = out / KEY
    if file.is_file() and file.read_text() != key:
        raise BadInput(f"{out}: holds the training of other rows or settings; choose another output directory")
    return file.is_file() and (out / ROWS).is_file()


def _fit(work: _Work) -> _Fitted:
    """All phases, in one process or in each of several; ends with the best weights of the last one."""
    config = work.config
    model = _model(work)
    device = _place(config)
    layout: Layout = layout_for(model, config, device, [len(row.ids) for row in work.rows.learn])
    model = distributed.shard(model, distributed.blocks_of(model), device, config.optim.dtype)
    done = [_fit_phase(model, layout, phase, work) for phase in phases_of(work.rows.learn, config, work.seed)]
    return _Fitted(model if distributed.world() == 1 else None, tuple(done), layout)


def _fit_phase(model: PreTrainedModel, layout: Layout, phase: Phase, work: _Work) -> PhaseDone:
    """One phase from the weights that the model has; it is left with the best ones."""
    config, rows = work.config, phase.rows
    lengths: list[int] = [len(row.ids) for row in rows]
    budget: int = cpu_budget(config.batch_tokens, lengths, _place(config))
    plan: list[list[NDArray[np.int64]]] = [
        step
        for epoch in range(config.epochs)
        for step in plan_steps(lengths, config.batch_rows, budget, work.seed, epoch, flat=layout == "flat")
    ]
    an_epoch: int = -(-len(rows) // config.batch_rows)
    trainer = Trainer(model, config.optim, total_steps=len(plan), workdir=_folder(work.out, phase))
    pad: int = pad_id(work.tokenizer)
    for index in trainer.steps(f"training {phase.name}".strip()):
        micro = [[rows[k] for k in batch] for batch in plan[index]]
        whole = denominator(micro, config.normalise)
        loss_fn = partial(_loss, model, pad, layout, whole / denominator(micro, "token"))
        trainer.step(micro, loss_fn, whole, _named)
        if (index + 1) % (config.evaluate_every or an_epoch) == 0 or index + 1 == len(plan):
            with torch.autocast(model.device.type, torch.bfloat16, enabled=config.optim.dtype == "bfloat16"):
                values = validate(model, work.rows.valid, pad, config.batch_tokens, layout)
            trainer.record(values, score=-values["valid.loss"])
    read = read_tokens(lengths, [batch for step in plan[:an_epoch] for batch in step], layout)
    return PhaseDone(phase.name, len(rows), len(plan), trainer.load_best(), read)


def _loss(model: PreTrainedModel, pad: int, layout: Layout, share: float, rows: Sequence[Encoded]) -> LossOut:
    """Its metrics are divided by the denominator of the loss; `share` makes that a mean over tokens again."""
    loss, metrics = batch_loss(model, pad, rows, layout)
    return LossOut(loss, {name: value * share for name, value in metrics.items()})


def _named(rows: Sequence[Encoded]) -> str:
    """A micro-batch in an error message."""
    shown = ", ".join(row.name for row in rows[:4])
    return shown if len(rows) <= 4 else f"{shown} and {len(rows) - 4} more"


def _folder(out: Path, phase: Phase) -> Path:
    return out / f".{phase.name}" if phase.name else out


def _model(work: _Work) -> PreTrainedModel:
    """The model before its first update: every process makes the same one."""
    config = work.config
    model = _scaled(load_backbone(config.backbone, work.tokenizer, seed=work.seed), config)
    if config.adapter is not None:
        add_adapter(model, config.adapter, work.seed)
    if config.recompute:
        enable = getattr(model, "activation_checkpointing_enable", None)  # its name since transformers 5.23
        (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
    return model


@torch.no_grad()
def _scaled(model: PreTrainedModel, config: TrainConfig) -> PreTrainedModel:
    """`tiny` with its matrices times `init_scale`; any other model as it is."""
    if config.backbone.model == TINY and config.init_scale != 1.0:
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(config.init_scale)
    return model


def _restored(work: _Work, phase: Phase, done: PhaseDone) -> PreTrainedModel:
    """The best weights of a phase, whole in this process."""
    model = _model(work)
    optim = replace(work.config.optim, processes=1, device="cpu")
    Trainer(model, optim, total_steps=done.updates, workdir=_folder(work.out, phase)).load_best()
    return model


def _place(config: TrainConfig) -> torch.device:
    cuda = config.optim.device != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if cuda else "cpu")


def _write_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, end: int, folder: Path) -> None:
    """A plain model with the template that it was trained with, which stops where its replies ended in training."""
    model = model.cpu().eval()
    merge_adapter(model)
    if attention_of(model) == PIECES:
        model.set_attn_implementation("sdpa")
    settings: GenerationConfig = model.generation_config or GenerationConfig()
    listed: object = settings.eos_token_id
    ends: list[int] = (
        [*cast(list[int], listed)] if isinstance(listed, list) else [listed] if isinstance(listed, int) else []
    )
    if end not in ends:  # a base model's own end is not the one that a chat template writes
        settings.eos_token_id = [end, *ends] if ends else end
    model.generation_config = settings
    save_backbone(model, tokenizer, folder)


def _join_metrics(out: Path, phases: Sequence[Phase]) -> None:
    """metrics.jsonl and timing.json of all phases, steps counted on; one phase has written its own there."""
    if len(phases) == 1:
        return
    (out / METRICS).unlink(missing_ok=True)
    log, before, timing = MetricLog(out / METRICS), 0, {"seconds": 0.0, "updates": 0}
    for number, phase in enumerate(phases, 1):
        rows = read_metrics(_folder(out, phase) / METRICS)
        for row in rows:
            log.write(before + row.step, {**row.values, "phase": number})
        before += rows[-1].step
        if (_folder(out, phase) / TIMING).is_file():  # a phase that a kill spared had no time to tell
            (told,) = store.read_json_rows(_folder(out, phase) / TIMING)
            timing = {name: value + cast(Raw, told).data[name] for name, value in timing.items()}
    store.write_json(out / TIMING, timing)
