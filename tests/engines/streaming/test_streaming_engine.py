"""The engine that streams: bands, strips of wide pictures, bf16."""

import pytest
import torch
from skimage import data
from torch import Tensor, nn

from iqsr.engines.rows import NotFiniteBandError, of_tensor
from iqsr.engines.streaming import compile_rows
from iqsr.engines.streaming.ops import Convolve, EnlargeConvolve
from iqsr.engines.streaming.stream import delay_bytes_per_column, receptive_radius
from iqsr.engines.tiling import probe
from support.streaming_networks import CPU, conv, engine, enlarged
from support.streaming_networks import model as sr_model

pytestmark = pytest.mark.usefixtures("inference_mode")


def psnr(x: Tensor, y: Tensor) -> float:
    return float(-10 * (x - y).square().mean().log10())


# Bands and strips


def test_engine_reports_progress_to_the_end():
    reported: list[float] = []
    for memory in (1 << 30, 1):
        reported.clear()
        rows = engine(conv(3, 3), memory_bytes=memory, band_pixels=600).apply(
            of_tensor(probe(40, 150)), reported.append
        )
        assert reported == []
        assert sum(part.shape[2] for part in rows.bands(1)) == 40
        assert reported == sorted(reported)
        assert len(reported) > 3
        assert reported[-1] == pytest.approx(1)


@pytest.mark.parametrize("name", ["realesr-animevideov3-x4", "realesr-animevideov3-x3"])
def test_band_height_changes_nothing(name: str):
    module, picture = sr_model(name).module, probe(45, 31)
    whole = module(picture)
    for band_pixels in (1, 200, 1 << 20):
        assert (enlarged(engine(module, band_pixels=band_pixels), picture) - whole).abs().max() <= 1e-5


def spread(module: nn.Module) -> nn.Module:
    """Weights under which every pixel of the receptive field counts."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 1 / layer.weight[0].numel(), 0.02)
            assert layer.bias is not None
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
    assert (enlarged(narrow, picture) - whole).abs().max() <= 1e-4


@pytest.mark.parametrize(("name", "columns"), [("realesr-animevideov3-x4", 64), ("realesrgan-x4plus-anime", 256)])
def test_strips_narrower_than_the_receptive_field_stay_close(name: str, columns: int):
    module = sr_model(name).module
    program = compile_rows(module)
    assert receptive_radius(program) > columns // 4
    picture = probe(12, columns * 3 // 2)
    narrow = engine(module, memory_bytes=columns * delay_bytes_per_column(program, 4, 4))
    assert psnr(enlarged(narrow, picture), module(picture).clamp(0, 1)) >= 50


def test_strips_do_not_hide_what_is_not_finite():
    module = conv(3, 3)
    module.weight.fill_(3e38)
    with pytest.raises(NotFiniteBandError):
        enlarged(engine(module, memory_bytes=1), torch.ones(1, 3, 8, 200))


# bf16


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
    module, picture = sr_model(model).module, photo(name, side)
    exact = enlarged(engine(module), picture).clamp(0, 1)
    assert psnr(enlarged(engine(module, torch.bfloat16), picture).clamp(0, 1), exact) >= 50


def types(module: nn.Module) -> list[torch.dtype]:
    """Of the convolutions' weights in a bf16 program, in order."""
    ops = [stage.op for stage in compile_rows(module).to(CPU, torch.bfloat16).stages]
    return [
        op.weight.dtype if isinstance(op, Convolve) else op.phases[0][0].dtype
        for op in ops
        if isinstance(op, Convolve | EnlargeConvolve)
    ]


def test_last_convolution_stays_fp32():
    *before, last = types(sr_model("realesrgan-x4plus-anime").module)
    assert set(before) == {torch.bfloat16}
    assert last == torch.float32


def test_last_convolution_that_corrects_the_enlarged_picture_may_be_bf16():
    assert set(types(sr_model("realesr-animevideov3-x4").module)) == {torch.bfloat16}


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
    out = enlarged(engine(sr_model(model).module, torch.bfloat16), probe(9, 9))
    assert (out != out.bfloat16()).float().mean() > 0.9


@pytest.mark.parametrize("module", [nn.Sequential(conv(3, 3), nn.PReLU(3)), nn.Sequential(nn.PReLU(3), conv(3, 3))])
def test_prelu_beside_the_last_convolution_runs_in_bf16_programs(module: nn.Module):
    picture = probe(9, 9)
    assert (enlarged(engine(module, torch.bfloat16), picture) - module(picture)).abs().max() < 0.01
