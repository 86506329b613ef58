"""`iqsr merge`: a trained adapter or run as one plain checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.options import Overwrite, model_option, output_option
from iqsr.cli.outputs import check_outputs


def command(
    source: Annotated[
        Path, typer.Argument(help="An adapter (.safetensors), or the folder of a run.", metavar="RUN_OR_ADAPTER")
    ],
    output: Annotated[Path, output_option("File to write: .safetensors.", metavar="FILE")],
    model: Annotated[str | None, model_option("what the adapter was trained on. Default: the one it names.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a trained network as a plain checkpoint, its adapter merged into the weights.

    The file opens in `iqsr upscale`, chaiNNer, ComfyUI and all that uses spandrel.
    It is read back and compared with the unmerged network, and appears only if
    they agree within 1e-5.

    [bold]Examples[/bold]

      iqsr merge runs/mine -o mine.safetensors

      iqsr merge runs/mine/adapter.safetensors -o mine.safetensors

      iqsr merge adapter.safetensors -o mine.safetensors --model 4xSome.pth
    """
    from rich.console import Console

    from iqsr.cli.progress import printable
    from iqsr.models.merge import merge

    check_outputs([output], overwrite=overwrite)
    with Console(stderr=True).status("Merging ..."):
        merged = merge(source, output, model=model)
    what = f"merged with {merged.base}" if merged.base else "a whole generator, nothing to merge"
    typer.echo(printable(f"{what}; largest difference to the unmerged output {merged.difference:.1e}"))
    typer.echo(printable(f"{merged.path}  {merged.path.stat().st_size / 1e6:.1f} MB"))
