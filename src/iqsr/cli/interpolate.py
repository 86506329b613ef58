"""`iqsr interpolate`: the network between two networks."""

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.options import Overwrite, output_option
from iqsr.cli.outputs import check_outputs

_END = "A model's name, a checkpoint, an adapter, or the folder of a run."


def command(
    first: Annotated[str, typer.Argument(help=_END, metavar="FIRST")],
    second: Annotated[str, typer.Argument(help=_END, metavar="SECOND")],
    output: Annotated[Path, output_option("File to write: .safetensors.", metavar="FILE")],
    share: Annotated[
        float, typer.Option("--share", help="Of SECOND: 0 gives the first network, 1 the second.", metavar="NUMBER")
    ] = 0.5,
    overwrite: Overwrite = False,
) -> None:
    """Write the network between two networks of one architecture, weight by weight.

    Somewhat calmer, somewhat sharper: the results change gradually with the share.
    Of two adapters on one network, or of one and that network, an adapter comes
    out; of anything else a plain checkpoint.

    [bold]Examples[/bold]

      iqsr interpolate runs/calm runs/sharp -o both.safetensors --share 0.25

      iqsr interpolate realesrgan-x4plus runs/ft -o weaker.safetensors --share 0.9
    """
    from rich.console import Console

    from iqsr.cli.progress import printable
    from iqsr.models.interpolate import interpolate

    check_outputs([output], overwrite=overwrite)
    with Console(stderr=True).status("Interpolating ..."):
        result = interpolate(first, second, output, share=share)
    kept = result.energy_kept
    kind = "a plain checkpoint" if kept is None else f"an adapter, {kept:.2%} of the exact change's energy"
    typer.echo(printable(f"{result.path}  {result.path.stat().st_size / 1e6:.1f} MB, {kind}"))
