"""`iqsr interpolate`: the network between two networks."""

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.places import place

_END = "A network's name, a checkpoint, an adapter, or the folder of a run."


def command(
    first: Annotated[str, typer.Argument(help=_END, metavar="FIRST")],
    second: Annotated[str, typer.Argument(help=_END, metavar="SECOND")],
    out: Annotated[
        Path, typer.Option("--output", "-o", parser=place, help="File to write: .safetensors.", metavar="FILE")
    ],
    share: Annotated[
        float, typer.Option("--share", help="Of SECOND: 0 gives the first network, 1 the second.", metavar="NUMBER")
    ] = 0.5,
) -> None:
    """Write the network between two networks of one architecture, weight by weight.

    Somewhat calmer, somewhat sharper: the results change gradually with the share.
    Of two adapters on one network, or of one and that network, an adapter comes
    out; of anything else a plain checkpoint. An existing file is replaced.

    [bold]Examples[/bold]

      iqsr interpolate runs/calm runs/sharp -o both.safetensors --share 0.25

      iqsr interpolate realesrgan-x4plus runs/ft -o weaker.safetensors --share 0.9
    """
    from rich.console import Console

    from iqsr.cli.progress import printable
    from iqsr.models.interpolate import interpolate

    with Console(stderr=True).status("Interpolating ..."):
        made = interpolate(first, second, out, share=share)
    kind = "a plain checkpoint" if made.kept is None else f"an adapter, {made.kept:.2%} of the exact change's energy"
    typer.echo(printable(f"{made.path}  {made.path.stat().st_size / 1e6:.1f} MB, {kind}"))
