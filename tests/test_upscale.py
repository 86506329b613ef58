"""The Upscaler from Python: tensors, arrays and files in, the same kind out."""

import logging
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import pyvips
import torch
from PIL import Image, ImageCms
from spandrel.architectures.ESRGAN import ESRGAN
from torch import Tensor, nn

from iqsr import Upscaler
from iqsr.errors import ModelError, PictureError, UnknownNameError, UsageError
from iqsr.generators import Generator
from iqsr.images import resample
from iqsr.sizes import Wish, passes_for
from iqsr.tiles import probe
from iqsr.upscale import Upscaled

COMPACT = "realesr-animevideov3"


@cache
def upscaler(name: str = COMPACT) -> Upscaler:
    return Upscaler(name, precision="fp32")


@torch.inference_mode()
def network(picture: Tensor, name: str = COMPACT) -> Tensor:
    """The untiled output, as a file would hold it."""
    return upscaler(name).generator.module(picture).clamp(0, 1)


def generator(*layers: nn.Module, scale: int = 1, **requirements: int) -> Generator:
    return Generator("made", nn.Sequential(*layers).eval().requires_grad_(False), scale, "test", "none", **requirements)


def by(factor: float) -> nn.Conv2d:
    """A layer that multiplies each channel."""
    layer = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3).view(3, 3, 1, 1) * factor)
    return layer


# Tensors


def test_output_is_the_networks_own():
    picture = probe(21, 34)
    out = upscaler().upscale(picture)
    assert out.shape == (1, 3, 84, 136)
    assert out.dtype == torch.float32
    assert (out - network(picture)).abs().max() <= 1e-5


def test_batch_is_enlarged_picture_by_picture():
    pictures = torch.cat([probe(12, 9), probe(12, 9).flip(2), torch.zeros(1, 3, 12, 9)])
    out = upscaler().upscale(pictures)
    assert out.shape == (3, 3, 48, 36)
    for n in range(3):
        assert torch.equal(out[n : n + 1], upscaler().upscale(pictures[n : n + 1]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_result_has_the_type_of_the_tensor(dtype: torch.dtype):
    picture = probe(9, 9).to(dtype)
    out = upscaler().upscale(picture)
    assert out.dtype == dtype
    assert torch.equal(out, network(picture.float()).to(dtype)) or (out - network(picture.float())).abs().max() < 0.01


@pytest.mark.parametrize(
    "view",
    [lambda x: x.contiguous(memory_format=torch.channels_last), lambda x: x.flip(3), lambda x: x.transpose(2, 3)],
)
def test_memory_layout_does_not_matter_and_the_input_stays_as_it_was(view: Callable[[Tensor], Tensor]):
    picture = view(probe(14, 10))
    before = picture.clone()
    out = upscaler().upscale(picture)
    assert torch.equal(picture, before)
    assert (out - network(before.contiguous())).abs().max() <= 1e-5


def test_result_can_be_used_for_training():
    weight = torch.ones((), requires_grad=True)
    (upscaler().upscale(probe(4, 4)) * weight).sum().backward()
    assert weight.grad is not None


def test_result_lies_in_the_range_of_pictures():
    wide = upscaler(COMPACT).generator.module(torch.eye(16).expand(1, 3, 16, 16))
    assert wide.min() < 0
    out = upscaler().upscale(torch.eye(16).expand(1, 3, 16, 16))
    assert out.min() == 0
    assert out.max() <= 1


# Arrays


@pytest.mark.parametrize(("kind", "one"), [("uint8", 255), ("uint16", 65535), ("float32", 1), ("float64", 1)])
def test_array_comes_back_in_its_kind(kind: str, one: int):
    picture = probe(11, 8)
    array = picture[0].permute(1, 2, 0).numpy() * one
    array = (array.round() if one > 1 else array).astype(kind)
    before = array.copy()
    out = upscaler().upscale(array)
    assert isinstance(out, np.ndarray)
    assert (out.shape, out.dtype) == ((44, 32, 3), np.dtype(kind))
    expected = network(torch.from_numpy(array.astype(np.float32) / one).permute(2, 0, 1).unsqueeze(0))
    error = np.abs(out / one - expected[0].permute(1, 2, 0).numpy())
    assert error.max() <= (0.5 / one if one > 1 else 0) + 2e-5
    assert np.array_equal(array, before)


def test_16_bit_arrays_keep_more_than_8_bits():
    ramp = np.linspace(20000, 21000, 40).astype(np.uint16)[None, :, None].repeat(12, 0).repeat(3, 2)
    assert len(np.unique(upscaler().upscale(ramp))) > 100


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_gray_array_stays_gray(kind: str):
    one = {"uint8": 255, "uint16": 65535, "float32": 1}[kind]
    gray = (probe(10, 13)[0, 0].numpy() * one).astype(kind)
    out = upscaler().upscale(gray)
    assert (out.shape, out.dtype) == ((40, 52), np.dtype(kind))
    colour = upscaler().upscale(gray[..., None].repeat(3, 2))
    assert np.abs(out / one - (colour / one).mean(2)).max() <= 1 / one if one > 1 else 1e-5


# What is refused

WRONG = [
    (torch.zeros(3, 4, 4), "expected a float tensor (N, 3, H, W) in [0, 1], got torch.float32 (3, 4, 4)"),
    (torch.zeros(1, 1, 4, 4), "got torch.float32 (1, 1, 4, 4)"),
    (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "got torch.uint8"),
    (torch.zeros(0, 3, 4, 4), "got torch.float32 (0, 3, 4, 4)"),
    (torch.zeros(1, 3, 0, 4), "got torch.float32 (1, 3, 0, 4)"),
    (np.zeros((4, 4, 4), np.uint8), "expected a numpy array (H, W, 3) or (H, W) of uint8, uint16 or float, got uint8"),
    (np.zeros((4, 4, 3), np.int64), "got int64 (4, 4, 3)"),
    (np.zeros((0, 4, 3), np.uint8), "got uint8 (0, 4, 3)"),
    (np.zeros(4, np.uint8), "got uint8 (4,)"),
    ([[0.5]], "expected a tensor or a numpy array, got list"),
    (Path("photo.png"), "expected a tensor or a numpy array, got "),
]


@pytest.mark.parametrize(("image", "message"), WRONG)
def test_wrong_input_is_named(image: object, message: str):
    with pytest.raises(UsageError) as error:
        upscaler().upscale(image)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "unknown precision 'int4'; choose auto, fp32, bf16, fp16"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"device": "cuda:99"}, "cuda"),
        ({"backend": "tensorrt"}, "unknown backend 'tensorrt'; choose torch or openvino"),
        ({"tile": 8}, "at least 16 pixels a side, got 8"),
        ({"backend": "openvino", "precision": "fp16"}, "OpenVINO computes in fp32, bf16 or int8"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str):
    with pytest.raises(UsageError) as error:
        Upscaler(COMPACT, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_model_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"unknown model 'realesrgan'; known: realesrgan-x"):
        Upscaler("realesrgan")


def test_network_that_enlarges_by_another_factor_than_it_says_is_refused():
    with pytest.raises(ModelError, match="enlarge by 2, not by 4"):
        Upscaler(generator(nn.Upsample(scale_factor=2), by(1), scale=4))


# Sizes


@pytest.mark.parametrize("scale", [1, 1.5, 2, 4, 6.3, 16])
def test_any_scale_gives_its_size(scale: float):
    out = upscaler().upscale(probe(7, 10), scale=scale)
    assert out.shape == (1, 3, round(7 * scale), round(10 * scale))


def test_scale_below_the_networks_own_is_one_pass_and_one_resampling():
    picture = probe(16, 12)
    expected = resample(network(picture), (24, 32)).clamp(0, 1)
    assert (upscaler().upscale(picture, scale=2) - expected).abs().max() <= 1e-4


def test_scale_16_is_the_network_twice():
    picture = probe(9, 6)
    assert (upscaler().upscale(picture, scale=16) - network(network(picture))).abs().max() <= 1e-4


def test_scale_1_is_the_network_brought_back_to_the_size():
    picture = probe(15, 20)
    expected = resample(network(picture), (20, 15)).clamp(0, 1)
    assert (upscaler().upscale(picture, scale=1) - expected).abs().max() <= 1e-4


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (2, 3)])
def test_smallest_pictures(size: tuple[int, int]):
    picture = probe(*size)
    assert (upscaler().upscale(picture) - network(picture)).abs().max() <= 1e-5


@pytest.mark.parametrize(("ratio", "native", "passes"), [
    (4, 4, 1), (1, 4, 1), (0.2, 4, 1), (4.001, 4, 2), (16, 4, 2), (6.3, 4, 2),
    (16, 2, 4), (9, 3, 2), (16, 3, 3), (8, 1, 1),
])  # fmt: skip
def test_passes_reach_the_ratio(ratio: float, native: int, passes: int):
    assert passes_for(ratio, native) == passes
    assert native**passes >= ratio or native == 1


@pytest.mark.parametrize(("wish", "size"), [
    (Wish(), (400, 200)),
    (Wish(scale=1), (100, 50)),
    (Wish(scale=1.5), (150, 75)),
    (Wish(scale=16), (1600, 800)),
    (Wish(width=250), (250, 125)),
    (Wish(height=100), (200, 100)),
    (Wish(width=100, height=800), (100, 800)),
    (Wish(width=10), (10, 5)),
    (Wish(width=1), (1, 1)),
])  # fmt: skip
def test_wish_gives_a_size(wish: Wish, size: tuple[int, int]):
    assert wish.size((100, 50), 4) == size


@pytest.mark.parametrize(("wish", "message"), [
    ({"scale": 0.5}, "--scale goes from 1 to 16, got 0.5"),
    ({"scale": 17}, "got 17"),
    ({"scale": -2}, "got -2"),
    ({"scale": float("nan")}, "got nan"),
    ({"scale": float("inf")}, "got inf"),
    ({"scale": 2, "width": 10}, "either --scale or --width/--height"),
    ({"scale": 2, "height": 10}, "either --scale or --width/--height"),
    ({"width": 0}, "at least 1 pixel"),
    ({"height": -5}, "at least 1 pixel"),
])  # fmt: skip
def test_impossible_wish_is_refused(wish: dict[str, float], message: str):
    with pytest.raises(UsageError) as error:
        Wish(**wish)
    assert message in str(error.value)


@pytest.mark.parametrize("wish", [Wish(width=1601), Wish(height=801), Wish(width=100, height=900)])
def test_wish_for_more_than_16_times_is_refused(wish: Wish):
    with pytest.raises(UsageError, match=r"16\.\d times|18\.0 times"):
        wish.size((100, 50), 4)


# Networks that ask for certain sizes


@pytest.mark.parametrize("size", [(12, 8), (13, 10), (11, 21), (1, 1), (2, 3)])
@pytest.mark.parametrize("tile", [None, 16])
def test_pixel_unshuffle_network_takes_odd_sizes(tile: int | None, size: tuple[int, int]):
    torch.manual_seed(0)
    module = ESRGAN(in_nc=12, num_filters=8, num_blocks=1, scale=4, shuffle_factor=2).eval().requires_grad_(False)
    made = Generator("unshuffle", module, 2, "ESRGAN", "none", size_multiple=2)
    picture = probe(*size)
    out = Upscaler(made, precision="fp32", tile=tile).upscale(picture)
    padded = picture if min(size) > 1 else picture.repeat(1, 1, 2, 2)
    expected = module(padded)[:, :, : 2 * size[0], : 2 * size[1]].clamp(0, 1)  # its forward mirrors by itself
    assert out.shape == (1, 3, 2 * size[0], 2 * size[1])
    assert (out - expected).abs().max() <= 1e-5


def test_size_multiple_of_the_generator_is_kept():
    seen: list[tuple[int, ...]] = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(tuple(x.shape[2:]))
            return x * x.shape[0]

    made = generator(Watched(), size_multiple=4, minimum_size=8)
    picture = probe(5, 14)
    assert torch.equal(Upscaler(made, precision="fp32").upscale(picture), picture)
    assert seen[-1] == (8, 16)
    assert all(side % 4 == 0 for sides in seen for side in sides)


# Values that are not finite


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize(
    ("precision", "factors"), [("fp16", (1e6, 1e-6)), ("bf16", (3.4e38, 1e-30, 1e-8 / 3.4))], ids=["fp16", "bf16"]
)
def test_overflow_falls_back_to_fp32_with_a_warning(
    precision: str, factors: tuple[float, ...], tile: int | None, caplog: pytest.LogCaptureFixture
):
    made = generator(*[by(factor) for factor in factors])
    picture = probe(20, 24)
    first = Upscaler(made, precision=precision, tile=tile)
    assert first.describe().split(", ")[1] == precision
    with caplog.at_level(logging.WARNING):
        out = first.upscale(picture)
    assert [record.getMessage() for record in caplog.records] == [f"made overflows in {precision}: using fp32"]
    assert first.describe().split(", ")[1] == "fp32"
    assert torch.equal(out, Upscaler(made, precision="fp32", tile=tile).upscale(picture))
    assert (out - picture).abs().max() < 1e-4


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "auto"])
def test_overflow_in_fp32_is_an_error(precision: str, tile: int | None):
    made = generator(by(3e38), by(3e38), by(0))
    with pytest.raises(ModelError, match="made: gives values that are not finite") as error:
        Upscaler(made, precision=precision, tile=tile).upscale(torch.ones(1, 3, 20, 20))
    assert "\n" not in str(error.value)


def test_overflow_leaves_no_file(tmp_path: Path):
    Image.new("RGB", (20, 20), "white").save(tmp_path / "in.png")
    with pytest.raises(ModelError):
        Upscaler(generator(by(3e38), by(3e38))).upscale_file(tmp_path / "in.png", tmp_path / "out.png")
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_overflow_in_a_file_falls_back_too(tmp_path: Path):
    Image.new("RGB", (20, 20), (200, 100, 50)).save(tmp_path / "in.png")
    result = Upscaler(generator(by(1e6), by(1e-6)), precision="fp16").upscale_file(
        tmp_path / "in.png", tmp_path / "out.png"
    )
    assert result.how == "exact streaming, fp32, cpu"
    assert Image.open(tmp_path / "out.png").getpixel((7, 7)) == (200, 100, 50)


# Files


def noise(*shape: int, kind: str = "uint8") -> np.ndarray:
    smooth = probe(shape[0], shape[1])[0].permute(1, 2, 0).numpy()
    smooth = np.concatenate([smooth, smooth], 2)[..., : shape[2]] if len(shape) > 2 else smooth[..., 0]
    return (smooth * np.iinfo(kind).max).round().astype(kind)


def test_file_holds_what_the_array_gives(tmp_path: Path):
    pixels = noise(23, 31, 3)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    upscaler().upscale_file(tmp_path / "in.png", tmp_path / "out.png")
    out = np.asarray(Image.open(tmp_path / "out.png")).astype(int)
    # One step where rounding meets a half.
    assert np.abs(out - upscaler().upscale(pixels)).max() <= 1
    assert (out != upscaler().upscale(pixels)).mean() < 0.001


def test_result_tells_what_was_done(tmp_path: Path):
    Image.fromarray(noise(20, 30, 3)).save(tmp_path / "in.jpg")
    result = upscaler().upscale_file(str(tmp_path / "in.jpg"), str(tmp_path / "a b" / "äöü.webp"), scale=1.5)
    assert isinstance(result, Upscaled)
    assert (result.source, result.out) == (tmp_path / "in.jpg", tmp_path / "a b" / "äöü.webp")
    assert (result.size_in, result.size) == ((30, 20), (45, 30))
    assert 0 < result.seconds < 60
    assert result.how == "exact streaming, fp32, cpu"
    assert Image.open(result.out).size == (45, 30)


@pytest.mark.parametrize(("wish", "size"), [
    ({}, (48, 36)),
    ({"scale": 1}, (12, 9)),
    ({"scale": 6.3}, (76, 57)),
    ({"scale": 16}, (192, 144)),
    ({"width": 30}, (30, 22)),
    ({"height": 100}, (133, 100)),
    ({"width": 20, "height": 90}, (20, 90)),
])  # fmt: skip
def test_file_has_the_size_that_was_wished(tmp_path: Path, wish: dict[str, float], size: tuple[int, int]):
    Image.fromarray(noise(9, 12, 3)).save(tmp_path / "in.png")
    assert upscaler().upscale_file(tmp_path / "in.png", tmp_path / "out.png", **wish).size == size
    assert Image.open(tmp_path / "out.png").size == size


def test_progress_rises_to_one(tmp_path: Path):
    Image.fromarray(noise(600, 300, 3)).save(tmp_path / "in.png")  # too large for one band
    told: list[float] = []
    upscaler().upscale_file(tmp_path / "in.png", tmp_path / "out.png", scale=2, on_progress=told.append)
    assert len(told) > 3
    assert told == sorted(told)
    assert told[-1] == 1


def test_16_bit_file_stays_16_bit_and_is_finer_than_8(tmp_path: Path):
    ramp = np.linspace(20000, 21000, 40).astype(np.uint16)[None, :, None].repeat(12, 0).repeat(3, 2)
    pyvips.Image.new_from_array(ramp).copy(interpretation="rgb16").write_to_file(str(tmp_path / "in.png"))
    upscaler().upscale_file(tmp_path / "in.png", tmp_path / "out.png")
    out = pyvips.Image.new_from_file(str(tmp_path / "out.png"))
    assert (out.format, out.bands) == ("ushort", 3)
    assert len(np.unique(out.numpy())) > 100
    assert np.abs(out.numpy().astype(int) - upscaler().upscale(ramp)).max() <= 1


def test_gray_file_stays_one_channel(tmp_path: Path):
    gray = noise(17, 14)
    Image.fromarray(gray).save(tmp_path / "in.png")
    upscaler().upscale_file(tmp_path / "in.png", tmp_path / "out.png")
    out = Image.open(tmp_path / "out.png")
    assert (out.mode, out.size) == ("L", (56, 68))
    assert np.abs(np.asarray(out).astype(int) - upscaler().upscale(gray)).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_is_enlarged_with_the_picture(tmp_path: Path, suffix: str):
    pixels = noise(20, 24, 4)
    pixels[..., 3] = 255
    pixels[:, :12, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "in.png")
    upscaler().upscale_file(tmp_path / "in.png", tmp_path / f"out{suffix}")
    out = Image.open(tmp_path / f"out{suffix}")
    assert (out.mode, out.size) == ("RGBA", (96, 80))
    alpha = np.asarray(out)[..., 3]
    assert (alpha[:, :40] == 0).all()
    assert (alpha[:, 56:] == 255).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_icc_profile_is_kept_byte_for_byte(tmp_path: Path, suffix: str):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(noise(10, 10, 3)).save(tmp_path / "in.png", icc_profile=profile)
    upscaler().upscale_file(tmp_path / "in.png", tmp_path / f"out{suffix}", quality=80)
    assert Image.open(tmp_path / f"out{suffix}").info["icc_profile"] == profile


def test_orientation_is_applied_and_reset(tmp_path: Path):
    pixels = noise(16, 24, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown rotated by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "in.png", exif=exif)
    result = upscaler().upscale_file(tmp_path / "in.png", tmp_path / "out.png")
    assert (result.size_in, result.size) == ((16, 24), (64, 96))
    out = Image.open(tmp_path / "out.png")
    assert out.size == (64, 96)
    assert out.getexif().get(0x0112, 1) == 1
    upright = np.ascontiguousarray(np.rot90(pixels, -1))
    assert np.abs(np.asarray(out).astype(int) - upscaler().upscale(upright)).max() <= 1


def test_failed_file_leaves_the_old_output(tmp_path: Path):
    Image.fromarray(noise(40, 40, 3)).save(tmp_path / "whole.png")
    (tmp_path / "in.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-600])
    (tmp_path / "out.png").write_text("precious")
    with pytest.raises(PictureError):
        upscaler().upscale_file(tmp_path / "in.png", tmp_path / "out.png")
    assert (tmp_path / "out.png").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "out.png", "whole.png"]


def test_file_can_replace_its_source(tmp_path: Path):
    Image.fromarray(noise(30, 20, 4)).save(tmp_path / "photo.png")
    upscaler().upscale_file(tmp_path / "photo.png", tmp_path / "photo.png")
    assert Image.open(tmp_path / "photo.png").size == (80, 120)


def test_wide_file_in_strips_equals_the_file_in_one(tmp_path: Path):
    Image.fromarray(noise(40, 400, 3)).save(tmp_path / "in.png")
    wide = Upscaler(COMPACT, precision="fp32", memory_gb=0.005)
    wide.upscale_file(tmp_path / "in.png", tmp_path / "strips.png")
    upscaler().upscale_file(tmp_path / "in.png", tmp_path / "one.png")
    one, strips = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("one.png", "strips.png"))
    assert np.abs(one - strips).max() <= 1


PEAK = """
import sys
from pathlib import Path
from iqsr import Upscaler
Upscaler("realesr-animevideov3").upscale_file(sys.argv[1], sys.argv[2])
[line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(int(line.split()[1]) / 1e6)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
def test_12_megapixels_stay_under_2_5_gb(tmp_path: Path):
    y, x = np.mgrid[:3000, :4000]
    gradient = np.dstack([x * 255 / 4000, y * 255 / 3000, (x + y) * 255 / 7000])
    grain = np.random.default_rng(0).normal(0, 8, gradient.shape)
    Image.fromarray((gradient + grain).clip(0, 255).astype(np.uint8)).save(tmp_path / "in.jpg", quality=92)
    command = [sys.executable, "-c", PEAK, str(tmp_path / "in.jpg"), str(tmp_path / "out.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak = float(done.stdout)
    print(f"peak of resident memory: {peak:.2f} GB")
    assert peak < 2.5
    out = pyvips.Image.new_from_file(str(tmp_path / "out.jpg"))
    assert (out.width, out.height) == (16000, 12000)
