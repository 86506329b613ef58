"""`iqsr merge`: a trained adapter or run as one plain checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.places import place


def command(
    source: Annotated[
        Path,
        typer.Argument(help="An adapter (.safetensors), or the folder of a run.", metavar="RUN_OR_ADAPTER"),
    ],
    out: Annotated[
        Path, typer.Option("--output", "-o", parser=place, help="File to write: .safetensors.", metavar="FILE")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="The network that the adapter was trained on: a name or a file. Default: the one it names.",
            metavar="BASE",
        ),
    ] = None,
) -> None:
    """Write a trained network as a plain checkpoint, its adapter merged into the weights.

    The file opens in `iqsr upscale`, chaiNNer, ComfyUI and all that uses spandrel.
    It is read back and compared with the unmerged network, and appears only if
    they agree within 1e-5. An existing file is replaced.

    [bold]Examples[/bold]

      iqsr merge runs/mine -o mine.safetensors

      iqsr merge runs/mine/adapter.safetensors -o mine.safetensors

      iqsr merge adapter.safetensors -o mine.safetensors --model 4xSome.pth
    """
    from rich.console import Console

    from iqsr.cli.progress import printable
    from iqsr.models.merge import merge

    with Console(stderr=True).status("Merging ..."):
        merged = merge(source, out, model=model)
    what = f"merged with {merged.base}" if merged.base else "a whole generator, nothing to merge"
    typer.echo(printable(f"{what}; largest difference to the unmerged output {merged.difference:.1e}"))
    typer.echo(printable(f"{merged.path}  {merged.path.stat().st_size / 1e6:.1f} MB"))
