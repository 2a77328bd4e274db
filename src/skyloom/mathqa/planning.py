"""What a mathqa run costs: the teacher's tokens and money, training and evaluation, before anything is spent.

Formula  calls = jobs x calls of a job, over all passes; training tokens = rows of both phases, repeated ones counted, x tokens a row x
         epochs; FLOPs a token and weight: 6, of which an adapter saves the 2 of the frozen weights' gradients, and recomputing adds 2;
         hours and money: core/plan.py
Source   row and reply lengths are our assumptions, printed with the plan; the world's are measured
Flow     skyloom plan RECIPE
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from skyloom.core import plan as costs
from skyloom.core import registry
from skyloom.core.errors import BadInput
from skyloom.core.llm.config import TINY, BackboneConfig, intermediate, parameters
from skyloom.core.plan import Machine, ModelSize, Plan, PlanLine, Teacher
from skyloom.mathqa.settings import COLLECTED, MathConfig, TrainConfig, jobs_of
from skyloom.mathqa.sources import world

MODELS: tuple[str, ...] = ("llama-2-7b", "mistral-7b", "deepseekmath-7b", "llama-3.1-8b", "gemma-2-27b", "qwen2.5-0.5b")
TEACHERS: tuple[str, ...] = ("gpt-4-1106-preview",)
FLASH: str = "flash_attention_2"
SEEDS: dict[str, int] = {
    "gsm8k": 7_473,
    "math_hendrycks": 7_500,
    "dapo": 16_911,
    "olympiadbench": 674,
    "agieval": 943,
    "scibench": 198,
    "jeebench": 236,
}
"""Problems of the public files, for a plan made before the files are there: OlympiadBench's English open-ended maths, AGIEval's maths
without MATH; JEEBench's maths are rough. A pass that sets its `rows` makes as many jobs whatever they are."""
NARROW_MFU: float = 0.22
"""0.94M tokens through 155,968 weights in 45 CPU seconds, of 90 GFLOP/s a core."""
PADDED: float = 1.5
"""Tokens that padded rows make a GPU read for each real one: GSM8K's in random batches of 8 read 1.57 (benchmarks/sft.py); rounded."""
ITEMS: dict[str, int] = {
    "gsm8k": 1_319,
    "math": 5_000,
    "math500": 500,
    "amc": 40,
    "aime": 30,
    "asdiv": 2_215,
    "mawps": 2_065,
    "minerva_math": 272,
}


class Lengths(NamedTuple):
    """Tokens of one call and one row."""

    prompt: int
    reply: int
    row: int


REAL = Lengths(prompt=180, reply=300, row=400)
"""Assumed: a MATH problem has about 80 tokens, our prompts 90 more, a worked solution 300 (ours)."""
WORLD = Lengths(prompt=80, reply=15, row=45)
"""Measured on the world with a 768-token BPE; the simulated teacher counts four characters a token."""


def plan(config: MathConfig) -> Plan:
    """A line a step; every job is assumed to give all its rows and all rows to be kept, so each count is an upper bound."""
    toy: bool = all(isinstance(source, world.Config) for source in config.collect)
    lengths: Lengths = WORLD if toy else REAL
    counts: Counts = _counts(config)
    model: ModelSize = _model(config.train.backbone)
    where: Machine = _machine(config.train.backbone)
    who: Teacher = _teacher(config)
    learnt: int = sum(rows for _, rows in _phases(counts, config.train))
    told, training = _training(config.train, model, learnt * lengths.row * config.train.epochs, where)
    lines: tuple[PlanLine, ...] = (
        costs.teacher_line("synthesize", counts.calls * lengths.prompt, counts.calls * lengths.reply, who),
        training,
        _evaluation(config, model, where, lengths),
    )
    rows: int = sum(counts.rows.values())
    facts: str = (
        f"{counts.told} = {rows:,} rows to train on, {counts.calls:,} calls, all kept; {lengths.row} tokens a row, "
    )
    facts += f"{lengths.prompt} a prompt, {lengths.reply} a reply; "
    facts += f"{config.train.epochs} epochs of {config.train.batch_rows} rows an update: "
    facts += ", then ".join(f"{name} ({count:,} rows)" for name, count in _phases(counts, config.train))
    assumed: tuple[str, ...] = (
        facts,
        told,
        who.assumption,
        model.assumption,
        where.assumption,
        *costs.TRAINING_ASSUMPTIONS,
    )
    return Plan(title="mathqa", lines=lines, assumptions=assumed)


def _phases(counts: "Counts", train: TrainConfig) -> list[tuple[str, int]]:
    """Name and rows of each phase of training, repeated rows counted; as mathqa/sft_rows.py makes them."""
    first, second = (2, 1) if train.order == "reversed" else (1, 2)
    early, late = counts.rows.get(first, 0), counts.rows.get(second, 0)
    if train.order == "mixed" or not early or not late:
        return [("one phase", early + late)]
    return [(f"stage {first}", early), (f"stage {second}", late + round(train.replay * early))]


def _training(train: TrainConfig, model: ModelSize, tokens: int, where: Machine) -> tuple[str, PlanLine]:
    """What is assumed of it, and its line: hours from the tokens that are read, padding counted."""
    padded: bool = train.layout == "padded" or (train.layout == "auto" and train.backbone.attention != FLASH)
    read: float = PADDED if padded and not where.cores else 1.0
    work: int = 4 if train.adapter else 6
    weights: int = model.parameters
    held: int = costs.state_memory(weights)
    if train.adapter:
        # seven linear maps a layer, about 23 widths of inputs and outputs together
        beside: int = train.adapter.rank * 23 * model.hidden * model.layers
        held = weights * (2 if train.backbone.dtype == "bfloat16" else 4) + costs.state_memory(beside)
    held += costs.activation_memory(model, train.batch_tokens, recompute=train.recompute, logits=False)
    flops: float = (work + 2 * train.recompute) * weights * tokens * read
    told: str = f"training: {work + 2 * train.recompute} FLOPs a token and weight"
    told += f" (adapter of rank {train.adapter.rank})" if train.adapter else ""
    told += f"; padding reads {read:g} tokens for each real one" if read > 1 else "; nothing for padding"
    return told, costs.compute_line("train", flops, tokens, held, where)


class Counts(NamedTuple):
    """What all passes come to at most."""

    rows: dict[int, int]
    """Stage -> rows."""
    calls: int
    told: str


def _counts(config: MathConfig) -> Counts:
    """Rows and calls of every pass; a selection counts as keeping everything, unless it says how many."""
    made: dict[str, int] = {COLLECTED: sum(_seeds(source) for source in config.collect)}
    rows: dict[int, int] = {}
    calls = 0
    told: list[str] = []
    for each in config.synthesize.passes:
        seeds = sum(made[name] for name in each.seeds)
        kept = min([seeds, *(int(most) for most in (getattr(step, "k", 0) for step in each.select) if most)])
        made[each.name] = 0
        for augment, jobs in zip(each.augment, jobs_of(each, kept), strict=True):
            module = registry.module_of(augment)
            asked: int = module.calls(augment) if hasattr(module, "calls") else len(module.CALLS)
            given: int = module.drafts(augment) if hasattr(module, "drafts") else 1
            made[each.name] += jobs * given
            calls += jobs * asked
        if each.train:
            rows[each.stage] = rows.get(each.stage, 0) + made[each.name]
        told.append(f"{each.name or 'one pass'}: {kept:,} seeds to {made[each.name]:,} rows")
    return Counts(rows, calls, "; ".join(told))


def _seeds(source: object) -> int:
    if isinstance(source, world.Config):
        return source.rows
    name: str = registry.plugin_of(source).name
    path: Path | None = getattr(source, "path", None)
    if path is not None and path.is_file() and path.name.endswith(".jsonl"):
        with path.open("rb") as file:
            return sum(1 for line in file if line.strip())
    if name not in SEEDS:
        raise BadInput(f"plan: source {name}: give a .jsonl file that is there, so that its rows can be counted")
    return SEEDS[name]


def _evaluation(config: MathConfig, model: ModelSize, where: Machine, lengths: Lengths) -> PlanLine:
    """Forward passes over prompt and reply; decoding reaches a far lower utilisation than training, so this is a lower bound."""
    items: int = sum(_items(each) for each in config.evaluate.benchmarks)
    asks: int = 1 + config.evaluate.samples + len(config.evaluate.distractors)
    tokens: int = items * lengths.row * asks
    memory: int = 2 * model.parameters  # bf16 weights
    return costs.compute_line("evaluate", costs.dense_forward_flops(model.parameters, tokens), tokens, memory, where)


def _items(benchmark: object) -> int:
    name: str = registry.plugin_of(benchmark).name
    count: int = getattr(benchmark, "rows", ITEMS.get(name, 0))
    limit: int = getattr(benchmark, "limit", 0)
    return min(count, limit) if limit else count


def _model(backbone: BackboneConfig) -> ModelSize:
    """A known model by its name, `tiny` by its sizes; otherwise BadInput."""
    if backbone.model == TINY:
        inner: str = f"SwiGLU width {intermediate(backbone)}"
        return ModelSize(
            name=TINY,
            parameters=parameters(backbone),
            hidden=backbone.hidden,
            layers=backbone.layers,
            vocabulary=backbone.vocab,
            source=f"configuration, {inner}",
        )
    called: str = backbone.model.rsplit("/", 1)[-1].lower().replace("deepseek-math", "deepseekmath")
    found: str | None = next(
        (name for name in MODELS if called.startswith(name) or called.startswith(name.replace(".", "-"))), None
    )
    if found is None:
        raise BadInput(f"plan: model {backbone.model!r}: no size known; known names begin with {', '.join(MODELS)}")
    return costs.model_size(found)


def _machine(backbone: BackboneConfig) -> Machine:
    """A laptop for `tiny`, at the utilisation that so narrow a model was measured at; an H100 for anything else."""
    if backbone.model != TINY:
        return costs.machine("H100")
    laptop: Machine = costs.machine("laptop (2 cores)")
    told: str = f"{laptop.source}; {NARROW_MFU:.0%} measured in SFT of 0.16M weights at width 64"
    return replace(laptop, mfu=NARROW_MFU, source=told)


def _teacher(config: MathConfig) -> Teacher:
    asked = config.synthesize.teacher
    if not asked.url:
        return costs.teacher("simulated")
    if asked.price_in or asked.price_out:
        return Teacher(
            name=asked.model, per_million_in=asked.price_in, per_million_out=asked.price_out, source="teacher.price_*"
        )
    if asked.model in TEACHERS:
        return costs.teacher(asked.model)
    raise BadInput(f"plan: teacher {asked.model!r}: no price known; set synthesize.teacher.price_in and price_out")
