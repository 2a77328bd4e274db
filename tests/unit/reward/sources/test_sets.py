"""The public sets, one by one: schema-true rows become the right pair, and every kind of bad row is a counted reject that is named."""

import gzip
import json
import tempfile
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core import registry
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.ledger.rows import collect, read_sources
from skyloom.core.store import read_json_rows
from skyloom.reward.records import Pair
from skyloom.reward.sources import (
    alpaca_eval,
    finegrained_qa,
    helpsteer2,
    hh_rlhf,
    magpie_air,
    magpie_pro,
    magpie_pro31,
    magpie_ultra,
    offsetbias,
    pairs_file,
    rmb,
    skywork_80k,
    ultrafeedback,
    wildguardmix,
)
from skyloom.reward.sources._magpie import CATEGORIES

SOURCES = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        alpaca_eval,
        finegrained_qa,
        hh_rlhf,
        helpsteer2,
        magpie_air,
        magpie_pro,
        magpie_pro31,
        magpie_ultra,
        offsetbias,
        pairs_file,
        rmb,
        skywork_80k,
        ultrafeedback,
        wildguardmix,
    )
}


def file_rows(name):
    """Rows as the file of a source holds them, which make one pair or more."""
    module = SOURCES[name]
    if name == "helpsteer2":
        return [module.EXAMPLE[0]["first"], module.EXAMPLE[0]["second"]]
    if name == "wildguardmix":
        return [
            module.FILE_ROW,
            {**module.FILE_ROW, "response": "Take a thin wire.", "response_refusal_label": "compliance"},
        ]
    return [getattr(module, "FILE_ROW", module.EXAMPLE[0])]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def told(module, path, **config):
    """(pairs, rejects as (row, field, reason)) of a file."""
    pairs, rejects = [], []
    for raw in module.rows(module.Config(path=path, **config), 0):
        if not hasattr(raw, "data"):
            rejects.append((raw.row, raw.field, raw.reason))
            continue
        try:
            pairs.append(module.to_record(raw.data))
        except BadRow as error:
            rejects.append((raw.row, error.field, error.reason))
    return pairs, rejects


def turns(*texts):
    return [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(texts)]


# --- what holds for all of them ---


@pytest.mark.parametrize("name", SOURCES)
def test_rows_of_the_file_become_the_example_from_jsonl_gz_and_parquet(name, tmp_path):
    module, rows = SOURCES[name], file_rows(name)
    write(tmp_path / "train.jsonl", rows)
    write(tmp_path / "train.jsonl.gz", rows)
    (tmp_path / "train.json").write_text(json.dumps(rows))
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(tmp_path / "train.parquet")
    for suffix in ("jsonl", "jsonl.gz", "json", "parquet"):
        pairs, rejects = told(module, tmp_path / f"train.{suffix}")
        assert pairs[0] == module.EXAMPLE[1], suffix
        assert all(reason == "0: a tie" for _, _, reason in rejects), suffix


@pytest.mark.parametrize("name", SOURCES)
def test_unknown_columns_are_ignored_and_files_are_read_in_path_order(name, tmp_path):
    module = SOURCES[name]
    rows = [{**row, "surplus": {"a": [1]}} for row in file_rows(name)]
    for k in (2, 0, 1):
        write(tmp_path / "set" / f"part {k}.jsonl", rows)
    pairs, _ = told(module, tmp_path / "set")
    assert pairs.count(module.EXAMPLE[1]) == 3
    files = [path.name for path in module.inputs(module.Config(path=tmp_path / "set"))]
    assert files == sorted(files)


@pytest.mark.parametrize("name", SOURCES)
def test_a_file_with_other_columns_is_refused_by_name(name, tmp_path):
    write(tmp_path / "train.jsonl", [{"a": 1}] * 5)
    rejected = 3 if name == "helpsteer2" else 5  # two rows without a prompt are joined
    with pytest.raises(
        BadInput, match=rf"source {name}: no usable row, {rejected} rejected; first: .*row 1: \w+: missing"
    ):
        collect([SOURCES[name].Config(path=tmp_path, as_train=True)], Pair, tmp_path / "out")


@pytest.mark.parametrize("name", SOURCES)
def test_a_cut_gz_file_is_a_reject_and_loses_nothing_before_the_cut(name, tmp_path):
    rows = [
        {**row, "filler": "".join(chr(97 + (k * 7919 + j * j) % 26) for j in range(400))}
        for k in range(40)
        for row in file_rows(name)
    ]
    path = write(tmp_path / "train.jsonl.gz", rows)
    whole, _ = told(SOURCES[name], path)
    path.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 3])
    pairs, rejects = told(SOURCES[name], path)
    assert 0 < len(pairs) < len(whole)
    assert any("cut or damaged" in reason for _, _, reason in rejects)


@pytest.mark.parametrize("name", SOURCES)
def test_without_a_place_the_remedy_is_named(name):
    module = SOURCES[name]
    with pytest.raises(BadInput, match=f"source {name}: path is not set; give --data PATH") as error:
        module.inputs(module.Config())
    if hasattr(module, "HUB"):
        assert f"collect.{name}.hub={module.HUB.name}" in str(error.value)


BAD: list[tuple[str, dict, str, str]] = [
    ("offsetbias", {"label": 3}, "label", "expected 1 or 2, got 3"),
    ("offsetbias", {"label": "2"}, "label", "expected a number, got str"),
    ("offsetbias", {"output_1": " "}, "output_1", "empty text"),
    ("offsetbias", {"output_1": "Blue."}, "rejected", "identical to chosen"),
    ("offsetbias", {"instruction": None}, "instruction", "expected text, got NoneType"),
    ("helpsteer2", {"helpfulness": float("nan")}, "", "not valid JSON: NaN is not a JSON number"),
    ("helpsteer2", {"helpfulness": "4"}, "helpfulness", "expected a number, got str"),
    ("helpsteer2", {"response": ""}, "response", "empty text"),
    ("helpsteer2", {"response": "Green."}, "rejected", "identical to chosen"),
    ("magpie_ultra", {"score": "high"}, "score", "expected a number, got str"),
    ("magpie_ultra", {"score_base": None}, "score_base", "expected a number, got NoneType"),
    ("magpie_ultra", {"score_difference": 0.12}, "score_difference", "0.12 contradicts score 0.05 and score_base 0.17"),
    ("magpie_ultra", {"primary_tag": "Sewing"}, "primary_tag", "unknown category 'Sewing'"),
    ("magpie_ultra", {"response_base": ""}, "response_base", "empty text"),
    ("magpie_ultra", {"response": "4"}, "rejected", "identical to chosen"),
    ("magpie_pro", {"task_category": "Sewing"}, "task_category", "unknown category 'Sewing'"),
    ("magpie_pro", {"task_category": None}, "task_category", "expected text, got NoneType"),
    (
        "magpie_pro31",
        {"rewards_armorm": [0.1, "0.2", 0.1, 0.1, 0.1]},
        "rewards_armorm[1]",
        "expected a number, got str",
    ),
    ("magpie_air", {"rewards_armorm": [0.1]}, "rewards_armorm", "1 scores for 5 responses"),
    ("magpie_air", {"rewards_armorm": []}, "rewards_armorm", "empty list"),
    ("magpie_air", {"chosen": turns("Name a colour.")}, "rejected", "differs from chosen before the last turn"),
    ("magpie_air", {"chosen": [{"content": "x"}]}, "chosen.role", "missing"),
    ("magpie_air", {"rejected": turns("Name a colour.", "Blue.")}, "rejected", "identical to chosen"),
    ("skywork_80k", {"source": None}, "source", "expected text, got NoneType"),
    ("skywork_80k", {"chosen": [{"role": "judge", "content": "x"}]}, "chosen.role", "unknown role"),
    ("skywork_80k", {"chosen": turns("Name a colour.", "")}, "chosen.content", "empty text"),
    ("ultrafeedback", {"score_chosen": "8.5"}, "score_chosen", "expected a number, got str"),
    (
        "ultrafeedback",
        {"chosen": turns("Another one.", "Blue.")},
        "rejected",
        "differs from chosen before the last turn",
    ),
    ("ultrafeedback", {"chosen": turns("Name a colour.", "Seven.")}, "rejected", "identical to chosen"),
    ("ultrafeedback", {"rejected": turns("Name a colour.", "")}, "rejected.content", "empty text"),
    ("wildguardmix", {"adversarial": None}, "adversarial", "expected true or false, got None"),
    ("wildguardmix", {"prompt_harm_label": None}, "prompt_harm_label", "expected text, got NoneType"),
    ("wildguardmix", {"prompt_harm_label": "evil"}, "prompt_harm_label", "expected harmful or unharmful, got 'evil'"),
    ("wildguardmix", {"response_refusal_label": None}, "response_refusal_label", "expected text, got NoneType"),
    ("wildguardmix", {"response": None}, "response", wildguardmix.NO_RESPONSE),
    ("wildguardmix", {"response": ""}, "response", "empty text"),
    ("alpaca_eval", {"preference": None}, "preference", "null: no winner"),
    ("alpaca_eval", {"preference": 0}, "preference", "0: no winner"),
    ("alpaca_eval", {"preference": 1.5}, "preference", "1.5: no winner"),
    ("alpaca_eval", {"preference": 2.5}, "preference", "expected 1 to 2, got 2.5"),
    ("alpaca_eval", {"preference": "2"}, "preference", "expected a number, got str"),
    ("alpaca_eval", {"output_2": "Seven."}, "output_2", "identical to output_1"),
    ("alpaca_eval", {"output_2": ""}, "output_2", "empty text"),
    ("finegrained_qa", {"preference": [1, 2]}, "preference", "expected 6 numbers, got 2"),
    ("finegrained_qa", {"preference": [3, 0, 0, 0, 0, 0]}, "preference", "expected 0, 1 or 2, got 3"),
    ("finegrained_qa", {"preference": [None, 0, 0, 0, 0, 0]}, "preference", "expected a number, got NoneType"),
    ("finegrained_qa", {"prediction 2": "Blue."}, "rejected", "identical to chosen"),
    ("finegrained_qa", {"prediction 4": ""}, "prediction 4", "empty text"),
    ("finegrained_qa", {"passages": [["Sky", 3]]}, "passages", "expected text, got int"),
    ("finegrained_qa", {"passages": "Sky"}, "passages", "expected a list, got str"),
    ("pairs_file", {"score_chosen": "high"}, "score_chosen", "expected a number, got str"),
    ("pairs_file", {"chosen": ""}, "chosen", "empty text"),
    ("rmb", {"chosen": {"llm_name": "a"}}, "chosen.answer", "missing"),
    ("rmb", {"conversation_input": [{"content": "x"}]}, "conversation_input.role", "missing"),
]


@pytest.mark.parametrize(("name", "change", "field", "reason"), BAD, ids=[f"{b[0]}-{b[2]}-{b[3][:20]}" for b in BAD])
def test_a_bad_row_is_a_reject_with_its_field_and_reason(name, change, field, reason, tmp_path):
    rows = file_rows(name)
    path = write(tmp_path / "train.jsonl", [*rows, {**rows[0], **change}, *rows[1:], *rows])
    pairs, rejects = told(SOURCES[name], path)
    assert pairs[0] == SOURCES[name].EXAMPLE[1]
    assert len(pairs) > len(
        told(SOURCES[name], write(tmp_path / "one.jsonl", rows))[0]
    )  # the rows behind it are read too
    assert (field, True) in [(where, why.startswith(reason)) for _, where, why in rejects]


@pytest.mark.parametrize("name", SOURCES)
def test_a_score_that_is_not_a_number_in_parquet_names_its_field(name, tmp_path):
    rows = file_rows(name)
    numeric = [key for key, value in rows[0].items() if isinstance(value, int | float) and not isinstance(value, bool)]
    for key in numeric:
        bad = [{**row, key: float("nan")} if k == 0 else {**row, key: float(row[key])} for k, row in enumerate(rows)]
        pl.DataFrame(bad, infer_schema_length=None).write_parquet(tmp_path / f"{key}.parquet")
        _, rejects = told(SOURCES[name], tmp_path / f"{key}.parquet")
        assert (1, key, "not a finite number") in rejects


# --- one by one ---


def test_helpsteer2_joins_two_rows_in_a_row_and_tells_who_stands_alone(tmp_path):
    def row(prompt, response, helpfulness):
        return {**helpsteer2.FILE_ROW, "prompt": prompt, "response": response, "helpfulness": helpfulness}

    rows = [
        row("a", "a1", 1),
        row("a", "a2", 3),
        row("b", "b1", 2),
        row("c", "c1", 4),
        row("c", "c2", 4),
        row("a", "a3", 0),
    ]
    pairs, rejects = told(helpsteer2, write(tmp_path / "train.jsonl.gz", rows))
    assert [(p.chosen, p.rejected, p.score_chosen, p.score_rejected) for p in pairs] == [
        ("a2", "a1", 3.0, 1.0),
        ("c1", "c2", 4.0, 4.0),  # a tie: file order, equal scores
    ]
    assert pairs[0].scores == (1.0, 3.0)
    reason = "no second response with this prompt in the next row"
    assert rejects == [(3, "prompt", reason), (6, "prompt", reason)]


def test_helpsteer2_refuses_an_unknown_role_inside_a_prompt():
    bad = {**helpsteer2.FILE_ROW, "prompt": "Hi\n<extra_id_1>Judge\nNo."}
    with pytest.raises(BadRow, match="unknown role 'Judge'"):
        helpsteer2.to_record({"first": bad, "second": {**bad, "response": "Green."}})


@pytest.mark.parametrize(
    ("strength", "chosen", "scores"), [(3, "r2", (3.0, 0.0)), (-1, "r1", (1.0, 0.0)), (0, "r1", (0.0, 0.0))]
)
def test_helpsteer2_reads_its_preference_files(strength, chosen, scores):
    row = {"split": "train", "prompt": "Q", "response_1": "r1", "response_2": "r2", "preference_strength": strength}
    made = helpsteer2.to_record(row)
    assert (made.chosen, (made.score_chosen, made.score_rejected)) == (chosen, scores)


def test_helpsteer2_keeps_the_validation_rows_of_its_preference_file_out_of_training(tmp_path):
    row = {"prompt": "Q", "response_1": "r1", "response_2": "r2", "preference_strength": 1}
    rows = [{**row, "split": "train"}, *({**row, "split": "val"} for _ in range(3))]
    path = write(tmp_path / "preference.jsonl", rows)
    pairs, rejects = told(helpsteer2, path)
    assert (len(pairs), [reason for _, _, reason in rejects]) == (1, [helpsteer2.VALIDATION] * 3)
    assert len(told(helpsteer2, path, as_train=True)[0]) == 4
    (report,) = collect([helpsteer2.Config(path=path)], Pair, tmp_path / "out")  # 75% left out, and no damage
    assert (report.rows, report.rejected) == (1, 3)


def guard(prompt, response, refusal, harm="harmful", adversarial=False):
    return {
        **wildguardmix.FILE_ROW,
        "prompt": prompt,
        "adversarial": adversarial,
        "response": response,
        "prompt_harm_label": harm,
        "response_refusal_label": refusal,
    }


def test_wildguardmix_joins_the_kth_refusal_with_the_kth_compliance(tmp_path):
    rows = [
        guard("a", "no 1", "refusal"),
        guard("b", "yes b", "compliance", harm="unharmful", adversarial=True),
        guard("a", "no 2", "refusal"),
        guard("a", "yes 1", "compliance"),
        guard("b", "no b", "refusal", harm="unharmful", adversarial=True),
        guard("a", "yes 2", "compliance"),
        guard("a", "yes 3", "compliance"),
        guard("a", "yes 4", "compliance", adversarial=True),
        guard("c", None, None),
    ]
    pairs, rejects = told(wildguardmix, write(tmp_path / "train.jsonl", rows))
    assert [(p.chosen, p.rejected, p.category) for p in pairs] == [
        ("no 1", "yes 1", "vanilla_harmful"),
        ("yes b", "no b", "adversarial_benign"),
        ("no 2", "yes 2", "vanilla_harmful"),
    ]
    assert rejects == [
        (7, "response_refusal_label", wildguardmix.NO_OTHER),
        (8, "response_refusal_label", wildguardmix.NO_OTHER),
        (9, "response", wildguardmix.NO_RESPONSE),
    ]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_wildguardmix_uses_each_response_once_and_joins_all_it_can(kinds):
    words = {True: "refusal", False: "compliance"}
    rows = [guard(p, f"r{k}", words[refuses], adversarial=adv) for k, (p, adv, refuses) in enumerate(kinds)]
    with tempfile.TemporaryDirectory() as folder:
        pairs, rejects = told(wildguardmix, write(Path(folder) / "train.jsonl", rows))
    count = Counter(kinds)
    most = sum(min(count[p, adv, True], count[p, adv, False]) for p in "abc" for adv in (True, False))
    assert len(pairs) == most
    assert len(rejects) == len(rows) - 2 * most
    used = [side for each in pairs for side in (each.chosen, each.rejected)]
    assert len(set(used)) == len(used)
    answer = {row["response"]: (row["prompt"], row["response_refusal_label"]) for row in rows}
    for each in pairs:  # harmful prompts: the refusal is chosen
        prompt = each.prompt[0].content
        assert (answer[each.chosen], answer[each.rejected]) == ((prompt, "refusal"), (prompt, "compliance"))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 4)), min_size=1, max_size=20))
def test_helpsteer2_makes_a_pair_or_a_reject_of_every_row(kinds):
    rows = [
        {**helpsteer2.FILE_ROW, "prompt": prompt, "response": f"r{k}", "helpfulness": rating}
        for k, (prompt, rating) in enumerate(kinds)
    ]
    with tempfile.TemporaryDirectory() as folder:
        pairs, rejects = told(helpsteer2, write(Path(folder) / "train.jsonl", rows))
    assert 2 * len(pairs) + len(rejects) == len(rows)
    assert all(pair.score_chosen >= pair.score_rejected for pair in pairs)
    rating_of = {row["response"]: row["helpfulness"] for row in rows}
    assert all((rating_of[p.chosen], rating_of[p.rejected]) == (p.score_chosen, p.score_rejected) for p in pairs)
    places = [int(side[1:]) for each in pairs for side in (each.chosen, each.rejected)]
    assert all(abs(a - b) == 1 for a, b in zip(places[::2], places[1::2], strict=True))


def test_wildguardmix_counts_prompts_without_a_response_and_does_not_hold_them_against_the_source(tmp_path):
    rows = [
        guard("a", "no", "refusal"),
        guard("a", "yes", "compliance"),
        *(guard(f"p{k}", None, None) for k in range(9)),
    ]
    path = write(tmp_path / "wildguard_train.jsonl", rows)
    (report,) = collect([wildguardmix.Config(path=path)], Pair, tmp_path / "out")
    assert (report.rows, report.rejected, report.gated, report.licence) == (1, 9, True, "ODC-BY")
    assert report.reject_reasons == {f"response: {wildguardmix.NO_RESPONSE}": 9}
    assert read_sources([tmp_path / "out"]) == (report,)
    assert sum(1 for _ in read_json_rows(tmp_path / "out" / "rejects.jsonl")) == 9


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"path": "wildguardtest.parquet"}, "test"),
        ({"hub": "allenai/wildguardmix:wildguardtest"}, "test"),
        ({"hub": "allenai/wildguardmix"}, "train"),
    ],
)
def test_wildguardmix_knows_its_test_configuration(config, expected, tmp_path):
    if "path" in config:
        config = {"path": write(tmp_path / config["path"], file_rows("wildguardmix"))}
    assert wildguardmix.split(wildguardmix.Config(**config)) == expected


def test_magpie_scores_come_in_three_spellings():
    raw, expected = magpie_pro.EXAMPLE
    numbers = [reward["score"] for reward in raw["rewards_armorm"]]
    contents = [{"content": text, "score": score} for text, score in zip(raw["responses"], numbers, strict=True)]
    without = {name: value for name, value in raw.items() if name != "responses"}
    assert magpie_pro.to_record({**raw, "rewards_armorm": numbers}) == expected
    assert magpie_pro.to_record({**without, "rewards_armorm": contents}) == expected
    with pytest.raises(BadRow, match="responses: missing"):
        magpie_pro.to_record({**without, "rewards_armorm": numbers})


def test_a_magpie_side_that_is_none_of_the_responses_has_no_score_of_its_own():
    raw, expected = magpie_pro.EXAMPLE
    made = magpie_pro.to_record({**raw, "chosen": turns("Name a colour.", "Azure.")})
    assert (made.score_chosen, made.score_rejected) == (None, expected.score_rejected)
    assert made.scores == expected.scores


@pytest.mark.parametrize(
    "tag", ["Coding & Debugging", "coding & debugging", "Coding and debugging", " Coding  & Debugging"]
)
def test_magpie_tags_map_to_one_list(tag):
    assert magpie_air.to_record({**magpie_air.EXAMPLE[0], "task_category": tag}).category == "Coding & debugging"
    assert len(set(CATEGORIES.values())) == 12


def test_magpie_ultra_keeps_a_tie_in_file_order_with_equal_scores():
    raw = {**magpie_ultra.EXAMPLE[0], "score": 0.1, "score_base": 0.1, "score_difference": 0.0}
    made = magpie_ultra.to_record(raw)
    assert (made.chosen, made.score_chosen, made.score_rejected) == (raw["response"], 0.1, 0.1)


def test_each_magpie_source_names_itself_as_origin():
    for module in (magpie_ultra, magpie_pro31, magpie_pro, magpie_air):
        assert module.to_record(module.EXAMPLE[0]).origin == module.__name__.rpartition(".")[2]


@pytest.mark.parametrize(
    ("source", "licence"),
    [
        ("magpie_ultra", "Llama-3.1"),
        ("magpie_pro_llama3.1", "Llama-3.1"),
        ("magpie_pro", "Llama-3"),
        ("magpie_air", "Llama-3"),
        ("wildguard", "ODC-BY"),
        ("offset_bias", "BSD-3-Clause"),
        ("HelpSteer2", "CC-BY-4.0"),
        ("elsewhere", "unknown"),
    ],
)
def test_every_skywork_row_carries_the_licence_of_its_set(source, licence, tmp_path):
    rows = [{**skywork_80k.EXAMPLE[0], "source": source}]
    write(tmp_path / "train.jsonl", rows)
    (report,) = collect([skywork_80k.Config(path=tmp_path)], Pair, tmp_path / "out")
    (part,) = (tmp_path / "out" / "rows").glob("*.parquet")
    assert pl.read_parquet(part)["licence"].to_list() == [licence]
    assert report.licence == "mixed"
    assert skywork_80k.to_record(rows[0]).category == ""


def test_ultrafeedback_keeps_equal_scores():
    made = ultrafeedback.to_record({**ultrafeedback.EXAMPLE[0], "score_chosen": 3.0})
    assert (made.score_chosen, made.score_rejected) == (3.0, 3.0)


def test_alpaca_eval_tells_the_winner_by_neither_place_nor_generator():
    base = {**alpaca_eval.EXAMPLE[0], "preference": 1.1}
    made = [alpaca_eval.to_record({**base, "instruction": f"Name colour {k}."}) for k in range(400)]
    origins = [each.origin for each in made]
    assert set(origins) == {"baseline | tested", "tested | baseline"}
    assert 150 < origins.count("baseline | tested") < 250
    again = alpaca_eval.to_record({**base, "instruction": "Name colour 7."})
    assert again == made[7]
    assert made[0].confidence == pytest.approx(0.9)
    assert made[0].scores == pytest.approx((0.9, 0.1))
    assert (made[0].chosen, made[0].rejected) == ("Seven.", "Blue.")


def test_alpaca_eval_is_a_test_split_whatever_its_name(tmp_path):
    path = write(tmp_path / "annotations.jsonl", file_rows("alpaca_eval"))
    with pytest.raises(BadInput, match="--as-train"):
        collect([alpaca_eval.Config(path=path)], Pair, tmp_path / "out")


def test_finegrained_qa_compares_the_six_couples_in_order(tmp_path):
    path = write(tmp_path / "train_feedback.jsonl", [finegrained_qa.FILE_ROW])
    pairs, rejects = told(finegrained_qa, path)
    assert [(p.chosen, p.rejected) for p in pairs] == [
        ("Blue.", "Seven."),
        ("Blue.", "Black at night."),
        ("Blue or black.", "Blue."),
        ("Black at night.", "Seven."),
        ("Blue or black.", "Seven."),
    ]
    assert rejects == [(1, "preference", "0: a tie")]


def test_finegrained_qa_shows_passages_behind_the_question_and_titles_once():
    raw, _ = finegrained_qa.EXAMPLE
    bare = finegrained_qa.to_record({**raw, "passages": []})
    assert bare.prompt[0].content == raw["question"]
    titled = finegrained_qa.to_record({**raw, "passages": [["Sky", "It is blue."], ["Sea", "Sea\n\nSo is it."]]})
    assert titled.prompt[0].content.endswith("Passages:\n\n[1] Sky\n\nIt is blue.\n\n[2] Sea\n\nSo is it.")


# --- the hub ---


def test_a_source_reads_from_a_hub_name_and_path_wins(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("SKYLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("USE_TORCH", "0")
    name = str(tmp_path / "set")
    write(tmp_path / "set" / "train.jsonl", file_rows("offsetbias") * 3)
    config = offsetbias.Config(hub=name)
    (part,) = offsetbias.inputs(config)
    assert part.is_relative_to(tmp_path / "cache")
    (report,) = collect([config], Pair, tmp_path / "out")
    assert (report.rows, report.split) == (3, "train")
    local = write(tmp_path / "own.jsonl", file_rows("offsetbias"))
    assert offsetbias.inputs(offsetbias.Config(hub=name, path=local)) == (local,)


def test_a_test_split_of_the_hub_is_known_before_it_is_fetched(monkeypatch):
    monkeypatch.setenv("SKYLOOM_CACHE", "/nowhere")
    assert ultrafeedback.split(ultrafeedback.Config(hub="a/b::test_prefs")) == "test"
    assert ultrafeedback.split(ultrafeedback.Config(hub="a/b")) == "train"


def test_the_issue_s_sources_are_all_there():
    assert set(SOURCES) <= set(registry.names("reward.sources"))
