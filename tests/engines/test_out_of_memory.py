"""Memory runs out: smaller tiles and bands give the same picture, and where none helps a line says so."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from iqsr.engines.tiling import TileEngine, out_of_memory, probe
from iqsr.errors import ModelError
from support.commands import PATIENCE
from support.tile_networks import local, run

pytestmark = pytest.mark.usefixtures("inference_mode")


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_errors_of_short_memory_are_told_from_others(error: Exception, answer: bool):
    assert out_of_memory(error) is answer


class SmallMemory(nn.Module):
    """A network that has room for so many pixels only."""

    def __init__(self, pixels: float) -> None:
        super().__init__()
        self.inner, self.pixels = local(4), pixels
        self.refused: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2] * x.shape[3]
        if size > self.pixels:
            self.refused.append(size)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return self.inner(x)


@pytest.mark.parametrize("pixels", [5000, 2500, 1100])
def test_halved_tiles_give_the_same_picture(pixels: int):
    network, picture = SmallMemory(pixels), probe(130, 110)
    engine = TileEngine(network, 2, tile=64, margin=8)
    assert (run(engine, picture) - network.inner(picture)).abs().max() <= 1e-5
    assert 1 <= len(network.refused) <= 3  # what was learnt holds for the tiles after


def test_tiles_that_cannot_be_halved_further_say_so():
    engine = TileEngine(SmallMemory(100), 2, tile=64, margin=8)
    with pytest.raises(ModelError, match="out of memory even with the smallest tile") as error:
        run(engine, probe(64, 64))
    assert "\n" not in str(error.value)


def test_other_failures_of_a_network_are_not_hidden():
    def broken(x: Tensor) -> Tensor:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run(TileEngine(broken, 2, tile=64), probe(64, 64))


SCARCE = """
import logging, resource, sys
import torch
from torch import nn
from iqsr import SRModel, Upscaler
from iqsr.engines.tiling import probe

def address_space():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

def limited(extra):
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + extra, -1))

torch.set_num_threads(1)
logging.basicConfig(level="WARNING")
torch.manual_seed(0)
"""


def run_scarce(program: str) -> list[str]:
    """What a program prints in a process of its own, whose memory it limits."""
    done = subprocess.run([sys.executable, "-c", SCARCE + program], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


linux_only = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux only")


@linux_only
def test_tiles_survive_real_shortage_of_memory():
    # 256 channels of 400 x 400 pixels take 164 MB, twice; of 200 x 200 and their margins 47 MB.
    said = run_scarce("""
wide = nn.Sequential(nn.Conv2d(3, 256, 1), nn.LeakyReLU(0.2), nn.Conv2d(256, 12, 1), nn.PixelShuffle(2)).eval()
wide.requires_grad_(False)
generator = SRModel("wide", wide, 2, "test", "unknown")
picture = probe(400, 400)
with torch.inference_mode():
    expected = wide(picture).clamp(0, 1)
upscaler = Upscaler(generator, precision="fp32", tile=400)
upscaler.upscale(probe(32, 32))
engine = upscaler._runner.engine()
limited(240 << 20)
out = upscaler.upscale(picture)
print("halved", engine._most_pixels < 400, "error", float((out - expected).abs().max()) < 1e-5)
""")
    assert said == ["halved True error True"]


@linux_only
def test_streaming_survives_real_shortage_of_memory():
    # The picture goes through in one band at first: 1024 channels of 100 x 100 pixels take 41 MB, twice.
    said = run_scarce("""
wide = nn.Sequential(nn.Conv2d(3, 1024, 1), nn.Conv2d(1024, 12, 1), nn.PixelShuffle(2)).eval()
wide.requires_grad_(False)
generator = SRModel("wide", wide, 2, "test", "unknown")
picture = probe(100, 100)
with torch.inference_mode():
    expected = wide(picture).clamp(0, 1)
upscaler = Upscaler(generator, precision="fp32")
upscaler.upscale(probe(16, 16))
limited(30 << 20)
out = upscaler.upscale(picture)
print(upscaler.describe(), float((out - expected).abs().max()) < 1e-5)
""")
    assert said[0] == "exact streaming, fp32, cpu True"
    assert len(said) >= 2
    assert all("out of memory: trying again with half as much" in line for line in said[1:])


@linux_only
@pytest.mark.parametrize("tile", [None, 64])
def test_hopeless_shortage_of_memory_is_one_line(tile: int | None):
    said = run_scarce(f"""
from iqsr.errors import ModelError
wide = nn.Sequential(nn.Conv2d(3, 4096, 1), nn.Conv2d(4096, 12, 1), nn.PixelShuffle(2)).eval()
wide.requires_grad_(False)
upscaler = Upscaler(SRModel("wide", wide, 2, "test", "unknown"), precision="fp32", tile={tile})
upscaler._runner.engine()
limited(3 << 20)
try:
    upscaler.upscale(probe(128, 128))
except ModelError as error:
    print(error)
""")
    assert said[0].startswith("out of memory")
    assert "close other programs" in said[0]
