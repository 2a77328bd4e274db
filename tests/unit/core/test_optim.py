import math

import pytest

from skyloom.core.config import fingerprint, from_dict
from skyloom.core.errors import BadInput
from skyloom.core.optim import TrainerConfig, learning_rate


def rates(total: int, **fields) -> list[float]:
    config = TrainerConfig(**fields)
    return [learning_rate(config, step, total) for step in range(total)]


def test_warm_up_is_linear_and_reaches_the_peak():
    assert rates(10, lr=1.0, warmup_ratio=0.4, schedule="constant")[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_known_values():
    curve = rates(8, lr=2.0, warmup_ratio=0.0, final_lr_ratio=0.5, schedule="cosine")
    assert curve[0] == 2.0
    assert curve[4] == pytest.approx(1.5)  # half way: the mean of peak and floor
    assert curve[2] == pytest.approx(2 * (0.5 + 0.25 * (1 + math.cos(math.pi / 4))))
    assert curve == sorted(curve, reverse=True)


def test_linear_heads_for_the_floor():
    curve = rates(10, lr=1.0, warmup_ratio=0.0, final_lr_ratio=0.0, schedule="linear")
    assert curve == pytest.approx([1 - k / 10 for k in range(10)])


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_rates_stay_positive_and_at_most_the_peak(schedule, ratio):
    assert all(0 < rate <= 3.0 for rate in rates(7, lr=3.0, warmup_ratio=ratio, schedule=schedule))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", 0.0),
        ("betas", [0.9, 1.0]),
        ("eps", 0.0),
        ("warmup_ratio", 1.5),
        ("clip_norm", -1.0),
        ("keep", 0),
        ("threads", -1),
    ],
)
def test_a_value_that_cannot_train_names_its_field(field, value):
    with pytest.raises(BadInput, match=rf"train: {field}="):
        from_dict(TrainerConfig, {field: value}, "train")


def test_where_checkpoints_fall_is_no_other_experiment():
    assert fingerprint(TrainerConfig(checkpoint_every=7, keep=5)) == fingerprint(TrainerConfig())
    assert fingerprint(TrainerConfig(lr=2e-3)) != fingerprint(TrainerConfig())
