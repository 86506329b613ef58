"""iqsr: image-quality-guided super-resolution.

>>> import iqsr
>>> iqsr.Upscaler().upscale_file("photo.jpg", "photo_x4.png")
>>> iqsr.score(["results/"], ["psnr", "stlpips"], reference=Path("originals"))
"""

from importlib import import_module
from typing import TYPE_CHECKING

from iqsr._version import __version__

if TYPE_CHECKING:
    from iqsr.agreement import agreement as agree
    from iqsr.errors import (
        IqsrError,
        ModelError,
        PictureError,
        UnknownNameError,
        UsageError,
        WeightsError,
        WriteError,
    )
    from iqsr.evaluation.api import evaluate
    from iqsr.metrics import load_metric
    from iqsr.metrics import metric_names as list_metrics
    from iqsr.models import SRModel, load_model
    from iqsr.preparation import prepare
    from iqsr.scoring import score_files as score
    from iqsr.training.sr.run import train
    from iqsr.upscaling.upscaler import Upscaler

__all__ = [
    "IqsrError",
    "ModelError",
    "PictureError",
    "SRModel",
    "UnknownNameError",
    "Upscaler",
    "UsageError",
    "WeightsError",
    "WriteError",
    "__version__",
    "agree",
    "evaluate",
    "list_metrics",
    "load_metric",
    "load_model",
    "prepare",
    "score",
    "train",
]

_HOME = {
    "SRModel": "iqsr.models:SRModel",
    "Upscaler": "iqsr.upscaling.upscaler:Upscaler",
    "agree": "iqsr.agreement:agreement",
    "evaluate": "iqsr.evaluation.api:evaluate",
    "list_metrics": "iqsr.metrics:metric_names",
    "load_metric": "iqsr.metrics:load_metric",
    "load_model": "iqsr.models:load_model",
    "prepare": "iqsr.preparation:prepare",
    "score": "iqsr.scoring:score_files",
    "train": "iqsr.training.sr.run:train",
}
"""Where each public name comes from; errors come from `iqsr.errors`."""


def __getattr__(name: str) -> object:
    """Import torch only when something that needs it is asked for: `import iqsr` stays fast."""
    if name not in __all__:
        raise AttributeError(f"module 'iqsr' has no attribute '{name}'")
    module, _, attribute = _HOME.get(name, f"iqsr.errors:{name}").partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
