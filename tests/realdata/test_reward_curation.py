"""Curation on the real sets: what is known to be wrong with them must surface, and what is sound must be left alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from skyloom.core.ledger.curate import curate, read_decisions
from skyloom.core.ledger.rows import collect
from skyloom.core.stats import wilson
from skyloom.reward.annotate import control_tokens, exact_duplicates, near_duplicates, refusal, shortcuts
from skyloom.reward.decide import duplicates as drop_duplicates
from skyloom.reward.decide import near_duplicates as drop_near
from skyloom.reward.records import Pair
from skyloom.reward.sources import alpaca_eval, finegrained_qa, hh_rlhf

JUDGED: tuple[str, ...] = (
    "alpaca-7b",
    "claude-2",
    "falcon-40b-instruct",
    "gpt-3.5-turbo-1106",
    "gpt4_1106_preview",
    "phi-2",
)
"""Files of AlpacaEval, one tested model each; gpt4_1106_preview is the baseline against itself."""
CHAIN = (
    refusal.Config(),
    control_tokens.Config(),
    shortcuts.Config(),
    exact_duplicates.Config(),
    near_duplicates.Config(),
    drop_duplicates.Config(),
    drop_near.Config(),
)


class Curation(NamedTuple):
    rows: pl.DataFrame
    """Records, annotations and decisions."""
    rejects: Mapping[str, Mapping[str, int]]
    """Source -> reason -> rows."""

    def of(self, source: str) -> pl.DataFrame:
        return self.rows.filter(pl.col("source") == source)


@pytest.fixture(scope="module")
def curation(real_data: Path, tmp_path_factory) -> Curation:
    folder = tmp_path_factory.mktemp("curation")
    annotations = folder / "annotations"
    annotations.mkdir()
    for name in JUDGED:
        (annotations / f"{name}.json.gz").symlink_to(real_data / "pref" / "alpaca_eval_weighted" / f"{name}.json.gz")
    sources = (
        alpaca_eval.Config(path=annotations, as_train=True),
        finegrained_qa.Config(path=real_data / "pref" / "finegrained_qa", as_train=True),
        hh_rlhf.Config(path=real_data / "pref" / "hh_rlhf", as_train=True),
    )
    reports = collect(sources, Pair, folder / "collected")
    curate([folder / "collected"], CHAIN, folder / "curated", folder / "cache")
    columns = [pl.read_parquet(file) for file in sorted((folder / "curated" / "columns").glob("*.parquet"))]
    records = pl.concat([pl.read_parquet(file) for file in sorted((folder / "collected" / "rows").glob("*.parquet"))])
    facts = pl.concat(columns, how="horizontal").with_columns(pl.col("source").cast(pl.String))
    rows = facts.join(records.select("row", "chosen", "rejected", "scores"), on="row", validate="1:1")
    rows = rows.join(read_decisions(folder / "curated").select("row", "kept", "reason"), on="row", validate="1:1")
    return Curation(rows, {report.label: report.reject_reasons for report in reports})


def test_the_baseline_against_itself_is_rejected(curation):
    assert curation.rejects["alpaca_eval"]["output_2: identical to output_1"] >= 460
    assert curation.rejects["finegrained_qa"] == {"preference: 0: a tie": 384}
    assert sum(curation.rejects["hh_rlhf"].values()) == 13


def test_alpaca_eval_is_won_by_length_and_by_place(curation):
    rows = curation.of("alpaca_eval")
    alarm, feature, auc, evidence = rows.select(
        "shortcuts.alarm", "shortcuts.feature", "shortcuts.auc", "shortcuts.evidence"
    ).row(0)
    assert alarm, evidence
    assert auc > 0.85, evidence
    assert feature is not None
    assert "more characters in the chosen side" in evidence
    longer = (rows["chosen"].str.len_chars() > rows["rejected"].str.len_chars()).sum()
    assert wilson(longer, rows.height).low > 0.8
    first = (rows["scores"].list.get(0) > rows["scores"].list.get(1)).sum()
    assert wilson(first, rows.height).low > 0.9, "the baseline stands first and wins"


def test_people_s_labels_raise_no_alarm(curation):
    for source in ("finegrained_qa", "hh_rlhf"):
        alarm, feature, evidence = (
            curation.of(source).select("shortcuts.alarm", "shortcuts.feature", "shortcuts.evidence").row(0)
        )
        assert (alarm, feature) == (False, None), evidence


def test_hh_rlhf_holds_no_near_copy_and_prefers_refusals(curation):
    rows = curation.of("hh_rlhf")
    assert rows["reason"].is_null().all()
    only = rows.select(
        chosen=(pl.col("refusal.chosen") & ~pl.col("refusal.rejected")).sum(),
        rejected=(~pl.col("refusal.chosen") & pl.col("refusal.rejected")).sum(),
    )
    assert only["chosen"].item() > 2 * only["rejected"].item() > 0


def test_whatever_is_called_a_near_copy_shares_its_question(curation):
    """No drop crosses two sources, and the row that is named as the earlier one is there."""
    near = curation.rows.filter(pl.col("near.like").is_not_null())
    assert near.height > 0
    earlier = near.join(
        curation.rows, left_on="near.like", right_on="row", suffix="_like", how="left", maintain_order="left"
    )
    assert earlier["source"].to_list() == earlier["source_like"].to_list()
    assert earlier["near.prompt_cluster"].to_list() == earlier["near.prompt_cluster_like"].to_list()


def test_four_answers_to_one_question_are_no_near_copies(curation):
    """Each question's six pairs share their passages and, two by two, a side: that alone makes no copy."""
    rows = curation.of("finegrained_qa")
    assert rows["reason"].is_not_null().sum() < 0.25 * rows.height


def test_a_placeholder_in_code_is_no_control_token(curation):
    assert curation.rows.select(pl.col("^control\\.(prompt|chosen|rejected)$").sum()).row(0) == (0, 0, 0)
