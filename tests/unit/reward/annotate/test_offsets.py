"""Learnt offsets: the planted bias is found with an honest error, and nothing is said where nothing can be."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from skyloom.core.errors import BadInput
from skyloom.core.records import to_row
from skyloom.core.rng import stream
from skyloom.reward.annotate import agreement, offsets, scores
from skyloom.reward.sources import world

CLEAN = dict.fromkeys(
    ("copies", "near_copies", "hard_negatives", "contradictions", "length", "artefacts", "leaks"), 0.0
)
BIAS = world.Config().generator_bias


def drawn(seed, rows=6000, slope=3.0, biases=(0.0, 0.4), category=0.0):
    """Rows whose agreement follows the model exactly: logit P = slope * (score - bias of the origin) + category."""
    rng = stream(seed, "offsets")
    origin = rng.integers(0, len(biases), rows)
    quality = rng.normal(0.1 * origin, 0.3, rows)
    kind = rng.integers(0, 2, rows)
    agrees = rng.random(rows) < expit(slope * quality + category * kind)
    return pl.DataFrame(
        {
            "source": ["s"] * rows,
            "scores.origin": [f"o{k}" for k in origin],
            "scores.category": [f"c{k}" for k in kind],
            "scores.mean": quality + np.asarray(biases)[origin],
            "agreement.margin": np.where(agrees, 1.0, -1.0),
        }
    )


def by_origin(frame, config):
    out = offsets.fit(frame, config)
    cells = zip(frame["scores.origin"].cast(pl.String), out.iter_rows(), strict=True)
    return dict(cells)


def test_offset_and_error_are_right_where_the_model_holds():
    found = [by_origin(drawn(seed, category=1.0), offsets.Config(reference="o0"))["o1"] for seed in range(60)]
    value = np.array([offset for offset, _, _ in found])
    error = np.array([se for _, se, _ in found])
    assert value.mean() == pytest.approx(-0.4, abs=0.02)
    assert error.mean() == pytest.approx(value.std(ddof=1), rel=0.3)
    assert (np.abs(value + 0.4) < 1.96 * error).mean() >= 0.87


@given(st.floats(-5, 5), st.floats(0.1, 10), st.sampled_from(["agreement", "quantiles"]))
def test_units_and_zero_of_the_score_mean_nothing(shift, unit, method):
    frame, config = drawn(1, rows=2000), offsets.Config(method=method, reference="o0")
    moved = frame.with_columns(pl.col("scores.mean") * unit + shift)
    one, two = by_origin(frame, config)["o1"], by_origin(moved, config)["o1"]
    assert two[0] == pytest.approx(one[0] * unit, rel=1e-5)
    assert two[1] == pytest.approx(one[1] * unit, rel=1e-5)


def test_the_reference_is_the_largest_origin_and_stands_at_zero():
    frame = drawn(2, biases=(0.0, 0.4, 0.2)).filter(
        ~((pl.col("scores.origin") == "o0") & (pl.int_range(pl.len()) > 3000))
    )
    found = by_origin(frame, offsets.Config())
    zero = [name for name, (offset, se, _) in found.items() if (offset, se) == (0.0, 0.0)]
    assert zero == [frame["scores.origin"].value_counts().sort("count")["scores.origin"][-1]]
    assert all("reference" in found[name][2] for name in zero)


def test_a_flat_slope_is_refused_and_says_so():
    for slope in (0.0, -3.0):
        found = by_origin(drawn(3, slope=slope), offsets.Config())
        assert all(offset is None and se is None for offset, se, _ in found.values())
        assert all("errors above 0" in evidence for _, _, evidence in found.values())
    assert by_origin(drawn(3, slope=0.0), offsets.Config(method="quantiles", reference="o0"))["o1"][0] is not None


def test_small_origins_unscored_rows_and_other_sources_get_null_with_a_reason():
    frame = drawn(4).with_columns(
        pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("few")).otherwise("scores.origin").alias("scores.origin"),
        pl.when(pl.int_range(pl.len()) >= 5900).then(pl.lit("t")).otherwise("source").alias("source"),
    )
    frame = frame.with_columns(
        pl.when(pl.int_range(pl.len()).is_between(20, 29))
        .then(pl.lit(""))
        .otherwise("scores.origin")
        .alias("scores.origin"),
        pl.when(pl.int_range(pl.len()).is_between(30, 39)).then(None).otherwise("scores.mean").alias("scores.mean"),
    )
    out = offsets.fit(frame, offsets.Config(sources=("s",)))
    told = out["offsets.evidence"].cast(pl.String)
    assert (told[:20] == "refused: 20 rows; 100 are needed").all()
    assert told[20:30].str.contains("no origin").all()
    assert out["offsets.learnt"][30:5900].null_count() == 0, "an unscored row has its origin's offset, too"
    assert (told[5900:] == "refused: not among the pooled sources").all()
    assert out["offsets.learnt"][:30].null_count() == 30
    assert offsets.fit(frame[:0].with_columns(source=pl.lit("s")), offsets.Config()).height == 0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"least_rows": 1}, "least_rows"),
        ({"least_z": 0.0}, "least_z"),
        ({"sources": ("x",)}, "no source 'x'; known: s"),
        ({"reference": "x"}, "no scored row of the reference 'x'; known: o0, o1"),
    ],
)
def test_bad_settings_are_one_line(wrong, told):
    with pytest.raises(BadInput, match=told):
        offsets.fit(drawn(5, rows=500), offsets.Config(**wrong))


def learnt_in_world(seed, rows=6000):
    """(offset, error) of the overrated generator of an unseen world, by both methods."""
    config = world.Config(rows=rows, seed=seed, label_noise=0.2, **CLEAN)
    frame = pl.DataFrame([to_row(world.to_record(raw.data)) for raw in world.rows(config, 0)], infer_schema_length=None)
    frame = frame.with_columns(
        pl.int_range(pl.len()).alias("row"),
        pl.lit("world").alias("source"),
        pl.lit(None, dtype=pl.Int64).alias("near.prompt_cluster"),
    )
    facts = [scores.annotate(frame, scores.Config()), agreement.fit(frame, agreement.Config())]
    ledger = pl.concat([frame.select("source"), *facts], how="horizontal")
    return [
        by_origin(ledger, offsets.Config(method=method, reference="birch"))[world.BIASED][:2]
        for method in ("agreement", "quantiles")
    ]


def test_the_planted_bias_is_found_in_a_world():
    (value, error), (medians, _) = learnt_in_world(701)
    assert abs(value + BIAS) < 3 * error
    assert error < 0.08
    # Quantiles take the generator's lower quality for a smaller bias: the assumption that the docstring names.
    assert medians == pytest.approx(-BIAS + 0.25, abs=0.03)


@pytest.mark.prove
def test_bias_and_coverage_over_twenty_worlds():
    found = np.array([learnt_in_world(3000 + k)[0] for k in range(20)], float)
    value, error = found.T
    covered = (np.abs(value + BIAS) < 1.96 * error).sum()
    print(f"mean {value.mean():.3f} sd {value.std(ddof=1):.3f} mean se {error.mean():.3f} covered {covered}/20")
    assert value.mean() == pytest.approx(-BIAS, abs=0.05)
    assert covered >= 16
