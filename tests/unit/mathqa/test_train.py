"""SFT: only the response learns, however the rows fall into batches, and what is held out is held out by seed."""

import pytest
import torch

from skyloom.core.errors import BadInput
from skyloom.core.llm.backbones import load_backbone, load_tokenizer
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.llm.packing import pad
from skyloom.core.optim import TrainerConfig
from skyloom.mathqa import train as sft
from skyloom.mathqa.settings import TrainConfig
from skyloom.mathqa.train import Encoded, Example, denominator, split_rows, train, validate
from skyloom.mathqa.world.grammar import solve
from skyloom.mathqa.world.problems import problems

BACKBONE = BackboneConfig(hidden=32, layers=1, heads=2, vocab=320, max_length=192)
CONFIG = TrainConfig(
    backbone=BACKBONE,
    epochs=2,
    batch_rows=16,
    batch_tokens=2_048,
    valid_share=0.2,
    optim=TrainerConfig(lr=1e-2, weight_decay=0.0, threads=1),
)


def examples(count):
    drawn = problems("train", 5, count, (1, 0, 0, 0, 0))
    return [Example(posed.text, solve(posed).text, 1.0, f"world:0:{k // 2}") for k, posed in enumerate(drawn)]


@pytest.fixture(scope="module")
def setting():
    rows = examples(20)
    tokenizer = load_tokenizer(BACKBONE, [text for row in rows for text in row[:2]])
    model = load_backbone(BACKBONE, tokenizer).double()
    encoded, too_long = sft._encode_all(rows, tokenizer, CONFIG)
    assert too_long == 0
    return model, tokenizer, [row for _, row in encoded]


def gradient(model, batches, normalise="token"):
    model.zero_grad()
    for batch in batches:
        torch.autograd.backward(sft._loss(model, 0, batch).loss / denominator(batches, normalise))
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def full_loss(model, rows):
    """The textbook form: one row at a time, no padding, every logit."""
    total = torch.zeros((), dtype=torch.float64)
    for row in rows:
        logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1]
        nll = torch.nn.functional.cross_entropy(logits.float(), torch.tensor(row.ids[1:]), reduction="none")
        total = total + (nll * torch.tensor(row.learn[1:]) * row.weight).sum()
    return total / sum(row.weight * sum(row.learn) for row in rows)


def test_the_fast_loss_has_the_gradient_of_the_textbook_loss(setting):
    model, _, rows = setting
    weighted = [row._replace(weight=1.0 + k % 3) for k, row in enumerate(rows[:7])]
    fast = gradient(model, [weighted])
    model.zero_grad()
    full_loss(model, weighted).backward()
    slow = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    assert torch.linalg.norm(fast - slow) / torch.linalg.norm(slow) < 1e-5


@pytest.mark.parametrize("normalise", ["token", "example"])
def test_how_rows_fall_into_micro_batches_changes_nothing(setting, normalise):
    model, _, rows = setting
    whole = gradient(model, [rows], normalise)
    parts = gradient(model, [rows[:3], rows[3:4], rows[4:]], normalise)
    assert torch.linalg.norm(whole - parts) / torch.linalg.norm(whole) < 1e-5


def test_the_question_carries_no_loss(setting):
    model, tokenizer, rows = setting
    row = rows[0]
    assert tokenizer.decode([t for t, flag in zip(row.ids, row.learn, strict=True) if flag]).startswith(
        examples(1)[0].response.split("\n")[0]
    )
    before = sft._loss(model, 0, [row]).loss.item()
    scored = pad([row.ids], 0, learn=[row.learn])
    assert int((scored.labels_BT != -100).sum()) == sum(row.learn) < len(row.ids)
    silent = sft._loss(model, 0, [Encoded(row.ids, [False] * (len(row.ids) - 1) + [True], 1.0)]).loss.item()
    assert silent < before


def test_rows_of_a_seed_stay_on_one_side():
    seeds = [f"s{k // 4}" for k in range(400)]
    learn, valid = split_rows(seeds, 0.2, 0)
    assert {seeds[k] for k in learn}.isdisjoint(seeds[k] for k in valid)
    assert sorted([*learn, *valid]) == list(range(400))
    assert 0 < len(valid) < 160
    assert list(split_rows([*seeds, "new"], 0.2, 0)[1][: len(valid)]) == list(valid), "a new seed moves no other"


def test_training_learns_repeats_and_resumes(tmp_path):
    done = train(examples(80), CONFIG, 0, tmp_path / "a")
    again = train(examples(80), CONFIG, 0, tmp_path / "b")
    assert done == again
    lines = (tmp_path / "a" / "metrics.jsonl").read_text()
    assert lines == (tmp_path / "b" / "metrics.jsonl").read_text()
    assert done.updates == len(lines.splitlines())
    weights = [(tmp_path / each / "model" / "model.safetensors").read_bytes() for each in ("a", "b")]
    assert weights[0] == weights[1]
    assert train(examples(80), CONFIG, 0, tmp_path / "a") == done, "a finished run trains no further"
    backbone = BackboneConfig(model=str(tmp_path / "a" / "model"))
    tokenizer = load_tokenizer(backbone)
    trained, fresh = load_backbone(backbone, tokenizer), load_backbone(BACKBONE, tokenizer)
    rows = [row for _, row in sft._encode_all(examples(40), tokenizer, CONFIG)[0]]
    assert validate(trained, rows, 0, 4_096) < validate(fresh, rows, 0, 4_096) - 1.0


def test_rows_that_do_not_fit_are_counted_and_none_left_is_told(tmp_path):
    short = CONFIG.__class__(backbone=BackboneConfig(hidden=32, layers=1, heads=2, vocab=320, max_length=8))
    with pytest.raises(BadInput, match="0 rows to learn from"):
        train(examples(20), short, 0, tmp_path)
