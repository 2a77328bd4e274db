"""The loss of fine-tuning: only the response learns, and neither layout nor micro-batches change a gradient, on every kind of backbone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from reward_models import WORDS, shape
from skyloom.core.errors import BadInput
from skyloom.core.llm.attention import PIECES
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.rng import stream
from skyloom.mathqa.settings import TrainConfig
from skyloom.mathqa.sft_loss import batch_loss, denominator, layout_for, response_logits, token_nll, validate
from skyloom.mathqa.sft_rows import Encoded

CPU = torch.device("cpu")
KINDS = ("llama", "qwen2", "gpt2", "gemma3", "mistral")
"""gemma3's head is not in PLAIN_HEADS: it goes through the whole model."""
FLAT = TrainConfig(layout="flat", backbone=BackboneConfig(max_length=64))


def model_of(kind, dtype=torch.float64):
    """Random weights, larger than drawn, so that the losses of tokens differ."""
    attention = "eager" if kind in ("gemma2", "bloom") else "sdpa"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(shape(kind), dtype=dtype, attn_implementation=attention)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(3)
    return model.eval()


def rows_of(count=7):
    """Ragged rows with weights other than 1, among them one whose response is a single token and one of a single token in all."""
    rng = stream(0, "sft rows")
    found = [Encoded([5], [True], 2.0), Encoded([3, 4], [False, True], 0.5)]
    while len(found) < count:
        asked, said = (int(k) for k in rng.integers(1, 14, 2))
        ids = rng.integers(1, WORDS, asked + said).tolist()
        found.append(Encoded(ids, [False] * asked + [True] * said, float(rng.integers(1, 4)) / 2))
    return found


def gradient(model, batches, normalise="token", layout="padded"):
    model.zero_grad()
    for batch in batches:
        torch.autograd.backward(batch_loss(model, 0, batch, layout).loss / denominator(batches, normalise))
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def textbook(model, rows):
    """One row at a time, no padding, every logit."""
    total = torch.zeros((), dtype=torch.float64)
    for row in (row for row in rows if len(row.ids) > 1):
        logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1]
        nll = torch.nn.functional.cross_entropy(logits, torch.tensor(row.ids[1:]), reduction="none")
        total = total + (nll * torch.tensor(row.learn[1:]) * row.weight).sum()
    return total


def far(one, other):
    return float(torch.linalg.norm(one - other) / torch.linalg.norm(other))


@torch.no_grad()
def value(model, rows, layout="padded"):
    return float(batch_loss(model, 0, rows, layout).loss)


@pytest.mark.parametrize("kind", KINDS)
def test_both_layouts_have_the_loss_and_gradient_of_the_textbook(kind):
    model, rows = model_of(kind), rows_of()
    assert (model.config.model_type in ("gemma3_text",)) is (kind == "gemma3")
    plain = textbook(model, rows)
    model.zero_grad()
    (plain / denominator([rows], "token")).backward()
    slow = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
    assert layout_for(model, FLAT, CPU, [9]) == "flat"
    for layout in ("padded", "flat"):
        assert value(model, rows, layout) == pytest.approx(plain.item(), rel=1e-6)
        assert far(gradient(model, [rows], layout=layout), slow) < 1e-6, layout


@pytest.mark.parametrize("layout", ["padded", "flat"])
@pytest.mark.parametrize("normalise", ["token", "example"])
def test_how_rows_fall_into_micro_batches_changes_nothing(normalise, layout):
    model, rows = model_of("llama"), rows_of(8)
    layout_for(model, FLAT, CPU, [9])
    whole = gradient(model, [rows], normalise)
    four = gradient(model, [rows[:3], rows[3:4], rows[4:6], rows[6:]], normalise, layout)
    assert far(four, whole) < 1e-6
    assert far(gradient(model, [rows], "example"), gradient(model, [rows], "token")) > 0.1


def test_the_two_normalisations_are_those_of_the_definition():
    rows = [Encoded([1, 2, 3], [False, True, True], 2.0), Encoded([1, 2], [False, True], 0.5)]
    assert denominator([rows[:1], rows[1:]], "token") == 2.0 * 2 + 0.5
    assert denominator([rows], "example") == 2.5


def test_a_token_without_a_flag_carries_no_loss():
    model, (row,) = model_of("llama"), rows_of(9)[-1:]
    nll_R, right_R, row_R = token_nll(model, 0, [row])
    assert len(nll_R) == len(right_R) == len(row_R) == row.learnt < len(row.ids)
    silent = row._replace(learn=[False] * (len(row.ids) - 1) + [True])
    assert value(model, [silent]) == pytest.approx(nll_R[-1].item() * row.weight)


def test_rows_of_one_token_alone_have_no_loss():
    model = model_of("llama")
    layout_for(model, FLAT, CPU, [9])
    assert value(model, [Encoded([5], [True], 1.0)], "flat") == 0


def test_a_row_flat_does_not_see_the_row_before_it():
    """Without the pieces it would: the check above compares something."""
    model, rows = model_of("llama"), rows_of()[2:4]
    layout_for(model, FLAT, CPU, [9])
    alone = token_nll(model, 0, rows[1:])[0]
    together, _, row_R = token_nll(model, 0, rows, "flat")
    assert torch.allclose(together[row_R == 1], alone)
    leaky, _, _ = token_nll(model, 0, [Encoded([*rows[0].ids, *rows[1].ids], [*rows[0].learn, *rows[1].learn], 1.0)])
    assert not torch.allclose(leaky[-rows[1].learnt :], alone, rtol=1e-2)


@pytest.mark.parametrize("kind", ["sliding", "gemma2", "bloom"])
def test_backbones_that_cannot_tell_rows_apart_stay_padded(kind):
    model = model_of(kind, torch.float32)
    with pytest.raises(BadInput, match="layout=flat: this backbone"):
        layout_for(model, FLAT, CPU, [9])
    assert layout_for(model, replace(FLAT, layout="auto"), CPU, [2, 60] * 500) == "padded"
    assert value(model, rows_of()) == pytest.approx(textbook(model, rows_of()).item(), rel=1e-4)


def test_auto_takes_flat_rows_where_they_save_more_than_their_calls_cost():
    auto = replace(FLAT, layout="auto", batch_rows=8)
    ragged, even = np.random.default_rng(0).integers(4, 60, 400).tolist(), [40] * 400
    model = model_of("llama")
    assert layout_for(model, auto, CPU, ragged) == "padded"  # 16 wide: a call costs more than a row
    wide = model_of("llama")
    wide.config.hidden_size = 320
    assert layout_for(wide, auto, CPU, even) == "padded"
    assert wide.config._attn_implementation == "sdpa"
    wide.config.hidden_size = 320
    assert layout_for(wide, auto, CPU, ragged) == "flat"
    assert wide.config._attn_implementation == PIECES
    assert layout_for(model, auto, torch.device("cuda"), ragged) == "padded"


def test_validation_is_a_mean_over_tokens_whole_and_by_stage():
    model = model_of("llama")
    rows = [row._replace(stage=1 + k % 2) for k, row in enumerate(rows_of(9)[1:])]
    found = validate(model, rows, 0, 128)
    assert set(found) == {"valid.loss", "valid.loss.stage1", "valid.loss.stage2"}
    for stages, name in (((1, 2), "valid.loss"), ((1,), "valid.loss.stage1"), ((2,), "valid.loss.stage2")):
        some = [row for row in rows if row.stage in stages]
        assert found[name] == pytest.approx(textbook(model, some).item() / denominator([some], "token"))
    assert set(validate(model, [row._replace(stage=1) for row in rows], 0, 128)) == {"valid.loss"}


def test_logits_are_those_of_the_asked_positions():
    from skyloom.core.llm.packing import pad

    model, rows = model_of("llama"), rows_of()[2:4]
    batch = pad([row.ids for row in rows], 0)
    whole = model(input_ids=batch.ids_BT, attention_mask=batch.mask_BT).logits[:, :-1].flatten(0, 1)
    place = torch.tensor([0, 3, batch.ids_BT.shape[1]])
    assert torch.allclose(response_logits(model, batch, place), whole[place])
