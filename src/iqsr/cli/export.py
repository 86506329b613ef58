"""`iqsr export`: a network as a file for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.places import place


def command(
    model: Annotated[
        str,
        typer.Argument(help="Name of a network, or a .pth or .safetensors file.", metavar="MODEL"),
    ],
    out: Annotated[Path, typer.Option("--output", "-o", parser=place, help="File to write.", metavar="FILE")],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="safetensors, onnx or openvino. Default: by FILE's suffix.",
            metavar="FORMAT",
        ),
    ] = None,
) -> None:
    """Write a network as safetensors (weights), ONNX or OpenVINO (network and weights).

    The file takes any batch, height and width. It is read back and compared
    with torch on two sizes, and appears only if they agree within 1e-4.
    An existing file is replaced.

    [bold]Examples[/bold]

      iqsr export realesrgan-x4plus --format onnx -o realesrgan-x4plus.onnx

      iqsr export realesr-animevideov3-x2 --format openvino -o animevideo-x2.xml

      iqsr export community/4xSome.pth --format safetensors -o 4xSome.safetensors
    """
    from rich.console import Console

    from iqsr.export import check_format, export
    from iqsr.models import load_model

    chosen = check_format(out, format)
    with Console(stderr=True).status(f"Exporting {model} ..."):
        result = export(load_model(model), out, chosen)
    sizes = " and ".join("x".join(map(str, size)) for size in result.verified.sizes)
    typer.echo(f"verified against torch at {sizes}: largest difference {result.verified.difference:.1e}")
    for file in result.files:
        typer.echo(f"{file}  {file.stat().st_size / 1e6:.1f} MB")
