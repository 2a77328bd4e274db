"""Generated sets: the published columns, sizes and selection counts; every planted fault is where the truth says, and nowhere else."""

import json
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core import registry
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.ledger.select import best_of_groups, codes_of
from skyloom.core.records import Reject
from skyloom.core.rng import stream
from skyloom.core.text.ngrams import NgramIndex, Rule
from skyloom.reward.evals.reward_bench import SECTIONS
from skyloom.reward.world import sets, sets_scores, sets_text
from skyloom.reward.world.defects import CONTROL

SCALE = 0.01
MAGPIE = ("magpie_ultra", "magpie_pro31", "magpie_pro", "magpie_air")
DPO = {
    "uuid", "instruction", "gen_input_configs", "intent", "knowledge", "difficulty", "input_quality", "quality_explanation",
    "task_category", "input_length", "responses", "gen_response_configs", "rewards_armorm", "chosen", "rejected",
}  # fmt: skip
COLUMNS = {
    "helpsteer2": {"prompt", "response", "helpfulness", "correctness", "coherence", "complexity", "verbosity"},
    "offsetbias": {"instruction", "output_1", "output_2", "label"},
    "wildguardmix": {
        "prompt", "adversarial", "response", "prompt_harm_label", "response_refusal_label", "response_harm_label", "subcategory",
    },
    "magpie_ultra": {
        "instruction", "response", "response_base", "score", "score_base", "score_difference", "intent", "knowledge", "difficulty",
        "explanation", "quality", "primary_tag", "other_tags", "guard", "safe", "hazard_category", "embedding", "nn_indices",
        "nn_scores", "messages", "distilabel_metadata", "model_name_response_base",
    },
    **dict.fromkeys(MAGPIE[1:], DPO),
    "reward_bench": {"id", "subset", "prompt", "chosen", "chosen_model", "rejected", "rejected_model"},
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    paths = sets.write(folder, SCALE, 3)
    frames = {name: pl.read_parquet(p) if p.suffix == ".parquet" else pl.read_ndjson(p) for name, p in paths.items()}
    truth = {
        name: [json.loads(line) for line in (folder / "truth" / f"{name}.jsonl").read_text().splitlines()]
        for name in paths
    }
    return folder, frames, truth


def records(folder, name):
    """What the set's adapter makes of its file: (pairs, reject reasons)."""
    module = registry.load("reward.sources", name)
    pairs, rejects = [], []
    for raw in module.rows(module.Config(path=sets.files(folder)[name]), 0):
        try:
            if isinstance(raw, Reject):
                raise BadRow(raw.field, raw.reason)
            pairs.append(module.to_record(raw.data))
        except BadRow as error:
            rejects.append(error.reason)
    return pairs, rejects


def test_equal_arguments_give_equal_bytes(tmp_path):
    read = lambda folder: {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}  # noqa: E731
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        sets.write(tmp_path / name, 0.001, seed)
    assert read(tmp_path / "a") == read(tmp_path / "b")
    changed = [path for path, data in read(tmp_path / "a").items() if data != read(tmp_path / "c")[path]]
    assert len(changed) == 16  # eight sets and their truths


def test_columns_and_sizes_are_the_published_ones(written):
    _, frames, _ = written
    assert {name: set(frame.columns) for name, frame in frames.items()} == COLUMNS
    heights = {name: frame.height for name, frame in frames.items()}
    assert heights == {
        "helpsteer2": 2 * (72 + 29), "offsetbias": 85, "wildguardmix": 868, "magpie_ultra": 500, "magpie_pro31": 980,
        "magpie_pro": 980, "magpie_air": 980, "reward_bench": 2985,
    }  # fmt: skip
    counts = dict(frames["reward_bench"]["subset"].value_counts().iter_rows())
    published = {subset: rows for weights in SECTIONS.values() for subset, rows in weights.items()}
    assert counts == {**published, "math-prm": 447}


def test_the_papers_rules_keep_the_papers_numbers_at_full_size():
    magpie = sets_scores.facts()["magpie"]
    drawn = {name: sets_scores.draw(stream(11, name), name, count) for name, count in magpie["pools"].items()}
    categories = pl.Series([category for each in drawn.values() for category in each.category_N])
    code_N, names = codes_of(categories)
    offsets = {"magpie_air": -0.1, "magpie_pro": -0.05}
    score_N = np.concatenate([each.mean_N + offsets.get(name, 0.0) for name, each in drawn.items()])
    shares = [0.3 if name in sets_scores.LARGE else 0.1 for name in names]
    best_N = best_of_groups(code_N, score_N, np.ones(len(score_N), bool), lambda g, size: int(shares[g] * size))
    ends = np.cumsum([0, *magpie["pools"].values()])
    for k, (name, published) in enumerate(magpie["kept"].items()):
        kept = int(best_N[ends[k] : ends[k + 1]].sum())
        assert abs(kept - published * 1.0016) < 5 * published**0.5, (
            name
        )  # the rules keep 0.16 % more than was published in all
    assert drawn["magpie_air"].mean_N.mean() > drawn["magpie_pro"].mean_N.mean()  # the bias that the offsets take out
    wrong = [1 - each.right_N.mean() for each in drawn.values()]
    assert wrong == sorted(wrong)


def test_scores_fall_and_keep_their_mean():
    mean_N = np.linspace(0.0, 0.3, 50)
    scores_NR = sets_scores.spread_out(stream(0, "x"), mean_N, 5)
    assert (np.diff(scores_NR, axis=1) < 0).all()
    np.testing.assert_allclose(scores_NR.mean(axis=1), mean_N, atol=1e-6)


@given(st.integers(0, 8_400_000), st.integers(0, 8_400_000))
def test_no_two_rows_share_a_name(a, b):
    assert (sets_text.name_of(a) == sets_text.name_of(b)) == (a == b)


def test_no_prompt_stands_twice(written):
    _, frames, truth = written
    prompts = [row["prompt"] for rows in truth.values() for row in rows]
    assert len(set(prompts)) == len(prompts)
    shared = frames["wildguardmix"].group_by("prompt").len()["len"]
    assert shared.max() == 2


def test_seven_words_of_the_benchmark_arise_only_where_they_were_planted(written):
    _, frames, truth = written
    bench = frames["reward_bench"]
    names = [f"{subset}:{k}" for k, subset in enumerate(bench["subset"])]
    index = NgramIndex.build(bench["prompt"].to_list(), Rule(n=7, contain=6), names)
    rows = [(name, row) for name in frames if name != "reward_bench" for row in truth[name]]
    hits = index.query([row["prompt"] for _, row in rows])
    hit = {(query, item) for query, item in hits.select("query", "item").iter_rows()}
    planted = {(at, row["leak"]) for at, (_, row) in enumerate(rows) if row.get("leak")}
    assert planted <= hit
    assert {at for at, _ in hit} == {at for at, _ in planted}  # one leak may hit two benchmark prompts that begin alike
    shares = {name: sum(bool(row["leak"]) for row in truth[name]) / len(truth[name]) for name in MAGPIE}
    assert 0.11 < shares.pop("magpie_ultra") < 0.25
    assert max(shares.values()) < 0.04


def test_every_loser_of_magpie_ultra_carries_the_token_and_no_winner_does(written):
    ultra = written[1]["magpie_ultra"]
    base_wins = ultra["score_difference"] < 0
    response, base = (ultra[name].str.contains(CONTROL, literal=True) for name in ("response", "response_base"))
    assert 0 < base_wins.sum() < 60
    assert (base == ~base_wins).all()
    assert (response == base_wins).all()


def right_answer(prompt):
    """The truth of the tasks that a regular expression can check; None for others."""
    if add := re.search(r"Add (\d) and (\d) ", prompt):
        return str(int(add[1]) + int(add[2]))
    return None


def test_truth_says_which_labels_are_wrong(written):
    folder, _, truth = written
    checked, wrong = 0, 0
    for name in ("helpsteer2", "offsetbias", *MAGPIE):
        pairs, rejects = records(folder, name)
        assert not rejects
        planted = {row["prompt"].rpartition("User\n")[2]: row for row in truth[name]}
        assert len(pairs) == len(planted)
        for pair in pairs:
            row, answer = planted[pair.prompt[-1].content], right_answer(pair.prompt[-1].content)
            if answer is None or row["right"] is None:
                continue
            numbers = [re.findall(r"\d+", side) for side in (pair.chosen, pair.rejected)]
            assert [answer in each for each in numbers] == [row["right"], not row["right"]]
            checked, wrong = checked + 1, wrong + (not row["right"])
    assert checked > 200
    assert 0.1 < wrong / checked < 0.3


def test_helpsteer2_has_adjacent_rows_ties_and_several_turns(written):
    folder, _, truth = written
    pairs, _ = records(folder, "helpsteer2")
    assert (
        sum(pair.score_chosen == pair.score_rejected for pair in pairs)
        == 29
        == sum(row["tie"] for row in truth["helpsteer2"])
    )
    assert 20 < sum(len(pair.prompt) == 3 for pair in pairs) < 60


def test_wildguard_pairs_refusals_with_compliance(written):
    folder, frames, truth = written
    pairs, rejects = records(folder, "wildguardmix")
    assert (len(pairs), len(truth["wildguardmix"])) == (185, 185)
    frame = frames["wildguardmix"]
    assert frame["response"].null_count() == 868 - 380
    assert len(rejects) == 868 - 380 + 10  # no response; no partner
    right = {row["prompt"]: row for row in truth["wildguardmix"]}
    refusals = {word for text in sets_text.language().templates["refusals"] for word in [text.split("{")[0]] if word}
    for pair in pairs:
        row = right[pair.prompt[0].content]
        harmful = pair.category.endswith("harmful") == row["right"]
        refused = any(pair.chosen.startswith(start) for start in refusals)
        assert refused == (harmful == row["right"])
        assert pair.category.startswith("adversarial") == row["adversarial"]
    first, second = right[pairs[0].prompt[0].content]["rows"]
    assert frame["prompt"][first - 1] == frame["prompt"][second - 1]
    assert 0.05 < sum(not row["right"] for row in truth["wildguardmix"]) / 185 < 0.22


@pytest.mark.parametrize("name", MAGPIE)
def test_magpie_scores_and_categories_arrive(written, name):
    folder, _, truth = written
    pairs, rejects = records(folder, name)
    assert not rejects
    known = {"Coding & Debugging": "Coding & debugging"}
    quality = {row["prompt"]: row for row in truth[name]}
    bias = sets_scores.facts()["magpie"]["bias"].get(name, 0.0)
    for pair in pairs:
        row = quality[pair.prompt[0].content]
        assert len(pair.scores) == (2 if name == "magpie_ultra" else 5)
        assert pair.score_chosen == max(pair.scores)
        assert pair.score_rejected == min(pair.scores)
        expected = sets_scores.CENTRE + bias + sets_scores.SPREAD * row["quality"]
        assert sum(pair.scores) / len(pair.scores) == pytest.approx(expected, abs=1e-6)
        assert (pair.category, pair.origin) == (known.get(row["category"], row["category"]), name)


@pytest.mark.parametrize("scale", [0.0, -1.0, 11.0])
def test_another_scale_is_refused(tmp_path, scale):
    with pytest.raises(BadInput, match="scale"):
        sets.write(tmp_path, scale)
