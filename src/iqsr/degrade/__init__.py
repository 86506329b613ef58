"""Degradations from high to low resolution, as by cameras, scalers and codecs: parameters are drawn, then applied.

params = pipeline("hggt-one-stage").draw(8, 256, 256, torch.Generator().manual_seed(0))
lr = degrade(hr, params)  # (8, 3, 256, 256) -> (8, 3, 64, 64)

Users read "degradation": in options, messages and pages. In code, `pipeline` is the object that draws the parameters of
one, a `OneStage` or `TwoStage`.

* `presets`: the degradations that have a name, and the table of them in the docs
* `pipeline`: `Stage`, `OneStage` and `TwoStage`, which draw parameters; `degrade`, which applies them; resizing
* `parameters`: what is drawn (`StageParameters` and its kind), and how (`uniform`, `chance`, `pick`)
* `kernels`, `noise`, `jpeg`: one operation each
* `pool`: mixes batches, as most of what is drawn holds for a whole batch
* `sharpen`: unsharp masking of targets, which is no part of a degradation
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
