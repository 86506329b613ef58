"""The part before the enlargement at once, and fused convolutions: the same output, whatever the device offers."""

from collections.abc import Generator
from itertools import accumulate
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from spandrel.architectures.Compact import Compact
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from iqsr.engines.streaming import compile_rows
from iqsr.engines.streaming.fused_trunk import FusedTrunk
from iqsr.kernels.fused_convolution import FusedConvolution, has_fused
from iqsr.models import load_model
from support.counting import calls
from support.streaming_networks import Sketch, engine, enlarged, photo

pytestmark = pytest.mark.usefixtures("inference_mode")
CPU = torch.device("cpu")
needs_fused = pytest.mark.skipif(not has_fused(CPU, torch.float32), reason="torch has no fused convolutions here")
needs_fused_bf16 = pytest.mark.skipif(not has_fused(CPU, torch.bfloat16), reason="no fused bf16 convolutions here")


def noise(*size: int) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(2))


class Dense(nn.Module):
    """Joins in every way: fronts of one another, the same values in another order, the picture, a value twice."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.act = activation
        self.first = nn.Conv2d(3, 48, 3, 1, 1)
        self.a, self.b = nn.Conv2d(48, 16, 3, 1, 1), nn.Conv2d(64, 32, 3, 1, 2, dilation=2)
        self.c, self.d = nn.Conv2d(96, 48, 1), nn.Conv2d(64, 16, 3, 1, 1)
        self.e, self.f = nn.Conv2d(19, 48, 3, 1, 1), nn.Conv2d(96, 48, 3, 1, 1)
        self.last = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(48, 3, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Three dense layers with a skip, then the other ways to join."""
        first = self.first(x)
        a = self.act(self.a(first))
        b = self.act(self.b(torch.cat([first, a], 1)))
        c = self.c(torch.cat([first, a, b], 1)) * 0.2 + first
        d = self.d(torch.cat([a, first], 1))
        e = self.act(self.e(torch.cat([x, d], 1))) + c
        return self.last(self.f(torch.cat([e, e], 1)) + c)


ACTIVATIONS = [nn.LeakyReLU(0.2), nn.ReLU(), nn.PReLU(), nn.SiLU(), nn.LeakyReLU(-0.5)]


@pytest.fixture
def no_winograd(monkeypatch):
    """As without MKL, or in bf16."""
    monkeypatch.setattr("iqsr.engines.streaming.engine.has_winograd", lambda device, dtype: False)


@needs_fused
@pytest.mark.usefixtures("no_winograd")
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (16, 16), (13, 22)])
def test_dense_network_through_a_trunk_gives_the_same_output(activation: nn.Module, size: tuple[int, int]):
    module = Dense(activation)
    through = engine(module)
    assert isinstance(through.trunk, FusedTrunk)
    picture = noise(1, 3, *size)
    assert (enlarged(through, picture) - module(picture)).abs().max() <= 1e-5


@needs_fused
@pytest.mark.usefixtures("no_winograd")
@pytest.mark.parametrize("size", [(33, 20), (17, 70)])
def test_packaged_network_through_a_trunk_gives_the_same_output(size: tuple[int, int]):
    module = load_model("realesrgan-x4plus-anime").module
    through = engine(module)
    assert isinstance(through.trunk, FusedTrunk)
    picture = photo(*size)
    assert (enlarged(through, picture) - module(picture)).abs().max() <= 1e-5


@needs_fused_bf16
def test_trunk_in_bf16_is_as_close_to_fp32_as_plain_bf16():
    module = load_model("realesrgan-x4plus-anime").module
    picture = photo(40, 48)
    exact = module(picture)
    with torch.autocast("cpu", torch.bfloat16):
        plain = module(picture)
    ours = enlarged(engine(module, torch.bfloat16), picture)
    assert (ours - exact).square().mean() <= (plain.float() - exact).square().mean()


@needs_fused
@pytest.mark.usefixtures("no_winograd")
def test_a_picture_that_does_not_fit_streams_to_the_same_output():
    module = Dense(nn.LeakyReLU(0.2))
    picture = noise(1, 3, 50, 60)
    small = engine(module, memory_bytes=2_000_000)
    assert isinstance(small.trunk, FusedTrunk)
    assert small.trunk.bytes_needed(50, 60) > 2_000_000
    assert (enlarged(small, picture) - module(picture)).abs().max() <= 1e-5


@needs_fused
@pytest.mark.usefixtures("no_winograd")
def test_a_large_picture_streams_before_anything_of_its_size_is_made(monkeypatch):
    monkeypatch.setattr("iqsr.engines.streaming.engine._FUSED_TRUNK_PIXELS", 20 * 20)
    through = engine(Dense(nn.LeakyReLU(0.2)))
    asked, gone = (calls(monkeypatch, type(through.trunk), name) for name in ("bytes_needed", "run"))
    enlarged(through, noise(1, 3, 20, 21))
    assert (asked, gone) == ([], [])
    enlarged(through, noise(1, 3, 20, 20))
    assert (len(asked), len(gone)) == (1, 1)


@pytest.mark.parametrize("make", [lambda: Dense(nn.LeakyReLU(0.2)), lambda: Compact(num_feat=16, num_conv=3).eval()])
@pytest.mark.usefixtures("no_winograd")
def test_without_fused_convolutions_the_output_is_the_same(make, monkeypatch):
    monkeypatch.setattr("iqsr.engines.streaming.ops.has_fused", lambda device, dtype: False)
    module, picture = make().requires_grad_(False), noise(1, 3, 21, 18)
    plain = engine(module)
    assert plain.trunk is None
    assert (enlarged(plain, picture) - module(picture)).abs().max() <= 1e-5


def test_the_end_of_a_split_network_may_read_the_picture_and_no_other_value_of_its_beginning():
    parts = compile_rows(Compact(num_feat=16, num_conv=3, upscale=4).eval()).split()
    assert parts is not None
    assert (parts[0].scale, parts[1].input_channels, parts[1].side_channels) == (1, 48, 3)
    layers = {"a": nn.Conv2d(3, 16, 1), "b": nn.Conv2d(16, 16, 1), "c": nn.PixelShuffle(2), "d": nn.PixelShuffle(2)}
    between = Sketch(lambda m, x: (lambda a: m.c(m.b(a)) + m.d(a))(m.a(x)), **layers)
    assert compile_rows(between).split() is None


def test_split_programs_make_the_whole():
    program = compile_rows(load_model("realesrgan-x4plus").module)
    parts = program.split()
    assert parts is not None
    trunk, head = parts
    assert len(trunk.stages) + len(head.stages) == len(program.stages)
    assert (trunk.scale, head.scale) == (1, 4)
    assert (head.input_channels, head.side_channels) == (64, 0)


@needs_fused
def test_trunk_holds_no_more_than_it_says(monkeypatch):
    """Counted where memory is asked for: what is alive after each stage."""
    program = compile_rows(load_model("realesrgan-x4plus-anime").module).split()
    assert program is not None
    trunk = FusedTrunk(program[0].to(CPU, torch.float32))
    height, width = 16, 24
    most = 0

    def watch(self: FusedTrunk, number: int, stage: Any, held: dict, stacked: dict) -> Tensor:
        nonlocal most
        alive = {t.data_ptr(): t.numel() * 4 for t in [*held.values(), *stacked.values()]}
        most = max(most, sum(alive.values()))
        return original(self, number, stage, held, stacked)

    original = FusedTrunk._run
    monkeypatch.setattr(FusedTrunk, "_run", watch)
    list(trunk.run([noise(1, 3, height, width)], lambda done: None))
    assert 192 * 4 * height * width < most <= trunk.bytes_needed(height, width)


@needs_fused
def test_trunk_holds_nothing_but_its_result_while_that_is_read():
    program = compile_rows(load_model("realesrgan-x4plus-anime").module).split()
    assert program is not None
    trunk = FusedTrunk(program[0].to(CPU, torch.float32))
    picture = noise(1, 3, 32, 40)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        running = trunk.run([picture], lambda done: None)
        result = next(running)
    profiler: Any = seen.profiler
    changes = [event.nbytes() for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    assert sum(changes) <= 1.1 * result.nbytes < 0.3 * max(accumulate(changes))
    assert isinstance(running, Generator)
    running.close()


@needs_fused
def test_fused_convolution_takes_what_is_not_contiguous():
    weight, bias = noise(16, 8, 3, 3), noise(16)
    x = noise(1, 8, 20, 20)[:, :, 3:17, 5:19]
    expected = F.conv2d(x, weight, bias, padding=1)
    found = FusedConvolution(weight, bias, (1, 1))(x, (1, 1))
    assert (found - expected).abs().max() <= 1e-4


def test_fused_convolutions_are_for_cpus_and_two_types():
    assert not has_fused(torch.device("meta"), torch.float32)
    assert not has_fused(CPU, torch.float16)
