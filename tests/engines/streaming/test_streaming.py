"""Exact streaming: the same output as the whole picture at once, and why some networks cannot stream."""

import pytest
import torch
import torch.nn.functional as F
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.SwinIR import SwinIR
from torch import nn

from iqsr.engines.streaming import NotStreamableError, compile_rows
from iqsr.engines.streaming.stream import receptive_radius
from iqsr.engines.tiling import probe
from support.streaming_networks import CPU, Sketch, conv, model, streamed

pytestmark = pytest.mark.usefixtures("inference_mode")
PACKAGED = [
    "realesr-animevideov3-x4",
    "realesr-animevideov3-x3",
    "realesr-animevideov3-x2",
    "realesrgan-x4plus-anime",
    "realesrgan-x4plus",
    "realesrgan-x4plus-crisp",
]


# The packaged networks


@pytest.mark.parametrize(
    ("height", "width", "band"),
    [(23, 11, 1), (22, 9, 2), (9, 17, 3), (13, 8, 4), (12, 7, 64), (1, 1, 1), (1, 9, 4), (5, 1, 2)],
)
@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_network_streams_to_the_same_output(name: str, height: int, width: int, band: int):
    picture, module = probe(height, width), model(name).module
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
    picture, module = probe(height, width), model(name).module
    program = compile_rows(module)
    assert height > 2 * receptive_radius(program) + band
    assert (streamed(module, picture, band) - module(picture)).abs().max() <= 1e-5


def test_receptive_radius_is_how_far_a_pixel_reaches():
    module = model("realesr-animevideov3-x4").module
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
    def doubled(module: nn.Module, given: object, out: torch.Tensor) -> torch.Tensor:
        return out * 2

    module.register_forward_hook(doubled)
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
    "two outputs": (
        Sketch(lambda m, x: (m.a(x), x), a=conv(3, 3)),  # pyright: ignore[reportArgumentType]
        "something else than one picture",
    ),
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


def test_a_layer_that_is_shared_and_written_to_keeps_what_it_had():
    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.LeakyReLU(0.1)
            self.body = nn.Sequential(conv(3, 8), self.act, conv(8, 3), self.act)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen = x
            self.act.seen = x
            self.body[0].padding_mode = "zeros"  # pyright: ignore[reportArgumentType]
            return self.act(self.body(x))

    module, picture = Writing(), probe(12, 12)
    before = {name: dict(vars(layer)) for name, layer in module.named_modules()}
    program = compile_rows(module)
    assert {name: dict(vars(layer)) for name, layer in module.named_modules()} == before
    assert any(getattr(stage.op, "weight", None) is not None for stage in program.stages)
    assert (streamed(module, picture, 3) - module(picture)).abs().max() <= 1e-5
