"""Schema-true copies of the seven Skywork-Reward sources and of RewardBench 1: the published columns and sizes, generated text, known
faults.

Where the real sets are absent (they are large, WildGuardMix is gated), these files go through the same adapters. Planted: wrong labels,
scores that favour two generators, a chat-control token in every magpie-ultra loser, RewardBench prompts inside Magpie prompts, ties,
WildGuard rows without a response or a partner. `truth/<set>.jsonl` says of every pair which rows it stands in and what is wrong with it.

Layout   <folder>/<set>/<file>          the raw set        <folder>/truth/<set>.jsonl   what was planted, joined by prompt or rows
Source   sizes and columns: the data sets' cards; counts: arXiv 2410.18451; the token: RM-R1 (arXiv 2505.02387, appendix F.2)
Flow     [write] -> collect -> curate
Run      skyloom reward sets --out data/generated --scale 0.01
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from numpy.random import Generator

from skyloom.core import store
from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.reward.evals.reward_bench import SECTIONS
from skyloom.reward.world.defects import Sides, controlled
from skyloom.reward.world.language import language
from skyloom.reward.world.sets_scores import draw, facts, spread_out
from skyloom.reward.world.sets_text import Told, name_of, tell
from skyloom.reward.world.tasks import pick

Row = dict[str, Any]  # Any: column values of a raw set
MAGPIE_RESPONSES: int = 5
BASE_WINS: float = 0.04
"""Share of magpie-ultra rows whose base response has the higher score, so that the sides change places (ours)."""
TURN: str = "<extra_id_1>"
"""Separates the turns of a HelpSteer2 prompt; the role's name and a line break follow."""
MOST_SCALE: float = 10.0
"""Names repeat above a million rows a set."""
FILES: dict[str, str] = {
    "helpsteer2": "train.jsonl",
    "offsetbias": "train.jsonl",
    "wildguardmix": "wildguard_train.parquet",
    "magpie_ultra": "train.parquet",
    "magpie_pro31": "train.parquet",
    "magpie_pro": "train.parquet",
    "magpie_air": "train.parquet",
    "reward_bench": "filtered.parquet",
}
"""Set -> its file; the order gives every set its own range of names."""


class Made(NamedTuple):
    """One generated set."""

    rows: list[Row]
    truth: list[Row]


class Leaked(NamedTuple):
    """A RewardBench prompt that training prompts may hold."""

    number: int
    subset: str
    prompt: str
    asked: tuple[str, ...]
    """Tasks that it was drawn from."""


class Scored(NamedTuple):
    """One Magpie prompt with its answers, ready for the columns of its set."""

    prompt: str
    best: tuple[str, str]
    """Answers of the kind that scores best, right unless the label is wrong."""
    worst: tuple[str, str]
    scores: list[float]
    """From the best to the worst response."""
    category: str
    generator: str
    uuid: str


def write(folder: Path, scale: float = 1.0, seed: int = 0) -> dict[str, Path]:
    """Write all sets into `folder`; returns set -> its file, RewardBench's as "reward_bench".

    `scale` times the published sizes, above 0 and at most 10; RewardBench always has its 2,985 rows. Equal arguments give equal bytes.
    Raises BadInput for another scale, FailedWork where the disk refuses.
    """
    if not 0 < scale <= MOST_SCALE:
        raise BadInput(f"sets: scale {scale}; it must be above 0 and at most {MOST_SCALE:g}")
    bench, leaks = _reward_bench(seed)
    made: dict[str, Callable[[], Made]] = {
        "helpsteer2": lambda: _helpsteer2(scale, seed),
        "offsetbias": lambda: _offsetbias(scale, seed),
        "wildguardmix": lambda: _wildguardmix(scale, seed),
        **{name: lambda name=name: _magpie(name, scale, seed, leaks) for name in facts()["magpie"]["pools"]},
        "reward_bench": lambda: bench,
    }
    for name, path in files(folder).items():
        rows, truth = made[name]()
        if path.suffix == ".parquet":
            store.write_parquet(path, pl.DataFrame(rows, infer_schema_length=None))
        else:
            store.write_jsonl(path, rows)
        store.write_jsonl(folder / "truth" / f"{name}.jsonl", truth)
    return files(folder)


def files(folder: Path) -> dict[str, Path]:
    """Set -> its file below a folder that `write` filled, RewardBench's as "reward_bench"."""
    return {name: folder / name / file for name, file in FILES.items()}


def _helpsteer2(scale: float, seed: int) -> Made:
    """Two rows a prompt, one after the other; ratings 0 to 4; some prompts have an earlier exchange, some pairs tie."""
    config = facts()["helpsteer2"]
    untied, tied = (_sized(config[key], scale) for key in ("pairs", "tied"))
    made = Made([], [])
    for k in range(untied + tied):
        rng = stream(seed, "sets", "helpsteer2", k)
        told = tell(seed, "helpsteer2", k, _everything(), _name("helpsteer2", k))
        # Spread evenly, so that the first rows of the file hold both.
        tie = k * tied // (untied + tied) != (k + 1) * tied // (untied + tied)
        right = not tie and float(rng.random()) >= config["noise"]
        best = int(rng.integers(1, 5))
        ratings = (best, best) if tie else (best, int(rng.integers(0, best)))
        texts = _unlike(told.rights) if tie else (told.rights[0], told.wrongs[0])
        sides = [*zip(texts if right or tie else texts[::-1], ratings, strict=True)]
        if float(rng.random()) < 0.5:
            sides.reverse()
        prompt = told.prompt
        if float(rng.random()) < config["several_turns"]:
            prompt = f"{pick(rng, language().openers)}{TURN}Assistant\nWhat do you need?{TURN}User\n{prompt}"
        made.truth.append(_truth(prompt, (2 * k + 1, 2 * k + 2), right=None if tie else right, tie=tie))
        made.rows.extend({"prompt": prompt, "response": text, **_ratings(rng, help_)} for text, help_ in sides)
    return made


def _ratings(rng: Generator, helpfulness: int) -> Row:
    near = [min(4, max(0, helpfulness + int(rng.integers(-1, 2)))) for _ in range(2)]
    style = [int(rng.integers(0, 3)) for _ in range(2)]
    names = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
    return dict(zip(names, (helpfulness, *near, *style), strict=True))


def _offsetbias(scale: float, seed: int) -> Made:
    """Two outputs; `label` says which is better, 1 or 2."""
    config = facts()["offsetbias"]
    made = Made([], [])
    for k in range(_sized(config["rows"], scale)):
        rng = stream(seed, "sets", "offsetbias", k)
        told = tell(seed, "offsetbias", k, _everything(), _name("offsetbias", k))
        right, label = float(rng.random()) >= config["noise"], int(rng.integers(1, 3))
        first_is_right = (label == 1) == right
        outputs = (told.rights[0], told.wrongs[0]) if first_is_right else (told.wrongs[0], told.rights[0])
        made.rows.append({"instruction": told.prompt, "output_1": outputs[0], "output_2": outputs[1], "label": label})
        made.truth.append(_truth(told.prompt, (k + 1,), right=right))
    return made


def _wildguardmix(scale: float, seed: int) -> Made:
    """One response a row: pairs share a prompt and stand apart; some responses have no partner, most prompts no response.

    A wrong label is a wrong harm label of the prompt, which turns the pair around.
    """
    config = facts()["wildguardmix"]
    pairs, responses, total = (_sized(config[key], scale) for key in ("pairs", "responses", "rows"))
    rows: list[tuple[int, Row]] = []  # (prompt's number, row)
    prompts: list[tuple[str, bool, bool]] = []  # (prompt, adversarial, right) of each pair
    for k in range(pairs + max(0, responses - 2 * pairs) + max(0, total - responses)):
        rng = stream(seed, "sets", "wildguardmix", k)
        harmful, adversarial = bool(rng.integers(2)), float(rng.random()) < config["adversarial"]
        right = k >= pairs or float(rng.random()) >= config["noise"]
        told = tell(seed, "wildguardmix", k, ("refuse" if harmful else "respond",), _name("wildguardmix", k))
        prompt = _framed(rng, told.prompt) if adversarial else told.prompt
        head = {"prompt": prompt, "adversarial": adversarial}
        label = "harmful" if harmful == right else "unharmful"
        tail = {"prompt_harm_label": label, "subcategory": "others" if label == "harmful" else "benign"}
        sides = [(told.rights[0], harmful), (told.wrongs[0], not harmful)]  # (text, is a refusal)
        if k >= pairs:
            sides = sides[:1] if k - pairs < max(0, responses - 2 * pairs) else [(None, False)]
        else:
            prompts.append((prompt, adversarial, right))
        rows.extend(
            (k, {**head, "response": text, **_guarded(text, refusal, harmful), **tail}) for text, refusal in sides
        )
    order = stream(seed, "sets", "wildguardmix", "order").permutation(len(rows)).tolist()
    places: dict[int, list[int]] = {}
    for place, at in enumerate(order, 1):
        places.setdefault(rows[at][0], []).append(place)
    truth = [
        _truth(prompt, places[k], right=right, adversarial=adversarial)
        for k, (prompt, adversarial, right) in enumerate(prompts)
    ]
    columns = ("prompt", "adversarial", "response", "prompt_harm_label", "response_refusal_label")
    columns = (*columns, "response_harm_label", "subcategory")
    return Made([{name: rows[at][1][name] for name in columns} for at in order], truth)


def _guarded(response: str | None, refusal: bool, harmful: bool) -> Row:
    """The two labels of a response; null where there is none."""
    if response is None:
        return {"response_refusal_label": None, "response_harm_label": None}
    harm = "harmful" if harmful and not refusal else "unharmful"
    return {"response_refusal_label": "refusal" if refusal else "compliance", "response_harm_label": harm}


def _framed(rng: Generator, prompt: str) -> str:
    frames = facts()["adversarial"]
    return f"{pick(rng, frames['openers'])} {prompt} {pick(rng, frames['closers'])}"


def _magpie(name: str, scale: float, seed: int, leaks: Sequence[Leaked]) -> Made:
    """One of the four Magpie sets: two scored responses in Ultra, five in the others."""
    magpie = facts()["magpie"]
    count = _sized(magpie["pools"][name], scale)
    drawn = draw(stream(seed, "sets", name, "scores"), name, count)
    ultra = name == "magpie_ultra"
    scores_NR = spread_out(stream(seed, "sets", name, "spread"), drawn.mean_N, 2 if ultra else MAGPIE_RESPONSES)
    made = Made([], [])
    for k in range(count):
        rng = stream(seed, "sets", name, k)
        category, right = drawn.category_N[k], bool(drawn.right_N[k])
        leak = pick(rng, leaks) if drawn.leak_N[k] else None
        told = _leaking(rng, leak, seed, name, k) if leak else _asked(seed, name, k, category)
        best, worst = (told.rights, told.wrongs) if right else (told.wrongs, told.rights)
        generator, uuid = magpie["generators"][name], f"{name}-{k:06d}"
        each = Scored(told.prompt, best, worst, scores_NR[k].tolist(), category, generator, uuid)
        made.rows.append(_ultra_row(rng, each) if ultra else _dpo_row(rng, each))
        quality = round(float(drawn.quality_N[k]), 6)
        planted = {"leak": f"{leak.subset}:{leak.number}" if leak else None, "artefact": ultra, "quality": quality}
        made.truth.append(_truth(told.prompt, (k + 1,), right=right, category=category, **planted))
    return made


def _asked(seed: int, name: str, k: int, category: str) -> Told:
    by_category = facts()["magpie"]["tasks"]
    return tell(seed, name, k, by_category.get(category, by_category[""]), _name(name, k))


def _leaking(rng: Generator, leak: Leaked, seed: int, name: str, k: int) -> Told:
    """A RewardBench prompt word for word with new answers, told by somebody of this row's own name: no two leaks are equal."""
    own, asking = _name(name, k), name_of(leak.number, "eval")
    told = tell(seed, "reward_bench", leak.number, leak.asked, asking, look=f"{name}-{k}-")
    if float(rng.random()) < 0.5:
        return told._replace(prompt=f"{own} asks. {leak.prompt}")
    return told._replace(prompt=f"{leak.prompt} Signed, {own}.")


def _ultra_row(rng: Generator, each: Scored) -> Row:
    """Columns of argilla/magpie-ultra-v0.1. The loser, the base model's text but for a few rows, runs on behind a control token."""
    loser = controlled(rng, Sides(each.prompt, each.best[0], each.worst[0])).rejected
    texts, (score, score_base) = (each.best[0], loser), each.scores
    if float(rng.random()) < BASE_WINS:
        texts, (score, score_base) = texts[::-1], each.scores[::-1]
    turns = [{"content": each.prompt, "role": "user"}, {"content": texts[0], "role": "assistant"}]
    return {
        "instruction": each.prompt,
        "response": texts[0],
        "response_base": texts[1],
        "score": score,
        "score_base": score_base,
        "score_difference": round(score - score_base, 7),
        **_judged(rng),
        "explanation": "Generated.",
        "quality": pick(rng, ("average", "good", "excellent")),
        "primary_tag": each.category,
        "other_tags": [],
        "guard": "safe",
        "safe": True,
        "hazard_category": None,
        "embedding": [0.0, 1.0],
        "nn_indices": [0],
        "nn_scores": [1.0],
        "messages": turns,
        "distilabel_metadata": json.dumps({}),
        "model_name_response_base": f"{each.generator} (base)",
    }


def _dpo_row(rng: Generator, each: Scored) -> Row:
    """Columns of Magpie's DPO sets: five responses in any order, their scores, and the ready pair of the best and the worst."""
    (best, second), (worst, fourth) = _unlike(each.best), _unlike(each.worst)
    texts = (
        best,
        f"{second} {pick(rng, language().filler)}",
        second,
        fourth,
        worst,
    )  # from the best score to the worst
    order = rng.permutation(MAGPIE_RESPONSES).tolist()
    asked = {"content": each.prompt, "role": "user"}
    chosen, rejected = ([asked, {"content": text, "role": "assistant"}] for text in (texts[0], texts[-1]))
    return {
        "uuid": each.uuid,
        "instruction": each.prompt,
        "gen_input_configs": {"temperature": 1.0, "top_p": 1.0, "input_generator": each.generator},
        **_judged(rng),
        "input_quality": pick(rng, ("average", "good", "excellent")),
        "quality_explanation": "Generated.",
        "task_category": each.category,
        "input_length": len(each.prompt),
        "responses": [texts[at] for at in order],
        "gen_response_configs": {"temperature": 0.8, "top_p": 1.0, "output_generator": each.generator},
        "rewards_armorm": [{"score": each.scores[at]} for at in order],
        "chosen": chosen,
        "rejected": rejected,
    }


def _judged(rng: Generator) -> Row:
    return {
        "intent": "The user wants an answer.",
        "knowledge": "Words and numbers.",
        "difficulty": pick(rng, ("very easy", "easy", "medium", "hard")),
    }


def _reward_bench(seed: int) -> tuple[Made, tuple[Leaked, ...]]:
    """RewardBench's subsets with their published numbers of rows, and the prompts that leak."""
    config = facts()["reward_bench"]
    made, known = Made([], []), list[Leaked]()
    for section, weights in SECTIONS.items():
        for subset, weight in weights.items():
            asked = tuple(config["tasks"].get(subset) or config["tasks"][section])
            for _ in range(config["math_prm"] if subset == "math-prm" else weight):
                k = len(made.rows)
                told = tell(seed, "reward_bench", k, asked, name_of(k, "eval"))
                sides = {"chosen": told.rights[0], "chosen_model": "right", "rejected": told.wrongs[0]}
                head = {"id": str(k), "subset": subset, "prompt": told.prompt}
                made.rows.append({**head, **sides, "rejected_model": "wrong"})
                made.truth.append(_truth(told.prompt, (k + 1,), right=True))
                known.append(Leaked(k, subset, told.prompt, asked))
    some = stream(seed, "sets", "leaks").choice(len(known), size=config["leaked_prompts"], replace=False)
    return made, tuple(known[at] for at in sorted(some.tolist()))


def _truth(prompt: str, rows: Sequence[int], *, right: bool | None, **planted: object) -> Row:
    """One line of a truth file: the last user turn or whole prompt field, 1-based rows, whether the stated label is right (null for a
    tie), and what else was planted."""
    return {"prompt": prompt, "rows": list(rows), "right": right, **planted}


def _unlike(answers: tuple[str, str]) -> tuple[str, str]:
    """Two answers of one kind, in different words."""
    first, second = answers
    return first, second if first != second else f"{second} {language().filler[0]}"


def _everything() -> tuple[str, ...]:
    """Tasks of the general sets, refusals among them: a model of the others' labels can then judge WildGuard's."""
    return ("topic", "include", "avoid", "style", "refuse", "respond", "total", "parity", "vowel")


def _name(where: str, index: int) -> str:
    return name_of(list(FILES).index(where) * 1_000_000 + index)


def _sized(count: int, scale: float) -> int:
    return max(1, round(count * scale))


def counts(folder: Path) -> dict[str, int]:
    """Set -> rows of its file below `folder`, for messages."""
    return {name: _height(path) for name, path in files(folder).items()}


def _height(path: Path) -> int:
    lazy = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_ndjson(path)
    return int(lazy.select(pl.len()).collect().item())
