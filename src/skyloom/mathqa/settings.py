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
from skyloom.core.llm.config import BackboneConfig, GenerateConfig
from skyloom.core.llm.simulated import Faults
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import SourceConfig
from skyloom.mathqa.benchmark import EvalConfig
from skyloom.mathqa.operators import AugmentConfig


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
    epochs: int = 3
    """Passes over the rows (Skywork-Math, section 4.1)."""
    batch_rows: int = 32
    """Rows of one update (Skywork-Math, section 4.1)."""
    batch_tokens: int = 8_192
    """Most padded tokens of a micro-batch: memory only, it does not change the update."""
    normalise: Literal["token", "example"] = "token"
    """`token`: mean over the response tokens of an update. `example`: sum over tokens, mean over rows (Skywork-Math, eq. 2)."""
    valid_share: float = 0.02
    """Share of seeds whose rows are held out for validation, 0 to 0.5; checkpoints are chosen by their loss."""
    valid_rows: int = 256
    """Most rows that validation looks at."""
    evaluate_every: int = 0
    """Updates between two validations; 0: once an epoch."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for values that cannot train."""
        if min(self.epochs, self.batch_rows, self.batch_tokens, self.valid_rows) < 1:
            raise ValueError("epochs, batch_rows, batch_tokens and valid_rows must be at least 1")
        if not 0 < self.valid_share <= 0.5:
            raise ValueError(f"valid_share={self.valid_share} must lie above 0 and at most at 0.5")
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
    faults: Faults = field(default_factory=Faults)
    """What goes wrong on the way: 429s, dropped connections, torn replies, latency."""
    seed: int = 0
    """Seed of the faults; the replies depend on the text alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SynthesizeConfig(Config):
    """What is made from the seeds, and by whom."""

    augment: tuple[AugmentConfig, ...] = ()
    """Augmenters, each over all seeds, in this order."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    """Who is asked; an empty url starts the simulated teacher for the time of the step."""
    simulated: SimulatedConfig = field(default_factory=SimulatedConfig)
    """How the simulated teacher behaves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateConfig(Config):
    """Which benchmarks are reported, and what keeps them out of training."""

    benchmarks: tuple[EvalConfig, ...] = ()
    """The first one gives the headline."""
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    """How answers are written: greedy, up to 2,048 tokens in the paper's setting."""
    ngram: int = 30
    """Words in a row that a training row must not share with a benchmark question (Skywork-Math, section 4)."""
    as_train: bool = False
    """Report on a benchmark although the run trained on its test split (it is refused otherwise)."""


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
