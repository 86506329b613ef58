"""Degradations from high to low resolution, as by cameras, scalers and codecs: parameters are drawn, then applied.

params = pipeline("hggt-one-stage").draw(8, 256, 256, torch.Generator().manual_seed(0))
lr = degrade(hr, params)  # (8, 3, 256, 256) -> (8, 3, 64, 64)
"""

from iqsr.degrade.parameters import OneStageParameters, TwoStageParameters
from iqsr.degrade.pipeline import OneStage, Stage, TwoStage, degrade
from iqsr.degrade.pool import Pool
from iqsr.degrade.presets import pipeline, pipeline_names
from iqsr.degrade.sharpen import unsharp_mask

__all__ = [
    "OneStage",
    "OneStageParameters",
    "Pool",
    "Stage",
    "TwoStage",
    "TwoStageParameters",
    "degrade",
    "pipeline",
    "pipeline_names",
    "unsharp_mask",
]
