"""Skywork-Math: synthesise math questions and answers from seeds, fine-tune a 7B base, measure GSM8K and MATH.

Source   Zeng et al. 2024 (arXiv 2407.08348): 2.1M rows of stage 1, 3 epochs, 32 rows an update, at most 2,048 tokens,
         lr 2e-5 for LLaMA2-7B and 2e-6 for Mistral-7B, greedy zero-shot evaluation
Flow     collect -> synthesize -> curate -> train -> evaluate -> report
Run      skyloom run skywork_math --smoke     the whole loop on a laptop
         skyloom plan skywork_math            what the published size costs
Limits   Two operators of one family so far; the paper mixes three families and adds a second stage on hard seeds.
"""

from dataclasses import replace
from pathlib import Path

from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.llm.config import BackboneConfig, GenerateConfig
from skyloom.core.llm.simulated import Faults
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.optim import TrainerConfig
from skyloom.mathqa.annotate import contamination, duplicates, length, verify
from skyloom.mathqa.augment import answer_augment, rephrase
from skyloom.mathqa.decide import contamination as drop_contaminated
from skyloom.mathqa.decide import duplicates as drop_duplicates
from skyloom.mathqa.decide import too_long, wrong_answer
from skyloom.mathqa.evals import gsm8k, world
from skyloom.mathqa.evals import math as math_test
from skyloom.mathqa.settings import EvaluateConfig, MathConfig, SimulatedConfig, SynthesizeConfig, TrainConfig
from skyloom.mathqa.sources import math_hendrycks
from skyloom.mathqa.sources import world as world_seeds

CHAIN: tuple[AnnotatorConfig | DeciderConfig, ...] = (
    length.Config(),
    duplicates.Config(),
    verify.Config(),
    contamination.Config(),
    drop_contaminated.Config(),
    wrong_answer.Config(),
    too_long.Config(),
    drop_duplicates.Config(),
)
"""Decontaminate first, so that the counts of the other filters are of clean rows."""
SHARES: tuple[float, ...] = (0.55, 0.3, 0.08, 0.04, 0.03)
"""The smoke world leans to the easy levels: what a model of 0.15M weights can learn in a minute."""


def config() -> MathConfig:
    """The published size on Mistral-7B: 7,500 MATH train seeds, 288 rows a seed, 2.16M rows."""
    return MathConfig(
        collect=(math_hendrycks.Config(path=Path("data/MATH/train.jsonl")),),
        synthesize=SynthesizeConfig(
            augment=(rephrase.Config(samples=144), answer_augment.Config(samples=144)),
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
            backbone=BackboneConfig(model="mistralai/Mistral-7B-v0.1", max_length=2048, dtype="bfloat16"),
            optim=TrainerConfig(lr=2e-6, weight_decay=0.0, warmup_ratio=0.03, device="auto", dtype="bfloat16"),
            epochs=3,
            batch_rows=32,
            batch_tokens=16384,
        ),
        evaluate=EvaluateConfig(
            benchmarks=(
                math_test.Config(path=Path("data/MATH/test.jsonl")),
                gsm8k.Config(path=Path("data/gsm8k/test.jsonl")),
            ),
            generate=GenerateConfig(max_new_tokens=2048, batch_tokens=262_144),
        ),
    )


def llama2() -> MathConfig:
    """The published size on LLaMA2-7B: ten times the learning rate."""
    return _on("meta-llama/Llama-2-7b-hf", lr=2e-5)


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


def smoke() -> MathConfig:
    """Everything at laptop size: the world's seeds, a simulated teacher that is wrong, careless and unreliable, and `tiny`."""
    benchmark = world.Config(shares=SHARES)
    return MathConfig(
        collect=(world_seeds.Config(rows=3_600, shares=SHARES, leak=0.03, benchmark=benchmark),),
        synthesize=SynthesizeConfig(
            augment=(rephrase.Config(), answer_augment.Config()),
            teacher=TeacherConfig(in_flight=128),
            simulated=SimulatedConfig(
                wrong=0.15, drift=0.03, careless=0.02, faults=Faults(rate_429=0.005, drop_rate=0.01, torn_rate=0.01)
            ),
        ),
        curate=CHAIN,
        train=TrainConfig(
            backbone=BackboneConfig(hidden=64, layers=2, heads=4, vocab=768, max_length=256),
            init_scale=2.5,
            optim=TrainerConfig(
                lr=5e-3,
                weight_decay=0.0,
                warmup_ratio=0.05,
                final_lr_ratio=0.02,
                checkpoint_every=400,
                threads=1,  # so narrow a model gains nothing from two, and one thread count gives the same bits everywhere
            ),
            epochs=4,
            batch_rows=16,
        ),
        evaluate=EvaluateConfig(
            benchmarks=(benchmark,),
            generate=GenerateConfig(max_new_tokens=96),
        ),
    )
