"""Bands of a picture through a Winograd trunk: the same output, in the memory that was planned, as rows come."""

from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from spandrel.architectures.Compact import Compact
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from iqsr.engines.rows import Rows
from iqsr.engines.streaming import StreamEngine, compile_rows, winograd_gain, winograd_trunk
from iqsr.engines.streaming.fused_trunk import FusedTrunk
from iqsr.engines.streaming.program import Value
from iqsr.engines.streaming.wavefront import Wavefront
from iqsr.engines.streaming.winograd_trunk import Plan, WinogradTrunk
from iqsr.kernels.fused_convolution import has_fused
from iqsr.kernels.winograd import has_winograd
from iqsr.models import load_model
from support.counting import calls
from support.streaming_networks import Sketch, conv, engine, enlarged, photo

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("inference_mode", "fast_products")
SIZES = [(1, 1), (1, 9), (9, 1), (16, 16), (13, 22), (41, 10)]
FP32 = (CPU, torch.float32)
RRDBNET, COMPACT = "realesrgan-x4plus-anime", "realesr-animevideov3-x4"


@pytest.fixture
def fast_products(monkeypatch):
    """As with MKL: without it the same results come more slowly, so that engines would not choose this way."""
    monkeypatch.setattr("iqsr.engines.streaming.engine.has_winograd", lambda device, dtype: (device, dtype) == FP32)


def noise(*size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(2))


def trunk_of(module: nn.Module) -> WinogradTrunk:
    parts = compile_rows(module.eval()).split()
    assert parts is not None
    return WinogradTrunk(parts[0])


def plan_of(trunk: WinogradTrunk, size: tuple[int, int], tiles: int, cut: bool = False) -> Plan:
    """In bands of so many Winograd tiles, all levels at once or in groups."""
    return Plan(
        winograd_trunk.bands_of(*size, tiles), trunk._groups_between_stacks() if cut else [(0, len(trunk.levels) - 1)]
    )


def through(trunk: WinogradTrunk, picture: Tensor, tiles: int, cut: bool = False) -> Tensor:
    plan = plan_of(trunk, (picture.shape[2], picture.shape[3]), tiles, cut)
    bands = picture.split(plan.bands[0][0].stop, 2)
    reported: list[float] = []
    out = torch.cat(list(Wavefront(trunk, plan).run(bands, reported.append)), 2)
    assert reported == sorted(reported)
    assert reported[-1] == 1
    return out


# The same output


class Branched(nn.Module):
    """Reads in another order, a part of a list, the picture too; without a bias, without neighbours; skips."""

    first: nn.Conv2d
    second: nn.Conv2d
    third: nn.Conv2d
    alone: nn.Conv2d
    late: nn.Conv2d
    last: nn.Conv2d

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        sizes = {"first": 3, "second": 16, "third": 32, "alone": 16, "late": 19, "last": 32}
        for name, channels in sizes.items():
            setattr(self, name, nn.Conv2d(channels, 16, 3, padding=1, bias=name != "third"))
        self.flat, self.act = nn.Conv2d(32, 16, 1), activation
        self.enlarge = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        a = F.leaky_relu(self.first(x), 0.2)
        b = self.act(self.second(a))
        c, d = self.third(torch.cat([b, a], 1)), self.alone(b)
        e = self.act(self.flat(torch.cat([c, d], 1))) * 0.5 + b
        late = self.act(self.late(torch.cat([x, e], 1)))
        return self.enlarge(self.last(torch.cat([c, late], 1)) + a)


ACTIVATIONS = [nn.LeakyReLU(0.2), nn.ReLU(), nn.PReLU(16, init=1.5), nn.PReLU(), nn.SiLU(), nn.LeakyReLU(-0.5)]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tiles", [1, 12, 1024])
@pytest.mark.parametrize("cut", [False, True])
def test_any_network_of_such_convolutions(activation: nn.Module, size: tuple[int, int], tiles: int, cut: bool) -> None:
    """In bands of one row of Winograd tiles, of two, and at once."""
    module = Branched(activation)
    trunk, x = trunk_of(module), noise(1, 3, *size)
    assert trunk.gain > 1
    assert any(len(stacks) > 1 for stacks in trunk.spans.values())
    expected = module(x)
    error = (F.pixel_shuffle(through(trunk, x, tiles, cut), 2) - expected).abs().max()
    assert float(error) <= 1e-5 * float(expected.abs().max())


SUMS: dict[str, Callable[..., Tensor]] = {
    "once": lambda m, a, b: m.e(torch.cat([m.c(b) + a, m.d(b)], 1)),
    "twice": lambda m, a, b: m.e(torch.cat([m.c(b) + a + a, m.d(b)], 1)),
    "by two at once": lambda m, a, b: m.e(torch.cat([m.c(b) + a, m.d(b) + a], 1)),
    "and later": lambda m, a, b: m.e(torch.cat([m.c(b) + a, m.d(b)], 1)) + a,
}


@pytest.mark.parametrize("tiles", [4, 1024])
@pytest.mark.parametrize("read", SUMS)
def test_a_sum_takes_the_place_of_a_value_that_nothing_else_reads(read: str, tiles: int) -> None:
    layers = {"a": conv(3, 16), "b": conv(16, 16), "c": conv(16, 16), "d": conv(16, 16), "e": conv(32, 16)}
    module = Sketch(lambda m, x: m.up(SUMS[read](m, a := m.a(x), m.b(a))), **layers, up=nn.PixelShuffle(2))
    trunk, x = trunk_of(module), noise(1, 3, 24, 20)
    assert trunk.is_only_last_read(2, Value(0)) == (read == "once")
    assert (F.pixel_shuffle(through(trunk, x, tiles), 2) - module(x)).abs().max() <= 1e-5


@pytest.mark.parametrize("tiles", [16, 50, 1024])
@pytest.mark.parametrize("name", [RRDBNET, COMPACT])
def test_packaged_networks(name: str, tiles: int, monkeypatch) -> None:
    monkeypatch.setattr(winograd_trunk, "_MOST_TILES_PER_BAND", tiles)
    gone = calls(monkeypatch, Wavefront, "run")
    module, picture = load_model(name).module, photo(50, 37)
    assert (enlarged(engine(module), picture) - module(picture)).abs().max() <= 1e-5
    assert len(gone) == 1


@pytest.mark.parametrize("cut", [False, True])
def test_every_band_is_read_from_memory_that_this_picture_wrote(cut: bool, monkeypatch) -> None:
    """Arrays come full of what is no number, instead of empty."""
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, **more: empty(*size, **more).fill_(torch.nan))
    module, picture = load_model(COMPACT).module, photo(45, 38)
    assert (F.pixel_shuffle(through(trunk_of(module), picture, 30, cut), 4)).isfinite().all()


# As rows come


def test_rows_leave_before_the_last_ones_come() -> None:
    """Of the compact network, once its depth is full."""
    module, read = load_model(COMPACT).module, []
    height, width = 400, 64
    picture = noise(1, 3, height, width)

    def bands(height: int) -> Iterator[Tensor]:
        for part in picture.split(height, 2):
            read.append(part.shape[2])
            yield part

    trunk = trunk_of(module)
    plan = plan_of(trunk, (height, width), 1)
    first = next(Wavefront(trunk, plan).run(bands(4), lambda done: None))
    assert first.shape[2] == 4
    assert sum(read) == 4 * len(trunk.levels) < height / 2
    read.clear()
    streamed = engine(module).apply(Rows(width, height, bands)).bands(1)
    assert torch.cat(list(streamed), 2).shape == (1, 3, 4 * height, 4 * width)
    assert sum(read) == height


# Memory


def fused(m: Any, x: Tensor) -> Tensor:
    """A dense block whose values a convolution without neighbours reads, all at once."""
    values = [m.a(x)]
    for layer in (m.b, m.c, m.d):
        values.append(F.relu(layer(torch.cat(values, 1))))
    return m.up(m.e(m.flat(torch.cat(values, 1)) + values[0]))


DENSE = {"a": conv(3, 32), "b": conv(32, 32), "c": conv(64, 32), "d": conv(96, 32), "e": conv(32, 16)}
MODULES = {
    "RRDBNet": lambda: load_model(RRDBNET).module,
    "compact": lambda: load_model(COMPACT).module,
    "fused": lambda: Sketch(fused, **DENSE, flat=nn.Conv2d(128, 32, 1), up=nn.PixelShuffle(2)),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(("size", "tiles"), [((8, 8), 1024), ((13, 40), 1024), ((40, 40), 30), ((132, 128), 1024)])
@pytest.mark.parametrize("cut", [False, True])
def test_no_more_memory_is_held_than_was_planned(name: str, size: tuple[int, int], tiles: int, cut: bool) -> None:
    """At once, by all that the run makes and lets go of."""
    trunk = trunk_of(MODULES[name]())
    through(trunk, noise(1, 3, 8, 8), 1024)  # its kernels are made
    plan = plan_of(trunk, size, tiles, cut)
    bands = noise(1, 3, *size).split(plan.bands[0][0].stop, 2)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        for _ in Wavefront(trunk, plan).run(bands, lambda share: None):
            pass
    profiler: Any = seen.profiler
    changes = [event.nbytes() for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    planned = trunk.bytes_needed(plan)
    assert 0.5 * planned < max(accumulate(changes)) < planned


def test_memory_does_not_grow_with_the_height_of_a_picture_much_taller_than_the_network_is_deep() -> None:
    trunk = trunk_of(load_model(COMPACT).module)
    needed = [trunk.bytes_needed(plan_of(trunk, (height, 512), 1024)) for height in (2000, 20000)]
    assert needed[1] <= 1.02 * needed[0]


def test_memory_is_what_the_docs_say() -> None:
    """docs/guides/upscale.md: in GB."""
    text = " ".join((Path(__file__).parents[3] / "docs" / "guides" / "upscale.md").read_text().split())
    deep, flat = (trunk_of(load_model(name).module) for name in ("realesrgan-x4plus", COMPACT))
    for width in (1000, 4000):
        assert gigabytes(flat, 3000, width) == 0.4
    assert "compact: 0.4 GB for pictures 1000 to 4000 pixels wide" in text
    assert gigabytes(deep, 1000, 1000) == 1.3
    assert "RRDBNet: 1.3 GB a megapixel" in text
    assert deep.plan(60000, 1000, 4_100_000_000) is not None
    assert "with 4.1 GB, RRDBNet also does pictures 1000 pixels wide of any height" in text
    assert [round(sum(k.nbytes for k in trunk.kernels.values()) / 1e9, 1) for trunk in (deep, flat)] == [0.3, 0.0]
    assert "another 0.3 GB for RRDBNet, next to nothing for compact" in text


def gigabytes(trunk: WinogradTrunk, height: int, width: int) -> float:
    plan = trunk.plan(height, width, 1 << 40)
    assert plan is not None
    return round(trunk.bytes_needed(plan) / 1e9, 1)


def test_the_plan_that_needs_less_is_taken_in_bands_as_thin_as_memory_asks_for() -> None:
    deep, flat = (trunk_of(load_model(name).module) for name in (RRDBNET, COMPACT))
    plans = [trunk.plan(1000, 1000, 1 << 40) for trunk in (deep, flat)]
    assert [len(found.groups) for found in plans if found is not None] == [len(deep._groups_between_stacks()), 1]
    assert flat.plan(512, 512, 1000) is None
    plan = flat.plan(512, 512, 1 << 40)
    assert plan is not None
    thinner = flat.plan(512, 512, flat.bytes_needed(plan) - 1)
    assert thinner is not None
    assert len(thinner.bands) > len(plan.bands)
    assert flat.bytes_needed(thinner) < flat.bytes_needed(plan)


# What takes this way


def test_a_picture_that_memory_does_not_hold_streams_by_direct_convolutions(monkeypatch) -> None:
    gone = calls(monkeypatch, Wavefront, "run")
    module, picture = load_model(COMPACT).module, photo(50, 60)
    for memory, times in ((1_000_000, 0), (1 << 30, 1)):
        assert (enlarged(engine(module, memory_bytes=memory), picture) - module(picture)).abs().max() <= 1e-5
        assert len(gone) == times


@pytest.mark.parametrize(("size", "times"), [((31, 32), 0), ((32, 32), 1), ((1, 3000), 0)])
def test_small_and_very_thin_pictures_do_not(size: tuple[int, int], times: int, monkeypatch) -> None:
    gone = calls(monkeypatch, Wavefront, "run")
    enlarged(engine(load_model(COMPACT).module), noise(1, 3, *size))
    assert len(gone) == times


def test_networks_with_other_convolutions_that_see_neighbours_do_not() -> None:
    def network(between: nn.Conv2d) -> nn.Module:
        layers = {"a": conv(3, 16), "b": between, "c": conv(between.out_channels, 16), "d": nn.PixelShuffle(2)}
        return Sketch(lambda m, x: m.d(m.c(m.b(m.a(x)))), **layers)

    assert trunk_of(network(conv(16, 16))).gain > 1
    for other in (conv(16, 16, 5), conv(16, 16, 3, dilation=2, padding=2), conv(16, 8)):
        module, picture = network(other), noise(1, 3, 40, 50)
        assert trunk_of(module).gain == 1
        through = engine(module)
        assert through.trunk is None
        assert (enlarged(through, picture) - module(picture)).abs().max() <= 1e-5


def test_fp32_takes_it_and_bf16_does_not() -> None:
    program = compile_rows(load_model(RRDBNET).module)
    assert isinstance(StreamEngine(program, CPU, torch.float32, memory_bytes=1 << 33).trunk, WinogradTrunk)
    assert has_winograd(CPU, torch.float32) == torch.backends.mkl.is_available()
    assert not has_winograd(CPU, torch.bfloat16)
    trunk = StreamEngine(program, CPU, torch.bfloat16, memory_bytes=1 << 33).trunk
    assert has_fused(CPU, torch.bfloat16) == isinstance(trunk, FusedTrunk)


def test_dense_networks_gain_most() -> None:
    dense, flat = (compile_rows(load_model(name).module) for name in (RRDBNET, COMPACT))
    assert winograd_gain(dense, CPU) > winograd_gain(flat, CPU) > 1
    assert winograd_gain(dense, torch.device("meta")) == 1


def test_a_last_convolution_may_have_few_outputs() -> None:
    """As of a compact network for x2."""
    module, picture = Compact(num_feat=16, num_conv=3, upscale=2).eval(), noise(1, 3, 40, 50)
    assert trunk_of(module).gain > 1
    assert (enlarged(engine(module), picture) - module(picture)).abs().max() <= 1e-5


def test_networks_that_are_mostly_of_other_stages_do_not() -> None:
    """Tiles would be joined and cut again for each."""
    module = nn.Sequential(conv(3, 16), *[nn.Conv2d(16, 16, 1) for _ in range(4)], conv(16, 12), nn.PixelShuffle(2))
    assert trunk_of(module).gain == 1
