"""Training settings of the paper and of its peers, by name: what `--preset` starts from.

Source   learning rates, decay, batch and epochs from each project's own code or configuration, the three Skywork rows from notes on
         its papers. What a project leaves open keeps our default; an optimiser's paging or 8-bit form is not reproduced.
Flow     preset -> TrainConfig, which `--set train...` still changes
Run      skyloom reward train --preset rlhflow --model meta-llama/Meta-Llama-3-8B-Instruct --data PAIRS
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from skyloom.core.errors import BadInput
from skyloom.reward.settings import TrainConfig


def preset(name: str, base: TrainConfig) -> TrainConfig:
    """`base` with the settings of a preset; raises BadInput for an unknown name."""
    if name not in PRESETS:
        raise BadInput(f"--preset {name}: unknown; known: {', '.join(PRESETS)}")
    return PRESETS[name](base)


def _with(length: int, batch: int | None, epochs: int | None, /, **optim: Any) -> Callable[[TrainConfig], TrainConfig]:
    # Any: fields of TrainerConfig, which checks them

    def change(base: TrainConfig) -> TrainConfig:
        return replace(
            base,
            backbone=replace(base.backbone, max_length=length),
            optim=replace(base.optim, **optim),
            batch_pairs=batch or base.batch_pairs,
            epochs=epochs or base.epochs,
            budget=max(base.budget, 2 * length),
        )

    return change


PRESETS: dict[str, Callable[[TrainConfig], TrainConfig]] = {
    "skywork_8b": _with(4096, 128, 2, lr=2e-6, weight_decay=1e-3, schedule="cosine", final_lr_ratio=0.0),
    "skywork_27b": _with(4096, 128, 2, lr=1e-6, weight_decay=1e-3, schedule="cosine", final_lr_ratio=0.0),
    "skywork_v2": _with(16384, 10240, 1, lr=2e-6, schedule="constant", warmup_ratio=0.0),
    "rlhflow": _with(4096, 512, 1, lr=2e-6, weight_decay=1e-3, warmup_ratio=0.03, final_lr_ratio=0.0),
    "rm_gallery": _with(4096, 128, 1, lr=2e-6, weight_decay=1e-3, warmup_ratio=0.03),
    "nemo_rl": _with(8192, 128, 1, lr=2e-6, weight_decay=0.1, betas=(0.9, 0.98), clip_norm=1.0),
    "openrlhf": _with(8192, 256, 1, lr=9e-6, weight_decay=0.0, betas=(0.9, 0.95), warmup_ratio=0.03, final_lr_ratio=0.1),
    "trl": _with(1024, 8, 3, lr=1e-4, weight_decay=0.0, betas=(0.9, 0.999), schedule="linear", final_lr_ratio=0.0, warmup_ratio=0.0),
    "open_instruct": _with(512, None, None, lr=2e-5, eps=1e-5, schedule="linear", final_lr_ratio=0.0),
}  # fmt: skip
"""Name -> change. Skywork states no length, warm-up or seed (v1), and no learning rate (V2): those are ours. TRL's row beside its
learning rate and length is the Trainer's own defaults."""
