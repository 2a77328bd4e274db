"""The file readers of preference data: each schema, each kind of bad row, test splits."""

import gzip
import json

import polars as pl
import pytest

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.ledger.rows import collect
from skyloom.core.records import Message
from skyloom.reward.records import Pair
from skyloom.reward.sources import hh_rlhf, pairs_file, rmb, skywork_80k
from skyloom.reward.sources._files import is_test_name


def turns(*texts):
    return [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(texts)]


def hh(*texts):
    return "".join(f"\n\n{('Human', 'Assistant')[k % 2]}: {text}" for k, text in enumerate(texts))


def test_hh_prompt_is_what_stands_before_the_last_assistant_turn():
    made = hh_rlhf.to_record(
        {"chosen": hh("a", "b", "c\n\nHumans: x", "d"), "rejected": hh("a", "b", "c\n\nHumans: x", "e")}
    )
    assert [turn.content for turn in made.prompt] == ["a", "b", "c\n\nHumans: x"]
    assert (made.chosen, made.rejected) == ("d", "e")


@pytest.mark.parametrize(
    ("chosen", "rejected", "field"),
    [
        (hh("a", "b"), hh("x", "c"), "rejected"),  # differs before the last turn
        (hh("a", "b", "c", "d"), hh("a", "b"), "rejected"),
        (hh("a", "b"), hh("a", "b"), "rejected"),  # identical
        (hh("a", ""), hh("a", "b"), "chosen"),  # empty
        (hh("a", "b", "c"), hh("a", "b"), "chosen"),  # ends with a question
        ("Human: a", hh("a", "b"), "chosen"),
        (hh("a") + "\n\nAssistant: b\n\nAssistant: c", hh("a") + "\n\nAssistant: b\n\nAssistant: d", "prompt"),
        (None, hh("a", "b"), "chosen"),
    ],
)
def test_hh_refuses_what_is_no_pair(chosen, rejected, field):
    with pytest.raises(BadRow) as error:
        hh_rlhf.to_record({"chosen": chosen, "rejected": rejected})
    assert error.value.field == field


def test_a_test_file_is_refused_unless_asked_for(tmp_path):
    file = tmp_path / "harmless-base-test.jsonl.gz"
    rows = [{"chosen": hh("a", "b"), "rejected": hh("a", "c")}, {"chosen": hh("a", "b"), "rejected": hh("a", "b")}]
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    with pytest.raises(BadInput, match="--as-train"):
        collect([hh_rlhf.Config(path=tmp_path)], Pair, tmp_path / "out")
    (report,) = collect([hh_rlhf.Config(path=tmp_path, as_train=True)], Pair, tmp_path / "out")
    assert (report.rows, report.rejected, report.as_train, report.split) == (1, 1, True, "test")
    assert report.reject_reasons == {"rejected: identical to chosen": 1}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("harmless-base-test.jsonl", True), ("test.jsonl", True), ("latest.jsonl", False), ("pairs_eval.json", True)],
)
def test_test_splits_are_known_by_a_word_of_their_name(tmp_path, name, expected):
    assert is_test_name([tmp_path / name]) is expected


def test_rmb_reads_names_with_spaces_and_leaves_best_of_n_out(tmp_path):
    row = rmb.EXAMPLE[0]
    for folder in ("Pairwise_set/Open QA", "BoN_set/Open QA"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "Two Words.json.gz").write_bytes(gzip.compress(json.dumps([row, row]).encode()))
    found = list(rmb.rows(rmb.Config(path=tmp_path), 0))
    assert len(found) == 2
    assert "Pairwise_set" in found[0].file
    assert rmb.split(rmb.Config(path=tmp_path)) == "test"
    with pytest.raises(BadInput, match="best-of-n"):
        rmb.inputs(rmb.Config(path=tmp_path / "BoN_set"))


def test_rmb_names_the_nested_field():
    bad = {**rmb.EXAMPLE[0], "reject": {"llm_name": "b", "answer": ""}}
    with pytest.raises(BadRow) as error:
        rmb.to_record(bad)
    assert error.value.field == "reject.answer"


def test_pairs_file_takes_every_form():
    prompt = Message(role="user", content="Q")
    forms = (
        {"prompt": "Q", "chosen": "a", "rejected": "b"},
        {"prompt": turns("Q"), "chosen": turns("Q", "a"), "rejected": turns("Q", "b")},
        {"chosen": turns("Q", "a"), "rejected": turns("Q", "b"), "source": None},
        {"conversations": [{"from": "human", "value": "Q"}], "chosen": {"from": "gpt", "value": "a"}, "rejected": "b"},
        {"messages": turns("Q", "a"), "chosen": turns("Q", "a"), "rejected": turns("Q", "b")},
    )
    for form in forms:
        assert pairs_file.to_record(form) == Pair(prompt=(prompt,), chosen="a", rejected="b")


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"chosen": "a", "rejected": "b"}, "prompt"),
        ({"prompt": "Q", "chosen": turns("X", "a"), "rejected": "b"}, "chosen"),
        ({"prompt": "Q", "chosen": turns("Q"), "rejected": "b"}, "chosen"),
        ({"chosen": turns("Q", "a"), "rejected": turns("P", "b")}, "rejected"),
        ({"prompt": "Q", "chosen": [{"role": "user"}], "rejected": "b"}, "chosen.content"),
        ({"prompt": "Q", "chosen": "a", "rejected": "b", "score_chosen": "high"}, "score_chosen"),
    ],
)
def test_pairs_file_names_the_bad_field(raw, field):
    with pytest.raises(BadRow) as error:
        pairs_file.to_record(raw)
    assert error.value.field == field


def test_pairs_file_reads_parquet_and_stops_at_max_rows(tmp_path):
    rows = [{"chosen": turns("Q", f"a{k}"), "rejected": turns("Q", "b"), "source": "s"} for k in range(5)]
    pl.DataFrame(rows).write_parquet(tmp_path / "pairs.parquet")
    config = pairs_file.Config(path=tmp_path / "pairs.parquet", max_rows=3)
    made = [pairs_file.to_record(raw.data) for raw in pairs_file.rows(config, 0)]
    assert [each.chosen for each in made] == ["a0", "a1", "a2"]
    assert made[0].origin == "s"


def test_skywork_keeps_the_runaway_turns_of_the_longer_side_visible():
    raw, expected = skywork_80k.EXAMPLE
    assert skywork_80k.to_record(raw) == expected
    swapped = {**raw, "chosen": raw["rejected"], "rejected": raw["chosen"]}
    assert skywork_80k.to_record(swapped).chosen == expected.rejected
    with pytest.raises(BadRow, match="before the last"):
        skywork_80k.to_record({**raw, "chosen": turns("Another question", "Blue.")})


def test_a_missing_path_is_told():
    with pytest.raises(BadInput, match="path is not set"):
        hh_rlhf.inputs(hh_rlhf.Config())
