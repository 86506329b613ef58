"""`iqsr doctor`: what this installation is and can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iqsr.doctor import Examination

HELP = """Show what this installation is and can do, and what is wrong with it.

Versions, devices, the precision that is chosen here and why, threads, memory,
weight files, and what to install for what. The output belongs in a report of a
bug. It ends with 1 where something does not work, after a line that mends it.

[bold]Examples[/bold]

  iqsr doctor

  iqsr doctor --json > doctor.json
"""


def command(as_json: Annotated[bool, json_option("everything that was found.")] = False) -> None:
    """Print the facts, a line each, then what does not work."""
    from iqsr.doctor import examine

    found = examine()
    if as_json:
        typer.echo(json.dumps(found.document(), indent=2))
    else:
        for name, fact in _lines(found):
            typer.echo(f"{name:<12}{fact}".rstrip())
    for fault in found.faults if not as_json else ():
        typer.echo(f"\nWrong: {fault}")
    if found.faults:
        raise typer.Exit(1)


def _lines(found: Examination) -> Iterator[tuple[str, str]]:
    """Name and fact of each line; a continued line has no name."""
    yield "iqsr", found.versions["iqsr"]
    yield "packages", ", ".join(f"{name} {version}" for name, version in found.versions.items() if name != "iqsr")
    yield "python", f"{found.python} on {found.system}"
    yield "processor", f"{found.processor} ({', '.join(found.instructions) or 'no vector instructions that matter'})"
    yield "cores", f"{found.cores} usable, {found.threads} threads"
    yield "memory", f"{found.memory_gb:g} GB"
    yield "devices", ", ".join(found.devices) or "unknown without torch"
    if found.precision:
        yield "precision", f"{found.precision.chosen} on {found.precision.device}: {found.precision.reason}"
    yield "weights", f"{found.weights_here} of {found.weights_known} files are here; `iqsr weights` lists them"
    for number, (name, value) in enumerate(found.settings.items()):
        yield "" if number else "settings", f"{name}={value}"
    for number, extra in enumerate(found.extras):
        state = "yes" if not extra.missing else f"no: {extra.remedy}"
        yield "" if number else "extras", f"{extra.name:<9} {extra.purpose}: {state}"
