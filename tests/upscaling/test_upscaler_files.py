"""The Upscaler on files: what a file holds afterwards, what is kept of it, and within which memory."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from iqsr import Upscaler
from iqsr.engines.tiling import probe
from iqsr.errors import PictureError
from iqsr.upscaling.jobs import UpscaleResult
from support.upscalers import COMPACT, upscaler


def noise(*shape: int) -> np.ndarray:
    smooth = probe(shape[0], shape[1])[0].permute(1, 2, 0).numpy()
    smooth = np.concatenate([smooth, smooth], 2)[..., : shape[2]] if len(shape) > 2 else smooth[..., 0]
    return (smooth * 255).round().astype(np.uint8)


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
    assert isinstance(result, UpscaleResult)
    assert (result.source, result.out) == (tmp_path / "in.jpg", tmp_path / "a b" / "äöü.webp")
    assert (result.size_in, result.size) == ((30, 20), (45, 30))
    assert 0 < result.seconds < 60
    assert result.how == "exact streaming, fp32, cpu"
    assert Image.open(result.out).size == (45, 30)


@pytest.mark.parametrize(("target", "size"), [
    ({}, (48, 36)),
    ({"scale": 1}, (12, 9)),
    ({"scale": 6.3}, (76, 57)),
    ({"scale": 16}, (192, 144)),
    ({"width": 30}, (30, 22)),
    ({"height": 100}, (133, 100)),
    ({"width": 20, "height": 90}, (20, 90)),
])  # fmt: skip
def test_file_has_the_size_that_was_asked_for(tmp_path: Path, target: dict[str, Any], size: tuple[int, int]):
    Image.fromarray(noise(9, 12, 3)).save(tmp_path / "in.png")
    assert upscaler().upscale_file(tmp_path / "in.png", tmp_path / "out.png", **target).size == size
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
