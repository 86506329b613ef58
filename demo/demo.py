"""Four photos, made small and damaged, then enlarged x4 by bicubic interpolation and by Real-ESRGAN.

Writes one HTML page to look at, and prints the scores. Needs the extra `demo`: pip install 'iqsr[demo]'
"""

import argparse
import time
from importlib.metadata import version
from pathlib import Path

import skimage
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table as RichTable
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image, decode_jpeg, encode_jpeg
from torchvision.transforms.v2.functional import gaussian_blur

from iqsr import Upscaler
from iqsr.metrics import availability, card, load_metric
from iqsr.metrics.metric import Metric
from iqsr.report.crops import Box
from iqsr.report.encode import pixels
from iqsr.report.page import Column, ComparedPicture, Row, Table, Variant, write_comparison
from iqsr.report.panel import PanelCell, PanelRow, write_panel

SCALE = 4
SEED = 0
# File in scikit-image's wheel -> top, left, height, width of the crop: 3:2, multiples of 4.
PHOTOS = {
    "astronaut.png": (0, 4, 336, 504),
    "chelsea.png": (0, 4, 296, 444),
    "coffee.png": (0, 0, 400, 600),
    "rocket.jpg": (20, 28, 400, 600),
}
# Shown enlarged in panel.png.
DETAILS = {"Chelsea": Box(90, 60, 130, 130), "Coffee": Box(330, 150, 130, 130)}
# Decimals by name; those that are not here are left out.
METRICS = {"psnr": 2, "ssim": 3, "stlpips": 3, "srq": 1, "srq-holdout": 1, "piqe": 1}
MODEL, TITLE = "realesrgan-x4plus", "Real-ESRGAN"
LEAD = (
    "Four photos were blurred, reduced to a sixteenth of their pixels, made noisy and saved as JPEG. "
    "Bicubic interpolation keeps the blur. Real-ESRGAN draws what is likely to have been there: closer to the original "
    "for the eye (stlpips), though often not pixel by pixel (psnr, ssim). Metrics disagree; look at the pictures."
)


def read_photo(name: str) -> Tensor:
    """A crop of a photo that ships inside scikit-image: (1, 3, H, W) in [0, 1]."""
    photo = decode_image(str(Path(skimage.__file__).parent / "data" / name), ImageReadMode.RGB)
    top, left, height, width = PHOTOS[name]
    return photo[None, :, top : top + height, left : left + width] / 255


def degrade(hr: Tensor, rng: torch.Generator) -> Tensor:
    """An old phone: soft lens, few pixels, noise, JPEG. (1, 3, H, W) -> (1, 3, H/4, W/4), both in [0, 1]."""
    lr = F.interpolate(gaussian_blur(hr, [7, 7], [0.8]), scale_factor=1 / SCALE, mode="area")
    lr = lr + torch.randn(lr.shape, generator=rng) * 2 / 255
    levels = lr.clamp(0, 1).mul(255).round().to(torch.uint8)
    return decode_jpeg(encode_jpeg(levels[0], quality=85))[None] / 255


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


def compare(name: str, upscaler: Upscaler, metrics: dict[str, Metric], seed: int) -> tuple[ComparedPicture, list[Row]]:
    """Degrade, enlarge and score one photo."""
    hr = read_photo(name)
    lr = degrade(hr, torch.Generator().manual_seed(seed))
    title = name.partition(".")[0].capitalize()
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


def panel_row(picture: ComparedPicture) -> PanelRow:
    """A photo's detail in all variants."""
    cells = [PanelCell(v.name, pixels(v.image), v.caption.split(" · ")) for v in picture.variants]
    for_all = [cell if cell.name in ("Bicubic", TITLE) else PanelCell(cell.name, cell.picture) for cell in cells]
    return PanelRow(picture.title, cells[-1].picture, [DETAILS[picture.title]], for_all)


def mean_rows(rows: list[Row]) -> list[Row]:
    """The mean of each method over the photos."""
    means = []
    for method in dict.fromkeys(row.name for row in rows):
        values = torch.tensor([row.values for row in rows if row.name == method]).mean(0)
        means.append(Row("Mean", method, values.tolist()))
    return means


def print_table(console: Console, table: Table) -> None:
    """The same table as on the page."""
    arrows = {"higher": " ↑", "lower": " ↓", None: ""}
    rich = RichTable(title=table.caption, title_style="", padding=(0, 0))
    rich.add_column("", no_wrap=True)
    rich.add_column("", no_wrap=True)
    for column in table.columns:
        rich.add_column(column.name + arrows[column.better], justify="right")
    for group, rows in table.groups():
        for index, (name, cells) in enumerate(rows):
            values = [f"[bold]{cell.text}[/bold]" if cell.best else cell.text for cell in cells]
            rich.add_row("" if index else group, name, *values, end_section=index == len(rows) - 1)
    console.print(rich)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for index.html")
    output: Path = parser.parse_args().output
    console = Console()
    start = time.perf_counter()
    upscaler, metrics = Upscaler(MODEL), available_metrics()
    pictures: list[ComparedPicture] = []
    rows: list[Row] = []
    for index, name in enumerate(PHOTOS):
        with console.status(f"Enlarging {name}"), torch.inference_mode():
            picture, scores = compare(name, upscaler, metrics, SEED + index)
        pictures.append(picture)
        rows += scores
    seconds = time.perf_counter() - start
    columns = [column(name) for name in metrics]
    table = Table(columns, rows + mean_rows(rows), "Scores; the best of each photo is bold.")
    page = output / "index.html"
    write_comparison(
        page,
        "Small pictures, enlarged four times",
        pictures,
        table,
        lead=LEAD,
        facts={
            "Network": f"{MODEL} ({upscaler.describe()})",
            "Damage": f"blur σ 0.8, area ×¼, noise σ 2/255, JPEG 85; seed {SEED}",
            "Versions": f"iqsr {version('iqsr')}, torch {torch.__version__}",
            "Time": f"{seconds:.0f} s on {torch.get_num_threads()} CPU threads",
        },
    )
    write_panel(output / "panel.png", [panel_row(p) for p in pictures if p.title in DETAILS], dpi=150)
    print_table(console, table)
    console.print(f"{seconds:.0f} s. Open [bold]{page.resolve()}[/bold]", soft_wrap=True)


if __name__ == "__main__":
    main()
