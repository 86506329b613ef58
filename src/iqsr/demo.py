"""Four photos, made small and damaged, then enlarged x4 by bicubic interpolation and by Real-ESRGAN.

Makes one HTML page to look at, and a figure. The photos are scikit-image's: the extra `demo`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image, decode_jpeg, encode_jpeg
from torchvision.transforms.v2.functional import gaussian_blur

from iqsr._version import __version__
from iqsr.errors import UsageError
from iqsr.metrics import availability, card, load_metric
from iqsr.metrics.metric import Metric
from iqsr.report.crops import Box
from iqsr.report.encode import pixels
from iqsr.report.page import Column, ComparedPicture, Row, Table, Variant, write_comparison
from iqsr.report.panel import PanelCell, PanelRow, write_panel
from iqsr.upscaling.upscaler import DEFAULT_MODEL, Upscaler

SCALE = 4
SEED = 0
# File in scikit-image's wheel -> top, left, height, width of the crop: 3:2, multiples of 4.
PHOTOS = {
    "astronaut.png": (0, 4, 336, 504),
    "chelsea.png": (0, 4, 296, 444),
    "coffee.png": (0, 0, 400, 600),
    "rocket.jpg": (20, 28, 400, 600),
}
# In panel.png: so many photos, and a square of so many pixels of each.
PANEL_PHOTOS, PANEL_SQUARE, PANEL_CANDIDATES = 2, 130, 6
# Decimals by name; those that are not here are left out.
METRICS = {"psnr": 2, "ssim": 3, "stlpips": 3, "srq": 1, "srq-holdout": 1, "piqe": 1}
MODEL, TITLE = DEFAULT_MODEL, "Real-ESRGAN, crisp"
LEAD = (
    "Four photos were blurred, reduced to a sixteenth of their pixels, made noisy and saved as JPEG. "
    "Bicubic interpolation keeps the blur. Real-ESRGAN draws what is likely to have been there; crisp, the default of "
    "iqsr, sharpens its fine detail a little. It is closer to the original for the eye (stlpips), though often not "
    "pixel by pixel (psnr, ssim). Metrics disagree; look at the pictures."
)


def photo_folder() -> Path:
    """Where scikit-image keeps its photos. It is not imported. Raises UsageError where it is not installed."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise UsageError("the demo's photos are in scikit-image: pip install 'iqsr[demo]'")
    return Path(package.origin).parent / "data"


def read_photo(file: Path) -> Tensor:
    """A crop of a photo of scikit-image: (1, 3, H, W) in [0, 1]."""
    photo = decode_image(str(file), ImageReadMode.RGB)
    top, left, height, width = PHOTOS[file.name]
    return photo[:, top : top + height, left : left + width].unsqueeze(0) / 255


def degrade(hr: Tensor, rng: torch.Generator) -> Tensor:
    """An old phone: soft lens, few pixels, noise, JPEG. (1, 3, H, W) -> (1, 3, H/4, W/4), both in [0, 1]."""
    lr = F.interpolate(gaussian_blur(hr, [7, 7], [0.8]), scale_factor=1 / SCALE, mode="area")
    lr = lr + torch.randn(lr.shape, generator=rng) * 2 / 255
    levels = lr.clamp(0, 1).mul(255).round().to(torch.uint8)
    decoded = decode_jpeg(encode_jpeg(levels[0], quality=85))
    assert isinstance(decoded, Tensor)  # of one picture
    return decoded[None] / 255


def bicubic(lr: Tensor) -> Tensor:
    """(1, 3, H, W) -> (1, 3, 4H, 4W), in [0, 1]."""
    return F.interpolate(lr, scale_factor=SCALE, mode="bicubic").clamp(0, 1)


def available_metrics() -> dict[str, Metric]:
    """Those of METRICS that are here, by name."""
    return {name: load_metric(name) for name in METRICS if availability(name).available}


def column(name: str) -> Column:
    """A metric's column of the table."""
    return Column(name, METRICS[name], "higher" if card(name).higher_is_better else "lower")


def score(sr: Tensor, hr: Tensor, metrics: dict[str, Metric]) -> list[float]:
    """Each metric of one picture, against its original where it compares."""
    return [float(m(sr, hr) if m.card.reference == "full" else m(sr)) for m in metrics.values()]


def compare(file: Path, upscaler: Upscaler, metrics: dict[str, Metric], seed: int) -> tuple[ComparedPicture, list[Row]]:
    """Degrade, enlarge and score one photo."""
    hr = read_photo(file)
    lr = degrade(hr, torch.Generator().manual_seed(seed))
    title = file.stem.capitalize()
    outputs = {"Bicubic": bicubic(lr), TITLE: upscaler.upscale(lr).clamp(0, 1)}
    rows = [Row(title, method, score(sr, hr, metrics)) for method, sr in outputs.items()]
    captions = {row.name: caption(dict(zip(metrics, row.values, strict=True))) for row in rows}
    variants = [
        Variant(
            "Low resolution",
            lr[0],
            f"{lr.shape[3]} × {lr.shape[2]} pixels\nblur, noise, JPEG",
            pixelated=True,
        ),
        *(Variant(method, sr[0], captions[method]) for method, sr in outputs.items()),
        Variant("Original", hr[0], f"{hr.shape[3]} × {hr.shape[2]} pixels\nthe reference"),
    ]
    return ComparedPicture(title, variants, left="Bicubic", right=TITLE), rows


def caption(values: dict[str, float | None]) -> str:
    """Under each picture: psnr, and the distance for the eye."""
    return f"psnr {values['psnr']:.2f} · stlpips {values['stlpips']:.3f}"


def drawn(pictures: list[ComparedPicture], seed: int) -> list[PanelRow]:
    """Photos and squares by lot: of six squares the one with the second most detail, not a blank sky."""
    rng = random.Random(seed)
    rows: list[PanelRow] = []
    for picture in rng.sample(pictures, PANEL_PHOTOS):
        original = picture.variants[-1].image
        height, width = original.shape[1:]
        boxes = [
            Box(rng.randint(0, width - PANEL_SQUARE), rng.randint(0, height - PANEL_SQUARE), PANEL_SQUARE, PANEL_SQUARE)
            for _ in range(PANEL_CANDIDATES)
        ]
        rows.append(panel_row(picture, sorted(boxes, key=lambda box: detail(original, box))[-2]))
    return rows


def detail(image: Tensor, box: Box) -> float:
    """The mean step between pixels one below the other. image: (3, H, W)."""
    part = image[:, box.top : box.top + box.height, box.left : box.left + box.width]
    return float(part.mean(0).diff(dim=0).abs().mean())


def panel_row(picture: ComparedPicture, box: Box) -> PanelRow:
    """A square of a photo in all variants."""
    cells = [PanelCell(v.name, pixels(v.image), v.caption.split(" · ")) for v in picture.variants]
    for_all = [cell if cell.name in ("Bicubic", TITLE) else PanelCell(cell.name, cell.picture) for cell in cells]
    return PanelRow(picture.title, cells[-1].picture, [box], for_all)


def mean_rows(rows: list[Row]) -> list[Row]:
    """The mean of each method over the photos."""
    means = []
    for method in dict.fromkeys(row.name for row in rows):
        values = torch.tensor([row.values for row in rows if row.name == method]).mean(0)
        means.append(Row("Mean", method, values.tolist()))
    return means


@dataclass(frozen=True)
class Demo:
    """What the demo made."""

    page: Path
    table: Table
    seconds: float
    """Without what the page takes to write."""


def write_demo(folder: Path, report: Callable[[str], None] = lambda name: None) -> Demo:
    """Enlarge and score the photos, and write `index.html` and `panel.png` into the folder.

    Args:
        folder: Made where it does not exist; the two files in it are replaced.
        report: Called with each photo's file name before it is enlarged.

    Raises:
        UsageError: scikit-image, which has the photos, is not installed.
        WeightsError: The weights of Real-ESRGAN are not on this machine.
    """
    photos = photo_folder()
    start = time.perf_counter()
    upscaler, metrics = Upscaler(MODEL), available_metrics()
    pictures: list[ComparedPicture] = []
    rows: list[Row] = []
    for index, name in enumerate(PHOTOS):
        report(name)
        with torch.inference_mode():
            picture, scores = compare(photos / name, upscaler, metrics, SEED + index)
        pictures.append(picture)
        rows += scores
    seconds = time.perf_counter() - start
    columns = [column(name) for name in metrics]
    table = Table(columns, rows + mean_rows(rows), "Scores; the best of each photo is bold.")
    write_comparison(
        folder / "index.html",
        "Small pictures, enlarged four times",
        pictures,
        table,
        lead=LEAD,
        facts={
            "Network": f"{MODEL} ({upscaler.describe()})",
            "Damage": f"blur σ 0.8, area ×¼, noise σ 2/255, JPEG 85; seed {SEED}",
            "Versions": f"iqsr {__version__}, torch {torch.__version__}",
            "Time": f"{seconds:.0f} s on {torch.get_num_threads()} CPU threads",
        },
    )
    write_panel(folder / "panel.png", drawn(pictures, SEED), dpi=150)
    return Demo(folder / "index.html", table, seconds)
