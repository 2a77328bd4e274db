"""Fine-tuning small enough for a test: rows of the world, settings that train in a second, and what a training leaves on disk."""

import json
from dataclasses import replace
from pathlib import Path

from skyloom.core.llm.backbones import load_backbone, load_tokenizer, save_backbone
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.optim import TrainerConfig
from skyloom.mathqa.settings import TrainConfig
from skyloom.mathqa.train import Example
from skyloom.mathqa.world.grammar import solve
from skyloom.mathqa.world.problems import problems

BACKBONE = BackboneConfig(hidden=32, layers=1, heads=2, vocab=320, max_length=192)
CONFIG = TrainConfig(
    backbone=BACKBONE,
    epochs=2,
    batch_rows=16,
    batch_tokens=2_048,
    valid_share=0.2,
    optim=TrainerConfig(lr=1e-2, weight_decay=0.0, threads=1, checkpoint_every=2),
)


def examples(count, hard=0):
    """Rows of the world, two a seed; every `hard`-th seed is of stage 2."""
    drawn = problems("train", 5, count, (1, 0, 0, 0, 0))
    stages = [2 if hard and k // 2 % hard == 0 else 1 for k in range(count)]
    return [Example(d.text, solve(d).text, 1.0, f"world:0:{k // 2}", stages[k]) for k, d in enumerate(drawn)]


def with_optim(config, **fields):
    return replace(config, optim=replace(config.optim, **fields))


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def written(folder):
    """Everything that a training leaves, timings and hidden files aside."""
    parts = [path for path in folder.rglob("*") if path.is_file() and path.name != "timing.json"]
    names = {path.relative_to(folder): path for path in parts}
    return {
        str(name): path.read_bytes() for name, path in names.items() if not any(p.startswith(".") for p in name.parts)
    }


def saved_base(folder: Path) -> TrainConfig:
    """CONFIG on a model on disk, so that the vocabulary does not depend on the rows."""
    tokenizer = load_tokenizer(BACKBONE, [text for row in examples(20) for text in row[:2]])
    save_backbone(load_backbone(BACKBONE, tokenizer), tokenizer, folder)
    return replace(CONFIG, backbone=BackboneConfig(model=str(folder), max_length=192))
