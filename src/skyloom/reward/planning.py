"""What a reward run costs: tokens and hours of training and of scoring the benchmark.

Formula  training tokens = pairs kept * tokens a pair * passes, 6 FLOPs a parameter and token; scoring 2 FLOPs
Source   core/plan.py has the FLOP and memory rules; token counts of Skywork's 80K are its paper's table (96 prompt + 527 response
         tokens a side, arXiv 2410.18451)
Flow     skyloom plan RECIPE, before anything is spent
Run      skyloom plan skywork_reward
"""

from collections.abc import Sequence

from skyloom.core.errors import BadInput
from skyloom.core.llm.config import TINY, BackboneConfig, parameters
from skyloom.core.plan import (
    TRAINING_ASSUMPTIONS,
    ModelSize,
    Plan,
    compute_line,
    dense_forward_flops,
    machine,
    model_size,
    training_line,
)
from skyloom.core.records import SourceConfig
from skyloom.reward.evals import reward_bench
from skyloom.reward.settings import EvalConfig, TrainConfig
from skyloom.reward.sources import world

LAPTOP: str = "laptop (2 cores)"
GPU: str = "H100"
WORLD_TOKENS: int = 61
"""Tokens of a pair of the preference world, both sides, measured with its 4K BPE."""
WORLD_KEPT: float = 0.71
"""Share of the world's rows that the smoke recipe's chain keeps, measured."""
KNOWN_SIZES: dict[str, str] = {"Llama-3.1-8B-Instruct": "llama-3.1-8b", "gemma-2-27b-it": "gemma-2-27b"}
"""Hub names, without their owner -> model of plan.toml."""
BENCHMARK_PAIRS: int = 2985
BENCHMARK_TOKENS: int = 800
"""RewardBench 1: rows of its `filtered` split; tokens of a pair, both sides, are our estimate."""


def plan(
    train: TrainConfig, evaluate: EvalConfig, sources: Sequence[SourceConfig], pairs: int, tokens_a_pair: int
) -> Plan:
    """The plan of one recipe; raises BadInput where pairs or tokens are neither given nor those of the world."""
    rows = sum(each.rows for each in sources if isinstance(each, world.Config))
    pairs, tokens_a_pair = pairs or round(rows * WORLD_KEPT), tokens_a_pair or (WORLD_TOKENS if rows else 0)
    if not pairs or not tokens_a_pair:
        raise BadInput("plan: set planned_pairs and planned_tokens, for example --set planned_pairs=77016")
    tiny = train.backbone.model == TINY
    size, where = size_of(train.backbone), machine(LAPTOP if tiny else GPU)
    passes = train.epochs + train.language_epochs
    share = 1 - train.valid_share - train.held_out_share
    tokens = pairs * tokens_a_pair * passes * share
    trained = training_line(
        "train", size, tokens, where, train.budget, recompute=not tiny, logits=bool(train.language_weight)
    )
    items = evaluate.world.rows if isinstance(evaluate, reward_bench.Config) and tiny else BENCHMARK_PAIRS
    scored_tokens = items * (tokens_a_pair if tiny else BENCHMARK_TOKENS)
    flops = dense_forward_flops(size.parameters, scored_tokens)
    scored = compute_line("evaluate", flops, scored_tokens, 2 * size.parameters, where)
    counted = f"{pairs:,} pairs of {tokens_a_pair} tokens (both sides), {passes} passes over {share:.0%} of them"
    assumptions = (counted, size.assumption, where.assumption, *TRAINING_ASSUMPTIONS)
    return Plan(title=f"Reward model on {size.name}", lines=(trained, scored), assumptions=assumptions)


def size_of(backbone: BackboneConfig) -> ModelSize:
    """The backbone's size: plan.toml's where it is listed, `tiny`'s own, else guessed from the number in its name."""
    name = backbone.model.rsplit("/", 1)[-1]
    if name in KNOWN_SIZES:
        return model_size(KNOWN_SIZES[name])
    count = parameters(backbone)
    if backbone.model == TINY:
        return ModelSize(
            name=TINY,
            parameters=count,
            hidden=backbone.hidden,
            layers=backbone.layers,
            vocabulary=backbone.vocab,
            source="its own config; the vocabulary is a bound",
        )
    like = model_size("llama-3.1-8b")
    source = "parameters by its name, shape assumed as Llama-3.1-8B's"
    return ModelSize(
        name=name, parameters=count, hidden=like.hidden, layers=like.layers, vocabulary=like.vocabulary, source=source
    )
