"""Passes of synthesis in a run: selection, numbers that stay apart, lineage through all of them, and what a retraction takes along."""

import json
from dataclasses import replace

import polars as pl
import pytest

from skyloom.core.errors import BadInput
from skyloom.core.ledger import query
from skyloom.core.ledger.curate import read_decisions, read_kept
from skyloom.core.ledger.rows import read_edges, read_sources, row_parts, show_row
from skyloom.core.run import open_run
from skyloom.mathqa import pipeline
from skyloom.mathqa.annotate import core_set, duplicates, pass_rate, verify
from skyloom.mathqa.augment import answer_augment, evol, rephrase
from skyloom.mathqa.decide import core_set as keep_core
from skyloom.mathqa.decide import duplicates as drop_duplicates
from skyloom.mathqa.decide import hard, wrong_answer
from skyloom.mathqa.settings import MathConfig, PassConfig, SimulatedConfig, SynthesizeConfig
from skyloom.mathqa.sources import world

CORE = (core_set.Config(share=0.5), keep_core.Config())
HARD = (pass_rate.Config(), hard.Config(by="either", min_level=4, min_tried=2))
PASSES = (
    PassConfig(name="first", augment=(rephrase.Config(samples=2), answer_augment.Config()), train=False),
    PassConfig(name="second", seeds=("first",), select=CORE, augment=(evol.Config(rounds=2),)),
    PassConfig(name="hard", stage=2, select=HARD, augment=(rephrase.Config(),), rows=30),
)
CHAIN = (verify.Config(), wrong_answer.Config(), duplicates.Config(), drop_duplicates.Config())
CONFIG = MathConfig(
    collect=(world.Config(rows=40),),
    synthesize=SynthesizeConfig(passes=PASSES, simulated=SimulatedConfig(wrong=0.3, weak=0.1)),
    curate=CHAIN,
)


def work(path, config=CONFIG):
    with open_run("mathqa.passes", config, path, 0) as run:
        made = pipeline.make_passes(config, run, pipeline.collect_seeds(config, run))
        pipeline.curate_step(config, CHAIN, made, run)
        return made


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    path = tmp_path_factory.mktemp("passes") / "run"
    work(path)
    return path


def rows_of(folder):
    return pl.concat([pl.read_parquet(part) for part in row_parts([folder])])


def test_only_what_was_selected_is_built_upon(done):
    first, second = done / "synthesize-first", done / "synthesize-second"
    kept = set(read_decisions(done / "select-second").filter("kept")["row"])
    assert len(kept) == -(-rows_of(first).height // 2)
    roots = {parent for parent in read_edges([second])["parent"] if parent in set(rows_of(first)["row"])}
    assert roots <= kept
    assert len(roots) > 10
    hard_rows = rows_of(done / "synthesize-hard")
    told = pl.read_parquet(done / "select-hard" / "columns" / "01-pass_rate.parquet")
    assert told["pass_rate.tried"].sum() == rows_of(first).height
    assert set(hard_rows["stage"]) == {2}
    assert hard_rows["level"].max() >= 4
    assert set(read_kept(done / "curate", ("made_in",))["made_in"]) == {"second", "hard"}, (
        "the first pass is not trained on"
    )


def test_a_pass_that_asks_the_same_again_gets_other_replies(done):
    first, again = (rows_of(done / f"synthesize-{name}").filter(operator="rephrase") for name in ("first", "hard"))
    both = first.join(again, on="seed_question", suffix="_again")
    assert both.height > 20
    assert both.filter(pl.col("question") == pl.col("question_again")).height < both.height / 2
    assert not {key for keys in first["requests"] for key in keys} & {key for keys in again["requests"] for key in keys}


def test_rows_of_all_passes_have_numbers_of_their_own(done):
    frames = [rows_of(done / name) for name in ("synthesize-first", "synthesize-second", "synthesize-hard")]
    rows = pl.concat([frame.select("row") for frame in frames])["row"]
    assert rows.n_unique() == len(rows)


def test_a_row_tells_its_whole_trail(done):
    second = rows_of(done / "synthesize-second").filter(round=2)
    sources = read_sources(query.collected_folders(done))
    row = second.row(0, named=True)
    trail = query.why(done, show_row(row["row"], sources))
    assert (trail.record["operator"], trail.record["made_in"], trail.record["round"]) == ("evol", "second", 2)
    assert trail.record["seed"].startswith("world:0:")
    assert len(trail.record["requests"]) >= 2
    assert trail.record["completion_tokens"] > 0
    assert [ruling.decider for ruling in trail.rulings] == ["wrong_answer", "duplicates"]
    (parent,) = trail.parents
    for _ in range(3):  # up to the first pass: through evol's own rounds
        above = query.why(done, parent)
        if above.record["operator"] != "evol":
            break
        (parent,) = above.parents
    assert above.record["made_in"] == "first"
    assert ("select-second/core_set", "keep") in {(each.decider, each.action) for each in above.rulings}
    assert above.parents == (above.record["seed"],)
    seed = query.why(done, above.record["seed"])
    assert {each.decider for each in seed.rulings} == {"select-hard/hard"}


def test_retracting_a_seed_takes_its_descendants_of_all_passes(done, tmp_path):
    path = tmp_path / "run"
    work(path)
    frames = pl.concat([rows_of(path / f"synthesize-{each.name}").select("row", "seed", "made_in") for each in PASSES])
    counts = frames.group_by("seed").agg(pl.col("made_in").n_unique(), pl.len()).sort("made_in", "len", "seed")
    seed = counts["seed"][-1]
    mine = frames.filter(seed=seed)
    assert mine["made_in"].n_unique() == 3
    gone = query.retract(path, seed, apply=True)
    sources = read_sources(query.collected_folders(path))
    assert set(gone.rows) == {seed, *(show_row(row, sources) for row in mine["row"])}
    before = read_kept(path / "curate", ("seed",))
    work(path)
    after = read_kept(path / "curate", ("seed",))
    assert seed in set(before["seed"])
    assert seed not in set(after["seed"])


def test_the_same_config_makes_the_same_rows(done, tmp_path):
    work(tmp_path / "run")
    for each in PASSES:
        first, again = (json.loads((path / each.folder / "step.json").read_text()) for path in (done, tmp_path / "run"))
        assert first["files"] == again["files"]


def test_passes_that_cannot_be_are_refused_by_name(tmp_path):
    one = PASSES[0]
    with pytest.raises(ValueError, match="'first' stands twice"):
        SynthesizeConfig(passes=(one, one))
    with pytest.raises(ValueError, match="seeds: 'later' is none of collect"):
        SynthesizeConfig(passes=(replace(one, seeds=("later",)),))
    with pytest.raises(ValueError, match="stage=3"):
        PassConfig(stage=3)
    with pytest.raises(BadInput, match="none has train=true"):
        work(tmp_path / "a", replace(CONFIG, synthesize=replace(CONFIG.synthesize, passes=(one,))))
    with pytest.raises(BadInput, match="name at least one pass"):
        work(tmp_path / "b", replace(CONFIG, synthesize=SynthesizeConfig()))
