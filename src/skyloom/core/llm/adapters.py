"""LoRA: low-rank products beside frozen weights, put in, trained, and merged into them when the model is written.

Formula  y = W x + (alpha / rank) B A x with W frozen, A drawn and B zero: an adapter begins as nothing; merged, W + (alpha / rank) B A
Source   Hu et al. 2021 (arXiv 2106.09685); the layers are peft's
Flow     reward/train.py, mathqa/train.py: add -> train -> merge -> save, so that what is on disk is a plain model
Limits   Merging rounds to the type of W: a bfloat16 weight keeps three digits of the sum
Run      skyloom run skywork_math --set train.adapter.rank=16
"""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from skyloom.core.errors import BadInput
from skyloom.core.llm.config import AdapterConfig
from skyloom.core.rng import derive


def add_adapter(model: PreTrainedModel, config: AdapterConfig, seed: int) -> None:
    """Freeze the model and put adapters beside its linear maps, in place; they alone are trained, from now on.

    Raises BadInput where no linear map has one of the names in `config.targets`.
    """
    from peft import LoraConfig, inject_adapter_in_model  # seconds to import, and most runs train all weights

    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.targets) or "all-linear",
        fan_in_fan_out=any(
            isinstance(module, Conv1D) for module in model.modules()
        ),  # GPT-2 stores its maps transposed
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "adapter"))
        try:
            inject_adapter_in_model(lora, model)
        except ValueError as error:
            reason = str(error).split(". ")[0]
            raise BadInput(f"train.adapter.targets={','.join(config.targets)}: {reason}") from error


def merge_adapter(model: nn.Module) -> None:
    """Add the adapters' products to the weights that they stand beside, in place; nothing for a model without adapters."""
    # Any: a peft layer, named by what it has, so that a model without adapters needs no peft
    layers: list[tuple[str, Any]] = [(name, each) for name, each in model.named_modules() if hasattr(each, "lora_A")]
    for name, layer in layers:
        layer.merge()
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, layer.get_base_layer())
