"""The settings of mathqa's steps: torch-free, so that recipes, plans and the command line can import them.

Flow     recipes build `pipeline.Config` from these; `--set train.epochs=1` changes them
Run      skyloom plan skywork_math
"""

from dataclasses import dataclass, field
from typing import Literal

from skyloom.core.config import NOT_KEYED, Config
from skyloom.core.execute import ExecuteConfig
from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.llm.config import AdapterConfig, BackboneConfig, GenerateConfig
from skyloom.core.llm.simulated import Faults
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import SourceConfig
from skyloom.core.text.embed import HASHED
from skyloom.mathqa.benchmark import EvalConfig
from skyloom.mathqa.graders import ours
from skyloom.mathqa.operators import AugmentConfig
from skyloom.mathqa.panel import GraderConfig, everyone


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig(Config):
    """Supervised fine-tuning on question and response; the loss is on the response alone."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """The model that is tuned."""
    init_scale: float = 1.0
    """`tiny` only: factor on its matrices as drawn. transformers draws them with standard deviation 0.02 at any width; at width 64
    a factor of 2.5 took accuracy after 900 updates from 40% to 74% (ours)."""
    optim: TrainerConfig = field(default_factory=TrainerConfig)
    """Optimiser and schedule."""
    adapter: AdapterConfig | None = None
    """Train low-rank adapters in place of all weights; the model on disk is a plain one all the same."""
    template: Literal["auto", "plain"] = "auto"
    """How question and response are written: by the tokenizer's own chat template (the plain one where it brings none), or by the plain
    one, as suits a base model. It is stored with the model, so evaluation uses the same."""
    over_long: Literal["drop", "cut", "refuse"] = "drop"
    """A row above `backbone.max_length` tokens: left out and counted; its response cut at the end, which loses the answer, and counted;
    or an error."""
    order: Literal["in_order", "mixed", "reversed"] = "in_order"
    """Rows of stage 2 after those of stage 1, from the best weights of stage 1 with a schedule of their own (Skywork-Math, section 3.2; it
    does not say whether the schedule begins anew); all rows together; or stage 2 first. One stage alone is one phase."""
    replay: float = 0.0
    """Rows of the first phase that the second one repeats, as a share of them, 0 to 1 (the paper does not say; 0 is its words taken
    literally: stage 2 on its rows alone)."""
    keep_stages: bool = False
    """Write the model after the first phase too, to stage-1/model (or stage-2/model where the order is reversed)."""
    epochs: int = 3
    """Passes over the rows of each phase (Skywork-Math, section 4.1)."""
    batch_rows: int = 32
    """Rows of one update (Skywork-Math, section 4.1)."""
    batch_tokens: int = 8_192
    """Most tokens of a micro-batch, padding counted; a CPU takes fewer at once. Memory only: it does not change the update."""
    layout: Literal["auto", "padded", "flat"] = "auto"
    """How the rows of a micro-batch lie in memory: each filled up to the longest; one behind another without padding, told apart by the
    attention (FlashAttention; sdpa on a CPU); or whichever is cheaper and right for the backbone. No layout changes the update."""
    recompute: bool = False
    """Keep no activations for the backward pass, and compute them again: a third more work, far less memory."""
    normalise: Literal["token", "example"] = "token"
    """`token`: mean over the response tokens of an update. `example`: sum over tokens, mean over rows (Skywork-Math, eq. 2)."""
    valid_share: float = 0.02
    """Share of seeds whose rows are held out for validation, 0 to 0.5; checkpoints are chosen by their loss."""
    valid_rows: int = 256
    """Most rows that validation looks at, of each stage in proportion."""
    evaluate_every: int = 0
    """Updates between two validations; 0: once an epoch. A phase ends with one, and its best weights go on."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for values that cannot train."""
        if min(self.epochs, self.batch_rows, self.batch_tokens, self.valid_rows) < 1:
            raise ValueError("epochs, batch_rows, batch_tokens and valid_rows must be at least 1")
        if not 0 < self.valid_share <= 0.5:
            raise ValueError(f"valid_share={self.valid_share} must lie above 0 and at most at 0.5")
        if not 0 <= self.replay <= 1:
            raise ValueError(f"replay={self.replay} must be within 0 and 1")
        if self.evaluate_every < 0:
            raise ValueError(f"evaluate_every={self.evaluate_every} must be 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedConfig(Config):
    """The simulated teacher: how often it is wrong, and what goes wrong on the way. Used where `teacher.url` is empty."""

    wrong: float = 0.15
    """Share of problems that it answers wrongly."""
    drift: float = 0.03
    """Share of rewordings that change a number."""
    careless: float = 0.02
    """Share of replies that break off in the middle."""
    wrong_per_step: float = 0.0
    """Added to `wrong` for every line of working after the first: hard problems come out wrong more often."""
    weak: float = 0.0
    """Share of new problems that are none: unchanged, solved, without a question, or an apology."""
    unsolvable: float = 0.0
    """Share of new problems that lack a number."""
    missing: float = 0.0
    """Share of new problems that lack a condition."""
    several: float = 0.0
    """Share of new problems to which several answers fit."""
    contradictory: float = 0.0
    """Share of new problems whose conditions cannot all hold."""
    impossible: float = 0.0
    """Share of new problems that nothing solves."""
    bluff: float = 0.0
    """Share of unsolvable problems that it answers all the same, one in four of them in words that say what is amiss."""
    faults: Faults = field(default_factory=Faults)
    """What goes wrong on the way: 429s, dropped connections, torn replies, latency."""
    seed: int = 0
    """Seed of the faults; the replies depend on the text alone."""


MOST_DISTRACTORS: int = 5
"""Skywork-Math's most (arXiv 2407.08348, the robustness study)."""
COLLECTED: str = "collect"
"""What a pass calls the collected problems."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PassConfig(Config):
    """One pass of synthesis: which rows serve as seeds, and what is made from them."""

    name: str = ""
    """Its folder is synthesize-<name>, and its rows' sources are <name>.<augmenter>; empty: synthesize, and the augmenter alone."""
    stage: int = 1
    """Training stage that its rows are for: 1, or 2 for rows from hard seeds (Skywork-Math, section 3.2)."""
    seeds: tuple[str, ...] = (COLLECTED,)
    """Where the seeds come from: `collect`, or names of earlier passes."""
    select: tuple[AnnotatorConfig | DeciderConfig, ...] = ()
    """Annotators and deciders, in order, that say which of these rows serve as seeds; none: all."""
    augment: tuple[AugmentConfig, ...] = ()
    """Augmenters, each over all selected seeds, in this order."""
    rows: int = 0
    """Jobs of all augmenters together, shared out by their `share`; 0: each augmenter runs its `samples` on every seed."""
    train: bool = True
    """Whether its rows are training data, and not only seeds of a later pass."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for values that name no pass."""
        if self.stage not in (1, 2):
            raise ValueError(f"stage={self.stage} must be 1 or 2")
        if self.rows < 0:
            raise ValueError(f"rows={self.rows} must be 0 or more")
        if not all(c.isalnum() or c in "_" for c in self.name):
            raise ValueError(f"name={self.name!r}: use letters, digits and '_' only")
        if not self.seeds:
            raise ValueError("seeds: name `collect` or an earlier pass")

    @property
    def folder(self) -> str:
        """Name of its step."""
        return f"synthesize-{self.name}" if self.name else "synthesize"


def jobs_of(config: PassConfig, seeds: int) -> list[int]:
    """Jobs of each augmenter: `rows` by share where the pass sets it, else seeds times samples."""
    if not config.rows:
        return [seeds * each.samples for each in config.augment]
    whole = sum(each.share for each in config.augment)
    ends = [
        round(config.rows * sum(each.share for each in config.augment[: k + 1]) / whole)
        for k in range(len(config.augment))
    ]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True, kw_only=True, slots=True)
class SynthesizeConfig(Config):
    """What is made from the seeds, and by whom."""

    passes: tuple[PassConfig, ...] = ()
    """In order; a pass may build on the rows of the ones before it."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    """Who is asked; an empty url starts the simulated teacher for the time of the step."""
    simulated: SimulatedConfig = field(default_factory=SimulatedConfig)
    """How the simulated teacher behaves."""

    def __post_init__(self) -> None:
        """Raise ValueError for passes that stand twice or build on one that does not come before them."""
        known: list[str] = [COLLECTED]
        for each in self.passes:
            if each.name in known:
                raise ValueError(f"passes: {each.name!r} stands twice, or is the name of the collected problems")
            missing = next((name for name in each.seeds if name not in known), None)
            if missing is not None:
                raise ValueError(f"passes: {each.name!r}: seeds: {missing!r} is none of {', '.join(known)}")
            known.append(each.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateConfig(Config):
    """Which benchmarks are reported, and what keeps them out of training."""

    benchmarks: tuple[EvalConfig, ...] = ()
    """The first one gives the headline."""
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    """How answers are written: greedy, up to 2,048 tokens in the paper's setting."""
    samples: int = 0
    """Further answers drawn to each question, for maj@k and mean@k up to this k; 0: greedy alone."""
    temperature: float = 0.7
    """Of these draws; `generate` says the rest (ours: what the field uses most)."""
    distractors: tuple[int, ...] = ()
    """Numbers of irrelevant sentences, 1 to 5, with which each question is asked once more, greedily."""
    server: TeacherConfig | None = None
    """An OpenAI-compatible server that is asked instead of the trained model; `generate` says how it answers."""
    grader: GraderConfig = field(default_factory=ours.Config)
    """Whose verdicts are the headline; `paper` is the strict grader that the paper's numbers come from."""
    panel: tuple[GraderConfig, ...] = field(default_factory=everyone)
    """Who judges the same outputs beside it; ours always does."""
    ngram: int = 30
    """Words in a row that a training row must not share with a benchmark question (Skywork-Math, section 4)."""
    near: str = HASHED
    """Vectors by which a training row is near a benchmark question: `hashed`, or the folder of a sentence model, which finds rewordings in
    other words and is slow; the least cosine is `curate.contamination.near`."""
    as_train: bool = False
    """Report on a benchmark although the run trained on its test split (it is refused otherwise)."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for what cannot be asked."""
        if self.samples < 0 or self.samples == 1:
            raise ValueError(f"samples={self.samples}: 2 or more draws make a vote; 0 for none")
        if self.samples and self.temperature <= 0:
            raise ValueError(f"temperature={self.temperature} must be above 0: greedy draws are all alike")
        if self.generate.temperature > 0:
            raise ValueError(
                "generate.temperature: the first answer is greedy; `samples` with `temperature` draw further ones"
            )
        if any(not 1 <= count <= MOST_DISTRACTORS for count in self.distractors) or len(set(self.distractors)) < len(
            self.distractors
        ):
            raise ValueError(f"distractors={self.distractors}: give different numbers from 1 to {MOST_DISTRACTORS}")


@dataclass(frozen=True, kw_only=True, slots=True)
class MathConfig(Config):
    """A whole mathqa run: seeds, synthesis, curation, fine-tuning, evaluation."""

    seed: int = 0
    """Seed of everything random in the run's own steps."""
    collect: tuple[SourceConfig, ...] = ()
    """Where seed problems come from."""
    synthesize: SynthesizeConfig = field(default_factory=SynthesizeConfig)
    curate: tuple[AnnotatorConfig | DeciderConfig, ...] = ()
    """Annotators and deciders in order."""
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    execute: ExecuteConfig = field(default_factory=ExecuteConfig, metadata=NOT_KEYED)
    """Where reading and annotating run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedConfig(Config):
    """A seed as part of a step's key."""

    seed: int
    """Seed of that step."""
