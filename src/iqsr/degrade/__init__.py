"""High resolution to low, as cameras, scalers and codecs do: drawn first, then applied.

drawn = pipeline("hggt-one-stage").draw(8, 256, 256, torch.Generator().manual_seed(0))
lr = degrade(hr, drawn)  # (8, 3, 256, 256) -> (8, 3, 64, 64)
"""

from iqsr.degrade.drawn import OneStageDraw, TwoStageDraw
from iqsr.degrade.pipeline import OneStage, Stage, TwoStage, degrade
from iqsr.degrade.pool import Pool
from iqsr.degrade.presets import pipeline, pipeline_names
from iqsr.degrade.sharpen import unsharp_mask

__all__ = [
    "OneStage",
    "OneStageDraw",
    "Pool",
    "Stage",
    "TwoStage",
    "TwoStageDraw",
    "degrade",
    "pipeline",
    "pipeline_names",
    "unsharp_mask",
]
