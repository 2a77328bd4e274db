import subprocess
import sys

import torch

from skyloom.core.losses import LossOut


def test_summed_undoes_the_mean_for_loss_and_metrics():
    values = torch.tensor([1.0, 2.0, 6.0])
    out = LossOut(values.mean(), {"top": (values > 1.5).float().mean()}).summed(3)
    assert out.loss.item() == 9.0
    assert round(out.metrics["top"].item(), 6) == 2.0


def test_configs_and_loss_types_need_no_torch():
    code = "import sys, skyloom.core.losses, skyloom.core.optim, skyloom.core.llm.config; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )
