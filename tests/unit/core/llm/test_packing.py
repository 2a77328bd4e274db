import pytest
import torch

from skyloom.core.errors import BadInput
from skyloom.core.llm.packing import flatten, pad, plan_batches, plan_sorted, plan_steps, position_ids


def test_padding_on_the_right_and_on_the_left():
    right = pad([[5, 6, 7], [8]], 0)
    assert right.ids_BT.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert right.mask_BT.tolist() == [[True, True, True], [True, False, False]]
    assert right.labels_BT.tolist() == [[5, 6, 7], [8, -100, -100]]
    left = pad([[5, 6, 7], [8]], 0, side="left")
    assert left.ids_BT.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert position_ids(left.mask_BT).tolist() == [[0, 1, 2], [0, 0, 0]]


def test_labels_are_learnt_where_flagged():
    assert pad([[5, 6], [8]], 0, learn=[[False, True], [False]]).labels_BT.tolist() == [[-100, 6], [-100, -100]]


def test_flags_of_another_length_and_empty_rows_are_refused():
    with pytest.raises(BadInput, match="as long as"):
        pad([[5, 6]], 0, learn=[[True]])
    with pytest.raises(BadInput, match="needs rows"):
        pad([[]], 0)
    with pytest.raises(BadInput, match="needs rows"):
        pad([], 0)


def test_a_row_above_the_budget_is_named():
    for plan in (
        lambda: plan_batches([3, 9, 2], 8, seed=0),
        lambda: plan_steps([3, 9], 2, 8, seed=0),
        lambda: plan_sorted([3, 9], 8),
    ):
        with pytest.raises(BadInput, match="row 1 has 9 tokens, above the budget of 8"):
            plan()
    with pytest.raises(BadInput, match="row 1 has no tokens"):
        plan_batches([3, 0], 8, seed=0)
    with pytest.raises(BadInput, match="rows=0"):
        plan_steps([3], 0, 8, seed=0)


def test_nothing_to_plan():
    assert plan_batches([], 8, seed=0) == []
    assert plan_steps([], 4, 8, seed=0) == []
    assert plan_sorted([], 8) == []


def test_bucketing_wastes_little_on_a_long_tail():
    draw = torch.Generator().manual_seed(0)
    lengths = (torch.empty(4000).log_normal_(3.5, 0.8, generator=draw).clamp(1, 512)).int().tolist()
    plan = plan_batches(lengths, 4096, seed=0)
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in plan)
    assert sum(lengths) / padded > 0.9


def test_steps_are_uniform_samples_of_the_rows():
    lengths = [1] * 500 + [50] * 500
    steps = plan_steps(lengths, 100, 1000, seed=1)
    assert len(steps) == 10
    for step in steps:
        long = sum(lengths[i] == 50 for batch in step for i in batch)
        assert 25 < long < 75  # sorted across the epoch it would be 0 or 100


def test_flat_rows_keep_every_token_and_learn_no_first_one():
    batch = flatten([[5, 6, 7], [8], [9, 3]], [[False, True, True], [True], [True, True]])
    assert batch.ids_1T.tolist() == [[5, 6, 7, 8, 9, 3]]
    assert batch.position_1T.tolist() == [[0, 1, 2, 0, 0, 1]]
    assert batch.labels_1T.tolist() == [[-100, 6, 7, -100, -100, 3]]
    assert batch.lengths == (3, 1, 2)
    with pytest.raises(BadInput, match="each row tokens"):
        flatten([[1], []])
    with pytest.raises(BadInput, match="as long as their rows"):
        flatten([[1, 2]], [[True]])


def test_flat_batches_are_filled_by_their_sum_and_hold_every_row_once():
    lengths = [30, 1, 9, 2, 8, 10, 20, 3, 3, 14]
    for budget in (30, 31, 50, 100):
        (plan,) = plan_steps(lengths, 10, budget, 0, flat=True)
        sums = [sum(lengths[int(k)] for k in batch) for batch in plan]
        assert max(sums) <= budget
        assert sorted(int(k) for batch in plan for k in batch) == list(range(10))
        assert all(one + lengths[int(after[0])] > budget for one, after in zip(sums, plan[1:], strict=False))
        assert len(plan) <= len(plan_steps(lengths, 10, budget, 0)[0])
        assert len(plan_sorted(lengths, budget, flat=True)) == len(plan)
