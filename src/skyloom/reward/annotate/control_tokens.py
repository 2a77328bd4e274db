"""Control tokens: chat-control tokens left in the text of a pair, and whether cutting them off leaves a pair.

Formula  a side is cut before its first control token; the pair still separates when both cut sides hold text and differ
Source   RM-R1 (arXiv 2505.02387, appendix F.2): <im_start> in the rejected side of all magpie-ultra pairs; the other tokens are
         those of the ChatML, Llama 2 and 3, Gemma and Zephyr templates
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train; decide/control_tokens.py drops or repairs
Run      skyloom run skywork_reward --smoke
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig

KIND: str = "map"
READS: tuple[str, ...] = ("prompt", "chosen", "rejected")
WRITES: dict[str, pl.DataType] = {
    "control.prompt": pl.Int64(),  # control tokens in the prompt's turns
    "control.chosen": pl.Int64(),
    "control.rejected": pl.Int64(),
    "control.separates": pl.Boolean(),  # the cut sides hold text and differ
}
TOKEN: str = (
    r"<\|?(?:im_start|im_end|im_sep|endoftext|eot_id|start_header_id|end_header_id|begin_of_text|end_of_text|"
    r"start_of_turn|end_of_turn)\|?>|<\|(?:user|assistant|system)\|>|\[/?INST\]|<</?SYS>>"
)
"""What counts as a control token; case matters, and role names need their bars: prose and code hold <USER> and <user>."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Nothing to set: repairing must cut where this file counted."""


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Counts of control tokens, and whether a repair is possible."""
    del config
    contents = pl.col("prompt").list.eval(pl.element().struct.field("content")).list.join("\n")
    chosen, rejected = (cut(pl.col(side)).str.strip_chars() for side in ("chosen", "rejected"))
    return rows_N.select(
        _count(contents).alias("control.prompt"),
        _count(pl.col("chosen")).alias("control.chosen"),
        _count(pl.col("rejected")).alias("control.rejected"),
        ((chosen != "") & (rejected != "") & (chosen != rejected)).alias("control.separates"),
    )


def cut(text: pl.Expr) -> pl.Expr:
    """The text before its first control token, without trailing white space; unchanged where there is none."""
    return (
        pl.when(text.str.contains(TOKEN))
        .then(text.str.replace(rf"(?s)(?:{TOKEN}).*", "").str.strip_chars_end())
        .otherwise(text)
    )


def _count(text: pl.Expr) -> pl.Expr:
    return text.str.count_matches(TOKEN).cast(pl.Int64)


def _row(chosen: str, rejected: str) -> dict[str, Any]:  # Any: column values
    return {"prompt": [{"role": "user", "content": "Name a colour."}], "chosen": chosen, "rejected": rejected}


def _facts(chosen: int, rejected: int, separates: bool) -> dict[str, Any]:  # Any: as above
    counts = {"control.prompt": 0, "control.chosen": chosen, "control.rejected": rejected}
    return {**counts, "control.separates": separates}


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: as above
    (_row("Blue.", "Seven."), _row("Blue.", "Seven. <im_start>user\nWhy?<|im_end|>"), _row("Blue.", "Blue.<|eot_id|>")),
    (_facts(0, 0, True), _facts(0, 2, True), _facts(0, 1, False)),
)
