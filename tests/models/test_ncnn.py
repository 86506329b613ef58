"""Weights read from ncnn's files give what ncnn itself computes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from iqsr.errors import ModelError
from iqsr.io.weights import locate
from iqsr.models import load_model
from iqsr.models.ncnn import read_ncnn
from iqsr.models.packaged import BicubicReduce, compact_shapes, ncnn_shapes
from iqsr.models.registry import registry

ncnn = pytest.importorskip("ncnn")

NCNN_FILES = {
    "realesrgan-x4plus": "REALESRGAN_X4PLUS_UP4X",
    "realesrgan-x4plus-anime": "REALESRGAN_X4PLUSANIME_UP4X",
    "realesr-animevideov3-x2": "REALESRGAN_ANIMAVIDEOV3_UP2X",
    "realesr-animevideov3-x3": "REALESRGAN_ANIMAVIDEOV3_UP3X",
    "realesr-animevideov3-x4": "REALESRGAN_ANIMAVIDEOV3_UP4X",
}


def ncnn_file(name: str, suffix: str) -> Path:
    return locate("realesrgan-x4plus").parent / (NCNN_FILES[name] + suffix)


def ncnn_output(name: str, picture: torch.Tensor) -> torch.Tensor:
    """(3, H, W) -> (3, H * scale, W * scale), as ncnn computes it, with fp32 values throughout."""
    net = ncnn.Net()
    for option in dir(net.opt):
        if option.startswith(("use_fp16", "use_bf16")):
            setattr(net.opt, option, False)
    net.opt.num_threads = 1
    assert net.load_param(str(ncnn_file(name, ".param"))) == 0
    assert net.load_model(str(ncnn_file(name, ".bin"))) == 0
    extractor = net.create_extractor()
    extractor.input("data", ncnn.Mat(np.ascontiguousarray(picture.numpy())).clone())
    status, output = extractor.extract("output")
    assert status == 0
    return torch.from_numpy(np.array(output))


def random_picture() -> torch.Tensor:
    return torch.rand(3, 37, 45, generator=torch.Generator().manual_seed(1))


def photo_crop() -> torch.Tensor:
    from skimage.data import astronaut

    return torch.from_numpy(astronaut()[80:117, 200:245].copy()).permute(2, 0, 1).contiguous() / 255


@pytest.mark.parametrize("name", NCNN_FILES)
@pytest.mark.parametrize("picture", [random_picture, photo_crop])
def test_output_equals_ncnn(name, picture):
    model, x = load_model(name), picture()
    with torch.inference_mode():
        ours = model.module(x[None])[0]
    theirs = ncnn_output(name, x)
    assert ours.shape == theirs.shape == (3, 37 * model.scale, 45 * model.scale)
    assert theirs.std() > 0.05
    print(f"{name} {picture.__name__}: max abs difference {(ours - theirs).abs().max():.2e}")
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NCNN_FILES)
def test_shapes_are_those_of_the_param_file(name):
    """The layout we read a `.bin` by is what its `.param` declares, layer by layer."""
    declared: list[int] = []
    for line in ncnn_file(name, ".param").read_text().splitlines()[2:]:
        kind, _, inputs, outputs, *rest = line.split()
        options = dict(item.split("=") for item in rest[int(inputs) + int(outputs) :])
        if kind == "Convolution":
            declared += [int(options["6"]), int(options["0"])]
        elif kind == "PReLU":
            declared.append(int(options["0"]))
    assert [int(np.prod(shape)) for shape in ncnn_shapes(registry()[name]).values()] == declared


def test_x2_x3_and_x4_share_one_file():
    files = {ncnn_file(name, ".bin").read_bytes() for name in NCNN_FILES if "video" in name}
    assert len(files) == 1


@pytest.mark.parametrize(("kept", "of"), [(1, 2), (3, 4)])
def test_reduce_equals_bicubic_interpolation(kept, of):
    x = torch.rand(2, 3, 24, 36, generator=torch.Generator().manual_seed(2))
    expected = F.interpolate(x.double(), scale_factor=kept / of, mode="bicubic", align_corners=False).float()
    torch.testing.assert_close(BicubicReduce(kept, of)(x), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("kept", "of"), [(1, 2), (3, 4)])
def test_reduce_keeps_a_flat_picture(kept, of):
    flat = torch.full((1, 3, 16, 16), 0.7)
    torch.testing.assert_close(
        BicubicReduce(kept, of)(flat),
        torch.full_like(flat, 0.7)[..., ::of, ::of].repeat(1, 1, kept, kept),
        atol=1e-6,
        rtol=0,
    )


def test_fp16_and_fp32_values_are_read_with_their_padding(tmp_path):
    """A file written by hand from the format's description: 3 fp16 values need 2 bytes of padding."""
    half, single, bias = np.array([1, -2, 0.5], np.float16), np.array([3, 4, 5], np.float32), np.array([7], np.float32)
    file = tmp_path / "hand.bin"
    file.write_bytes(b"\x47\x6b\x30\x01" + half.tobytes() + b"\0\0" + bias.tobytes() + b"\0\0\0\0" + single.tobytes())
    arrays = read_ncnn(file, {"a.weight": (1, 3, 1, 1), "a.bias": (1,), "b.weight": (3, 1, 1, 1)})
    assert arrays["a.weight"].flatten().tolist() == [1, -2, 0.5]
    assert arrays["a.bias"].tolist() == [7]
    assert arrays["b.weight"].flatten().tolist() == [3, 4, 5]
    assert {array.dtype for array in arrays.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-4], "ends inside body.34.bias"),
        (lambda data: data[: len(data) // 2], "ends inside body."),
        (lambda _: b"", "ends inside body.0.weight"),
        (lambda data: data + b"\0" * 8, "8 bytes are left over"),
        (lambda data: b"\x01\x02\x03\x04" + data[4:], "unsupported form"),
    ],
)
def test_a_file_of_another_length_or_form_is_refused(tmp_path, damage, message):
    file = tmp_path / "damaged.bin"
    file.write_bytes(damage(locate("realesr-animevideov3").read_bytes()))
    with pytest.raises(ModelError, match=message):
        read_ncnn(file, compact_shapes(16))


def test_missing_file_is_one_line(tmp_path):
    with pytest.raises(ModelError, match=r"none\.bin: cannot be read: No such file or directory$"):
        read_ncnn(tmp_path / "none.bin", compact_shapes(16))
