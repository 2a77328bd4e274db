"""Batch plans for any lengths: every row once, never above the budget, the same plan for the same seed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.llm.packing import pad, plan_batches, plan_sorted, plan_steps

LENGTHS = st.lists(st.integers(1, 40), max_size=60)
BUDGETS = st.integers(40, 200)
SEEDS = st.integers(0, 2**40)


def check(plan: list[np.ndarray], lengths: list[int], budget: int) -> None:
    assert sorted(int(i) for batch in plan for i in batch) == list(range(len(lengths)))
    for batch in plan:
        assert len(batch) * max(lengths[i] for i in batch) <= budget


@given(LENGTHS, BUDGETS, SEEDS, st.integers(0, 3))
def test_every_row_once_and_under_the_budget(lengths, budget, seed, epoch):
    check(plan_batches(lengths, budget, seed, epoch), lengths, budget)
    check(plan_sorted(lengths, budget), lengths, budget)


@given(LENGTHS, BUDGETS, SEEDS, st.integers(1, 20))
def test_steps_hold_their_rows(lengths, budget, seed, rows):
    steps = plan_steps(lengths, rows, budget, seed)
    check([batch for step in steps for batch in step], lengths, budget)
    sizes = [sum(len(batch) for batch in step) for step in steps]
    assert all(size == rows for size in sizes[:-1])


@given(st.lists(st.integers(1, 40), min_size=30, max_size=60), SEEDS)
def test_the_plan_is_a_function_of_seed_and_epoch(lengths, seed):
    def flat(seed: int, epoch: int) -> list[int]:
        return [int(i) for batch in plan_batches(lengths, 80, seed, epoch) for i in batch]

    assert flat(seed, 0) == flat(seed, 0)
    assert flat(seed, 0) != flat(seed, 1)
    assert flat(seed, 0) != flat(seed + 1, 0)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=6), st.integers(0, 9))
def test_padding_loses_nothing_whatever_the_pad_id(rows, pad_id):
    for side in ("right", "left"):
        padded = pad(rows, pad_id, side=side)
        assert [ids[mask].tolist() for ids, mask in zip(padded.ids_BT, padded.mask_BT, strict=True)] == rows
