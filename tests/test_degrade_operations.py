"""Each operation against an implementation that shares no code with it."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import fft, ndimage, special
from torch import Tensor

from iqsr.degrade import pipeline, unsharp_mask
from iqsr.degrade.drawn import BlurDraw, NoiseDraw, ResizeDraw, ResizeMode
from iqsr.degrade.jpeg import jpeg, quantisation_factor
from iqsr.degrade.kernels import KERNEL_KINDS, blur, blur_kernels
from iqsr.degrade.noise import add_noise, gaussian_noise, poisson_noise
from iqsr.degrade.pipeline import resize, resize_by
from iqsr.errors import UsageError


def smooth_pictures(n: int = 2, height: int = 48, width: int = 64, seed: int = 0) -> Tensor:
    """Soft shapes with some edges and grain, (N, 3, H, W) in [0, 1]: something like photos."""
    random = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter(random.normal(size=(n, 3, height, width)), (0, 0, 6, 6), mode="wrap")
    soft = soft / soft.std() * 0.2 + 0.5
    soft[:, :, height // 3 : height // 2, width // 4 : width // 2] += 0.3
    return torch.from_numpy((soft + random.normal(size=soft.shape) * 0.01).clip(0, 1)).float()


def one_kernel(
    kind: str,
    size: int,
    *,
    sigma: tuple[float, float] = (1.0, 1.0),
    theta: float = 0.0,
    beta: float = 1.0,
    cutoff: float = 2.0,
) -> np.ndarray:
    def row(value: float) -> Tensor:
        return torch.tensor([value], dtype=torch.float64)

    index = torch.tensor([KERNEL_KINDS.index(kind)])
    drawn = BlurDraw(
        index, torch.tensor([size]), torch.tensor([sigma], dtype=torch.float64), row(theta), row(beta), row(cutoff)
    )
    return blur_kernels(drawn)[0].double().numpy()


def expected_kernel(
    kind: str, size: int, sigma: tuple[float, float], theta: float, beta: float, cutoff: float
) -> np.ndarray:
    """Pixel by pixel, with the covariance matrix inverted as a matrix."""
    turn = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    inverse = np.linalg.inv(turn @ np.diag(np.square(sigma)) @ turn.T)
    radius, kernel = size // 2, np.zeros((size, size))
    for y in range(-radius, radius + 1):
        for x in range(-radius, radius + 1):
            place = np.array([x, y])
            power, r = float(place @ inverse @ place) ** beta, math.hypot(x, y)
            if kind == "sinc":
                value = cutoff * special.j1(cutoff * r) / (2 * math.pi * r) if r else cutoff**2 / (4 * math.pi)
            else:
                value = 1 / (1 + power) if kind.startswith("plateau") else math.exp(-power / 2)
            kernel[y + radius, x + radius] = value
    return kernel / kernel.sum()


@pytest.mark.parametrize(
    ("kind", "size", "sigma", "theta", "beta"),
    [
        ("iso", 5, (0.8, 0.8), 0.0, 1.0),
        ("aniso", 9, (0.4, 2.0), 0.7, 1.0),
        ("aniso", 21, (3.0, 0.5), -2.5, 1.0),
        ("generalised_iso", 11, (1.5, 1.5), 0.0, 0.6),
        ("generalised_aniso", 15, (2.5, 1.0), 1.1, 3.5),
        ("plateau_iso", 7, (1.0, 1.0), 0.0, 1.7),
        ("plateau_aniso", 13, (0.6, 2.0), 3.0, 1.0),
        ("sinc", 9, (1.0, 1.0), 0.0, 1.0),
        ("sinc", 21, (1.0, 1.0), 0.0, 1.0),
    ],
)
def test_kernels_are_those_of_the_formulas(
    kind: str, size: int, sigma: tuple[float, float], theta: float, beta: float
) -> None:
    found = one_kernel(kind, size, sigma=sigma, theta=theta, beta=beta, cutoff=1.3)
    np.testing.assert_allclose(found, expected_kernel(kind, size, sigma, theta, beta, 1.3), atol=1e-7)


def test_sigma_along_theta_is_the_first() -> None:
    along_x, along_y = (one_kernel("aniso", 9, sigma=(2.0, 0.5), theta=theta) for theta in (0.0, math.pi / 2))
    np.testing.assert_allclose(along_x, along_y.T, atol=1e-7)
    assert along_x[4, 7] > 100 * along_x[7, 4]


@pytest.mark.parametrize("name", ["hggt-one-stage", "real-esrgan"])
def test_drawn_kernels_sum_to_one_are_symmetric_and_padded_with_zeros(name: str) -> None:
    stage = getattr(pipeline(name), "stage", None) or pipeline(name).first  # type: ignore[union-attr]
    drawn = stage.blur.draw(300, torch.Generator().manual_seed(0))
    kernels = blur_kernels(drawn)
    largest = kernels.shape[-1]
    assert largest == max(stage.blur.sizes)
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(300))
    torch.testing.assert_close(kernels, kernels.flip(1, 2), atol=1e-7, rtol=0)
    for kernel, size in zip(kernels, drawn.size.tolist(), strict=True):
        border = kernel.clone()
        margin = (largest - size) // 2
        border[margin : largest - margin, margin : largest - margin] = 0
        assert border.abs().sum() == 0


def test_a_pulse_leaves_the_picture_alone() -> None:
    x = smooth_pictures(1)
    assert torch.equal(blur(x, torch.from_numpy(one_kernel("pulse", 5)).float()[None]), x)


@pytest.mark.parametrize("side", [3, 9, 21])
def test_blur_is_scipys_mirrored_correlation_with_a_kernel_a_picture(side: int) -> None:
    x, kernels = smooth_pictures(3), torch.rand(3, side, side, generator=torch.Generator().manual_seed(side))
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    expected = [
        ndimage.correlate(p, k[None], mode="mirror")
        for p, k in zip(x.double().numpy(), kernels.double().numpy(), strict=True)
    ]
    np.testing.assert_allclose(blur(x, kernels).numpy(), np.stack(expected), atol=2e-6)


def test_gaussian_blur_is_scipys() -> None:
    """A kernel of 21 px and sigma 2 is cut at more than 5 sigmas, so the filter's own truncation does not matter."""
    x = smooth_pictures(1)
    kernel = torch.from_numpy(one_kernel("iso", 21, sigma=(2.0, 2.0))).float()[None]
    expected = ndimage.gaussian_filter(x.double().numpy(), (0, 0, 2, 2), mode="mirror", truncate=5)
    np.testing.assert_allclose(blur(x, kernel).numpy(), expected, atol=1e-5)


def test_zeros_around_a_kernel_change_nothing() -> None:
    x, kernel = smooth_pictures(1), torch.from_numpy(one_kernel("aniso", 5, sigma=(0.5, 1.0), theta=0.3)).float()[None]
    padded = torch.nn.functional.pad(kernel, (8, 8, 8, 8))
    torch.testing.assert_close(blur(x, padded), blur(x, kernel), atol=1e-6, rtol=0)


def test_blur_refuses_kernels_larger_than_the_mirror() -> None:
    with pytest.raises(UsageError, match="21 px is too large for pictures of 64x10"):
        blur(torch.zeros(1, 3, 10, 64), torch.ones(1, 21, 21) / 441)


def cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    """Keys' kernel with torch's and OpenCV's coefficient."""
    d = np.abs(distance)
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def resize_matrix(ins: int, outs: int, step: float, mode: ResizeMode) -> np.ndarray:
    """(outs, ins): one axis of a resize; borders are repeated. `step`: input pixels an output pixel."""
    matrix = np.zeros((outs, ins))
    for out in range(outs):
        if mode == "area":
            start, stop = math.floor(out * ins / outs), math.ceil((out + 1) * ins / outs)
            matrix[out, start:stop] = 1 / (stop - start)
            continue
        centre = (out + 0.5) * step - 0.5
        if mode == "bilinear":
            centre = max(centre, 0)
        for at in range(math.floor(centre) - 1, math.floor(centre) + 3):
            weight = cubic(np.array(centre - at)) if mode == "bicubic" else max(0.0, 1 - abs(centre - at))
            matrix[out, min(max(at, 0), ins - 1)] += float(weight)
    return matrix


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("factor", [0.83, 1.13, 0.27])
def test_resize_by_steps_of_exactly_the_factor(mode: ResizeMode, factor: float) -> None:
    x = smooth_pictures(1)
    rows, columns = (resize_matrix(n, math.floor(n * factor), 1 / factor, mode) for n in x.shape[2:])
    expected = rows @ x.double().numpy() @ columns.T
    np.testing.assert_allclose(resize_by(x, ResizeDraw(factor, mode)).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic"])
def test_resize_to_a_size_steps_from_border_to_border(mode: ResizeMode) -> None:
    x = smooth_pictures(1)
    rows, columns = (resize_matrix(n, out, n / out, mode) for n, out in zip(x.shape[2:], (13, 31), strict=True))
    np.testing.assert_allclose(resize(x, (13, 31), mode).numpy(), rows @ x.double().numpy() @ columns.T, atol=2e-5)


def test_area_resize_to_a_quarter_is_the_mean_of_each_square_as_in_pillow() -> None:
    picture = (smooth_pictures(1)[0, 0] * 255).numpy()
    expected = np.asarray(Image.fromarray(picture, mode="F").resize((16, 12), Image.Resampling.BOX))
    found = resize(torch.from_numpy(picture)[None, None], (12, 16), "area")[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def noise_draw(kind: str, n: int, strength: float, *, gray: bool, seed: int = 0) -> NoiseDraw:
    seeds = torch.arange(seed, seed + n)
    return NoiseDraw(kind, torch.full((n,), strength), torch.full((n,), gray), seeds, 99)  # type: ignore[arg-type]


def test_gaussian_noise_has_the_drawn_sigma_and_independent_channels() -> None:
    x = torch.full((2, 3, 200, 200), 0.5)
    added = (add_noise(x, noise_draw("gaussian", 2, 10 / 255, gray=False)) - x) * 255
    assert added.mean().abs() < 0.1
    assert added.std() == pytest.approx(10, rel=0.01)
    assert np.abs(np.corrcoef(added.reshape(6, -1).numpy()) - np.eye(6)).max() < 0.03


def test_gray_gaussian_noise_is_one_pattern_for_all_gray_pictures() -> None:
    x = torch.full((3, 3, 100, 100), 0.5)
    drawn = NoiseDraw(
        "gaussian", torch.tensor([0.02, 0.04, 0.04]), torch.tensor([True, True, False]), torch.arange(3), 99
    )
    added = add_noise(x, drawn) - x
    assert torch.equal(added[0, 0], added[0, 2])
    torch.testing.assert_close(added[0] * 2, added[1], atol=1e-6, rtol=0)
    assert abs(np.corrcoef(added[1, 0].flatten().numpy(), added[2, 0].flatten().numpy())[0, 1]) < 0.05


def test_noise_is_clamped_and_not_rounded() -> None:
    noisy = add_noise(
        torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 32, 32), noise_draw("gaussian", 2, 0.1, gray=False)
    )
    assert (noisy.min(), noisy.max()) == (0, 1)
    assert (noisy * 255 - (noisy * 255).round()).abs().max() > 0.3


@pytest.mark.parametrize(("different", "photons"), [(1, 1), (2, 2), (3, 4), (100, 128), (129, 256)])
def test_poisson_noise_counts_photons_by_the_number_of_grey_levels(different: int, photons: int) -> None:
    """Poisson(x v) / v has the mean x and the variance x / v."""
    levels = torch.linspace(100, 100 + different - 1, different).round() / 255
    x = levels.repeat(math.ceil(120_000 / different))[:120_000].view(1, 3, 200, 200)
    noise = poisson_noise(x, noise_draw("poisson", 1, 1, gray=False))
    values = (noise + x) * photons
    torch.testing.assert_close(values, values.round(), atol=1e-2, rtol=0)
    assert noise.mean().abs() < 5 * math.sqrt(x.mean().item() / photons / x.numel())
    assert noise.var() == pytest.approx(x.mean().item() / photons, rel=0.03)


def test_poisson_noise_is_scaled_and_gray_noise_follows_the_luminance() -> None:
    x = smooth_pictures(1, 128, 128)
    full, half = (
        add_noise(x * 0.5 + 0.25, noise_draw("poisson", 1, s, gray=False)) - (x * 0.5 + 0.25) for s in (0.1, 0.05)
    )
    torch.testing.assert_close(full, half * 2, atol=1e-6, rtol=0)
    red = torch.tensor([0.8, 0.1, 0.1]).view(1, 3, 1, 1).expand(1, 3, 256, 256)
    gray = poisson_noise(red, noise_draw("poisson", 1, 1, gray=True))
    assert torch.equal(gray[0, 0], gray[0, 1])
    luminance = 0.299 * 0.8 + 0.701 * 0.1
    assert gray[0, 0].var() == pytest.approx(luminance, rel=0.05)  # one level, so one photon


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_seeds_make_the_noise(kind: str) -> None:
    x = smooth_pictures(2)
    first, again, other = (add_noise(x, noise_draw(kind, 2, 0.1, gray=False, seed=seed)) for seed in (0, 0, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert gaussian_noise(x, noise_draw(kind, 2, 0.1, gray=False)).shape == x.shape


def reference_jpeg(x: np.ndarray, quality: float, *, rounded: bool) -> np.ndarray:
    """The codec block by block in float64, with SciPy's DCT and Pillow's tables; x: (H, W, 3) in 0..255."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=50)  # the standard tables themselves
    tables = [np.array(table, float).reshape(8, 8) for table in Image.open(file).quantization.values()]  # type: ignore[attr-defined]
    factor = 50 / quality if quality < 50 else 2 - quality / 50
    tables = [np.floor(t * factor + 0.5) if rounded else t * factor for t in tables]
    height, width = x.shape[:2]
    x = np.pad(x, ((0, -height % 16), (0, -width % 16), (0, 0)))
    red, green, blue = np.moveaxis(x, 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = [luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128]
    for i in range(3):
        plane = planes[i] if i == 0 else planes[i].reshape(len(x) // 2, 2, -1, 2).mean((1, 3))
        decoded = np.empty_like(plane)
        for top in range(0, plane.shape[0], 8):
            for left in range(0, plane.shape[1], 8):
                block = fft.dctn(plane[top : top + 8, left : left + 8] - 128, norm="ortho")
                block = np.round(block / tables[min(i, 1)]) * tables[min(i, 1)]
                decoded[top : top + 8, left : left + 8] = fft.idctn(block, norm="ortho") + 128
        planes[i] = decoded if i == 0 else decoded.repeat(2, 0).repeat(2, 1)
    luma, cb, cr = planes
    red, blue = luma + 1.402 * (cr - 128), luma + 1.772 * (cb - 128)
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return np.stack([red, green, blue], 2)[:height, :width].clip(0, 255)


def psnr(x: np.ndarray, y: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.square(x.astype(float) - y.astype(float)).mean())


@pytest.mark.parametrize("size", [(48, 64), (45, 51)])
@pytest.mark.parametrize("quality", [30.0, 62.5, 90.0, 95.0])
def test_jpeg_is_the_codec_with_unrounded_tables(quality: float, size: tuple[int, int]) -> None:
    x = smooth_pictures(1, *size)
    found = jpeg(x, torch.tensor([quality]))[0].permute(1, 2, 0).numpy() * 255
    expected = reference_jpeg(x[0].permute(1, 2, 0).double().numpy() * 255, quality, rounded=False)
    # A coefficient that lies halfway between two steps may fall either way in float32, and shift a block a little.
    assert np.quantile(np.abs(found - expected), 0.95) < 0.01
    assert psnr(found, expected) > 50


def planes(rgb: np.ndarray) -> list[np.ndarray]:
    """(H, W, 3) in 0..255 -> Y (H, W), Cb and Cr (H / 2, W / 2)."""
    luma = rgb @ (0.299, 0.587, 0.114)
    chroma = [(rgb[..., i] - luma) / scale + 128 for i, scale in ((2, 1.772), (0, 1.402))]
    return [luma, *(c.reshape(len(c) // 2, 2, -1, 2).mean((1, 3)) for c in chroma)]


def file_planes(file: io.BytesIO, height: int, width: int) -> list[np.ndarray]:
    """The planes as libjpeg decodes them; at half size it does not enlarge chroma, so that it comes as it is stored."""
    decoded: list[np.ndarray] = []
    for size in ((width, height), (width // 2, height // 2)):
        picture = Image.open(file)
        picture.draft("YCbCr", size)
        assert (picture.mode, picture.size) == ("YCbCr", size)
        decoded.append(np.asarray(picture))
    return [decoded[0][..., 0], decoded[1][..., 1], decoded[1][..., 2]]


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 95])
def test_jpeg_loses_what_pillows_file_loses(quality: int) -> None:
    """Each plane is as far from the original as the file's, within 0.8 dB, and nearer to the file than the original is.

    They differ in what the module does not imitate: rounded tables, 8-bit rounding, libjpeg's integer arithmetic.
    """
    pixels = ((smooth_pictures(1, 128, 160)[0] * 0.5 + 0.25) * 255).round().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    x = torch.from_numpy(pixels / 255).float().permute(2, 0, 1)[None]
    ours = jpeg(x, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy() * 255
    for original, mine, theirs in zip(planes(pixels), planes(ours), file_planes(file, 128, 160), strict=True):
        assert psnr(mine, original) == pytest.approx(psnr(theirs, original), abs=0.8)
        assert psnr(mine, theirs) > psnr(theirs, original) + 1


def test_each_picture_has_its_own_quality_and_worse_is_further_away() -> None:
    x = smooth_pictures(1, 64, 64)[:, :1].expand(5, 3, 64, 64)  # gray: no loss by halved chroma
    error = (jpeg(x, torch.tensor([10.0, 30.0, 60.0, 90.0, 100.0])) - x).square().mean((1, 2, 3))
    assert (error.diff() < 0).all()
    assert error[-1] < 1e-4


def test_quality_scales_the_tables_as_published() -> None:
    torch.testing.assert_close(
        quantisation_factor(torch.tensor([25.0, 50.0, 75.0, 95.0])), torch.tensor([2.0, 1.0, 0.5, 0.1])
    )


def test_gray_pictures_stay_gray_through_jpeg() -> None:
    y = jpeg(smooth_pictures(1)[:, :1].expand(-1, 3, -1, -1), torch.tensor([60.0]))
    torch.testing.assert_close(y[:, 0], y[:, 2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("quality", [[0.0, 50.0], [50.0, 101.0], [50.0], [50.0, math.nan]])
def test_jpeg_refuses_qualities_that_are_none(quality: list[float]) -> None:
    with pytest.raises(UsageError, match="one quality in"):
        jpeg(smooth_pictures(2), torch.tensor(quality))


def test_unsharp_mask_is_the_formula_in_scipy() -> None:
    x = smooth_pictures(1, 80, 96).double()
    picture = x[0].numpy()
    at = np.arange(51) - 25
    row = np.exp(-(at**2) / (2 * 8.0**2))
    row /= row.sum()

    def blurred(p: np.ndarray) -> np.ndarray:
        return ndimage.correlate1d(ndimage.correlate1d(p, row, 1, mode="mirror"), row, 2, mode="mirror")

    residual = picture - blurred(picture)
    mask = blurred((np.abs(residual) * 255 > 10).astype(float))
    expected = mask * np.clip(picture + 0.5 * residual, 0, 1) + (1 - mask) * picture
    np.testing.assert_allclose(unsharp_mask(x)[0].numpy(), expected, atol=1e-12)
    assert np.abs(expected - picture).max() > 0.02


def test_unsharp_mask_leaves_flat_and_faint_pictures_alone_and_refuses_small_ones() -> None:
    faint = 0.5 + 0.01 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unsharp_mask(faint), faint)
    with pytest.raises(UsageError, match="larger pictures"):
        unsharp_mask(faint[..., :25])
