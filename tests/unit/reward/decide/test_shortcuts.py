"""The shortcut decider: stop with evidence, drop a source, or only say so."""

import numpy as np
import polars as pl
import pytest

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import run_decider
from skyloom.reward.decide import shortcuts


def ledger(*rows):
    """(source, alarm, alive) each."""
    columns = {"source": [r[0] for r in rows], "alive": [r[2] for r in rows], "row": list(range(len(rows)))}
    feature = ["<im_start>" if r[1] else None for r in rows]
    evidence = [
        "'<im_start>' in the rejected side alone in 9 of 9 pairs" if r[1] else "no feature differs" for r in rows
    ]
    facts = {"shortcuts.alarm": [r[1] for r in rows], "shortcuts.feature": feature, "shortcuts.evidence": evidence}
    return pl.DataFrame({**columns, **facts}, schema_overrides={"shortcuts.alarm": pl.Boolean})


MIXED = ledger(("ultra", True, True), ("ultra", True, False), ("rmb", False, True))


def test_stop_names_source_feature_counts_and_remedy():
    with pytest.raises(BadInput) as caught:
        shortcuts.decide(MIXED, shortcuts.Config())
    told = str(caught.value)
    for part in ("source ultra", "'<im_start>'", "9 of 9 pairs", "control_tokens", "drop or keep for ultra"):
        assert part in told
    assert "rmb" not in told
    assert "\n" not in told


def test_every_alarmed_source_is_named_once():
    with pytest.raises(BadInput) as caught:
        shortcuts.decide(ledger(("b", True, True), ("a", True, True), ("b", True, True)), shortcuts.Config())
    assert str(caught.value).count("source b") == str(caught.value).count("source a") == 1


def test_stop_passes_where_nothing_living_alarms():
    answer = shortcuts.decide(ledger(("ultra", True, False), ("rmb", False, True)), shortcuts.Config())
    assert answer["action"].to_list() == ["keep", "keep"]
    assert answer["reason"].to_list() == [None, None]


@pytest.mark.parametrize(("action", "taken"), [("drop", "drop"), ("keep", "keep")])
def test_drop_and_keep_give_the_reason(action, taken):
    answer = shortcuts.decide(MIXED, shortcuts.Config(action=action))
    assert answer["reason"].to_list() == ["shortcut", None, None]
    assert answer["action"].to_list() == [taken, "keep", "keep"]


def test_the_unannotated_are_not_kept_unseen():
    for action in ("stop", "drop", "keep"):
        answer = shortcuts.decide(ledger(("x", None, True), ("x", None, False)), shortcuts.Config(action=action))
        assert answer.rows() == [("drop", "unannotated"), ("keep", None)]


def test_a_source_can_be_accepted_alone():
    def read(names):
        return MIXED.select(names)

    with pytest.raises(BadInput, match="source ultra"):
        run_decider(shortcuts.Config(sources=("ultra",)), read, np.array([True, True, True]))
    verdict = run_decider(shortcuts.Config(sources=("rmb",)), read, np.array([True, True, True]))
    assert verdict.action_N.tolist() == [0, 0, 0]
