"""Plans: known costs of known models, and every assumption beside the numbers."""

import json

import pytest

from skyloom.core import plan
from skyloom.core.errors import BadInput
from skyloom.core.plan import Machine, Plan, PlanLine

TOY = Machine(name="toy", peak_flops=1e12, mfu=0.5, price_per_hour=3.0, memory_bytes=10**9, cores=0, source="test")


def test_flops_of_a_published_run():
    # GPT-3 175B on 300B tokens: 3.14e23 FLOPs (Brown et al. 2020, table D.1).
    assert plan.dense_training_flops(174.6e9, 300e9) == pytest.approx(3.14e23, rel=0.005)
    assert plan.dense_forward_flops(1e9, 1e9) * 3 == plan.dense_training_flops(1e9, 1e9)


def test_hours_and_money_of_a_training_line():
    model = plan.model_size("llama-3.1-8b")
    h100 = plan.machine("H100")
    line = plan.training_line("train", model, 100e6, h100, batch_tokens=8192)
    hours = 6 * 8_030_261_248 * 100e6 / (989.4e12 * 0.4) / 3600
    assert line.gpu_hours == pytest.approx(hours)
    assert line.money == pytest.approx(hours * 2.5)
    assert line.core_hours == 0
    assert line.tokens == 100_000_000
    assert line.memory_bytes == 16 * 8_030_261_248 + 34 * 8192 * 4096 * 32
    assert line.note == "memory needs 3 × H100"


def test_laptop_counts_core_hours_of_both_cores():
    laptop = plan.machine("laptop (2 cores)")
    line = plan.compute_line("score", plan.hours_on(laptop, 1) ** -1, 10, 1, laptop)
    assert (line.core_hours, line.gpu_hours, line.note) == (pytest.approx(2.0), 0.0, "")


def test_recomputation_and_logits_change_activations_as_stated():
    model = plan.model_size("mistral-7b")
    full = plan.activation_memory(model, 1000, recompute=False, logits=False)
    assert full == 34 * 1000 * 4096 * 32
    assert plan.activation_memory(model, 1000, recompute=True, logits=False) == (2 * 32 + 34) * 1000 * 4096
    assert plan.activation_memory(model, 1000, recompute=False, logits=True) - full == 4 * 1000 * 32000


def test_core_and_teacher_lines():
    assert plan.core_line("verify", 7200, 2.0, TOY).core_hours == 1.0
    assert plan.core_line("verify", 7200, 2.0, TOY).money == 0.0
    owned = Machine(name="rented", peak_flops=1e9, mfu=0.5, price_per_hour=0.2, memory_bytes=1, cores=4, source="test")
    assert plan.core_line("verify", 7200, 2.0, owned).money == pytest.approx(0.05)
    asked = plan.teacher_line("ask", 2e6, 1e6, plan.teacher("gpt-4-1106-preview"))
    assert (asked.tokens, asked.money) == (3_000_000, 50.0)
    with pytest.raises(ValueError, match="positive"):
        plan.core_line("verify", 1, 0, TOY)


def test_total_adds_costs_and_takes_the_largest_memory():
    lines = (
        PlanLine(step="a", tokens=5, memory_bytes=7, core_hours=1, money=2),
        PlanLine(step="b", tokens=6, memory_bytes=3, gpu_hours=4, money=1),
    )
    total = Plan(title="t", lines=lines, assumptions=()).total
    assert total == PlanLine(step="total", tokens=11, memory_bytes=7, core_hours=1, gpu_hours=4, money=3)
    assert Plan(title="none", lines=(), assumptions=()).total == PlanLine(step="total")


def test_table_and_json_carry_the_assumptions():
    h100, model = plan.machine("H100"), plan.model_size("gemma-2-27b")
    lines = (plan.training_line("train", model, 1e9, h100, 16384, recompute=True),)
    made = Plan(title="27B", lines=lines, assumptions=(h100.assumption, model.assumption))
    table = made.table()
    assert [row[0] for row in table.rows] == ["train", "total"]
    assert table.rows[0][1:4] == ("1,000,000,000", "445 GB", "")
    assert "989 TFLOP/s peak at 40% utilisation, 80 GB, $2.50 an hour" in table.note
    assert "27,227,128,320 parameters" in table.note
    back = json.loads(json.dumps(made.to_json()))
    assert back["lines"][0]["gpu_hours"] == lines[0].gpu_hours
    assert back["assumptions"] == list(made.assumptions)
    assert back["total"]["step"] == "total"


def test_every_shipped_entry_loads_and_states_a_source():
    for group, pick in (("machines", plan.machine), ("models", plan.model_size), ("teachers", plan.teacher)):
        for name in plan._data()[group]:
            entry = pick(name)
            assert len(entry.source) > 10
            assert name in entry.assumption
            assert entry.source in entry.assumption


def test_unknown_names_list_the_known():
    with pytest.raises(BadInput, match=r"'H200' among machines; known: laptop \(2 cores\), H100"):
        plan.machine("H200")
