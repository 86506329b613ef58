"""`iqsr export`: a model as a file for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.options import Overwrite, format_option, output_option
from iqsr.cli.outputs import check_outputs


def command(
    model: Annotated[str, typer.Argument(help="Name of a model, or its file: .pth or .safetensors.", metavar="MODEL")],
    output: Annotated[Path, output_option("File to write: .safetensors, .onnx or .xml (OpenVINO).", metavar="FILE")],
    format: Annotated[
        str | None, format_option("safetensors, onnx, openvino. Default: what the name of FILE ends in.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model as safetensors (weights), ONNX or OpenVINO (network and weights).

    The file takes any batch, height and width. It is read back and compared
    with torch on two sizes, and appears only if they agree within 1e-4.

    [bold]Examples[/bold]

      iqsr export realesrgan-x4plus --format onnx -o realesrgan-x4plus.onnx

      iqsr export realesr-animevideov3-x2 --format openvino -o animevideo-x2.xml

      iqsr export community/4xSome.pth --format safetensors -o 4xSome.safetensors
    """
    from rich.console import Console

    from iqsr.export import check_format, export, output_files
    from iqsr.models import load_model

    chosen = check_format(output, format)
    check_outputs(output_files(output), overwrite=overwrite)
    with Console(stderr=True).status(f"Exporting {model} ..."):
        result = export(load_model(model), output, chosen)
    sizes = " and ".join("x".join(map(str, size)) for size in result.verified.sizes)
    typer.echo(f"verified against torch at {sizes}: largest difference {result.verified.difference:.1e}")
    for file in result.files:
        typer.echo(f"{file}  {file.stat().st_size / 1e6:.1f} MB")
