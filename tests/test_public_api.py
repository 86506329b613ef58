"""The public names of the package, and that each is what it says."""

import subprocess
import sys
from pathlib import Path

import iqsr

PUBLIC = {
    "IqsrError", "ModelError", "PictureError", "SRModel", "UnknownNameError", "Upscaler", "UsageError", "WeightsError",
    "WriteError", "__version__", "agree", "evaluate",
    "list_metrics", "load_metric", "load_model", "prepare", "score", "train",
}  # fmt: skip


def test_these_names_are_public_and_no_others() -> None:
    assert set(iqsr.__all__) == set(dir(iqsr)) == PUBLIC
    for name in PUBLIC:
        assert getattr(iqsr, name) is not None
        assert (getattr(iqsr, name).__doc__ or "").strip(), name


def test_submodules_hide_no_public_name() -> None:
    """A package `iqsr.score` would replace the function `iqsr.score` as soon as anything imports it."""
    folder = Path(iqsr.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert not modules & PUBLIC


def test_public_names_do_not_import_torch_before_they_are_asked_for() -> None:
    code = "import sys, iqsr; assert 'torch' not in sys.modules; iqsr.list_metrics(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(iqsr.__file__).parent / "py.typed").exists()
