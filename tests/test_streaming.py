"""Exact streaming: the same output as the whole picture at once, nothing computed twice, bounded memory."""

from collections import deque
from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from skimage import data
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.SwinIR import SwinIR
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from iqsr.generators import Generator, load_generator
from iqsr.rows import NotFiniteError, of_tensor
from iqsr.streaming import NotStreamableError, RowStream, StreamEngine, compile_rows
from iqsr.streaming.ops import Convolve, EnlargeConvolve
from iqsr.streaming.stream import delay_bytes_per_column, receptive_radius
from iqsr.tiles import probe

PACKAGED = [
    "realesr-animevideov3-x4",
    "realesr-animevideov3-x3",
    "realesr-animevideov3-x2",
    "realesrgan-x4plus-anime",
    "realesrgan-x4plus",
]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@cache
def generator(name: str) -> Generator:
    return load_generator(name)


def streamed(module: nn.Module, picture: Tensor, band: int) -> Tensor:
    stream = RowStream(compile_rows(module), picture.shape[2], band)
    parts = [out for rows in picture.split(band, 2) for out in stream.push(rows)]
    assert stream.progress == 1
    return torch.cat(parts, 2)


def psnr(x: Tensor, y: Tensor) -> float:
    return float(-10 * (x - y).square().mean().log10())


class Sketch(nn.Module):
    """A network given as a function of its layers and the picture."""

    def __init__(self, forward: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def conv(given: int, made: int, size: int = 3, **options: object) -> nn.Conv2d:
    options = {"padding": (size - 1) // 2, **options}
    return nn.Conv2d(given, made, size, **options)


# The packaged networks


@pytest.mark.parametrize(
    ("height", "width", "band"),
    [(23, 11, 1), (22, 9, 2), (9, 17, 3), (13, 8, 4), (12, 7, 64), (1, 1, 1), (1, 9, 4), (5, 1, 2)],
)
@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_network_streams_to_the_same_output(name: str, height: int, width: int, band: int):
    picture, module = probe(height, width), generator(name).module
    whole = module(picture)
    parts = streamed(module, picture, band)
    assert parts.shape == whole.shape
    assert (parts - whole).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("name", "height", "width", "band"),
    [
        ("realesr-animevideov3-x4", 131, 15, 5),
        ("realesr-animevideov3-x3", 131, 15, 4),
        ("realesrgan-x4plus-anime", 251, 5, 16),
        pytest.param("realesrgan-x4plus", 801, 9, 24, marks=pytest.mark.slow),
    ],
)
def test_picture_taller_than_the_receptive_field(name: str, height: int, width: int, band: int):
    picture, module = probe(height, width), generator(name).module
    program = compile_rows(module)
    assert height > 2 * receptive_radius(program) + band
    assert (streamed(module, picture, band) - module(picture)).abs().max() <= 1e-5


def test_receptive_radius_is_how_far_a_pixel_reaches():
    module = generator("realesr-animevideov3-x4").module
    dark = torch.zeros(1, 3, 1, 101)
    spot = dark.clone()
    spot[..., 50] = 1
    changed = (module(spot) != module(dark)).any(1).any(1)[0].nonzero()
    radius = receptive_radius(compile_rows(module))
    assert (changed.min().item() // 4, changed.max().item() // 4) == (50 - radius, 50 + radius)


# What else streams


def random_networks() -> dict[str, nn.Module]:
    up = nn.Upsample(scale_factor=2)
    return {
        "one layer": conv(3, 3),
        "1x1 layer": conv(3, 3, 1),
        "no layer": nn.Identity(),
        "no bias": nn.Sequential(conv(3, 4, bias=False), nn.ReLU(), conv(4, 3, bias=False)),
        "PReLU": nn.Sequential(conv(3, 8), nn.PReLU(8), conv(8, 3), nn.PReLU(3)),
        "LeakyReLU": nn.Sequential(conv(3, 8), nn.LeakyReLU(0.1), conv(8, 3), nn.LeakyReLU(0.3)),
        "ReLU, SiLU, GELU": nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 8), nn.SiLU(), conv(8, 3), nn.GELU()),
        "activation of the picture": nn.Sequential(nn.PReLU(3), conv(3, 3), nn.Sigmoid()),
        "dilated and grouped": nn.Sequential(conv(3, 6, dilation=2, padding=2), conv(6, 6, 5, groups=3), conv(6, 3)),
        "oblong kernel": nn.Conv2d(3, 3, (1, 5), padding=(0, 2), dilation=(3, 1)),
        "padding same": nn.Conv2d(3, 3, 3, padding="same", dilation=2),
        "depthwise": nn.Sequential(conv(3, 8, 1), conv(8, 8, 7, groups=8), nn.Mish(), conv(8, 3, 1)),
        "long skip": Sketch(lambda m, x: x + m.a(x), a=nn.Sequential(*[conv(3, 3) for _ in range(9)])),
        "scaled residual": Sketch(lambda m, x: m.b(F.leaky_relu(m.a(x), 0.2)) * 0.2 + x, a=conv(3, 8), b=conv(8, 3)),
        "scalars": Sketch(lambda m, x: 1 + 0.5 * torch.add(m.a(x), 2), a=conv(3, 3)),
        "dense": Sketch(
            lambda m, x: m.c(torch.cat((x, h := F.relu(m.a(x)), m.b(torch.cat([x, h], dim=1))), -3)),
            a=conv(3, 4),
            b=conv(7, 4),
            c=conv(11, 3),
        ),
        "activation of a join": Sketch(lambda m, x: m.b(F.relu(torch.cat([m.a(x), x], 1))), a=conv(3, 2), b=conv(5, 3)),
        "join as output": Sketch(lambda m, x: torch.cat([m.a(x), m.b(x)], 1), a=conv(3, 1), b=conv(3, 2, 5)),
        "value joined with itself": Sketch(lambda m, x: m.a(torch.cat([x, x], 1)), a=conv(6, 3)),
        "layer used twice": Sketch(lambda m, x: m.a(m.a(x)), a=conv(3, 3)),
        "sum of old and new": Sketch(lambda m, x: m.b(h := m.a(x)) + h + x, a=conv(3, 3), b=conv(3, 3, 5)),
        "activation beside its input": Sketch(lambda m, x: F.relu(h := m.a(x)) + h, a=conv(3, 3)),
        "identity beside its input": Sketch(
            lambda m, x: F.relu(m.i(h := m.a(x))) + h, a=conv(3, 3), i=nn.Sequential(nn.Identity(), nn.Dropout())
        ),
        "scaled beside its input": Sketch(lambda m, x: (h := m.a(x)) * 3 + h, a=conv(3, 3)),
        "result nobody reads": Sketch(lambda m, x: (m.a(x), m.b(x))[1], a=conv(3, 3), b=conv(3, 3)),
        "named arguments": Sketch(lambda m, x: F.interpolate(input=m.a(input=x), scale_factor=2), a=conv(3, 3)),
        "pixel shuffle": nn.Sequential(conv(3, 12), nn.PixelShuffle(2), conv(3, 3)),
        "pixel shuffle x3": Sketch(lambda m, x: m.b(F.pixel_shuffle(m.a(x), 3)), a=conv(3, 27), b=conv(3, 3)),
        "nearest, convolution": nn.Sequential(conv(3, 8), up, conv(8, 8), nn.ReLU(), up, conv(8, 3)),
        "nearest, convolution without bias": nn.Sequential(up, conv(3, 3, bias=False)),
        "nearest with two readers": Sketch(lambda m, x: m.a(h := m.up(x)) + h, a=conv(3, 3), up=up),
        "nearest behind an identity": Sketch(
            lambda m, x: m.a(m.i(h := m.up(x))) + h, a=conv(3, 3), up=up, i=nn.Identity()
        ),
        "nearest, 5x5": nn.Sequential(up, conv(3, 3, 5)),
        "nearest x3": nn.Sequential(nn.Upsample(scale_factor=3), conv(3, 3)),
        "enlarged picture added": Sketch(
            lambda m, x: F.pixel_shuffle(m.a(x), 4) + F.interpolate(x, scale_factor=4), a=conv(3, 48)
        ),
        "x1": Sketch(lambda m, x: F.pixel_shuffle(m.a(x), 1) + F.interpolate(x, scale_factor=1), a=conv(3, 3)),
        "bicubic": nn.Sequential(conv(3, 4), nn.Upsample(scale_factor=2, mode="bicubic"), conv(4, 3)),
        "bicubic reduction": nn.Sequential(up, conv(3, 3), nn.Upsample(scale_factor=0.5, mode="bicubic")),
        "RRDBNet": ESRGAN(num_filters=8, num_blocks=2, scale=4),
        "compact": Compact(num_feat=8, num_conv=3, upscale=2),
        "compact x1": Compact(num_feat=8, num_conv=3, upscale=1, act_type="relu"),
    }


@pytest.mark.parametrize("kind", list(random_networks()))
def test_random_network_streams_to_the_same_output(kind: str):
    torch.manual_seed(0)
    module = random_networks()[kind].eval()
    for height, width, band in [(29, 9, 1), (29, 9, 2), (20, 7, 3), (33, 5, 8), (6, 3, 50), (1, 1, 1), (2, 5, 1)]:
        picture = torch.randn(1, 3, height, width)
        whole = module(picture.clone())
        before = picture.clone()
        parts = streamed(module, picture, band)
        assert torch.equal(picture, before), "the caller's picture was changed"
        assert parts.shape == whole.shape, (height, width, band)
        assert (parts - whole).abs().max() <= 1e-5 * max(1, whole.abs().max()), (height, width, band)


@pytest.mark.parametrize("band", [1, 2, 3, 4, 5, 7, 8, 40])
def test_pixel_unshuffle_in_front(band: int):
    torch.manual_seed(0)
    module = nn.Sequential(nn.PixelUnshuffle(2), conv(12, 8), nn.Upsample(scale_factor=2), conv(8, 8), conv(8, 3))
    picture = torch.randn(1, 3, 26, 6)
    assert (streamed(module, picture, band) - module(picture)).abs().max() <= 1e-5


@pytest.mark.parametrize("band", [1, 3, 5, 8])
def test_rrdbnet_with_pixel_unshuffle(band: int):
    torch.manual_seed(0)
    module = ESRGAN(in_nc=12, num_filters=8, num_blocks=2, scale=4, shuffle_factor=2).eval()
    program = compile_rows(module)
    assert (program.scale, program.size_multiple) == (2, 2)
    picture = torch.rand(1, 3, 22, 10)
    whole, parts = module(picture), streamed(module, picture, band)
    assert parts.shape == whole.shape == (1, 3, 44, 20)
    assert (parts - whole).abs().max() <= 1e-5


def test_compiling_leaves_the_module_as_it_was():
    module = ESRGAN(num_filters=8, num_blocks=1, scale=4).eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    picture = probe(8, 8)
    whole = module(picture)
    streamed(module, picture, 4)
    compile_rows(module).to(CPU, torch.bfloat16)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(module(picture), whole)


# What does not stream, and says why


def hooked(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda module, given, out: out * 2)
    return module


UP = nn.Upsample(scale_factor=2, mode="bicubic", align_corners=True)
NOT_STREAMABLE = {
    "strided": (nn.Sequential(conv(3, 3, stride=2)), "strided or even-sized convolution"),
    "even kernel": (nn.Conv2d(3, 3, 2, padding="same"), "strided or even-sized convolution"),
    "no padding": (nn.Conv2d(3, 3, 3), "without 'same' zero padding"),
    "mirrored padding": (conv(3, 3, padding_mode="reflect"), "without 'same' zero padding"),
    "transposed": (nn.Sequential(nn.ConvTranspose2d(3, 3, 2, 2)), "ConvTranspose2d"),
    "normalised": (nn.Sequential(conv(3, 4), nn.GroupNorm(2, 4)), "GroupNorm"),
    "pooled": (nn.Sequential(nn.AdaptiveAvgPool2d(1)), "AdaptiveAvgPool2d"),
    "attention": (SwinIR(img_size=8, window_size=4, depths=[1], num_heads=[2], embed_dim=8, upscale=2), "be traced"),
    "depends on the batch": (Sketch(lambda m, x: m.a(x) * x.shape[0], a=conv(3, 3)), "getattr"),
    "depends on values": (Sketch(lambda m, x: m.a(x) if x.mean() > 0 else x, a=conv(3, 3)), "be traced"),
    "reads the size": (Sketch(lambda m, x: m.a(x).view(x.size()), a=conv(3, 3)), "call_method size"),
    "product": (Sketch(lambda m, x: m.a(x) * m.b(x), a=conv(3, 3), b=conv(3, 3)), "multiplies two values"),
    "sum with itself": (Sketch(lambda m, x: (h := m.a(x)) + h, a=conv(3, 3)), "adds a value to itself"),
    "broadcast sum": (Sketch(lambda m, x: m.a(x) + x, a=conv(3, 1)), "different numbers of channels"),
    "weighted sum": (Sketch(lambda m, x: torch.add(m.a(x), x, alpha=2), a=conv(3, 3)), "add with options"),
    "joined rows": (Sketch(lambda m, x: torch.cat([m.a(x), x], 2), a=conv(3, 3)), "another axis than channels"),
    "bilinear": (nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear")), "bilinear interpolation by 2"),
    "aligned corners": (nn.Sequential(UP), "Upsample"),
    "aligned corners, function": (
        Sketch(lambda m, x: F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=True)),
        "aligned to corners",
    ),
    "fixed size": (nn.Sequential(nn.Upsample(size=(32, 32))), "fixed size"),
    "two factors": (nn.Sequential(nn.Upsample(scale_factor=(2, 3))), "fixed size"),
    "nearest x1.5": (nn.Sequential(nn.Upsample(scale_factor=1.5)), "nearest interpolation by 3/2"),
    "two outputs": (Sketch(lambda m, x: (m.a(x), x), a=conv(3, 3)), "something else than one picture"),
    "hook": (nn.Sequential(hooked(conv(3, 3))), "Conv2d with hooks"),
    "changed in place, read later": (
        Sketch(lambda m, x: m.r(h := m.a(x)) + h, a=conv(3, 3), r=nn.ReLU(inplace=True)),
        "in place",
    ),
    "changed in place by a function": (Sketch(lambda m, x: F.relu(h := m.a(x), True) + h, a=conv(3, 3)), "in place"),
}


@pytest.mark.parametrize("kind", NOT_STREAMABLE)
def test_what_does_not_stream_says_why(kind: str):
    module, reason = NOT_STREAMABLE[kind]
    with pytest.raises(NotStreamableError, match=reason):
        compile_rows(module.eval())


# Nothing twice


def flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@pytest.mark.parametrize("band", [1, 4, 9, 37])
def test_compact_computes_nothing_twice(band: int):
    module, picture = generator("realesr-animevideov3-x4").module, probe(37, 8)
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
    module, width, band = generator("realesrgan-x4plus-anime").module, 3, 16
    peak = peak_bytes(module, 320, width, band)
    estimate = width * delay_bytes_per_column(compile_rows(module), band, 4)
    assert 0.5 * estimate <= peak <= estimate


# The engine: precision, strips


def engine(module: nn.Module, dtype: torch.dtype = torch.float32, **options: int) -> StreamEngine:
    return StreamEngine(compile_rows(module), CPU, dtype, **{"memory_bytes": 1 << 30, **options})


def run(engine: StreamEngine, picture: Tensor) -> Tensor:
    return torch.cat(list(engine.apply(of_tensor(picture)).bands(16)), 2)


def test_engine_reports_progress_to_the_end():
    told: list[float] = []
    for memory in (1 << 30, 1):
        told.clear()
        rows = engine(conv(3, 3), memory_bytes=memory, band_pixels=600).apply(of_tensor(probe(40, 150)), told.append)
        assert told == []
        assert sum(part.shape[2] for part in rows.bands(1)) == 40
        assert told == sorted(told)
        assert len(told) > 3
        assert told[-1] == pytest.approx(1)


@pytest.mark.parametrize("name", ["realesr-animevideov3-x4", "realesr-animevideov3-x3"])
def test_band_height_changes_nothing(name: str):
    module, picture = generator(name).module, probe(45, 31)
    whole = module(picture)
    for band_pixels in (1, 200, 1 << 20):
        assert (run(engine(module, band_pixels=band_pixels), picture) - whole).abs().max() <= 1e-5


def spread(module: nn.Module) -> nn.Module:
    """Weights under which every pixel of the receptive field counts."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 1 / layer.weight[0].numel(), 0.02)
            nn.init.zeros_(layer.bias)
    return module


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(*[conv(3, 3) for _ in range(14)]),
        nn.Sequential(conv(3, 3), nn.Upsample(scale_factor=2), *[conv(3, 3) for _ in range(9)]),
        nn.Sequential(nn.PixelUnshuffle(2), conv(12, 12), conv(12, 12, 5), nn.PixelShuffle(2)),
        nn.Sequential(conv(3, 3), nn.Conv2d(3, 3, (1, 9), padding=(0, 8), dilation=(1, 2))),
    ],
    ids=["chain without skips", "enlarged", "pixel-unshuffle", "wide kernel"],
)
def test_strips_with_the_whole_receptive_field_change_nothing(module: nn.Module):
    torch.manual_seed(0)
    picture = probe(30, 302)
    whole = spread(module)(picture).clamp(0, 1)
    assert whole.std() > 0.01
    assert receptive_radius(compile_rows(module)) <= 16
    narrow = engine(module, memory_bytes=1)  # 64 columns at a time, 16 of margin
    assert (run(narrow, picture) - whole).abs().max() <= 1e-4


@pytest.mark.parametrize(("name", "columns"), [("realesr-animevideov3-x4", 64), ("realesrgan-x4plus-anime", 256)])
def test_strips_narrower_than_the_receptive_field_stay_close(name: str, columns: int):
    module = generator(name).module
    program = compile_rows(module)
    assert receptive_radius(program) > columns // 4
    picture = probe(12, columns * 3 // 2)
    narrow = engine(module, memory_bytes=columns * delay_bytes_per_column(program, 4, 4))
    assert psnr(run(narrow, picture), module(picture).clamp(0, 1)) >= 50


def test_strips_do_not_hide_what_is_not_finite():
    module = conv(3, 3)
    module.weight.fill_(3e38)
    with pytest.raises(NotFiniteError):
        run(engine(module, memory_bytes=1), torch.ones(1, 3, 8, 200))


PHOTOS = {
    "astronaut": lambda: data.astronaut()[80:, 200:],
    "coffee": lambda: data.coffee()[100:, 150:],
    "chelsea": lambda: data.chelsea()[80:, 120:],
    "rocket": lambda: data.rocket()[60:, 290:],
}


def photo(name: str, side: int) -> Tensor:
    return torch.from_numpy(PHOTOS[name]()[:side, :side] / 255).float().permute(2, 0, 1).unsqueeze(0)


@pytest.mark.parametrize(("model", "side"), [("realesr-animevideov3-x4", 96), ("realesrgan-x4plus", 40)])
@pytest.mark.parametrize("name", PHOTOS)
def test_bf16_stays_close_to_fp32(model: str, side: int, name: str):
    module, picture = generator(model).module, photo(name, side)
    exact = run(engine(module), picture).clamp(0, 1)
    assert psnr(run(engine(module, torch.bfloat16), picture).clamp(0, 1), exact) >= 50


def types(module: nn.Module) -> list[torch.dtype]:
    """Of the convolutions' weights in a bf16 program, in order."""
    ops = [stage.op for stage in compile_rows(module).to(CPU, torch.bfloat16).stages]
    return [
        op.weight.dtype if isinstance(op, Convolve) else op.phases[0][0].dtype
        for op in ops
        if isinstance(op, Convolve | EnlargeConvolve)
    ]


def test_last_convolution_stays_fp32():
    *before, last = types(generator("realesrgan-x4plus-anime").module)
    assert set(before) == {torch.bfloat16}
    assert last == torch.float32


def test_last_convolution_that_corrects_the_enlarged_picture_may_be_bf16():
    assert set(types(generator("realesr-animevideov3-x4").module)) == {torch.bfloat16}


class AddsFeatures(nn.Module):
    """What the last convolution makes is added to another's result, not to the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = conv(3, 3), conv(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        return first + self.last(first)


def test_last_convolution_that_corrects_features_stays_fp32():
    assert types(AddsFeatures()) == [torch.bfloat16, torch.float32]


@pytest.mark.parametrize("model", ["realesr-animevideov3-x2", "realesr-animevideov3-x4", "realesrgan-x4plus-anime"])
def test_output_of_bf16_programs_has_more_than_8_bits(model: str):
    out = run(engine(generator(model).module, torch.bfloat16), probe(9, 9))
    assert (out != out.bfloat16()).float().mean() > 0.9


@pytest.mark.parametrize("module", [nn.Sequential(conv(3, 3), nn.PReLU(3)), nn.Sequential(nn.PReLU(3), conv(3, 3))])
def test_prelu_beside_the_last_convolution_runs_in_bf16_programs(module: nn.Module):
    picture = probe(9, 9)
    assert (run(engine(module, torch.bfloat16), picture) - module(picture)).abs().max() < 0.01
