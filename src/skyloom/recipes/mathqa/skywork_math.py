"""Skywork-Math: synthesise math questions and answers from seeds in two stages, fine-tune a 7B base, measure GSM8K and MATH.

Source   Zeng et al. 2024 (arXiv 2407.08348): seeds to seed problems by three families of augmenters, a core set of them, 2.1M rows by the
         same families (stage 1), 0.4M rows from hard seeds (stage 2); 3 epochs, 32 rows an update, at most 2,048 tokens, lr 2e-5
         for LLaMA2-7B, 2e-6 for Mistral-7B and DeepSeekMath-7B; greedy zero-shot evaluation; teacher GPT-4-1106-preview at 0.7
Not said Counts of seeds but MATH's; size of the seed set and of the core set, its embedding and distance; shares of the methods (Evol
         "the major share"); rounds and answers of a question; few-shot texts; retries and cost; whether stage 2 begins its schedule anew
         and repeats rows of stage 1. The numbers below for these are ours
Flow     collect -> synthesize seed -> select, synthesize normal -> select, synthesize hard -> curate -> train -> evaluate -> report
Run      skyloom run skywork_math --smoke     the whole loop on a laptop
         skyloom plan skywork_math            what the published size costs
         skyloom run skywork_math.short       512 tokens in training and evaluation, as half of the paper's tables
         skyloom run skywork_math.lora        a hundredth of the rows on Qwen2.5-0.5B, low-rank adapters, one small GPU or a patient laptop
         ... --set train.order=mixed          one phase of all rows; `reversed` takes the hard ones first; train.replay=0.1 repeats a tenth
Limits   Four of the five seed sets are test benchmarks: they are seeds on purpose here, the manifest says so, and their scores are not
         reported. The weights are float32, and the forward pass bfloat16: weights of that type would lose updates of 2e-6 to rounding.
"""

from dataclasses import replace
from pathlib import Path

from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.llm.config import AdapterConfig, BackboneConfig, GenerateConfig
from skyloom.core.llm.simulated import Faults
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.optim import TrainerConfig
from skyloom.mathqa.annotate import (
    backward,
    contamination,
    core_set,
    correct,
    duplicates,
    length,
    pass_rate,
    question_kind,
    substitution,
    validity,
    verify,
)
from skyloom.mathqa.augment import answer_augment, evol, fobar, rephrase, self_verification, xwin
from skyloom.mathqa.decide import contamination as drop_contaminated
from skyloom.mathqa.decide import core_set as keep_core
from skyloom.mathqa.decide import correct as keep_likely
from skyloom.mathqa.decide import duplicates as drop_duplicates
from skyloom.mathqa.decide import hard, too_long, wrong_answer
from skyloom.mathqa.decide import question_kind as drop_kinds
from skyloom.mathqa.decide import validity as drop_ill_posed
from skyloom.mathqa.evals import gsm8k, world
from skyloom.mathqa.evals import math as math_test
from skyloom.mathqa.operators import AugmentConfig
from skyloom.mathqa.settings import (
    EvaluateConfig,
    MathConfig,
    PassConfig,
    SimulatedConfig,
    SynthesizeConfig,
    TrainConfig,
)
from skyloom.mathqa.sources import agieval, jeebench, math_hendrycks, olympiadbench, scibench
from skyloom.mathqa.sources import world as world_seeds

CHAIN: tuple[AnnotatorConfig | DeciderConfig, ...] = (
    length.Config(),
    duplicates.Config(),
    verify.Config(),
    backward.Config(),
    substitution.Config(),
    contamination.Config(),
    drop_contaminated.Config(),
    validity.Config(),
    drop_ill_posed.Config(),
    correct.Config(),
    wrong_answer.Config(),
    drop_duplicates.Config(),
    keep_likely.Config(),
    too_long.Config(),
)
"""Decontaminate first, so that the counts of the other filters are of clean rows. P(correct) is learnt while wrong rows still stand; then
what the gold contradicts goes, and of the rest what is likely right stays, but half of every level. Copies go before that: answers that
agree are often the same text, so the likeliest rows are the most repeated ones."""
COPIES = drop_contaminated.Config(layers=("ngram", "whole"))
PROBLEMS: tuple[AnnotatorConfig | DeciderConfig, ...] = (question_kind.Config(), drop_kinds.Config())
"""No proofs, no multiple choice, one definite answer: the paper takes the non-proving problems."""
SHARES: tuple[float, ...] = (0.55, 0.3, 0.08, 0.04, 0.03)
"""The smoke world leans to the easy levels: what a model of 0.15M weights can learn in a minute."""


def _families() -> tuple[AugmentConfig, ...]:
    """The three families: 30% of the rows by MetaMath's four ways, 60% by Evol, 10% by Xwin, if every round gives a row."""
    return (
        answer_augment.Config(share=1.5),
        rephrase.Config(share=1.5),
        fobar.Config(share=1.5),
        self_verification.Config(share=1.5),
        evol.Config(share=4.0, rounds=3),
        xwin.Config(share=2.0),
    )


def _passes(core: int, seed_jobs: int, normal_jobs: int, hard_jobs: int) -> tuple[PassConfig, ...]:
    """Seed problems, a core set of `core` of them, stage 1 from these, stage 2 from the hard seeds."""
    pick: tuple[AnnotatorConfig | DeciderConfig, ...] = (
        duplicates.Config(),
        drop_duplicates.Config(),
        core_set.Config(k=core),
        keep_core.Config(k=core),
    )
    return (
        PassConfig(name="seed", select=PROBLEMS, augment=_families(), rows=seed_jobs, train=False),
        PassConfig(name="normal", seeds=("seed",), select=pick, augment=_families(), rows=normal_jobs),
        PassConfig(
            name="hard",
            stage=2,
            select=(*PROBLEMS, pass_rate.Config(), hard.Config(min_level=4)),
            augment=_families(),
            rows=hard_jobs,
        ),
    )


def config() -> MathConfig:
    """The published size on Mistral-7B: 2.1M rows of stage 1 and 0.4M of stage 2."""
    return MathConfig(
        collect=(
            math_hendrycks.Config(path=Path("data/MATH/train.jsonl")),
            olympiadbench.Config(path=Path("data/OlympiadBench"), as_train=True),
            agieval.Config(path=Path("data/AGIEval/v1"), as_train=True),
            scibench.Config(path=Path("data/SciBench"), as_train=True),
            jeebench.Config(path=Path("data/JEEBench"), as_train=True),
        ),
        synthesize=SynthesizeConfig(
            passes=_passes(core=50_000, seed_jobs=120_000, normal_jobs=1_260_000, hard_jobs=240_000),
            teacher=TeacherConfig(
                url="https://api.openai.com/v1",
                model="gpt-4-1106-preview",
                api_key_env="OPENAI_API_KEY",
                temperature=0.7,
                max_tokens=2048,
                price_in=10.0,
                price_out=30.0,
            ),
        ),
        curate=CHAIN,
        train=TrainConfig(
            backbone=BackboneConfig(model="mistralai/Mistral-7B-v0.1", max_length=2048),
            optim=TrainerConfig(lr=2e-6, weight_decay=0.0, warmup_ratio=0.03, device="auto", dtype="bfloat16"),
            epochs=3,
            batch_rows=32,
            batch_tokens=16384,
            order="in_order",
            recompute=True,
        ),
        evaluate=EvaluateConfig(
            benchmarks=(
                math_test.Config(path=Path("data/MATH/test.jsonl")),
                gsm8k.Config(path=Path("data/gsm8k/test.jsonl")),
            ),
            generate=GenerateConfig(max_new_tokens=2048, batch_tokens=262_144),
        ),
    )


def short() -> MathConfig:
    """The published size at 512 tokens, in training and in evaluation alike: 0.7 to 3.6 points below 2,048 on MATH in the paper."""
    full: MathConfig = config()
    train = replace(full.train, backbone=replace(full.train.backbone, max_length=512))
    generate = replace(full.evaluate.generate, max_new_tokens=512)
    return replace(full, train=train, evaluate=replace(full.evaluate, generate=generate))


def lora() -> MathConfig:
    """A hundredth of the rows, at 512 tokens, on a 0.5B base with adapters; rank and rate are ours. On a GPU with FlashAttention add
    train.optim.dtype=bfloat16 and train.backbone.attention=flash_attention_2."""
    full: MathConfig = short()
    train = replace(
        full.train,
        backbone=BackboneConfig(model="Qwen/Qwen2.5-0.5B", max_length=512),
        adapter=AdapterConfig(rank=16, alpha=32),
        optim=replace(full.train.optim, lr=2e-4, dtype="float32"),
        template="plain",
        batch_tokens=8192,
        recompute=False,
    )
    passes = _passes(core=500, seed_jobs=1_200, normal_jobs=12_600, hard_jobs=2_400)
    return replace(full, train=train, synthesize=replace(full.synthesize, passes=passes))


def llama2() -> MathConfig:
    """The published size on LLaMA2-7B: ten times the learning rate."""
    return _on("meta-llama/Llama-2-7b-hf", lr=2e-5)


def deepseekmath() -> MathConfig:
    """The published size on DeepSeekMath-7B, which stage 2 helps least."""
    return _on("deepseek-ai/deepseek-math-7b-base", lr=2e-6)


def llama3_8b() -> MathConfig:
    """The same data on an 8B base."""
    return _on("meta-llama/Llama-3.1-8B", lr=2e-6)


def gemma2_27b() -> MathConfig:
    """The same data on a 27B base."""
    return _on("google/gemma-2-27b", lr=2e-6)


def _on(model: str, lr: float) -> MathConfig:
    full: MathConfig = config()
    train: TrainConfig = full.train
    backbone = replace(train.backbone, model=model, attention="eager" if "gemma-2" in model else "sdpa")
    return replace(full, train=replace(train, backbone=backbone, optim=replace(train.optim, lr=lr)))


def _smoke_passes() -> tuple[PassConfig, ...]:
    """The same three passes at laptop size; a model so small learns most from questions like those of the benchmark."""
    plain: tuple[AugmentConfig, ...] = (rephrase.Config(share=6.0), answer_augment.Config(share=6.0))
    rare: tuple[AugmentConfig, ...] = (
        fobar.Config(share=0.2),
        self_verification.Config(share=0.2),
        evol.Config(share=0.2, rounds=2),
        xwin.Config(share=0.2),
    )
    core, keep = core_set.Config(share=0.2), keep_core.Config()
    level = hard.Config(by="either", min_level=4, min_tried=1)
    return (
        PassConfig(name="seed", select=PROBLEMS, augment=(*plain, *rare), rows=7_200),
        PassConfig(name="normal", seeds=("seed",), select=(core, keep), augment=(*plain, *rare), rows=600),
        PassConfig(name="hard", stage=2, select=(pass_rate.Config(), level), augment=(*plain, *rare), rows=300),
    )


def smoke() -> MathConfig:
    """Everything at laptop size: the world's seeds, a simulated teacher that is wrong, careless and unreliable, and `tiny`."""
    benchmark = world.Config(shares=SHARES)
    return MathConfig(
        collect=(world_seeds.Config(rows=3_600, shares=SHARES, leak=0.03, benchmark=benchmark),),
        synthesize=SynthesizeConfig(
            passes=_smoke_passes(),
            teacher=TeacherConfig(in_flight=128),
            simulated=SimulatedConfig(
                wrong=0.15,
                drift=0.03,
                careless=0.02,
                weak=0.1,
                unsolvable=0.02,
                faults=Faults(rate_429=0.005, drop_rate=0.01, torn_rate=0.01),
            ),
        ),
        # The world's problems share their templates with its benchmark on purpose: only copies are leaks there.
        curate=tuple(COPIES if isinstance(each, drop_contaminated.Config) else each for each in CHAIN),
        train=TrainConfig(
            backbone=BackboneConfig(hidden=64, layers=2, heads=4, vocab=768, max_length=256),
            init_scale=2.5,
            optim=TrainerConfig(
                lr=3e-3,  # three seeds each: 3e-3 gave .52 to .56 of 1,200 fresh problems, 5e-3 with the same warm-up .35 to .54
                weight_decay=0.0,
                warmup_ratio=0.05,
                final_lr_ratio=0.02,
                checkpoint_every=400,
                threads=1,  # so narrow a model gains nothing from two, and one thread count gives the same bits everywhere
            ),
            epochs=4,
            batch_rows=16,
            # 150 hard rows at the rate that random weights need undo more than they teach: 0.43 nats became 0.61 (measured).
            order="mixed",
        ),
        evaluate=EvaluateConfig(
            benchmarks=(benchmark,),
            generate=GenerateConfig(max_new_tokens=96),
        ),
    )
