"""The adapters on the real files: every row is a pair or a reject with its reason, in the counts that the files hold."""

from collections import Counter

import pytest

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.ledger.rows import collect
from skyloom.core.records import Raw
from skyloom.reward.records import Pair
from skyloom.reward.sources import alpaca_eval, finegrained_qa, hh_rlhf, pairs_file, rmb


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
    assert len(pairs) == 2312 - 13
    assert reasons == {
        "rejected: differs from chosen before the last assistant turn": 5,
        "chosen: empty": 4,
        "prompt: role order broken: user and assistant must take turns, the user first": 4,
    }
    assert all(pair.prompt[-1].role == "user" for pair in pairs)
    with pytest.raises(BadInput, match="--as-train"):
        collect([hh_rlhf.Config(path=folder)], Pair, tmp_path)


def test_rmb(real_data):
    pairs, reasons = read(rmb, rmb.Config(path=real_data / "pref" / "rmb"))
    assert len(pairs) + sum(reasons.values()) == 14_543
    assert reasons == {
        "rejected: identical to chosen": 14,  # 11 to the letter, three but for blanks at their ends
        "conversation_input.content: empty text": 5,
        "reject.answer: empty text": 2,
    }
    assert sum(len(pair.prompt) > 1 for pair in pairs) == 2036 - 5  # the five empty turns stand in longer conversations


def test_alpaca_eval(real_data, tmp_path):
    folder = real_data / "pref" / "alpaca_eval_weighted"
    pairs, reasons = read(alpaca_eval, alpaca_eval.Config(path=folder))
    assert len(pairs) + sum(reasons.values()) == 26_674
    assert reasons == {
        "output_2: identical to output_1": 534,  # 533 to the letter, one but for blanks at its ends
        "preference: 1.5: no winner": 7,
        "output_2: empty text": 13,
    }
    assert len(pairs) == 26_120
    baseline = sum(pair.scores[0] > pair.scores[1] for pair in pairs)
    assert baseline == 23_188, "the baseline stands first and wins 89%"
    named_first = sum(pair.origin.startswith("gpt4_1106_preview |") for pair in pairs)
    assert named_first / len(pairs) == pytest.approx(0.5, abs=0.015)
    assert len({pair.prompt for pair in pairs}) == 460
    assert all(pair.confidence is not None and pair.confidence > 0.5 for pair in pairs)
    with pytest.raises(BadInput, match="--as-train"):
        collect([alpaca_eval.Config(path=folder)], Pair, tmp_path)


def test_finegrained_qa(real_data, tmp_path):
    path = real_data / "pref" / "finegrained_qa" / "dev_feedback.json"
    pairs, reasons = read(finegrained_qa, finegrained_qa.Config(path=path))
    assert len(pairs) == 1577 + 1039
    assert reasons == {"preference: 0: a tie": 384}
    with pytest.raises(BadInput, match="--as-train"):
        collect([finegrained_qa.Config(path=path)], Pair, tmp_path)


def test_a_dpo_demo_file_reads_as_a_generic_pairs_file(real_data):
    pairs, reasons = read(pairs_file, pairs_file.Config(path=real_data / "pref" / "demo" / "dpo_en_demo.json"))
    assert len(pairs) + sum(reasons.values()) == 300
    assert len(pairs) >= 290
