"""An agent on disk: weights in safetensors, sizes in JSON beside them. Nothing is ever unpickled.

Layout  agent.safetensors, agent.json {"config": AgentConfig, "spec": what the weights were shaped by}
Flow    imitate -> [files] -> evals, app
"""

import json
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from safetensors.torch import load, save

from skyloom.arena import spec
from skyloom.core import store
from skyloom.core.config import from_dict, to_dict
from skyloom.core.errors import BadInput
from skyloom.starcraft.agent.config import AgentConfig
from skyloom.starcraft.agent.network import Agent

WEIGHTS: str = "agent.safetensors"
SIZES: str = "agent.json"


def save_agent(folder: Path, network: Agent, config: AgentConfig) -> None:
    """Write both files into a folder."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    store.write_bytes(folder / WEIGHTS, save(tensors))
    store.write_json(folder / SIZES, {"config": to_dict(config), "spec": _spec()})


def load_agent(folder: Path) -> Agent:
    """The network of a folder; BadInput for a missing or damaged file, or one made for another ruleset."""
    try:
        told = cast(dict[str, Any], json.loads(store.read_bytes(folder / SIZES)))  # Any: checked by from_dict
        sizes, made_for = from_dict(AgentConfig, told["config"], str(folder / SIZES)), told["spec"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{folder / SIZES}: damaged ({error}); train again") from error
    if made_for != _spec():
        raise BadInput(f"{folder}: made for {made_for}, this arena has {_spec()}; train again")
    network = Agent(sizes)
    try:
        network.load_state_dict(load(store.read_bytes(folder / WEIGHTS)))
    except (SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise BadInput(f"{folder / WEIGHTS}: damaged ({first}); train again") from error
    return network.eval()


def _spec() -> dict[str, str | int]:
    """What the shapes of the weights depend on."""
    return {
        "ruleset": spec.RULES.ruleset,
        "types": spec.N_TYPES,
        "actions": spec.N_ACTIONS,
        "columns": len(spec.COLUMNS),
        "scalars": len(spec.SCALARS),
        "planes": len(spec.PLANES),
    }
