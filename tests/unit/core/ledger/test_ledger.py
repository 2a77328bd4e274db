import json

import numpy as np
import polars as pl
import pytest

import toys
from skyloom.core import registry, store
from skyloom.core.config import Config as BaseConfig
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.ledger import collect, curate, diff, retract, why
from skyloom.core.ledger import rows as rows_module
from skyloom.core.ledger.curate import descendants, read_decisions, read_kept
from skyloom.core.ledger.query import retractions
from skyloom.core.records import Reject
from skyloom.core.run import open_run


@pytest.fixture
def make(plugin_dir):
    toys.write(plugin_dir)
    registry._scan.cache_clear()

    def config(kind, name, **values):
        return registry.load(f"reward.{kind}", name).Config(**values)

    return config


def run_loop(make, path, most=10, count=2, log=""):
    source = make("sources", "numbers", count=count)
    chain = (
        make("annotate", "size", log=log),
        make("decide", "short", least=6),
        make("annotate", "standing"),
        make("decide", "top", most=most),
    )
    with open_run("toy", BaseConfig(), path, seed=0) as run:
        rows = run.step("collect", lambda out: collect([source], toys.Row, out), config=source)
        gone = retractions(path)

        def work(out):
            retracted = gone[0] if gone else None
            curate([rows], chain, out, run.cache, defects={"bad": ["not_top"]}, retractions=retracted)

        run.step("curate", work, config=chain, inputs=(rows, *gone))
    return path


def test_kept_plus_dropped_is_the_input_and_every_verdict_is_stored(make, tmp_path):
    path = run_loop(make, tmp_path / "a")
    decisions, kept = read_decisions(path / "curate"), read_kept(path / "curate")
    assert decisions.height == 60
    assert kept.height == decisions["kept"].sum() == 10
    assert kept["row"].to_list() == decisions.filter("kept")["row"].to_list()
    assert decisions.filter(~pl.col("kept"))["reason"].is_null().sum() == 0
    waterfall = json.loads((path / "curate" / "waterfall.json").read_text())
    assert waterfall["rows_in"] - sum(step["dropped"] for step in waterfall["steps"]) == waterfall["kept"] == 10
    assert {step["step"]: step["reasons"] for step in waterfall["steps"]} == {
        "short": {"short": 30},
        "top": {"not_top": 20},
    }
    assert kept["weight"].to_list().count(2.0) == 3
    assert "| numbers | MIT | train | 60 | 0 | 10 |" in (path / "curate" / "card.md").read_text()


def test_a_fit_annotator_sees_only_the_rows_still_alive(make, tmp_path):
    path = run_loop(make, tmp_path / "a")
    ranks = pl.read_parquet(path / "curate" / "columns" / "02-standing.parquet")["standing.rank"]
    short = pl.read_parquet(path / "curate" / "verdicts" / "00-short.parquet")["short.reason"].is_not_null()
    assert ranks.is_null().to_list() == short.to_list()
    assert sorted(ranks.drop_nulls()) == list(range(1, 31))


def test_changing_a_threshold_runs_no_annotator_again(make, tmp_path):
    log = tmp_path / "log"
    run_loop(make, tmp_path / "a", log=str(log))
    assert log.read_text().split() == ["30", "30"]
    run_loop(make, tmp_path / "b", most=5, log=str(log))
    assert log.read_text().split() == ["30", "30"]


def test_editing_one_row_annotates_one_part_again(make, tmp_path):
    log = tmp_path / "log"
    for name, text in (("a", "one"), ("b", "two")):
        for k, content in enumerate(("fixed row", text)):
            store.write_jsonl(
                tmp_path / f"{k}.jsonl", [{"text": f"{content} {n}", "score": n, "kind": "x"} for n in range(9)]
            )
        sources = [make("sources", "numbers", label=f"s{k}", path=tmp_path / f"{k}.jsonl") for k in range(2)]
        out = tmp_path / name
        collect(sources, toys.Row, out / "collect")
        chain = (make("annotate", "size", log=str(log)), make("decide", "short"))
        curate([out / "collect"], chain, out / "curate", tmp_path / "cache")
    assert log.read_text().split() == ["9"] * 3


def test_why_tells_the_whole_trail(make, tmp_path):
    path = run_loop(make, tmp_path / "a")
    trail = why(path, "numbers:1:2")
    assert trail.record["text"] == "row 7"
    assert trail.facts == {"size.chars": 5, "standing.rank": None}
    assert [tuple(ruling) for ruling in trail.rulings] == [("short", "drop", "short"), ("top", "keep", None)]
    assert not trail.kept
    assert trail.decision["reason"] == "short"
    assert trail.truth == {"truth.bad": False}
    kept = read_kept(path / "curate")["row"][0]
    assert why(path, str(kept)).kept
    for wrong, told in [
        ("nobody:0:1", "unknown source 'nobody'; known: numbers"),
        ("x", "write label:shard:ordinal"),
        ("numbers:0:99", "not in"),
    ]:
        with pytest.raises(BadInput, match=told):
            why(path, wrong)


def test_diff_names_the_reason_of_the_run_that_drops(make, tmp_path):
    a, b = run_loop(make, tmp_path / "a", most=10), run_loop(make, tmp_path / "b", most=7, count=3)
    found = diff(a, b)
    kept_a, kept_b = (set(read_kept(path / "curate")["row"]) for path in (a, b))
    assert {row.row for row in found if row.change == "lost"} == kept_a - kept_b
    assert {row.row for row in found if row.change == "gained"} == kept_b - kept_a
    assert {row.reason for row in found if row.change == "lost"} == {"not_top"}
    assert "not collected" in {row.reason for row in found if row.change == "gained"}
    assert diff(a, a) == ()


def test_retract_drops_the_row_in_the_next_run(make, tmp_path):
    path = run_loop(make, tmp_path / "a")
    row = rows_module.show_row(read_kept(path / "curate")["row"][0], rows_module.read_sources([path / "collect"]))
    assert retract(path, row).kept == (row,)
    assert run_loop(make, path) == path
    assert why(path, row).kept  # asking changes nothing
    retract(path, row, apply=True)
    run_loop(make, path)
    after = why(path, row)
    assert not after.kept
    assert after.decision["reason"] == "retracted"


def test_descendants_follow_edges_through_generations():
    edges = pl.DataFrame({"child": [2, 3, 4, 9], "parent": [1, 2, 3, 8]})
    assert descendants({1}, edges) == {1, 2, 3, 4}
    assert descendants({5}, edges) == {5}


def test_bad_rows_are_counted_and_listed(make, tmp_path):
    rows = [{"text": "fine text", "score": 1, "kind": "x"}, {"text": "", "score": 1, "kind": "x"}, {"score": 1}]
    store.write_jsonl(tmp_path / "in.jsonl", [*rows, *rows[:1] * 3])
    source = make("sources", "numbers", path=tmp_path / "in.jsonl")
    (report,) = collect([source], toys.Row, tmp_path / "out")
    assert (report.rows, report.rejected) == (4, 2)
    assert report.reject_reasons == {"text: empty text": 1, "text: missing": 1}
    listed = [Reject(**raw.data) for raw in store.read_json_rows(tmp_path / "out" / "rejects.jsonl")]
    assert listed[0] == Reject(str(tmp_path / "in.jsonl"), 2, "text", "empty text")


def test_a_source_without_usable_rows_a_test_split_and_a_double_label_are_refused(make, tmp_path):
    store.write_jsonl(tmp_path / "bad.jsonl", [{"x": 1}])
    with pytest.raises(BadInput, match=r"no usable row, 1 rejected; first: .*bad.jsonl: row 1: text: missing"):
        collect([make("sources", "numbers", path=tmp_path / "bad.jsonl")], toys.Row, tmp_path / "o1")
    store.write_jsonl(tmp_path / "test.jsonl", [{"text": "t", "score": 1, "kind": "x"}])
    with pytest.raises(BadInput, match="is a test split"):
        collect([make("sources", "numbers", path=tmp_path / "test.jsonl")], toys.Row, tmp_path / "o2")
    (report,) = collect(
        [make("sources", "numbers", path=tmp_path / "test.jsonl", as_train=True)], toys.Row, tmp_path / "o3"
    )
    assert report.as_train
    with pytest.raises(BadInput, match="stands twice"):
        collect([make("sources", "numbers")] * 2, toys.Row, tmp_path / "o4")


def test_a_decider_that_breaks_its_contract_is_named(make, tmp_path, plugin_dir):
    (plugin_dir / "reward" / "decide" / "silent.py").write_text(
        '"""Drops without a reason."""\nfrom dataclasses import dataclass\nimport polars as pl\n'
        "from skyloom.core.ledger import DeciderConfig\nREADS = ()\n"
        "@dataclass(frozen=True, kw_only=True, slots=True)\nclass Config(DeciderConfig):\n    pass\n"
        'def decide(ledger_N, config):\n    return ledger_N.select(pl.lit("drop").alias("action"), "row").drop("row")\n'
    )
    registry._scan.cache_clear()
    collect([make("sources", "numbers")], toys.Row, tmp_path / "c")
    with pytest.raises(FailedWork, match=r"decider silent: (changed 30 rows without a reason|returned 1 rows of 30)"):
        curate([tmp_path / "c"], (make("decide", "silent"),), tmp_path / "o", tmp_path / "cache")


def test_planted_truth_is_compared_with_what_was_found(make, tmp_path):
    path = run_loop(make, tmp_path / "a")
    (row,) = json.loads((path / "curate" / "truth.json").read_text())
    assert row["defect"] == "bad"
    assert row["planted"] == 12
    assert 0 < row["hits"] <= min(row["planted"], row["found"])


def test_a_decider_limited_to_sources_sees_and_judges_those_alone():
    from skyloom.core.ledger.decide import run_decider
    from skyloom.reward.decide import quota

    ledger = pl.DataFrame(
        {
            "row": [0, 1, 2, 3],
            "source": pl.Series(["a", "b", "a", "b"], dtype=pl.Categorical),
            "scores.category": pl.Series(["x"] * 4, dtype=pl.Categorical),
            "scores.mean": [0.1, 0.2, 0.3, 0.4],
        }
    )
    alive = np.ones(4, bool)
    everywhere = run_decider(quota.Config(most=1), ledger.select, alive)
    assert everywhere.reason_N.is_not_null().to_list() == [True, True, True, False]
    scoped = run_decider(quota.Config(most=1, sources=("a",)), ledger.select, alive)
    assert scoped.reason_N.cast(pl.String).to_list() == ["over_quota", None, None, None]
    assert scoped.action_N.tolist() == [1, 0, 0, 0]
    with pytest.raises(BadInput, match="no source 'c'; known: a, b"):
        run_decider(quota.Config(sources=("c",)), ledger.select, alive)


def test_a_fit_sees_rows_as_the_deciders_before_it_left_them(tmp_path):
    """Living rows only, flipped and repaired; the columns of the others are null, and another standing is another cache entry."""
    from skyloom.core.ledger.curate import read_decisions
    from skyloom.reward.annotate import control_tokens as find
    from skyloom.reward.annotate import exact_duplicates
    from skyloom.reward.decide import control_tokens, duplicates
    from skyloom.reward.pipeline import mend
    from skyloom.reward.records import Pair
    from skyloom.reward.sources import pairs_file

    file = tmp_path / "pairs.jsonl"
    rows = [("P", "a", "b"), ("P", "a", "b <im_start> user"), ("Q", "a", "<im_start>"), ("R", "a", "b")]
    file.write_text("".join(json.dumps({"prompt": p, "chosen": c, "rejected": r}) + "\n" for p, c, r in rows))
    collect([pairs_file.Config(path=file)], Pair, tmp_path / "c")
    repaired = (find.Config(), control_tokens.Config())
    copies = (exact_duplicates.Config(), duplicates.Config())
    for name, chain, kept in (("raw", copies, 4), ("mended", (*repaired, *copies), 2)):
        curate([tmp_path / "c"], chain, tmp_path / name, tmp_path / "cache", mend=mend)
        assert int(read_decisions(tmp_path / name)["kept"].sum()) == kept
    clusters = pl.read_parquet(tmp_path / "mended" / "columns" / "02-exact_duplicates.parquet")
    assert clusters["duplicates.cluster"].to_list() == [0, 0, None, 2]
