"""Sensitivity: each constant alone, the same answer as curating anew, and honest about what is not decided again."""

import json
from dataclasses import replace

import polars as pl
import pytest

from skyloom.core import store
from skyloom.core.config import override
from skyloom.core.errors import BadInput
from skyloom.core.ledger.curate import read_decisions
from skyloom.core.ledger.query import retractions_file
from skyloom.core.metrics import read_plots, read_tables
from skyloom.core.report import render
from skyloom.core.run import open_run
from skyloom.reward import pipeline, sensitivity
from skyloom.reward.annotate import control_tokens as find_control_tokens
from skyloom.reward.annotate import exact_duplicates as find_duplicates
from skyloom.reward.annotate import length as find_length
from skyloom.reward.annotate import scores as find_scores
from skyloom.reward.annotate import shortcuts as find_shortcuts
from skyloom.reward.decide import control_tokens, duplicates, length, quota, shortcuts, top_k
from skyloom.reward.evals import held_out
from skyloom.reward.settings import RewardConfig
from skyloom.reward.sources import world

CHAIN = (
    find_control_tokens.Config(),
    control_tokens.Config(),
    find_length.Config(),
    length.Config(max_ratio=3.0, max_words=0),
    find_duplicates.Config(),
    duplicates.Config(),
    find_scores.Config(),
    top_k.Config(share=0.8, shares={"world-sum": 0.5}, offsets={"amber": -0.35}),
    quota.Config(most=60),
)
CONFIG = RewardConfig(collect=(world.Config(rows=600, eval_rows=50),), curate=CHAIN, evaluate=held_out.Config())


def curated(folder, config=CONFIG):
    with open_run("toy", config, folder, 0) as run:
        pipeline.curate_step(config, run, pipeline.collect_step(config, run))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return curated(tmp_path_factory.mktemp("sensitivity") / "run")


@pytest.fixture(scope="module")
def found(run):
    return sensitivity.sweep(run, CHAIN)


def kept_rows(folder):
    return set(read_decisions(folder / "curate").filter("kept")["row"].to_list())


def test_every_number_that_is_not_a_switch_is_a_constant():
    by_path = {each.path: each for each in sensitivity.constants(CHAIN)}
    assert set(by_path) == {
        "length.max_ratio", "top_k.share", "top_k.shares.world-sum", "top_k.offsets.amber", "quota.most"
    }  # fmt: skip
    assert by_path["quota.most"].values == (30, 48, 54, 66, 75, 120)
    assert by_path["top_k.offsets.amber"].values == pytest.approx((-0.175, -0.28, -0.315, -0.385, -0.4375, -0.7))


def test_a_decider_that_stands_twice_is_named_by_its_place():
    paths = [each.path for each in sensitivity.constants((quota.Config(most=5), quota.Config(most=7, by="source")))]
    assert paths == ["0.most", "1.most"]


def test_a_plugin_names_the_values_to_try(monkeypatch):
    monkeypatch.setattr(quota, "SWEEPS", {"most": (10, 60, 20)}, raising=False)
    (most,) = (each for each in sensitivity.constants(CHAIN) if each.field == "most")
    assert most.values == (10, 20)  # the configured one is not tried again


@pytest.mark.parametrize(
    ("setting", "constant", "value"),
    [
        ("curate.length.max_ratio=1.5", "length.max_ratio", 1.5),
        ("curate.top_k.share=0.4", "top_k.share", 0.4),
        ("curate.top_k.offsets.amber=-0.7", "top_k.offsets.amber", -0.7),
        ("curate.quota.most=30", "quota.most", 30),
    ],
)
def test_a_value_gives_what_a_new_curation_gives(tmp_path, setting, constant, value):
    config = override(CONFIG, [setting])
    # Exact duplicates are fitted behind length: the fit must stand before what changes, as sweep does not fit again.
    anew = replace(config, curate=(*config.curate[4:5], *config.curate[:4], *config.curate[5:]))
    base = replace(CONFIG, curate=(*CHAIN[4:5], *CHAIN[:4], *CHAIN[5:]))
    first, second = curated(tmp_path / "base", base), curated(tmp_path / "anew", anew)
    swept = sensitivity.sweep(first, base.curate)
    (change,) = (each for each in swept.changes if (each.constant, each.value) == (constant, value))
    before, after = kept_rows(first), kept_rows(second)
    assert before != after
    assert (change.kept, change.gained, change.lost) == (len(after), len(after - before), len(before - after))
    moved = swept.moved.filter((pl.col("constant") == constant) & (pl.col("value") == value))
    told = {word: set(moved.filter(pl.col("change") == word)["row"].to_list()) for word in ("gained", "lost")}
    assert told == {"gained": after - before, "lost": before - after}
    assert change.note == ""


def test_a_rule_passes_over_rows_that_its_fit_never_saw(tmp_path):
    """More places give more pairs, although a gate behind them drops whatever its detector has not looked at."""
    gate = (find_shortcuts.Config(), shortcuts.Config(action="drop"))
    chain = (find_scores.Config(), top_k.Config(share=0.5), *gate)
    clean = world.Config(rows=600, eval_rows=50, length=0, artefacts=0)
    found = sensitivity.sweep(curated(tmp_path / "run", replace(CONFIG, collect=(clean,), curate=chain)), chain)
    by_value = {each.value: each for each in found.changes if each.constant == "top_k.share"}
    assert by_value[0.625].gained > 0
    assert by_value[0.625].lost == 0
    assert by_value[0.4].lost > 0
    assert "nothing for rows gained" in by_value[0.625].note


def test_what_a_fit_annotator_would_fit_anew_is_told(found):
    notes = {each.constant: each.note for each in found.changes}
    assert "duplicates.cluster" in notes["length.max_ratio"]
    assert notes["top_k.share"] == notes["quota.most"] == ""


def test_counts_by_source_and_category_add_up(found):
    assert found.rows == 600
    assert found.kept == found.changes[0].kept - found.changes[0].gained + found.changes[0].lost
    for change in found.changes:
        for groups in (change.by_source, change.by_category):
            for word in ("gained", "lost", "altered"):
                assert sum(counts[word] for counts in groups.values()) == getattr(change, word)
    assert found.moved.height == sum(each.gained + each.lost + each.altered for each in found.changes)
    assert set(found.changes[-1].by_source) == {"world"}


def test_a_share_above_one_is_cut_to_one_and_tried_once(found):
    values = [each.value for each in found.changes if each.constant == "top_k.share"]
    assert values == pytest.approx([0.4, 0.64, 0.72, 0.88, 1.0])
    assert found.refused == ()


def test_what_a_decider_refuses_is_told(tmp_path, monkeypatch):
    chain = (find_scores.Config(), quota.Config(most=60))
    folder = curated(tmp_path / "run", replace(CONFIG, curate=chain))
    monkeypatch.setattr(quota, "SWEEPS", {"most": (-5, 10)}, raising=False)
    found = sensitivity.sweep(folder, chain)
    assert [each.value for each in found.changes] == [10]
    assert found.refused == ("quota.most=-5: quota: most=-5; it must be at least 1",)
    assert "quota.most=-5" in sensitivity.overview(found).note


def test_retracted_rows_stay_out(tmp_path):
    folder = curated(tmp_path / "run")
    gone = sorted(kept_rows(folder))[:40]
    store.write_json(retractions_file(folder), {"rows": gone})
    curated(folder)
    found = sensitivity.sweep(folder, CHAIN)
    assert not set(gone) & set(found.moved["row"].to_list())
    assert found.kept == len(kept_rows(folder))


def test_another_chain_than_the_runs_is_refused(run):
    with pytest.raises(BadInput, match="curate again with these settings"):
        sensitivity.sweep(run, (*CHAIN[:-1], quota.Config(most=10)))
    with pytest.raises(BadInput, match="no column"):
        sensitivity.sweep(run, (length.Config(), *CHAIN, _contamination()))


def _contamination():
    from skyloom.reward.decide import contamination

    return contamination.Config()


def test_altered_rows_are_counted(tmp_path, plugin_dir):
    """A decider that weighs: its constant moves no row and alters many."""
    (plugin_dir / "reward" / "decide").mkdir()
    (plugin_dir / "reward" / "decide" / "weigh.py").write_text(WEIGH)
    from skyloom.core import registry

    weigh = registry.load("reward.decide", "weigh")
    chain = (find_scores.Config(), weigh.Config())
    folder = curated(tmp_path / "run", replace(CONFIG, curate=chain))
    found = sensitivity.sweep(folder, chain)
    assert {(each.gained, each.lost) for each in found.changes} == {(0, 0)}
    assert {each.altered for each in found.changes} == {found.kept}


def test_the_files_are_read_back_and_the_report_shows_them(run, found):
    folder = sensitivity.write(run, found)
    assert pl.read_parquet(folder / "sensitivity.parquet").schema == pl.Schema(sensitivity.ROWS)
    told = json.loads((folder / "sensitivity.json").read_text())
    assert (told["kept"], len(told["changes"])) == (found.kept, len(found.changes))
    assert read_tables(folder) == sensitivity.tables(found)
    assert read_plots(folder) == sensitivity.plots(found)
    page = render(run).read_text()
    assert "Sensitivity to hand-made constants" in page
    assert "top_k.shares.world-sum" in page


WEIGH = '''"""weigh: a decider that a test dropped in."""

from dataclasses import dataclass

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

READS = ("scores.mean",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    factor: float = 0.5


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    return pl.DataFrame({"action": ["keep"] * ledger_N.height, "weight": [config.factor] * ledger_N.height})
'''
