"""What every reward recipe that cleans does first, in this order: repair, exact copies, near copies, benchmark leaks."""

from skyloom.core.config import PluginConfig
from skyloom.reward.annotate import contamination as find_contamination
from skyloom.reward.annotate import control_tokens as find_control_tokens
from skyloom.reward.annotate import exact_duplicates as find_duplicates
from skyloom.reward.annotate import near_duplicates as find_near
from skyloom.reward.decide import contamination, control_tokens, duplicates, near_duplicates


def cleaning() -> tuple[PluginConfig, ...]:
    """Control tokens, exact and near duplicates, benchmark leaks."""
    return (
        find_control_tokens.Config(),
        control_tokens.Config(),
        find_duplicates.Config(),
        duplicates.Config(),
        find_near.Config(),
        near_duplicates.Config(),
        find_contamination.Config(),
        contamination.Config(),
    )
