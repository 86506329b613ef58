"""`iqsr panel`: a figure for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.options import Overwrite, output_option
from iqsr.cli.outputs import check_outputs
from iqsr.errors import UsageError

if TYPE_CHECKING:
    from iqsr.report.crops import Box

HELP = """Draw a figure: pictures side by side, details enlarged and framed, scores below.

A row a picture; its columns are the input, the models and the original. Of an
evaluation's folder the rows are the best and the worst images, unless they are
named. Of pictures, each is NAME=FILE. Details are where the models differ most,
unless they are given. The same input makes the same file.

[bold]Examples[/bold]

  iqsr panel results/ -o figure.pdf

  iqsr panel results/ -o figure.png --images 0807,0812 --models bicubic,mine

  iqsr panel results/ -o figure.svg --crop 0807=120,80,96,96 --metrics srq

  iqsr panel LR=lr.png ours=sr.png GT=gt.png -o figure.pdf

  iqsr panel ours=sr.png GT=gt.png -o figure.pdf --original GT -m psnr,srq
"""


def command(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="An evaluation's folder, or NAME=FILE...")],
    output: Annotated[Path, output_option("File of the figure: .png, .pdf, .svg.", metavar="FILE")],
    images: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Images of the evaluation.", show_default=False)
    ] = None,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="How many images where none is named.")] = 4,
    models: Annotated[
        str | None, typer.Option("--models", metavar="A,B,...", help="Models; all of the evaluation by default.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", "-m", metavar="A,B,...", help="Names that `iqsr metrics` lists. Printed below."),
    ] = None,
    original: Annotated[
        str, typer.Option(metavar="NAME", help="Of NAME=FILE: what metrics compare with.", show_default=False)
    ] = "",
    crop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[IMAGE=]X,Y,W,H", help="A detail in pixels: left, top, width, height.", show_default=False
        ),
    ] = None,
    between: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Show where these two differ most. Default: all.", show_default=False),
    ] = None,
    side: Annotated[int, typer.Option(min=8, metavar="PX", help="Side of a detail that is found so, in pixels.")] = 96,
    width_mm: Annotated[float, typer.Option("--width-mm", metavar="MM", min=20, help="Width on paper.")] = 180.0,
    dpi: Annotated[int, typer.Option(min=50, max=2400, metavar="N", help="Of a PNG.")] = 300,
    overwrite: Overwrite = False,
) -> None:
    """Draw a panel (see HELP)."""
    from iqsr.evaluation.report_panel import ALL_PICTURES, row_of_pictures, rows_of_evaluation
    from iqsr.evaluation.result import read_evaluation
    from iqsr.images.find import in_home
    from iqsr.report.panel import check_kind, write_panel

    check_kind(output)
    check_outputs([output], overwrite=overwrite)
    crops, pair = _crops(crop or []), _pair(between)
    pictures = dict(_named(source) for source in sources if "=" in source)
    if pictures:
        if len(pictures) < max(len(sources), 2):
            raise UsageError("give two pictures or more, each as NAME=FILE with a name of its own")
        if images or models or set(crops) - {ALL_PICTURES}:
            raise UsageError("--images, --models and IMAGE= in --crop are for an evaluation's folder")
        boxes = crops.get(ALL_PICTURES, [])
        row = row_of_pictures(
            pictures, metrics=_split(metrics), original=original, boxes=boxes, between=pair, side=side
        )
        rows = [row]
    else:
        if len(sources) > 1:
            raise UsageError("give one evaluation's folder, or pictures as NAME=FILE")
        if original:
            raise UsageError("--original is for NAME=FILE: an evaluation knows its originals")
        rows = rows_of_evaluation(
            read_evaluation(in_home(sources[0])),
            images=_split(images),
            count=count,
            models=_split(models),
            metrics=_split(metrics),
            crops=crops,
            between=pair,
            side=side,
        )
    write_panel(output, rows, width_mm=width_mm, dpi=dpi)


def _named(source: str) -> tuple[str, Path]:
    from iqsr.images.find import in_home

    name, _, file = source.partition("=")
    return name, in_home(file)


def _crops(texts: list[str]) -> dict[str, list[Box]]:
    """By image; those of all images under the empty name."""
    from iqsr.report.crops import read_box

    found: dict[str, list[Box]] = {}
    for text in texts:
        image, _, box = text.rpartition("=")
        found.setdefault(image, []).append(read_box(box))
    return found


def _pair(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    names = _split(text)
    if len(names) != 2:
        raise UsageError(f"--between takes two names, A,B; got '{text}'")
    return names[0], names[1]


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]
