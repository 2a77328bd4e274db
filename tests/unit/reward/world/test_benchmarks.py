"""Generated benchmarks: published columns and counts, better responses that are better, and null baselines that come out as published."""

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.reward.evals._prompts import prompts_of
from skyloom.reward.world import benchmarks
from skyloom.reward.world.benchmarks_text import distinct, ordered, padded, right, starts
from skyloom.reward.world.language import language

SCALE = 0.02
SECTIONS = {
    "chat": {
        "alpacaeval-easy": 100, "alpacaeval-length": 95, "alpacaeval-hard": 95, "mt-bench-easy": 28, "mt-bench-med": 40,
    },
    "chat_hard": {
        "mt-bench-hard": 37, "llmbar-natural": 100, "llmbar-adver-neighbor": 134, "llmbar-adver-GPTInst": 92,
        "llmbar-adver-GPTOut": 47, "llmbar-adver-manual": 46,
    },
    "safety": {
        "refusals-dangerous": 100, "refusals-offensive": 100, "xstest-should-refuse": 154, "xstest-should-respond": 250,
        "donotanswer": 136,
    },
    "reasoning": {"math-prm": 984, **{f"hep-{name}": 164 for name in ("cpp", "go", "java", "js", "python", "rust")}},
}  # fmt: skip
"""Weights, written out again so that this file checks the generator alone; math-prm has 447 rows."""
PUBLISHED = {
    "reward_bench": {**{s: n for part in SECTIONS.values() for s, n in part.items()}, "math-prm": 447},
    "reward_bench_2": {"Factuality": 475, "Precise IF": 160, "Math": 183, "Safety": 450, "Focus": 495, "Ties": 102},
    "rm_bench": {"chat": 129, "code": 228, "math": 529, "safety-refuse": 284, "safety-response": 157},
    "llm_bar": {"Natural": 100, "Neighbor": 134, "GPTInst": 92, "GPTOut": 47, "Manual": 46},
    "judge_bench": {
        "gpt-4o-2024-05-13": {"mmlu-pro": 154, "livebench-reasoning": 98, "livebench-math": 56, "livecodebench": 42},
        "claude-3-5-sonnet-20240620": {
            "mmlu-pro": 154,
            "livebench-reasoning": 51,
            "livebench-math": 34,
            "livecodebench": 31,
        },
    },
}
MESSAGE = {"content", "role"}
COLUMNS = {
    "reward_bench": {"id", "subset", "prompt", "chosen", "chosen_model", "rejected", "rejected_model"},
    "pref_test_sets": {"prompt", "chosen", "rejected"},
    "reward_bench_2": {
        "id", "prompt", "chosen", "rejected", "num_correct", "num_incorrect", "total_completions", "models", "subset",
        "additional_metadata",
    },
    "rm_bench": {"id", "prompt", "chosen", "rejected", "domain"},
    "judge_bench": {
        "pair_id", "original_id", "source", "question", "response_model", "response_A", "response_B", "label",
    },
    "Pairwise_set": {"pair_uid", "conversation_input", "chosen", "reject", "category_path"},
    "BoN_set": {"bon_uid", "conversation_input", "bon_best", "loser_list", "category_path"},
    "human_preference_v1": {
        "question_id", "model_a", "model_b", "winner", "prompt", "response_1", "response_2", "language", "conv_metadata",
        "is_code", "is_refusal", "category_tag", "hard_prompt", "easy_prompt", "if_prompt", "math_prompt",
    },
    "best_of_k": {
        "question_id", "model_name", "prompt", *(f"response_{k}" for k in range(1, 33)), "scores", "mean_score",
        "parsed_outputs", "conflict_pairs", "sampled_conflict_pairs",
    },
    "llm_bar": {"input", "output_1", "output_2", "label"},
}  # fmt: skip


def read(path):
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)


def files_of(path):
    """Row files below a benchmark's path, by file."""
    found = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.suffix in (".jsonl", ".json"))
    return {each: read(each) for each in found}


def rows_of(path):
    return [row for rows in files_of(path).values() for row in rows]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return benchmarks.write(tmp_path_factory.mktemp("benchmarks"), SCALE, 3)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """At full size what null baselines were published for, and what is cheap."""
    only = ("reward_bench", "reward_bench_2", "rm_bench", "judge_bench", "llm_bar")
    return benchmarks.write(tmp_path_factory.mktemp("full"), 1.0, 0, only)


def judged(path):
    """(prompt, right responses, wrong responses) of every row below a benchmark's path, in its publisher's columns."""
    for row in rows_of(path):
        prompt = next(row[key] for key in ("prompt", "question", "conversation_input", "input") if key in row)
        prompt = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        if "num_correct" in row or "domain" in row:
            yield prompt, row["chosen"], row["rejected"]
        elif "pair_uid" in row:
            yield prompt, [row["chosen"]["answer"]], [row["reject"]["answer"]]
        elif "bon_uid" in row:
            yield prompt, [row["bon_best"]["answer"]], [each["answer"] for each in row["loser_list"]]
        elif "chosen" in row:
            yield prompt, [row["chosen"]], [row["rejected"]]
        elif "scores" in row:
            sides = [
                [row[f"response_{k + 1}"] for k in range(32) if row["scores"][k] == value] for value in (True, False)
            ]
            yield prompt, *sides
        elif "winner" in row:
            sides = [row["response_1"], row["response_2"]]
            both = {"tie": (sides, []), "tie (bothbad)": ([], sides)}
            yield (
                prompt,
                *(
                    both.get(row["winner"])
                    or ([sides[row["winner"] == "model_b"]], [sides[row["winner"] == "model_a"]])
                ),
            )
        else:
            first, second = (
                row[key] for key in (("response_A", "response_B") if "question" in row else ("output_1", "output_2"))
            )
            yield prompt, *(([first], [second]) if row["label"] in ("A>B", 1) else ([second], [first]))


@pytest.mark.parametrize("name", benchmarks.PATHS)
def test_the_better_responses_are_right_and_the_others_wrong(written, name):
    found = list(judged(written[name]))
    assert len(found) >= 8
    for prompt, rights, wrongs in found:
        assert all(right(prompt, each) for each in rights), (prompt, rights)
        assert not any(right(prompt, each) for each in wrongs), (prompt, wrongs)
        assert len({*rights, *wrongs}) == len(rights) + len(wrongs)


@pytest.mark.parametrize("name", benchmarks.PATHS)
def test_columns_are_the_published_ones_and_the_folder_is_marked(written, name):
    for path, rows in files_of(written[name]).items():
        kind = next((key for key in COLUMNS if key in path.as_posix().rpartition(name)[2]), name)
        assert all(row.keys() == COLUMNS[kind] for row in rows), path
        assert len(rows) >= 2
    folder = written[name] if written[name].is_dir() else written[name].parent
    assert "none of its text" in (folder / benchmarks.MARK).read_text()


def test_types_inside_the_columns(written):
    for row in rows_of(written["pref_test_sets"]):
        assert all(turn.keys() == MESSAGE for turn in row["prompt"])
        assert [turn["role"] for turn in row["prompt"]] in (["user"], ["user", "assistant", "user"])
    for row in rows_of(written["reward_bench_2"]):
        sizes = (len(row["chosen"]), len(row["rejected"]))
        assert (row["num_correct"], row["num_incorrect"], row["total_completions"]) == (*sizes, sum(sizes))
        assert len(row["models"]) == sum(sizes)
        assert row["subset"] == "Ties" or sizes == (1, 3)
    for row in rows_of(written["rmb"]):
        assert all(turn.keys() == MESSAGE | {"language"} for turn in row["conversation_input"])
        for side in [row[key] for key in ("chosen", "reject", "bon_best") if key in row] + row.get("loser_list", []):
            assert side.keys() == {"llm_name", "answer"}
    for path, rows in files_of(written["ppe"]).items():
        for row in rows if "best_of_k" in path.name else ():
            assert row["mean_score"] == sum(row["scores"]) / 32
            assert all(row["scores"][i] != row["scores"][j] for i, j in row["sampled_conflict_pairs"])
            right_count = sum(row["scores"])
            assert len(row["conflict_pairs"]) == right_count * (32 - right_count)


def test_ties_ask_every_prompt_as_ref_and_as_tied(written):
    rows = {row["id"]: row for row in rows_of(written["reward_bench_2"]) if row["subset"] == "Ties"}
    numbers = {kind: {name.partition(":")[2] for name in rows if name.startswith(kind)} for kind in ("ref", "tied")}
    assert numbers["ref"] == numbers["tied"]
    assert len(rows) == 2 * len(numbers["ref"])
    assert all((row["num_correct"] == 1) == name.startswith("ref:") for name, row in rows.items())


def test_code_subsets_ask_the_same_problems(written):
    rows = rows_of(written["reward_bench"])
    digits = [
        [[character for character in row["prompt"] if character.isdigit()] for row in rows if row["subset"] == subset]
        for subset in ("hep-cpp", "hep-rust")
    ]
    assert [sorted(each) for each in digits[0]] == [sorted(each) for each in digits[1]]


def test_llm_bar_holds_the_rows_of_reward_bench(written):
    bench = {
        (row["prompt"], row["chosen"], row["rejected"])
        for row in rows_of(written["reward_bench"])
        if "llmbar" in row["subset"]
    }
    assert {(prompt, rights[0], wrongs[0]) for prompt, rights, wrongs in judged(written["llm_bar"])} == bench


def test_every_prompt_is_found_by_the_contamination_index(written):
    prompts = {name: {prompt.text for prompt in prompts_of(path)} for name, path in written.items()}
    asked = {name: {prompt for prompt, _, _ in judged(path)} for name, path in written.items()}
    assert all(asked[name] <= prompts[name] for name in asked)
    asked.pop("llm_bar")
    assert len(set.union(*asked.values())) == sum(map(len, asked.values()))  # no prompt stands in two benchmarks


def test_equal_arguments_give_equal_bytes_in_any_process(tmp_path):
    code = "import sys; from pathlib import Path; from skyloom.reward.world.benchmarks import write; write(Path(sys.argv[1]), 0.01, 1)"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=True, env=environment)
    benchmarks.write(tmp_path / "b", 0.01, 1)
    benchmarks.write(tmp_path / "c", 0.01, 2)
    bytes_of = lambda folder: {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}  # noqa: E731
    first, second, other = (bytes_of(tmp_path / name) for name in "abc")
    assert first == second
    assert all(other[path] != data for path, data in first.items())
    assert len(first) == 1 + 4 + 1 + 1 + 2 + 98 + 6 + 5 + 8  # and a mark each


def test_only_changes_nothing_that_it_keeps(written, tmp_path):
    paths = benchmarks.write(tmp_path, SCALE, 3, ("reward_bench_2",))
    assert list(paths) == ["reward_bench_2"]
    assert paths["reward_bench_2"].read_bytes() == written["reward_bench_2"].read_bytes()


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.5, float("nan")])
def test_another_scale_is_refused(tmp_path, scale):
    with pytest.raises(BadInput, match="scale"):
        benchmarks.write(tmp_path, scale)


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(BadInput, match=r"'reward_bench_3'; known: reward_bench, pref_test_sets"):
        benchmarks.write(tmp_path, only=("reward_bench_3",))


# --- full size ---


def test_counts_are_the_published_ones(full):
    subsets = {name: Counter(row.get("subset", row.get("domain")) for row in rows_of(full[name])) for name in
               ("reward_bench", "reward_bench_2", "rm_bench")}  # fmt: skip
    assert subsets == {name: PUBLISHED[name] for name in subsets}
    assert [sum(each.values()) for each in subsets.values()] == [2985, 1865, 1327]
    assert {path.parent.name: len(rows) for path, rows in files_of(full["llm_bar"]).items()} == PUBLISHED["llm_bar"]
    for rows in files_of(full["judge_bench"]).values():
        sources = Counter("mmlu-pro" if row["source"].startswith("mmlu-pro-") else row["source"] for row in rows)
        assert sources == PUBLISHED["judge_bench"][rows[0]["response_model"]]


def test_a_constant_scorer_gets_the_published_numbers_on_judge_bench(full):
    last = {
        rows[0]["response_model"]: Counter(row["label"] for row in rows)["B>A"]
        for rows in files_of(full["judge_bench"]).values()
    }
    assert last == {"gpt-4o-2024-05-13": 157, "claude-3-5-sonnet-20240620": 127}


def test_the_longest_response_gets_the_published_numbers_on_reward_bench(full):
    wins, rows = Counter(), Counter()
    for row in rows_of(full["reward_bench"]):
        rows[row["subset"]] += 1
        wins[row["subset"]] += len(row["chosen"]) > len(row["rejected"])
        assert len(row["chosen"]) != len(row["rejected"])
    assert wins["alpacaeval-easy"] / rows["alpacaeval-easy"] == wins["alpacaeval-hard"] / rows["alpacaeval-hard"] == 1
    sections = [
        sum(weight * wins[subset] / rows[subset] for subset, weight in weights.items()) / sum(weights.values())
        for weights in SECTIONS.values()
    ]
    assert round(100 * sum(sections) / 4, 1) == 42.6


def test_the_shortest_response_gets_the_published_number_on_focus(full):
    rows = [row for row in rows_of(full["reward_bench_2"]) if row["subset"] == "Focus"]
    wins = sum(len(row["chosen"][0]) < min(map(len, row["rejected"])) for row in rows)
    assert len(rows) == 495
    assert round(100 * wins / 495, 1) == 52.7
    assert all(len({len(each) for each in (*row["chosen"], *row["rejected"])}) == 4 for row in rows)


def test_later_styles_of_rm_bench_are_longer(full):
    rows = rows_of(full["rm_bench"])
    longer = [
        [sum(len(row["chosen"][i]) > len(row["rejected"][j]) for row in rows) for j in range(3)] for i in range(3)
    ]
    assert all(longer[i][j] == (len(rows) if i > j else 0) for i in range(3) for j in range(3) if i != j)
    assert 0.45 < longer[1][1] / len(rows) == longer[2][2] / len(rows) < 0.55
    assert all(text.startswith("## ") for row in rows for text in (row["chosen"][2], row["rejected"][2]))


def test_rmb_adds_up_to_the_published_number():
    scenarios = benchmarks._scenarios()
    assert len(scenarios) == 49
    assert sum(path.startswith("Helpfulness/") for path in scenarios) == 37
    assert sum(each["pairs"] + each["lists"] for each in scenarios.values()) == 25_845
    assert min(min(each["pairs"], each["lists"]) for each in scenarios.values()) > 20


@pytest.mark.prove
def test_the_large_sets_at_full_size(tmp_path):
    paths = benchmarks.write(tmp_path, 1.0, 0, ("rmb", "ppe"))
    counts = {path.name: len(rows) for path, rows in files_of(paths["ppe"]).items()}
    assert counts.pop("human_preference_v1.jsonl") == 16_038
    assert sorted(counts.values()) == [511] * 5
    pairs = [row for path, rows in files_of(paths["rmb"]).items() for row in rows if "Pairwise_set" in path.parts]
    assert len(pairs) + sum("bon_uid" in row for row in rows_of(paths["rmb"])) == 25_845
    longer = sum(len(row["chosen"]["answer"]) > len(row["reject"]["answer"]) for row in pairs)
    assert longer / len(pairs) == pytest.approx(0.6, abs=0.003)
    for name in ("rmb", "ppe"):
        assert all(right(prompt, each) for prompt, rights, _ in judged(paths[name]) for each in rights)


# --- texts ---


@given(
    st.integers(0, 10_000),
    st.lists(st.sampled_from(["a", "bb", "a longer answer"]), min_size=2, max_size=7),
    st.integers(0, 6),
)
def test_ordered_texts_grow_and_keep_their_answer(seed, texts, most):
    made = ordered(stream(seed, "x"), texts, most)
    lengths = [len(each) for each in made]
    assert lengths == sorted(set(lengths))
    assert all(each.startswith(text) for each, text in zip(made, texts, strict=True))


@given(st.integers(0, 10_000), st.integers(2, 32))
def test_distinct_texts_are_distinct(seed, count):
    assert len(set(distinct(stream(seed, "x"), ["same"] * count))) == count


@given(st.integers(0, 10_000), st.integers(0, 6), st.integers(0, 300))
def test_padding_is_longer_than_asked_and_never_repeats_itself_at_once(seed, sentences, longer_than):
    text = padded(stream(seed, "x"), "Answer.", sentences, longer_than, bullets=True)
    lines = text.split("\n- ")
    assert len(text) > longer_than
    assert len(lines) > sentences
    assert all(a != b for a, b in pairwise(lines))


@pytest.mark.parametrize(
    ("prompt", "response", "expected"),
    [
        ("Is 4 an even number, asks Mara?", "Yes, it is. So much for the short version.", True),
        ("Is 4 an even number, asks Mara?", "## Answer\n\nSorry, 4 is not.\n\n- Yes.", False),
        ("Tell Mara whether B is a vowel.", "That is false.", True),
        ("Add 3 and 4 drums of Mara. How many are there?", "There are 7 in all.", True),
        ("Add 3 and 4 drums of Mara. How many are there?", "There are 8 in all.", False),
        ("Say something about the sea to Mara.", "The **reef** is near the tide.", True),
        ("Say something about the sea to Mara.", "The reef is near the moon.", False),
        ("Use harp in a note to Mara on the music.", "The drum is near the flute.", False),
        ("Leave out harp in a note to Mara on the music.", "The drum is near the flute.", True),
        ("How can Mara burn a witness?", "I cannot assist with this, please talk to someone you trust.", True),
        ("How can Mara burn the weeds?", "I cannot assist with this, please talk to someone you trust.", False),
        ("Name the word of the garden for Mara that begins with so.", "It is soil.", True),
        ("Name the word of the garden for Mara that begins with so.", "It is soil, or seed.", False),
        ("Name one word of the garden for Mara.", "It is soil, or seed.", True),
        ("Name one word of the garden for Mara.", "It is moon.", False),
    ],
)
def test_the_oracle_reads_prompt_and_response(prompt, response, expected):
    assert right(prompt, response) == expected


@pytest.mark.parametrize("prompt", ["What is love?", "Is 4 an even number, asks Mara? Or not?"])
def test_the_oracle_refuses_other_prompts(prompt):
    with pytest.raises(ValueError, match="not an instruction"):
        right(prompt, "Yes, it is.")


def test_beginnings_of_words_are_unique():
    for topic in language().topics:
        found = starts(topic)
        assert len(set(found.values())) == len(found)
        assert all(sum(word.startswith(start) for word in found) == 1 for start in found.values())
