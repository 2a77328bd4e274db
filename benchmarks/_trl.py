"""How long TRL's training loop took, and the loss of each of its updates: what the training benchmarks share.

Flow     reward_train.py and sft.py give a Clock to TRL's trainer as a callback
"""

import time
from typing import Any, NamedTuple

from transformers import TrainerCallback


class Run(NamedTuple):
    """One pass over the timed rows."""

    seconds: float
    cpu: float
    """Seconds of all threads: what a busy machine distorts least."""
    losses: list[float]


class Clock(TrainerCallback):
    """When TRL's loop began its first update and ended its last one, and the loss that it logged for each."""

    def __init__(self) -> None:
        self.began: tuple[float, float] | None = None
        self.ended = (0.0, 0.0)
        self.losses: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:  # Any: transformers' own
        """The first one starts the clock."""
        self.began = self.began or now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """The last one stops it."""
        self.ended = now()

    def on_log(self, *_: Any, logs: dict[str, Any] | None = None, **__: Any) -> None:
        """Once an update."""
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))

    @property
    def run(self) -> Run:
        """Of the loop that has ended."""
        assert self.began is not None
        return Run(self.ended[0] - self.began[0], self.ended[1] - self.began[1], self.losses)


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
