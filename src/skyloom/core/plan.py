"""Plans: what a recipe will cost in tokens, memory, hours and money, before anything is spent.

Formula  training FLOPs = 6·N·T for N parameters and T tokens; forward alone 2·N·T (Kaplan et al. 2020, 2.1)
         hours = FLOPs / (peak FLOP/s · MFU) / 3600
         state = 16 bytes a parameter: bf16 weights 2, bf16 gradients 2, fp32 master weights 4, Adam moments 8
         (Rajbhandari et al. 2020, 3.1); plain fp32 needs the same: 4 + 4 + 8
         activations = 34·t·h·L bytes for t tokens in flight, width h, L layers, 2 bytes a value, scores not stored
         (Korthikanti et al. 2022, eq. 1); with full recomputation 2·t·h·L + 34·t·h; language-model logits 4·t·V
Flow     skyloom plan RECIPE -> <system>.pipeline.plan(config) -> Plan, printed with every assumption beside the numbers
Run      Plan(title="8B", lines=(training_line("train", model_size("llama-3.1-8b"), 1e8, machine("H100"), 16384),))
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from skyloom.core.errors import BadInput
from skyloom.core.metrics import Table

STATE_BYTES: int = 16
"""Bytes a parameter holds while training: weights, gradients, master copy, Adam moments."""
TRAINING_ASSUMPTIONS: tuple[str, ...] = (
    "training FLOPs = 6 · parameters · tokens (Kaplan et al. 2020); attention's quadratic part is left out",
    "memory = 16 bytes a parameter (weights, gradients, fp32 master, Adam moments) + activations, 34 · tokens · width · "
    "layers bytes, or 2 · tokens · width · layers with recomputation (Korthikanti et al. 2022)",
)
_DATA: Path = Path(__file__).with_name("plan.toml")
A = TypeVar("A", "Machine", "ModelSize", "Teacher")


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """One machine, or one accelerator of many."""

    name: str
    peak_flops: float
    """FLOP/s of the arithmetic that training uses."""
    mfu: float
    """Share of the peak that 6NT FLOPs reach, 0 to 1."""
    price_per_hour: float
    """Dollars."""
    memory_bytes: int
    """What state and activations must fit in."""
    cores: int
    """CPU cores of a machine that computes on them; 0 where a GPU does."""
    source: str
    """Where the numbers come from, and which are assumed."""

    @property
    def assumption(self) -> str:
        """The line printed beside the numbers."""
        speed = f"{_si(self.peak_flops)}FLOP/s peak at {self.mfu:.0%} utilisation"
        return f"{self.name}: {speed}, {_size(self.memory_bytes)}, ${self.price_per_hour:.2f} an hour ({self.source})"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSize:
    """What the cost of a dense transformer depends on."""

    name: str
    parameters: int
    hidden: int
    """Width of the residual stream."""
    layers: int
    vocabulary: int
    source: str

    @property
    def assumption(self) -> str:
        """The line printed beside the numbers."""
        shape = f"width {self.hidden}, {self.layers} layers, vocabulary {self.vocabulary}"
        return f"{self.name}: {self.parameters:,} parameters, {shape} ({self.source})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Teacher:
    """What a teacher model charges."""

    name: str
    per_million_in: float
    """Dollars for a million prompt tokens."""
    per_million_out: float
    """Dollars for a million reply tokens."""
    source: str

    @property
    def assumption(self) -> str:
        """The line printed beside the numbers."""
        price = f"${self.per_million_in:g} a million tokens in, ${self.per_million_out:g} out"
        return f"{self.name}: {price} ({self.source})"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanLine:
    """The cost of one step; zero where a step needs none of a kind."""

    step: str
    tokens: int = 0
    memory_bytes: int = 0
    """Largest memory in use at once, over all devices."""
    core_hours: float = 0.0
    gpu_hours: float = 0.0
    money: float = 0.0
    """Dollars."""
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Every step's cost, the sum, and what was assumed."""

    title: str
    lines: tuple[PlanLine, ...]
    assumptions: tuple[str, ...]

    @property
    def total(self) -> PlanLine:
        """Sums over the steps; of memory the largest, because steps run one after another."""
        return PlanLine(
            step="total",
            tokens=sum(line.tokens for line in self.lines),
            memory_bytes=max((line.memory_bytes for line in self.lines), default=0),
            core_hours=sum(line.core_hours for line in self.lines),
            gpu_hours=sum(line.gpu_hours for line in self.lines),
            money=sum(line.money for line in self.lines),
        )

    def table(self) -> Table:
        """The plan as text cells, a row a step and the total last; the note lists the assumptions."""
        columns = ("step", "tokens", "memory", "core-hours", "GPU-hours", "money", "note")
        rows = tuple(_text_row(line) for line in (*self.lines, self.total))
        return Table(title=self.title, note="\n".join(self.assumptions), columns=columns, rows=rows)

    def to_json(self) -> dict[str, Any]:  # Any: nested JSON
        """The plan in plain numbers: tokens, bytes, hours, dollars."""
        lines = [asdict(line) for line in self.lines]
        return {"title": self.title, "lines": lines, "total": asdict(self.total), "assumptions": list(self.assumptions)}


def machine(name: str) -> Machine:
    """A machine of plan.toml; BadInput lists the known ones."""
    return _pick(name, "machines", Machine)


def model_size(name: str) -> ModelSize:
    """A model of plan.toml; BadInput lists the known ones."""
    return _pick(name, "models", ModelSize)


def teacher(name: str) -> Teacher:
    """A teacher's price of plan.toml; BadInput lists the known ones."""
    return _pick(name, "teachers", Teacher)


def dense_training_flops(parameters: float, tokens: float) -> float:
    """6NT: forward and backward of a dense transformer (Kaplan et al. 2020)."""
    return 6.0 * parameters * tokens


def dense_forward_flops(parameters: float, tokens: float) -> float:
    """2NT: the forward pass alone, as in scoring; generation reaches a far lower MFU than training."""
    return 2.0 * parameters * tokens


def state_memory(parameters: float) -> int:
    """Bytes of weights, gradients, master copy and Adam moments."""
    return round(STATE_BYTES * parameters)


def activation_memory(model: ModelSize, batch_tokens: int, *, recompute: bool, logits: bool) -> int:
    """Bytes held between forward and backward for `batch_tokens` tokens in flight, at 2 bytes a value.

    `recompute` keeps each layer's input only (gradient checkpointing); `logits` adds 4·t·V for a language-model head.
    """
    inner = 34 * batch_tokens * model.hidden
    kept = 2 * batch_tokens * model.hidden * model.layers + inner if recompute else inner * model.layers
    return kept + (4 * batch_tokens * model.vocabulary if logits else 0)


def hours_on(where: Machine, flops: float) -> float:
    """Hours that one machine needs for so many FLOPs at its stated utilisation."""
    return flops / (where.peak_flops * where.mfu) / 3600


def training_line(
    step: str,
    model: ModelSize,
    tokens: float,
    where: Machine,
    batch_tokens: int,
    *,
    recompute: bool = False,
    logits: bool = False,
) -> PlanLine:
    """Train on `tokens` tokens with `batch_tokens` of them in flight at once.

    The hours are machine time, so they do not depend on how many machines share the work; the note says how many the
    memory needs at least, with the state spread evenly over them (FSDP2).
    """
    memory = state_memory(model.parameters) + activation_memory(model, batch_tokens, recompute=recompute, logits=logits)
    return compute_line(step, dense_training_flops(model.parameters, tokens), tokens, memory, where)


def compute_line(step: str, flops: float, tokens: float, memory_bytes: int, where: Machine) -> PlanLine:
    """Any dense computation: hours from its FLOPs, on the cores or the GPU that the machine has."""
    hours = hours_on(where, flops)
    needed = math.ceil(memory_bytes / where.memory_bytes)
    return PlanLine(
        step=step,
        tokens=round(tokens),
        memory_bytes=memory_bytes,
        core_hours=hours * where.cores,
        gpu_hours=0.0 if where.cores else hours,
        money=hours * where.price_per_hour,
        note=f"memory needs {needed} × {where.name}" if needed > 1 else "",
    )


def core_line(step: str, items: float, items_per_core_second: float, where: Machine, memory_bytes: int = 0) -> PlanLine:
    """CPU work at a measured rate: hashing, verifying, playing games. State the rate in the plan's assumptions."""
    if items_per_core_second <= 0:
        raise ValueError(f"{step}: items per core-second must be positive, got {items_per_core_second}")
    hours = items / items_per_core_second / 3600
    # A GPU machine's price buys its CPU cores too; only a CPU machine is paid by the core.
    money = hours / where.cores * where.price_per_hour if where.cores else 0.0
    return PlanLine(step=step, memory_bytes=memory_bytes, core_hours=hours, money=money)


def teacher_line(step: str, prompt_tokens: float, reply_tokens: float, who: Teacher) -> PlanLine:
    """Ask a teacher: money for the tokens that go in and come out."""
    money = (prompt_tokens * who.per_million_in + reply_tokens * who.per_million_out) / 1e6
    return PlanLine(step=step, tokens=round(prompt_tokens + reply_tokens), money=money)


def _text_row(line: PlanLine) -> tuple[str, ...]:
    return (
        line.step,
        f"{line.tokens:,}" if line.tokens else "",
        _size(line.memory_bytes) if line.memory_bytes else "",
        _hours(line.core_hours),
        _hours(line.gpu_hours),
        f"${line.money:,.2f}",
        line.note,
    )


def _hours(hours: float) -> str:
    return f"{hours:,.3g}" if 0 < hours < 1000 else f"{hours:,.0f}" if hours else ""


def _si(number: float) -> str:
    """1.5e9 -> "1.5 G": three digits and the SI prefix, ready for a unit."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * factor:
            return f"{number / factor:.3g} {prefix}"
    return f"{number:.3g} "


def _size(number_bytes: float) -> str:
    """8e10 -> "80 GB"."""
    return f"{_si(number_bytes)}B"


@cache
def _data() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:  # Any: TOML values, checked in _pick
    return tomllib.loads(_DATA.read_text(encoding="utf-8"))


def _pick(name: str, group: str, kind: type[A]) -> A:
    known = _data()[group]
    if name not in known:
        raise BadInput(f"unknown name {name!r} among {group}; known: {', '.join(known)}")
    entry = known[name]
    missing = [field.name for field in fields(kind) if field.name not in entry and field.name != "name"]
    if missing:
        raise BadInput(f"{_DATA}: {group}.{name}: {missing[0]} is missing")
    return kind(name=name, **entry)
