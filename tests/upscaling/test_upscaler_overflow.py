"""Networks whose values overflow: fp32 where that helps, otherwise an error and no file."""

import logging
from pathlib import Path

import pytest
import torch
from PIL import Image

from iqsr import Upscaler
from iqsr.engines.tiling import probe
from iqsr.errors import ModelError
from support.upscalers import by, model


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize(
    ("precision", "factors"), [("fp16", (1e6, 1e-6)), ("bf16", (3.4e38, 1e-30, 1e-8 / 3.4))], ids=["fp16", "bf16"]
)
def test_overflow_falls_back_to_fp32_with_a_warning(
    precision: str, factors: tuple[float, ...], tile: int | None, caplog: pytest.LogCaptureFixture
):
    made = model(*[by(factor) for factor in factors])
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
    made = model(by(3e38), by(3e38), by(0))
    with pytest.raises(ModelError, match="made: gives values that are not finite") as error:
        Upscaler(made, precision=precision, tile=tile).upscale(torch.ones(1, 3, 20, 20))
    assert "\n" not in str(error.value)


def test_overflow_leaves_no_file(tmp_path: Path):
    Image.new("RGB", (20, 20), "white").save(tmp_path / "in.png")
    with pytest.raises(ModelError):
        Upscaler(model(by(3e38), by(3e38))).upscale_file(tmp_path / "in.png", tmp_path / "out.png")
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_overflow_in_a_file_falls_back_too(tmp_path: Path):
    Image.new("RGB", (20, 20), (200, 100, 50)).save(tmp_path / "in.png")
    result = Upscaler(model(by(1e6), by(1e-6)), precision="fp16").upscale_file(
        tmp_path / "in.png", tmp_path / "out.png"
    )
    assert result.how == "exact streaming, fp32, cpu"
    assert Image.open(tmp_path / "out.png").getpixel((7, 7)) == (200, 100, 50)
