"""8-bit networks: close to fp32, made once, refused where they would spoil the picture or cannot be made."""

import ctypes
import gc
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from spandrel.architectures.Compact import Compact

from iqsr import Upscaler
from iqsr.engines import int8
from iqsr.engines.openvino import core
from iqsr.engines.openvino_module import OpenVinoModule
from iqsr.errors import ModelError, UsageError
from iqsr.models import SRModel, load_model
from iqsr.upscaling.jobs import upscale_batch
from iqsr.upscaling.plan import plan
from support.cli_pictures import picture

for package in ("nncf", "openvino", "skimage"):
    pytest.importorskip(package)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))
    with torch.inference_mode():
        yield tmp_path / "cache" / "int8"


def compact(seed: int = 0) -> SRModel:
    torch.manual_seed(seed)
    module = Compact(num_feat=16, num_conv=2).eval().requires_grad_(False)
    return SRModel("small-compact", module, 4, "Compact", "CC0-1.0")


def test_calibration_pictures_are_many_and_always_the_same():
    crops, again = int8.calibration(), int8.calibration()
    assert [tuple(crop.shape) for crop in crops] == [(1, 3, 64, 64)] * 32
    assert all(torch.equal(a, b) for a, b in zip(crops, again, strict=True))
    assert len({crop.numpy().tobytes() for crop in crops}) == 32
    assert tuple(int8.calibration(multiple=24)[0].shape) == (1, 3, 72, 72)


def test_is_quantised_and_close_to_fp32():
    model = load_model("realesr-animevideov3")
    network = OpenVinoModule(model, precision="int8", threads=1)
    kinds = {node.get_type_name() for node in int8.quantised(model).get_ops()}
    assert "FakeQuantize" in kinds
    x = int8._picture("coffee", 4)[..., :48, :56].contiguous()
    error = (network(x).clamp(0, 1) - model.module(x).clamp(0, 1)).square().mean()
    assert 25 < -10 * error.log10() < 60


def test_is_made_once(cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    x = torch.rand(1, 3, 20, 24)
    first = OpenVinoModule(compact(), precision="int8", threads=1)(x)
    assert sorted(path.suffix for path in cache.iterdir()) == [".bin", ".xml"]
    assert capsys.readouterr().out == ""  # results of --json go there
    monkeypatch.setattr(int8, "_quantise", lambda model: pytest.fail("made again"))
    assert torch.equal(OpenVinoModule(compact(), precision="int8", threads=1)(x), first)
    with pytest.raises(pytest.fail.Exception):
        OpenVinoModule(compact(seed=1), precision="int8", threads=1)


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_damaged_cache_is_made_again_and_gives_the_same(cache: Path, suffix: str, monkeypatch: pytest.MonkeyPatch):
    x = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    first = OpenVinoModule(compact(), precision="int8", threads=1)(x)
    (file,) = cache.glob(f"*{suffix}")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert torch.equal(OpenVinoModule(compact(), precision="int8", threads=1)(x), first)
    monkeypatch.setattr(int8, "_quantise", lambda model: pytest.fail("what was made again was not kept"))
    assert torch.equal(OpenVinoModule(compact(), precision="int8", threads=1)(x), first)


def test_network_that_8_bits_spoil_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(int8, "LEAST_DB", 200.0)
    with pytest.raises(ModelError, match=r"8 bits change its pictures too much \(\d+ dB to fp32, 200 needed\)"):
        int8.quantised(compact())
    assert not cache.exists()


def test_a_batch_with_a_network_that_8_bits_spoil_ends_at_the_first_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("a.png", "b.png"):
        picture(str(tmp_path / "in" / name))
    made, quantise = [], int8._quantise
    monkeypatch.setattr(int8, "LEAST_DB", 200.0)
    monkeypatch.setattr(int8, "_quantise", lambda model: made.append(model) or quantise(model))
    jobs = plan([str(tmp_path / "in")], str(tmp_path / "o"))
    with pytest.raises(ModelError, match="8 bits change its pictures too much"):
        list(upscale_batch(lambda: Upscaler(compact(), precision="int8", backend="openvino"), jobs))
    assert len(made) == 1


def test_quantising_leaves_other_peoples_log_handlers_alone():
    handler = logging.NullHandler(logging.INFO)
    for name in ("", "nncf"):
        logging.getLogger(name).addHandler(handler)
    try:
        int8._quantise(compact())
    finally:
        for name in ("", "nncf"):
            logging.getLogger(name).removeHandler(handler)
    assert handler.level == logging.INFO


class SignalStack(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack() -> int | None:
    """Where this thread's alternate signal stack lies."""
    found = SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    return found.address


@pytest.mark.skipif(sys.platform != "linux", reason="OpenVINO sets one on Linux only")
def test_quantising_leaves_the_signal_stack_as_it_was():
    core()
    before = signal_stack()
    int8._quantise(compact())
    gc.collect()
    assert signal_stack() == before


def test_upscaler_takes_it_with_openvino_only():
    upscaler = Upscaler(compact(), precision="int8", backend="openvino", tile=32)
    assert upscaler.describe() == "tiles, int8, openvino"
    assert upscaler.upscale(torch.rand(1, 3, 20, 24)).shape == (1, 3, 80, 96)
    with pytest.raises(UsageError, match="add --backend openvino"):
        Upscaler(compact(), precision="int8")


@pytest.mark.parametrize(("module", "package"), [("nncf", "nncf"), ("skimage", "scikit-image")])
def test_missing_package_names_the_extra(module: str, package: str, monkeypatch: pytest.MonkeyPatch):
    found = int8.find_spec
    monkeypatch.setattr(int8, "find_spec", lambda name: None if name == module else found(name))
    with pytest.raises(ModelError, match=rf"int8 needs {package}.*pip install 'iqsr\[int8\]'"):
        int8.quantised(compact())
