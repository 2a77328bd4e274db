"""The optimiser's settings and the learning-rate schedule: torch-free, so that recipes and plans can import it.

Formula  lr(s) = lr * ramp(s) for the first W = ceil(warmup_ratio * S) of S updates, ramp(s) = (s + 1) / W; then, with
         p = (s - W) / (S - W): cosine  lr * (f + (1 - f) * (1 + cos(pi p)) / 2), linear  lr * (1 - (1 - f) p), constant  lr,
         where f = final_lr_ratio
Source   AdamW: Loshchilov & Hutter 2019; cosine without restarts: Loshchilov & Hutter 2017, eq. 5
Flow     collect -> curate -> [train] -> evaluate -> report; `Trainer` (core/trainer.py) obeys it
Run      skyloom run RECIPE --set train.optim.lr=1e-3
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from skyloom.core.config import NOT_KEYED, Config


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainerConfig(Config):
    """AdamW, its schedule, and how often the training state goes to disk."""

    lr: float = 1e-3
    """Peak learning rate; 1e-3 suits `tiny`, 1e-6 to 2e-5 a pretrained backbone."""
    weight_decay: float = 0.01
    """Decoupled decay, on parameters with two or more axes only (not on norms and biases)."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's two decay rates, each in [0, 1)."""
    eps: float = 1e-8
    """AdamW's epsilon, above 0."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup_ratio: float = 0.03
    """Share of all updates over which the learning rate rises linearly, 0 to 1."""
    final_lr_ratio: float = 0.1
    """Learning rate at the end as a share of the peak, 0 to 1 (cosine and linear)."""
    clip_norm: float = 1.0
    """Largest global L2 norm of the gradient; 0 switches clipping off."""
    seed: int = 0
    """Seed of dropout and of everything else that the update itself draws."""
    checkpoint_every: int = field(default=100, metadata=NOT_KEYED)
    """Updates between two checkpoints; the last update always makes one."""
    keep: int = field(default=2, metadata=NOT_KEYED)
    """Newest checkpoints that stay on disk, at least 1; the best-scored one stays besides."""
    threads: int = 0
    """torch threads inside one operation; 0 leaves torch's own choice. Exact resume holds for one thread count."""
    processes: int = field(default=1, metadata=NOT_KEYED)
    """Processes that hold one share each of the model (FSDP2), where the loop supports more than 1; results are those of one
    process up to rounding, and a run may be resumed with another number."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the forward pass: bfloat16 runs under autocast, the weights keep their own type."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where the model goes; auto takes a GPU where torch sees one."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for values that cannot train."""
        rules = (
            ("lr", self.lr > 0, "above 0"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("betas", all(0 <= beta < 1 for beta in self.betas), "two numbers in [0, 1)"),
            ("eps", self.eps > 0, "above 0"),
            ("warmup_ratio", 0 <= self.warmup_ratio <= 1, "within 0 and 1"),
            ("final_lr_ratio", 0 <= self.final_lr_ratio <= 1, "within 0 and 1"),
            ("clip_norm", self.clip_norm >= 0, "0 (off) or more"),
            ("checkpoint_every", self.checkpoint_every >= 1, "at least 1"),
            ("keep", self.keep >= 1, "at least 1"),
            ("threads", self.threads >= 0, "0 (torch's choice) or more"),
            ("processes", self.processes >= 1, "at least 1"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise ValueError(f"{name}={getattr(self, name)} must be {rule}")


def learning_rate(config: TrainerConfig, step: int, total_steps: int) -> float:
    """Learning rate of update `step`, 0 <= step < total_steps: a pure function, so a resumed run needs no state for it."""
    warmup = math.ceil(config.warmup_ratio * total_steps)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, total_steps - warmup)
    floor = config.final_lr_ratio
    match config.schedule:
        case "cosine":
            return config.lr * (floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2)
        case "linear":
            return config.lr * (1 - (1 - floor) * done)
        case "constant":
            return config.lr
