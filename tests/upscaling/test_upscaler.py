"""The Upscaler from Python: tensors and arrays in, the same kind out, in any size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spandrel.architectures.ESRGAN import ESRGAN
from torch import Tensor, nn

from iqsr import Upscaler
from iqsr.engines.tiling import probe
from iqsr.errors import ModelError, UnknownNameError, UsageError
from iqsr.images import resample
from iqsr.models import SRModel
from support.upscalers import COMPACT, by, model, network, upscaler

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
    assert torch.equal(out, upscaler().upscale(picture.float()).to(dtype))
    rounding = torch.finfo(dtype).eps / 4  # half a step below 1
    assert (out.double() - network(picture.float())).abs().max() <= rounding + 1e-5


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
    wide = upscaler().model.module(torch.eye(16).expand(1, 3, 16, 16))
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
    assert np.abs(out / one - (colour / one).mean(2)).max() <= (1 / one if one > 1 else 1e-5)


# What is refused

WRONG = [
    (
        torch.zeros(3, 4, 4),
        "Upscaler expected pictures of shape (N, 3, H, W), got (3, 4, 4): one picture is a batch of one",
    ),
    (torch.zeros(1, 1, 4, 4), "got (1, 1, 4, 4)"),
    (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "got torch.uint8"),
    (torch.zeros(0, 3, 4, 4), "got (0, 3, 4, 4)"),
    (torch.zeros(1, 3, 0, 4), "got (1, 3, 0, 4)"),
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
        ({"tile": 15}, "at least 16 pixels a side, got 15"),
        ({"backend": "openvino", "precision": "fp16"}, "OpenVINO computes in fp32, bf16 or int8"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str):
    with pytest.raises(UsageError) as error:
        Upscaler(COMPACT, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_model_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"unknown model 'realesrgan'; known: realesrgan-x"):
        Upscaler("realesrgan")


def test_network_that_enlarges_by_another_factor_than_it_says_is_refused():
    with pytest.raises(ModelError, match="enlarge by 2, not by 4"):
        Upscaler(model(nn.Upsample(scale_factor=2), by(1), scale=4))


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


# Networks that ask for certain sizes


@pytest.mark.parametrize("size", [(12, 8), (13, 10), (11, 21), (1, 1), (2, 3)])
@pytest.mark.parametrize("tile", [None, 16])
def test_pixel_unshuffle_network_takes_odd_sizes(tile: int | None, size: tuple[int, int]):
    torch.manual_seed(0)
    module = ESRGAN(in_nc=12, num_filters=8, num_blocks=1, scale=4, shuffle_factor=2).eval().requires_grad_(False)
    made = SRModel("unshuffle", module, 2, "ESRGAN", "none", size_multiple=2)
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

    made = model(Watched(), size_multiple=4, minimum_size=8)
    picture = probe(5, 14)
    assert torch.equal(Upscaler(made, precision="fp32").upscale(picture), picture)
    assert seen[-1] == (8, 16)
    assert all(side % 4 == 0 for sides in seen for side in sides)
