"""iqsr: image-quality-guided super-resolution.

>>> import iqsr
>>> iqsr.Upscaler().upscale_file("photo.jpg", "photo_x4.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iqsr.generators import Generator as Generator
    from iqsr.generators import load_generator as load_generator
    from iqsr.upscale import Upscaler as Upscaler

__version__ = "0.1.0"
__all__ = ["Generator", "Upscaler", "__version__", "load_generator"]

_HOME = {"Upscaler": "iqsr.upscale", "Generator": "iqsr.generators", "load_generator": "iqsr.generators"}


def __getattr__(name: str) -> object:
    """Import torch only when something that needs it is asked for: `import iqsr` stays fast."""
    if name not in _HOME:
        raise AttributeError(f"module 'iqsr' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)
