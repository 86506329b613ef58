"""What streaming costs: nothing is computed twice, and memory does not grow with the picture's height."""

from collections import deque
from collections.abc import Callable, Iterator

import pytest
import torch
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from iqsr.engines.streaming import RowStream, compile_rows
from iqsr.engines.streaming.stream import delay_bytes_per_column
from iqsr.engines.tiling import probe
from support.streaming_networks import Sketch, conv, model, streamed

pytestmark = pytest.mark.usefixtures("inference_mode")


# Nothing twice


def flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@pytest.mark.parametrize("band", [1, 4, 9, 37])
def test_compact_computes_nothing_twice(band: int):
    module, picture = model("realesr-animevideov3-x4").module, probe(37, 8)
    assert flops(lambda: streamed(module, picture, band)) == flops(lambda: module(picture))


@pytest.mark.parametrize("band", [2, 8, 40])
def test_rrdbnet_computes_nothing_twice_and_enlargements_at_the_small_size(band: int):
    module = ESRGAN(num_filters=16, num_blocks=2, scale=4).eval()
    height, width = 40, 6
    picture = probe(height, width)
    # 3x3 taps on the enlarged rows become four phases of 2x2 taps on small rows that are one column longer; in one
    # band, where the convolution pads by itself, there is one row more too.
    more = int(band == height)
    saved = 0
    for up in (1, 2):
        small = (height * up, width * up)
        pair = 2 * 16 * 16
        saved += pair * (9 * 4 * small[0] * small[1] - 4 * 4 * (small[0] + more) * (small[1] + 1))
    assert flops(lambda: streamed(module, picture, band)) == flops(lambda: module(picture)) - saved


# Bounded memory


def tensors_in(thing: object) -> Iterator[Tensor]:
    """Every tensor that an object holds, however deep."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from tensors_in(value)
    elif isinstance(thing, list | tuple | deque):
        for value in thing:
            yield from tensors_in(value)
    elif hasattr(thing, "__dict__"):
        yield from tensors_in(vars(thing))


def held_bytes(thing: object) -> int:
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors_in(thing)}
    return sum(storages.values())


def peak_bytes(module: nn.Module, height: int, width: int, band: int) -> int:
    program = compile_rows(module)
    weights = held_bytes(program)
    stream = RowStream(program, height, band)
    peak = 0
    for rows in torch.rand(1, 3, height, width).split(band, 2):
        for _ in stream.push(rows):
            peak = max(peak, held_bytes(stream))
        peak = max(peak, held_bytes(stream))
    return peak - weights


@pytest.mark.parametrize(
    ("module", "band"),
    [
        (Compact(num_feat=8, num_conv=6, upscale=4), 4),
        (ESRGAN(num_filters=8, num_blocks=1, scale=4), 8),
        (nn.Sequential(nn.PixelUnshuffle(2), conv(12, 12), nn.PixelShuffle(2)), 5),
        (Sketch(lambda m, x: (m.a(x), m.b(x))[1], a=conv(3, 3), b=conv(3, 3)), 4),
    ],
)
def test_memory_does_not_grow_with_the_height(module: nn.Module, band: int):
    width = 8
    short = peak_bytes(module, 20 * band, width, band)
    tall = peak_bytes(module, 200 * band, width, band)
    assert short == tall
    assert tall <= width * delay_bytes_per_column(compile_rows(module), band, 4)


@pytest.mark.parametrize("band", [1, 4, 30])
def test_nothing_is_held_after_the_last_row(band: int):
    program = compile_rows(ESRGAN(num_filters=8, num_blocks=1, scale=4))
    stream = RowStream(program, 30, band)
    assert sum(out.shape[2] for rows in probe(30, 8).split(band, 2) for out in stream.push(rows)) == 120
    assert held_bytes(stream) == held_bytes(program)


def test_estimate_of_memory_holds_for_a_packaged_network():
    module, width, band = model("realesrgan-x4plus-anime").module, 3, 16
    peak = peak_bytes(module, 320, width, band)
    estimate = width * delay_bytes_per_column(compile_rows(module), band, 4)
    assert 0.5 * estimate <= peak <= estimate
