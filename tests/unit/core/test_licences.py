"""Licence names and the data card's roll-up of them."""

import tomllib

import numpy as np
import polars as pl
import pytest

from skyloom.core import licences, registry
from skyloom.core.ledger.card import write_card
from skyloom.core.ledger.rows import SourceReport


def report(label, licence, **more):
    base = {"plugin": f"reward.sources/{label}", "number": 1, "split": "train", "as_train": False}
    return SourceReport(label=label, licence=licence, **base, rows=3, rejected=0, reject_reasons={}, **more)


@pytest.mark.parametrize(
    ("licence", "commercial", "mark"),
    [
        ("MIT", "yes", ""),
        ("Apache-2.0 (generated)", "yes", ""),
        ("CC-BY-NC-4.0", "no", "non-commercial"),
        ("Somebody's NC licence", "no", "non-commercial"),
        ("free for noncommercial research", "no", "non-commercial"),
        ("none stated", "unknown", "unknown"),
        ("MIT, contested (take-down notice of 2025): local use only", "unknown", "unknown"),
        ("ONCE", "unknown", "unknown"),
        ("", "unknown", "unknown"),
        ("Apache-2.0 and MIT", "yes", ""),
        ("MIT and none stated", "unknown", "unknown"),
        ("none stated and CC-BY-NC-4.0 and MIT", "no", "non-commercial"),
    ],
)
def test_what_a_licence_name_means(licence, commercial, mark):
    assert licences.terms(licence).commercial == commercial
    assert licences.mark(licence) == mark
    assert licences.mark(licence, gated=True) == (f"{mark}, gated" if mark else "gated")


def test_the_table_holds_nothing_but_the_three_words():
    table = tomllib.loads(licences.TABLE.read_text())
    assert {entry["commercial"] for entry in table.values()} <= set(licences.STRICTEST)
    assert all(entry["note"] and licences.terms(name).note == entry["note"] for name, entry in table.items())


@pytest.mark.parametrize("name", registry.names("reward.sources"))
def test_every_source_names_a_known_licence_or_says_that_it_knows_none(name):
    licence = registry.load("reward.sources", name).LICENCE
    assert licences.terms(licence).commercial in ("yes", "no") or licence in (
        "none stated",
        "mixed",
        "as stated by its owner",
    )


def test_the_card_rolls_kept_rows_up_by_licence(tmp_path):
    keys = pl.DataFrame(
        {
            "source": ["a", "a", "a", "b", "b", "c", "c", "d"],
            "licence": ["MIT", "CC-BY-NC-4.0", "MIT", "MIT", "MIT", "ODC-BY", "ODC-BY", "ODC-BY"],
        },
        schema_overrides={"source": pl.Categorical, "licence": pl.Categorical},
    )
    sources = [report("a", "mixed"), report("b", "MIT"), report("c", "ODC-BY", gated=True), report("d", "ODC-BY")]
    alive_N = np.array([True, True, True, True, False, True, True, True])
    write_card(tmp_path, sources, keys, alive_N, [])
    card = (tmp_path / "card.md").read_text()
    for line in (
        "7 rows kept of 8.",
        "| a | mixed | train | 3 | 0 | 3 |",
        "| c | ODC-BY, gated | train | 3 | 0 | 2 |",
        "| CC-BY-NC-4.0 | 1 | 14.3% | **non-commercial** | no |",
        "| MIT | 3 | 42.9% |  | yes |",
        "| ODC-BY | 1 | 14.3% |  | yes |",
        "| ODC-BY | 2 | 28.6% | **gated** | yes |",
    ):
        assert line in card
