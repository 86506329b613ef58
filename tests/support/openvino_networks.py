"""A small network for OpenVINO, importable from another process."""

import torch
from spandrel.architectures.Compact import Compact

from iqsr.models import SRModel


def small_compact() -> SRModel:
    torch.manual_seed(0)
    module = Compact(num_feat=16, num_conv=3).eval().requires_grad_(False)
    return SRModel("small-compact", module, 4, "Compact", "CC0-1.0")
