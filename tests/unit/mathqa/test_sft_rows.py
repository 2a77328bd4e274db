"""Rows as tokens: every row is learnt, validated on, or counted with its stage and reason; and what ends a reply is known."""

from dataclasses import replace

import pytest

from skyloom.core.errors import BadInput
from skyloom.core.llm.backbones import load_tokenizer
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.llm.templates import PLAIN_TEMPLATE
from skyloom.core.records import row_key
from skyloom.mathqa.settings import TrainConfig
from skyloom.mathqa.sft_rows import Encoded, Example, examples_of, phases_of, prepare, split_rows, use_template

BACKBONE = BackboneConfig(hidden=32, layers=1, heads=2, vocab=320, max_length=40)
CONFIG = TrainConfig(backbone=BACKBONE, valid_share=0.3)


@pytest.fixture
def tokenizer():
    return load_tokenizer(BACKBONE, ["How many apples are there? Three. The answer is 0123456789"])


def asked(number, response="2\nThe answer is 2", **fields):
    return Example(f"{number} + 1?", response, 1.0, f"seed {number}", **fields)


def test_every_row_is_learnt_held_out_or_counted_with_its_reason(tokenizer):
    good = [asked(k, stage=1 + k % 2) for k in range(60)]
    bad = [
        asked(100, ""),
        asked(101, " \n\t", stage=2),
        asked(102, "9 " * 60, stage=2),
        asked(103, "9 " * 60),
        asked(104, "a <|end|> b"),
        asked(105)._replace(weight=0.0),
    ]
    rows = prepare([*good, *bad], tokenizer, CONFIG, 0)
    assert len(rows.learn) + len(rows.valid) == 60
    assert rows.left_out["stage 2"] == {"longer than 40 tokens": 1, "response of blanks": 1}
    assert set(rows.left_out["stage 1"]) == {
        "empty response",
        "longer than 40 tokens",
        "weight 0",
        "holds the tokenizer's special token '<|end|>' as text",
    }
    assert sum(sum(reasons.values()) for reasons in rows.left_out.values()) == len(bad)
    assert rows.cut == {}
    assert {row.stage for row in rows.valid} == {1, 2}


def test_cutting_keeps_the_question_and_says_how_many_lost_their_answer(tokenizer):
    long, hopeless = asked(7, "9 " * 60, stage=2), asked(8)._replace(question="9 " * 60)
    config = replace(CONFIG, over_long="cut")
    rows = prepare([*(asked(k) for k in range(20)), long, hopeless], tokenizer, config, 0)
    assert rows.cut == {"stage 2": 1}
    assert rows.left_out == {"stage 1": {"the question alone is longer than 40 tokens": 1}}
    (short,) = [row for row in (*rows.learn, *rows.valid) if row.stage == 2]
    assert len(short.ids) == len(short.learn) == 40
    assert tokenizer.decode(list(short.ids)).startswith("<|bos|><|user|>7 + 1?<|end|>")
    assert tokenizer.eos_token_id not in short.ids[-5:]


def test_refusing_names_the_row(tokenizer):
    rows = [asked(1), asked(2, "9 " * 60, name="world:0:7"), asked(3, "9 " * 60)]
    with pytest.raises(BadInput, match=r"world:0:7: \d+ tokens, more than max_length=40; set over_long"):
        prepare(rows, tokenizer, replace(CONFIG, over_long="refuse"), 0)
    with pytest.raises(BadInput, match="row 1: stage=3 must be 1 or 2"):
        prepare([asked(1, stage=3)], tokenizer, CONFIG, 0)


def test_rows_of_a_seed_stay_on_one_side():
    seeds = [f"s{k // 4}" for k in range(400)]
    learn, valid = split_rows(seeds, 0.2, 0)
    assert {seeds[k] for k in learn}.isdisjoint(seeds[k] for k in valid)
    assert sorted([*learn, *valid]) == list(range(400))
    assert 0 < len(valid) < 160
    assert list(split_rows([*seeds, "new"], 0.2, 0)[1][: len(valid)]) == list(valid), "a new seed moves no other"


def test_validation_rows_are_of_both_stages_in_proportion(tokenizer):
    config = replace(CONFIG, valid_share=0.5, valid_rows=20)
    rows = prepare([asked(k, stage=2 if k >= 180 else 1) for k in range(200)], tokenizer, config, 0)
    stages = [row.stage for row in rows.valid]
    assert 19 <= len(stages) <= 21
    assert 1 <= stages.count(2) <= 4


def encoded(stage, count):
    return [Encoded([stage, k], [False, True], 1.0, stage, f"{stage}:{k}") for k in range(count)]


@pytest.mark.parametrize(
    ("order", "names"), [("in_order", ["stage-1", "stage-2"]), ("reversed", ["stage-2", "stage-1"])]
)
def test_phases_come_in_order_and_the_second_repeats_its_share_of_the_first(order, names):
    rows = [*encoded(1, 20), *encoded(2, 10)]
    first, second = phases_of(rows, replace(CONFIG, order=order, replay=0.3), 0)
    assert [first.name, second.name] == names
    assert {f"stage-{row.stage}" for row in first.rows} == {names[0]}
    again = [row for row in second.rows if f"stage-{row.stage}" == names[0]]
    assert len(again) == len({row.name for row in again}) == round(0.3 * len(first.rows))
    assert len(second.rows) - len(again) == 30 - len(first.rows)
    plain = phases_of(rows, replace(CONFIG, order=order), 0)
    assert {row.stage for row in plain[1].rows} == {int(names[1][-1])}


def test_one_stage_alone_or_mixed_rows_are_one_phase():
    rows = [*encoded(1, 20), *encoded(2, 10)]
    assert [(phase.name, len(phase.rows)) for phase in phases_of(rows, replace(CONFIG, order="mixed"), 0)] == [("", 30)]
    for stage in (1, 2):
        assert [(phase.name, len(phase.rows)) for phase in phases_of(encoded(stage, 5), CONFIG, 0)] == [("", 5)]


def test_the_template_that_trains_is_the_one_that_is_kept(tokenizer):
    own = tokenizer.chat_template
    assert use_template(tokenizer, CONFIG) == tokenizer.eos_token_id
    assert tokenizer.chat_template == own
    use_template(tokenizer, replace(CONFIG, template="plain"))
    assert tokenizer.chat_template == PLAIN_TEMPLATE


def test_a_turn_may_end_otherwise_than_a_text(tokenizer):
    """As in Qwen2.5's base models, whose end of text is not what their chat template writes."""
    tokenizer.chat_template = tokenizer.chat_template.replace("eos_token", "'<|system|>'")
    assert use_template(tokenizer, CONFIG) == tokenizer.convert_tokens_to_ids("<|system|>")


def test_a_model_that_could_not_learn_to_stop_is_not_trained(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    with pytest.raises(BadInput, match="no end token behind a reply.*set template=plain"):
        use_template(tokenizer, CONFIG)
    tokenizer.eos_token = None
    with pytest.raises(BadInput, match="tokenizer: has no end token.*set eos_token"):
        use_template(tokenizer, CONFIG)


def test_rows_of_the_ledger_bring_stage_and_name():
    row = {"question": "a", "response": "b", "weight": 2.0, "seed": "s"}
    (bare,) = examples_of([row])
    assert (bare.stage, bare.name) == (1, "")
    (full,) = examples_of([{**row, "stage": 2, "row": row_key(5, 0, 17), "source": "normal.evol"}])
    assert (full.stage, full.name) == (2, "normal.evol:0:17")
