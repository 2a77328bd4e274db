"""The lab on planted truth: what is known must come out, whatever is compared, and equal input gives equal pages."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr
from typer.testing import CliRunner

from skyloom.app.reward_lab import app
from skyloom.core import registry
from skyloom.core.errors import BadInput
from skyloom.core.metrics import read_evaluation, read_plots, read_tables
from skyloom.core.rng import stream
from skyloom.core.run import open_run, output_digests
from skyloom.reward import lab_page, pipeline
from skyloom.reward.annotate import exact_duplicates as find_duplicates
from skyloom.reward.decide import duplicates
from skyloom.reward.evals import held_out
from skyloom.reward.lab import FACTS, Data, LabConfig, read_rows
from skyloom.reward.lab_heads import ALL, CURATED, Condition, Findings, Space, ablate, divide, fit, places, reads_sides
from skyloom.reward.losses import bradley_terry, cross_entropy
from skyloom.reward.settings import RewardConfig
from skyloom.reward.sources import world

LOSSES = tuple(
    registry.load("reward.losses", name).Config()
    for name in sorted(registry.names("reward.losses"), key=lambda name: name != "bradley_terry")
)
SMALL = LabConfig(seeds=2, keep=(), l2=(0.1, 0.03, 0.01), least_rows=20, folds=3)
RNG = stream(0, "test", "lab")


def planted(n=1500, width=12, seed=0, flipped=0.0, sharp=2.5, sources=1):
    """Pairs whose labels follow a known direction; `flipped`: share of wrong labels in training, which the curated set leaves out."""
    rng = stream(seed, "planted")
    truth_D = rng.normal(size=width)
    prompts = [f"prompt {k}" for k in rng.integers(0, n // 3, size=n)]
    first_ND, second_ND = rng.normal(size=(2, n, width)) + rng.normal(size=width)
    gap_N = sharp * (first_ND - second_ND) @ truth_D / np.linalg.norm(truth_D) / np.sqrt(2)
    won_N = rng.random(n) < 1 / (1 + np.exp(-gap_N))
    source_N = rng.integers(0, sources, size=n)
    wrong_N = (rng.random(n) < flipped) & (places(prompts, SMALL.seed, "test") >= SMALL.test_share)
    first_N = won_N ^ wrong_N
    facts = pl.DataFrame(
        {
            "prompt": prompts,
            "source": [f"s{k}" for k in source_N],
            "origin": "",
            "category": [f"c{k % 3}" for k in range(n)],
            "score": None,
            "gap": 0.0,
            "longer": rng.normal(size=n),
            "raw": True,
            "kept": ~wrong_N if flipped else False,
            "reason": [("wrong" if wrong else None) for wrong in wrong_N],
            "weight": 1.0,
            "label": 1.0,
        },
        schema_overrides=FACTS,
    ).select(*FACTS)
    chosen_ND, rejected_ND = (
        np.where(side_N[:, None], first_ND, second_ND).astype(np.float32) for side_N in (first_N, ~first_N)
    )
    # The best that anyone can do on these very pairs: say the sign of the true gap.
    bayes = float((((chosen_ND - rejected_ND) @ truth_D) > 0).mean())
    return Data(facts=facts, chosen_ND=chosen_ND, rejected_ND=rejected_ND, counts={"pairs read": n}), bayes


def seen(right_CST):
    """Findings of test pairs alone, each with a prompt of its own."""
    conditions, seeds, rows = right_CST.shape
    names = tuple(str(c) for c in range(conditions))
    return Findings(
        names=names,
        kinds=("set",) * conditions,
        against=("",) * conditions,
        losses=names,
        right_CST=right_CST,
        trained_CS=np.ones((conditions, seeds), int),
        l2_CS=np.ones((conditions, seeds)),
        test=pl.DataFrame({"prompt": [str(t) for t in range(rows)]}),
        subsets=(),
        groups={},
        axes=("source", "category"),
        left_out=(),
        counts={},
        seconds=(0.0,) * conditions,
    )


def split_of(prompts, seed):
    nothing = np.zeros((len(prompts), 1), np.float32)
    return divide(Data(facts=pl.DataFrame({"prompt": prompts}), chosen_ND=nothing, rejected_ND=nothing), SMALL, seed)


def accuracy(found, name):
    return float(found.right_CST[found.names.index(name)][:, found.test["raw"].to_numpy()].mean())


def page(found, data, config=SMALL, full=None):
    return lab_page.report(found, data, config, full, stream(0, "page"))


def table(report, title):
    return next(each for each in report.tables if each.title == title)


@pytest.fixture(scope="module")
def noisy():
    data, _ = planted(flipped=0.4, width=40, sharp=6)
    config = replace(SMALL, seeds=3, keep=(0.25, 0.5))
    return data, config, ablate(data, config)


def test_planted_truth_comes_out_with_every_loss():
    data, bayes = planted(n=2400)
    found = ablate(data, replace(SMALL, losses=LOSSES))
    names = [name for name, kind in zip(found.names, found.kinds, strict=True) if kind == "loss"]
    assert len(names) == 7
    test = bayes
    for name in (ALL, *names):
        assert accuracy(found, name) == pytest.approx(test, abs=0.035), name


def test_the_head_is_the_optimum():
    data, _ = planted(n=600)
    split = divide(data, SMALL, 0)
    rows = np.flatnonzero(split.train_N)
    for loss in (bradley_terry.Config(), cross_entropy.Config()):
        space = Space.of(data, rows, reads_sides(loss))
        one = np.ones(len(rows))
        head = fit(space, data, Condition("x", "set", "", loss, rows, one, one), rows[:0], (0.01,))
        x = space.gap_ND[rows].astype(np.float64)
        margin = x @ head.weight_D
        if space.chosen_ND is None:
            slope = -(x * (1 / (1 + np.exp(margin)))[:, None]).mean(axis=0)
        else:
            chosen = space.chosen_ND[rows].astype(np.float64)
            c = chosen @ head.weight_D + head.bias
            up, down = -1 / (1 + np.exp(c)), 1 / (1 + np.exp(margin - c))
            slope = (chosen * up[:, None] + (chosen - x) * down[:, None]).mean(axis=0)
            assert abs((up + down).mean()) < 1e-4
        assert np.abs(slope + 0.01 * head.weight_D).max() < 1e-4


def test_losses_that_read_single_sides_are_told_apart():
    reading = {registry.plugin_of(loss).name for loss in LOSSES if reads_sides(loss)}
    assert reading == {"cross_entropy"}
    assert reads_sides(bradley_terry.Config(centre=0.01))


def test_standardising_makes_a_feature_s_unit_and_offset_irrelevant():
    data, _ = planted(n=600)
    scale = np.logspace(-2, 2, data.chosen_ND.shape[1]).astype(np.float32)
    other = replace(data, chosen_ND=data.chosen_ND * scale + 3, rejected_ND=data.rejected_ND * scale + 3)
    one, two = (ablate(each, replace(SMALL, losses=(*LOSSES[:2], cross_entropy.Config()))) for each in (data, other))
    assert (one.right_CST != two.right_CST).mean() < 0.003


def test_curation_pays_where_labels_are_wrong(noisy):
    data, config, found = noisy
    told = page(found, data, config)
    rows = {row[0]: row for row in table(told, "Curated, random and all pairs").rows}
    assert rows[CURATED][6].low > 0
    assert rows[CURATED][8] < 0.05
    assert told.evaluation.headline.name.startswith("accuracy of a head on curated")
    assert {f"{CURATED} - {ALL}", f"{CURATED} - random, as many as {CURATED}"} <= {
        each.name for each in told.evaluation.others
    }
    assert next(each for each in told.evaluation.others if each.name == f"{CURATED} - {ALL}").value > 0


def test_random_is_as_large_as_curated_and_drawn_anew(noisy):
    _, _, found = noisy
    random, curated = (found.names.index(name) for name in (f"random, as many as {CURATED}", CURATED))
    assert (found.trained_CS[random] == found.trained_CS[curated]).all()
    assert (found.right_CST[random][0] != found.right_CST[random][1]).any()


def test_agreement_keeps_few_wrong_labels():
    data, _ = planted(flipped=0.3, sharp=8)
    config = replace(SMALL, keep=(0.5,), seeds=1)
    found = ablate(data, config)
    assert accuracy(found, "agreement 50%") > accuracy(found, "random 50%")


def test_leaving_one_out_finds_the_bad_source():
    data, _ = planted(n=2400, sources=3, width=30, sharp=6)
    bad_N = (data.facts["source"] == "s1").to_numpy()
    test_N = divide(data, SMALL, 0).test_N
    swap_ND = (bad_N & ~test_N)[:, None]
    wrong = replace(
        data,
        chosen_ND=np.where(swap_ND, data.rejected_ND, data.chosen_ND),
        rejected_ND=np.where(swap_ND, data.chosen_ND, data.rejected_ND),
    )
    found = ablate(wrong, SMALL)
    report = page(found, wrong)
    signs = {row[0]: row[2] for row in table(report, "The same as signs").rows}
    assert signs["source=s1"] == "-"
    assert "-" not in (signs["source=s0"], signs["source=s2"])
    moved = {row[0]: row[2] for row in table(report, "Which source moved which category").rows}
    assert moved["source=s1"].high < 0


def test_reasons_of_curation_are_left_out_one_by_one(noisy):
    data, _, found = noisy
    name = "without reason=wrong"
    assert found.groups[name] == int((~data.facts["kept"].to_numpy() & ~divide(data, SMALL, 0).test_N).sum())
    assert accuracy(found, name) == accuracy(found, f"{CURATED}, no weights or labels")


def test_weights_and_labels_of_curation_are_used():
    data, _ = planted(flipped=0.45)
    rows = data.facts["kept"].to_numpy()
    soft = replace(
        data,
        facts=data.facts.with_columns(
            pl.lit(True).alias("kept"), pl.Series("label", np.where(rows, 1.0, 0.0)), pl.Series("weight", 1.0 + rows)
        ),
    )
    found = ablate(soft, SMALL)
    assert accuracy(found, CURATED) > accuracy(found, f"{CURATED}, no weights or labels") + 0.02


def test_scores_and_learnt_offsets():
    """Origin `b` is overrated by more than the good pairs' lead, and wrong half of the time where scores are low."""
    data, _ = planted(n=3000, sharp=8)
    rng = stream(3, "scores")
    quality = rng.random(3000)
    overrated = rng.random(3000) < 0.4
    wrong = rng.random(3000) < np.where(overrated, 0.5, 0.5 * (1 - quality))
    wrong &= ~divide(data, SMALL, 0).test_N
    chosen, rejected = data.chosen_ND, data.rejected_ND
    scored = replace(
        data,
        facts=data.facts.with_columns(
            pl.Series("origin", np.where(overrated, "b", "a")), pl.Series("score", quality + 1.0 * overrated)
        ),
        chosen_ND=np.where(wrong[:, None], rejected, chosen),
        rejected_ND=np.where(wrong[:, None], chosen, rejected),
    )
    found = ablate(scored, replace(SMALL, keep=(0.25,), by="source"))
    names = ("random 25%", "score 25%", "score 25%, learnt offsets")
    raw, learnt = (accuracy(found, name) for name in names[1:])
    assert learnt > raw + 0.01
    assert [found.against[found.names.index(name)] for name in names] == [ALL, *names[:2]]
    assert any(each.startswith("without source") for each in found.left_out)


@settings(max_examples=25)
@given(st.lists(st.sampled_from([f"p{k}" for k in range(40)]), min_size=1, max_size=120), st.integers(0, 5))
def test_no_prompt_stands_in_two_splits(prompts, seed):
    split = split_of(prompts, seed)
    assert (split.train_N.astype(int) + split.valid_N + split.test_N == 1).all()
    for name in set(prompts):
        here = np.asarray([each == name for each in prompts])
        assert all(len(set(part[here])) == 1 for part in split)
    again = split_of([*prompts, "another"], seed)
    assert all((one == two[:-1]).all() for one, two in zip(split, again, strict=True))
    assert (split.test_N == split_of(prompts, seed + 1).test_N).all()
    assert ((places(prompts, 1) >= 0) & (places(prompts, 1) < 1)).all()


def test_equal_input_gives_equal_pages(noisy):
    data, config, found = noisy
    again = ablate(data, config)
    assert (again.right_CST == found.right_CST).all()
    assert page(again, data, config) == page(found, data, config)


def test_every_interval_holds_its_value_and_a_difference_is_paired(noisy):
    data, config, found = noisy
    report = page(found, data, config)
    for each in report.tables:
        for row in each.rows:
            for cell in row:
                if hasattr(cell, "low"):
                    assert cell.low <= cell.value <= cell.high
    whole = lab_page.drawn(found, found.test["raw"].to_numpy(), RNG)
    assert whole.difference(0, 0)[:3] == (0, 0, 0)  # paired: the same draws for both
    assert {each.name for each in report.plots[0].series} == {"random", "agreement", CURATED}
    note = table(report, "How much, and chosen how").note
    assert "3 seeds" in note


def test_two_way_resampling_covers():
    """95 % intervals of differences hold the true one in about 95 of 100 worlds; Owen 2007: a little more."""
    held = 0
    for k in range(200):
        rng = stream(k, "coverage")
        skill_T = rng.beta(2, 2, size=60)
        p_CST = np.clip(skill_T + np.array([0.0, 0.05])[:, None, None] + 0.02 * rng.normal(size=(2, 5, 1)), 0, 1)
        right = rng.random(p_CST.shape) < p_CST
        whole = lab_page.drawn(seen(right), np.ones(60, bool), rng)
        truth = 0.05 - float((np.clip(skill_T + 0.05, 0, None) - np.clip(skill_T + 0.05, 0, 1)).mean())
        low, high = whole.difference(1, 0)[1:3]
        held += low - 0.005 <= truth <= high + 0.005
    assert 184 <= held <= 200


def test_power_is_what_a_simulation_finds():
    """A difference of the size that is called `least shown` is found in about four of five worlds."""
    hits, worlds = 0, 150
    for k in range(worlds):
        rng = stream(k, "power")
        right = rng.random((2, 1, 400)) < np.array([0.6, 0.6 + 2.8016 * np.sqrt(2 * 0.24 / 400)])[:, None, None]
        whole = lab_page.drawn(seen(right), np.ones(400, bool), rng)
        assert whole.least(1, 0) == pytest.approx(2.8016 * np.sqrt(2 * 0.24 / 400), rel=0.15)
        hits += whole.difference(1, 0).low > 0
    assert 0.68 <= hits / worlds <= 0.92


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=12))
def test_rank_correlations_are_scipy_s(points):
    x, y = ([each[k] / 6 for each in points] for k in (0, 1))
    lab, full = ({str(k): value for k, value in enumerate(side)} for side in (x, y))
    if len(set(x)) == 1 or len(set(y)) == 1:
        with pytest.raises(BadInput, match="nothing to rank"):
            lab_page.ranking(lab, full, RNG)
        return
    found = lab_page.ranking(lab, full, stream(0, "rank"))
    assert found.kendall.value == pytest.approx(kendalltau(x, y).statistic)
    assert found.spearman.value == pytest.approx(spearmanr(x, y).statistic)
    assert found.n == len(points)


def test_the_ranking_stands_on_the_page_or_is_said_to_be_missing(noisy, tmp_path):
    data, config, found = noisy
    title = "How well the lab ranks full fine-tuning"
    assert table(page(found, data, config), title).rows == (("Kendall's tau", lab_page.UNMEASURED),)
    full = {name: accuracy(found, name) for name in found.names[:5]}
    ranked = page(found, data, config, full)
    rows = {row[0]: row[-1] for row in table(ranked, title).rows}
    assert rows["Kendall's tau"].value == pytest.approx(1.0)
    for content, told in (({"none": 0.5}, "no condition 'none'"), ({ALL: 2}, "from 0 to 1"), ([], "one object")):
        path = tmp_path / "full.json"
        path.write_text(json.dumps(content))
        with pytest.raises(BadInput, match=told):
            lab_page.read_full(path, found.names)
    with pytest.raises(BadInput, match="3 conditions"):
        lab_page.ranking({ALL: 0.5}, {ALL: 0.5}, RNG)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"keep": (1.0,)}, "keep"),
        ({"l2": (0.1, 0.3)}, "l2"),
        ({"losses": ()}, "losses"),
        ({"test_share": 0.0}, "test_share"),
    ],
)
def test_settings_that_cannot_be_compared(change, told):
    with pytest.raises(ValueError, match=told):
        replace(SMALL, **change)


def test_an_axis_that_is_none():
    data, _ = planted(n=300)
    with pytest.raises(BadInput, match="names no groups"):
        ablate(data, replace(SMALL, by="colour"))


def test_accuracy_without_a_mistake_keeps_a_width():
    assert lab_page.drawn(seen(np.ones((1, 2, 30), bool)), np.ones(30, bool), RNG).accuracy(0).low < 0.95


def test_a_curated_run_stands_twice_where_it_was_changed(tmp_path):
    chain = (find_duplicates.Config(), duplicates.Config())
    config = RewardConfig(
        collect=(world.Config(rows=300, eval_rows=50, copies=0.2),), curate=chain, evaluate=held_out.Config()
    )
    with open_run("toy", config, tmp_path / "run", 0) as run:
        curated = pipeline.curate_step(config, run, pipeline.collect_step(config, run))
    rows = read_rows(tmp_path / "run" / "collect", curated)
    assert int(rows["raw"].sum()) == 300
    assert 0 < int(rows["kept"].sum()) < 300
    assert set(rows.filter("raw", ~pl.col("kept"))["reason"].drop_nulls()) <= {"duplicate", "contradicting_labels"}
    decisions = pl.read_parquet(curated / "decisions.parquet").with_columns(
        pl.when(pl.col("row") == pl.col("row").filter("kept").first())
        .then(pl.lit("flip"))
        .otherwise(pl.col("action").cast(pl.String))
        .alias("action")
    )
    decisions.write_parquet(curated / "decisions.parquet")
    again = read_rows(tmp_path / "run" / "collect", curated)
    assert again.height == rows.height + 1
    assert int(again["kept"].sum()) == int(rows["kept"].sum())


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory):
    """Pairs in which the chosen reply says yes, so that random weights can tell."""
    rng = stream(0, "lab", "cli")
    lines = []
    for k in range(240):
        body = " ".join(rng.choice(["red", "blue", "green", "old", "new"], size=4))
        row = {"prompt": f"Question {k // 2} about {body}?", "chosen": f"yes {body} {k}", "rejected": f"not {body} {k}"}
        lines.append(json.dumps({**row, "category": f"part/{'ab'[k % 2]}/x", "source": "one"}))
    path = tmp_path_factory.mktemp("lab") / "pairs.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory, pairs_file):
    from skyloom.core.llm.backbones import load_tokenizer
    from skyloom.core.llm.config import BackboneConfig
    from skyloom.reward.model import new_reward_model, save_reward_model

    config = BackboneConfig(hidden=16, layers=1, heads=2, vocab=400, max_length=64)
    tokenizer = load_tokenizer(config, [pairs_file.read_text()])
    folder = tmp_path_factory.mktemp("tiny") / "model"
    save_reward_model(new_reward_model(config, tokenizer, 0), tokenizer, folder)
    return folder


def asked(pairs_file, model, out, *more):
    args = ["--data", str(pairs_file), "--model", str(model), "--out", str(out), "--losses", "bradley_terry,hinge"]
    return CliRunner().invoke(app, [*args, "--keep", "0.5", "--seeds", "2", "--by", "category:2", *more])


def test_the_command_end_to_end(pairs_file, tiny_model, tmp_path):
    out, cache = tmp_path / "run", tmp_path / "features"
    done = asked(pairs_file, tiny_model, out, "--features", str(cache), "--json")
    assert done.exit_code == 0, done.output or done.exception
    told = json.loads(done.stdout)
    assert told["evaluation"]["headline"]["value"] > 0.9
    titles = {each.title for each in read_tables(out / "lab")}
    assert {"Losses", "How much, and chosen how", "Which category:2 moved which category"} <= titles
    assert read_plots(out / "lab")[0].series
    assert read_evaluation(out / "lab").beats_null
    assert "Lab in numbers" in (out / "report" / "index.html").read_text()
    before, stamp = output_digests(out), (out / "lab" / "step.json").stat().st_mtime_ns
    parts = {path.name: path.stat().st_mtime_ns for path in cache.glob("part-*")}
    assert asked(pairs_file, tiny_model, out, "--features", str(cache)).exit_code == 0
    assert (output_digests(out), (out / "lab" / "step.json").stat().st_mtime_ns) == (before, stamp)
    assert {path.name: path.stat().st_mtime_ns for path in cache.glob("part-*")} == parts
    next(iter(cache.glob("part-*"))).unlink()
    left = asked(pairs_file, tiny_model, tmp_path / "have", "--features", str(cache), "--have", "--json")
    rows = dict(
        next(each for each in json.loads(left.stdout)["tables"] if each["title"] == "What was read")["rows"][:2]
    )
    assert rows["pairs read"] == 240
    assert 0 < rows["pairs without features, left out"] < 240


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--curated", "nowhere"), "either --data or --curated"),
        (("--losses", "nope"), "nope"),
        (("--keep", "x"), "no number"),
        (("--have", "--features", "nowhere"), "holds no features"),
    ],
)
def test_mistakes_are_told(pairs_file, tmp_path, more, told):
    done = asked(pairs_file, "", tmp_path / "run", *more)
    assert isinstance(done.exception, BadInput), done.output
    assert told in str(done.exception)
