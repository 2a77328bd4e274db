"""Loss curve of `tiny` as a language model on sums, through tokenizer, template, batch plan and trainer; 40 updates."""

import random
import tempfile
from pathlib import Path

from torch.nn.functional import cross_entropy

from skyloom.core.llm.backbones import load_backbone, load_tokenizer, pad_id
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.llm.packing import Padded, pad, plan_steps
from skyloom.core.llm.templates import Rendered, render_pair
from skyloom.core.losses import LossOut
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import Message
from skyloom.core.trainer import Trainer

RTOL = 1e-3
SHAPE = BackboneConfig(hidden=48, layers=2, heads=2, vocab=320, max_length=48, dtype="float64")
ROWS, BUDGET, EPOCHS = 24, 320, 4


def questions() -> list[tuple[str, str]]:
    draw = random.Random(0)
    pairs = [(draw.randrange(10), draw.randrange(10)) for _ in range(240)]
    return [(f"what is {a} and {b}" + " now" * (a % 4), f"it is {a + b}") for a, b in pairs]


def compute() -> dict[str, list[float]]:
    texts = questions()
    tokenizer = load_tokenizer(SHAPE, [f"{ask} {reply}" for ask, reply in texts])
    model = load_backbone(SHAPE, tokenizer, seed=2)
    rows = [render_pair(tokenizer, [Message(role="user", content=ask)], reply) for ask, reply in texts]
    lengths = [len(row.ids) for row in rows]
    plan = [step for epoch in range(EPOCHS) for step in plan_steps(lengths, ROWS, BUDGET, seed=3, epoch=epoch)]

    def batch(indices: list[int]) -> Padded:
        chosen: list[Rendered] = [rows[i] for i in indices]
        return pad([row.ids for row in chosen], pad_id(tokenizer), learn=[row.reply for row in chosen])

    def loss(part: Padded) -> LossOut:
        logits = model(input_ids=part.ids_BT, attention_mask=part.mask_BT).logits[:, :-1]
        return LossOut(cross_entropy(logits.flatten(0, 1), part.labels_BT[:, 1:].flatten(), reduction="sum"), {})

    config = TrainerConfig(lr=5e-3, seed=4, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, config, total_steps=len(plan), workdir=Path(folder))
        seen = [
            trainer.step(
                [batch(part.tolist()) for part in plan[index]],
                loss,
                sum(sum(rows[i].reply) for part in plan[index] for i in part.tolist()),
            )
            for index in trainer.steps()
        ]
    return {"loss": [out.loss for out in seen], "grad_norm": [out.grad_norm for out in seen]}
