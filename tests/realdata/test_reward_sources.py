"""The adapters on the real files: every row is a pair or a reject with its reason."""

from collections import Counter

import pytest

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.ledger.rows import collect
from skyloom.core.records import Raw
from skyloom.reward.records import Pair
from skyloom.reward.sources import hh_rlhf, pairs_file, rmb


def read(source, config):
    pairs, reasons = [], Counter()
    for raw in source.rows(config, 0):
        assert isinstance(raw, Raw), raw
        try:
            pairs.append(source.to_record(raw.data))
        except BadRow as error:
            reasons[f"{error.field}: {error.reason}"] += 1
    return pairs, reasons


def test_hh_rlhf(real_data, tmp_path):
    folder = real_data / "pref" / "hh_rlhf"
    pairs, reasons = read(hh_rlhf, hh_rlhf.Config(path=folder))
    assert len(pairs) + sum(reasons.values()) == 2312
    assert reasons["rejected: differs from chosen before the last assistant turn"] == 5
    assert reasons["chosen: empty"] == 4
    role_order = sum(count for reason, count in reasons.items() if "role order" in reason)
    assert sum(reasons.values()) == 9 + role_order
    assert 0 < role_order <= 8
    assert all(pair.prompt[-1].role == "user" for pair in pairs)
    with pytest.raises(BadInput, match="--as-train"):
        collect([hh_rlhf.Config(path=folder)], Pair, tmp_path)


def test_rmb(real_data):
    pairs, reasons = read(rmb, rmb.Config(path=real_data / "pref" / "rmb"))
    assert len(pairs) + sum(reasons.values()) == 14_543
    assert reasons["rejected: identical to chosen"] >= 11
    assert sum(reasons.values()) < 40
    assert sum(len(pair.prompt) > 1 for pair in pairs) == pytest.approx(2036, abs=40)


def test_a_dpo_demo_file_reads_as_a_generic_pairs_file(real_data):
    pairs, reasons = read(pairs_file, pairs_file.Config(path=real_data / "pref" / "demo" / "dpo_en_demo.json"))
    assert len(pairs) + sum(reasons.values()) == 300
    assert len(pairs) >= 290
