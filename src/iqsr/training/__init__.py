"""Training: what learns, from what, and the loops."""

from collections.abc import Generator
from contextlib import contextmanager

from iqsr.errors import ModelError


@contextmanager
def training_packages() -> Generator[None]:
    """For imports of trainings: ModelError, which says what to install, where a package of the extra is missing."""
    try:
        yield
    except ImportError as error:
        package = str(error.name).partition(".")[0]
        if package not in ("accelerate", "peft", "tensorboard"):
            raise
        raise ModelError(f"training needs the package {package}: pip install 'iqsr[train]'") from error
