"""The repository's root, and the scripts of the docs as modules."""

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def load_outputs() -> ModuleType:
    """docs/outputs.py, which is no part of a package."""
    return load_script(ROOT / "docs" / "outputs.py")


def load_script(path: Path) -> ModuleType:
    """A script as a module."""
    import sys

    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
