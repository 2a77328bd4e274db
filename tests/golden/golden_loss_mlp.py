"""Loss curve of a small MLP on a fixed regression, 60 updates of two micro-batches.

No dropout: its draws differ between builds of torch.
"""

import tempfile
from pathlib import Path

import torch
from torch import nn

from skyloom.core.losses import LossOut
from skyloom.core.optim import TrainerConfig
from skyloom.core.trainer import Trainer

RTOL = 1e-3


def compute() -> dict[str, list[float]]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 32), nn.GELU(), nn.Linear(32, 1)).double()
        rows = torch.randn(64, 6, dtype=torch.float64)
    target = (rows[:, :1] * rows[:, 1:2]).sin()

    def loss(part: slice) -> LossOut:
        return LossOut((model(rows[part]) - target[part]).square().sum(), {})

    config = TrainerConfig(lr=0.02, seed=1, schedule="linear", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, config, total_steps=60, workdir=Path(folder))
        seen = [trainer.step([slice(0, 40), slice(40, 64)], loss, 64) for _ in trainer.steps()]
    return {"loss": [out.loss for out in seen], "grad_norm": [out.grad_norm for out in seen]}
