"""Pictures of another scale, type or order of axes are refused where they enter, with what came and what to do."""

import numpy as np
import pytest
import torch
from torch import Tensor

from iqsr.degrade import degrade, pipeline
from iqsr.errors import UsageError
from iqsr.metrics import load_metric
from iqsr.metrics.musiq import Musiq
from iqsr.metrics.srq import load_srq
from iqsr.metrics.srq_holdout import load_srq_holdout
from iqsr.picture_checks import HIGHEST, LOWEST, check_batch, check_values
from iqsr.scoring import score_pictures
from iqsr.scoring.quality_map import draw_map
from support.textured_pictures import picture
from support.upscalers import upscaler

SHOWN = picture(2, 64, 80)


def of_musiq(x: Tensor) -> Tensor:
    musiq = Musiq()
    musiq.loaded = True
    return musiq(x)


DOORS = {
    "psnr": lambda x: load_metric("psnr")(x, SHOWN),
    "psnr's reference": lambda x: load_metric("psnr")(SHOWN, x),
    "srq": lambda x: load_metric("srq")(x),
    "stlpips": lambda x: load_metric("stlpips")(x, x),
    "score_pictures": lambda x: score_pictures(x, ["laplacian"]),
    "its references": lambda x: score_pictures(SHOWN, ["psnr"], references=x),
    "srq's map": lambda x: load_srq().quality_map(x),
    "srq-holdout's map": lambda x: load_srq_holdout().quality_map(x),
    "draw_map": lambda x: draw_map(x[:1], torch.zeros(1, 1, 8, 10), "srq"),
    "Musiq": of_musiq,
    "Upscaler": lambda x: upscaler().upscale(x, scale=2),
    "Upscaler, array": lambda x: upscaler().upscale(x[0].permute(1, 2, 0).numpy(), scale=2),
    "degrade": lambda x: degrade(x, pipeline("hggt-one-stage").draw(2, 64, 80, torch.Generator().manual_seed(0))),
}

SCALES = {
    "0 to 255": (lambda x: x * 255, "divide by 255"),
    "0 to 3": (lambda x: x * 3, "undo the scaling, or clamp"),
    "0 to 65535": (lambda x: x * 65535, "divide by 65535"),
    "-1 to 1": (lambda x: x * 2 - 1, r"take \(x \+ 1\) / 2"),
    "of ImageNet": (lambda x: (x - 0.45) / 0.15, "undo the scaling, or clamp"),
    "not a number": (lambda x: x.clone().index_fill_(3, torch.tensor([7]), torch.nan), "not finite"),
    "infinite": (lambda x: x.clone().index_fill_(2, torch.tensor([0]), -torch.inf), "not finite"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("scale", SCALES)
def test_pictures_of_another_scale_are_refused(door: str, scale: str) -> None:
    change, says = SCALES[scale]
    with pytest.raises(UsageError, match=says) as error:
        DOORS[door](change(SHOWN))
    assert "\n" not in str(error.value)
    assert "[0, 1]" in str(error.value)


def test_the_line_says_the_range() -> None:
    x = torch.linspace(3, 214, 3 * 8 * 8).view(1, 3, 8, 8)
    with pytest.raises(UsageError, match=r"^psnr expected values in \[0, 1\], got 3 to 214: divide by 255$"):
        load_metric("psnr")(x, x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_overshoots_is_measured(dtype: torch.dtype) -> None:
    """As outputs of networks and interpolations do; a little beyond the limits it is another scale."""
    x = SHOWN.clone()
    x[0, 0, 0, 0], x[0, 0, 0, 1] = LOWEST, HIGHEST
    assert load_metric("psnr")(x.to(dtype), SHOWN.to(dtype)).isfinite().all()
    x[0, 0, 0, 0] = LOWEST - 0.01
    with pytest.raises(UsageError, match="psnr expected values"):
        load_metric("psnr")(x.to(dtype), SHOWN.to(dtype))


def test_no_interpolation_of_a_picture_is_refused() -> None:
    """The most that bicubic overshoots: single pixels, black and white, where its negative weights meet them."""
    board = (torch.arange(32).view(1, 1, 1, -1) // 2 + torch.arange(32).view(1, 1, -1, 1) // 2) % 2
    noise = torch.randint(0, 2, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    for x in (board.expand(1, 3, 32, 32).float(), noise.float()):
        for size in (47, 64, 96, 128):
            enlarged = torch.nn.functional.interpolate(x, (size, size), mode="bicubic", align_corners=False)
            assert enlarged.min() < -0.05
            check_values("test", enlarged)


def test_gradients_pass_the_door() -> None:
    x = (SHOWN * 1.3 - 0.15).requires_grad_()
    load_metric("ssim")(x, SHOWN).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


def test_compiled_code_has_no_door() -> None:
    def doubled(x: Tensor) -> Tensor:
        check_values("test", x)
        return x * 2

    compiled = torch.compile(doubled, fullgraph=True, backend="eager")
    assert torch.equal(compiled(SHOWN), SHOWN * 2)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (SHOWN.permute(0, 2, 3, 1), r"got \(2, 64, 80, 3\): channels come second, take x.permute\(0, 3, 1, 2\)"),
        (SHOWN[0], r"got \(3, 64, 80\): one picture is a batch of one, take x\[None\]"),
        (SHOWN[0].permute(1, 2, 0), r"got \(64, 80, 3\): take x.permute\(2, 0, 1\)\[None\]"),
        (SHOWN[:, :1], r"got \(2, 1, 64, 80\): gray has three equal channels"),
        (torch.cat([SHOWN, SHOWN[:, :1]], 1), "leave out the alpha channel"),
        (SHOWN[:0], r"got \(0, 3, 64, 80\)"),
        (SHOWN[0, 0], r"got \(64, 80\)"),
        ((SHOWN * 255).byte(), r"expected floats in \[0, 1\], got torch.uint8: divide by 255"),
        ((SHOWN * 255).long(), r"expected floats in \[0, 1\], got torch.int64"),
        (SHOWN > 0.5, r"expected floats in \[0, 1\], got torch.bool"),
        (SHOWN.to(torch.complex64), r"expected floats in \[0, 1\], got torch.complex64"),
        (SHOWN.numpy(), "as a tensor, got ndarray"),
        (list(SHOWN), "as a tensor, got list"),
        (None, "as a tensor, got NoneType"),
    ],
)
def test_what_is_no_batch_of_pictures_is_refused(x: object, says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        check_batch("ssim", x)
    assert str(error.value).startswith("ssim expected ")
    assert "\n" not in str(error.value)


def test_arrays_whose_channels_come_first_are_told() -> None:
    with pytest.raises(UsageError, match=r"\(3, 64, 80\); channels come last"):
        upscaler().upscale(np.zeros((3, 64, 80), np.float32))
