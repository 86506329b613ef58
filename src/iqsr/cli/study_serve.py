"""`iqsr study serve`: the web server of a study."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from iqsr.study.server.run import Addresses

HELP = """Serve a study: raters open their links and vote, the admin follows and exports.

Every vote is on the disk before the page says so. Ctrl-C ends the server; the
same command goes on with the same links.

[bold]Examples[/bold]

  iqsr study serve study/

  iqsr study serve study/ --open --port 8080

  iqsr study serve study/ --database postgresql://iqsr@db.example.org/study
"""


def command(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")],
    host: Annotated[
        str, typer.Option(metavar="HOST", help="The address to listen on. 0.0.0.0: all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="The port. 0: a free one.")] = 8000,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="postgresql://USER@HOST/NAME. Without it: votes.sqlite in the folder."),
    ] = None,
    open_link: Annotated[
        bool, typer.Option("--open", help="One link for all: whoever opens it gets the next free seat.")
    ] = False,
    admin_token: Annotated[
        str | None,
        typer.Option(
            envvar="IQSR_ADMIN_TOKEN", metavar="TEXT", help="What opens the admin page. Without it: one is made."
        ),
    ] = None,
) -> None:
    """Serve a study (see HELP)."""
    from iqsr.cli.interrupt import interruptible
    from iqsr.study.server import serve

    with interruptible("every answer is stored; the same command goes on, with the same links"), _last_line_ended():
        serve(
            study,
            host=host,
            port=port,
            database=database,
            open_link=open_link,
            admin_token=admin_token,
            on_start=_print_addresses,
            on_progress=_print_progress,
        )
        raise KeyboardInterrupt  # only a signal ends the server, also one that a shell ignores in jobs behind it


@contextmanager
def _last_line_ended() -> Generator[None]:
    """What is printed next does not go on in the line of the progress."""
    try:
        yield
    finally:
        if sys.stderr.isatty():
            print(file=sys.stderr)


def _print_addresses(addresses: Addresses) -> None:
    if not addresses.loopback:
        print(
            "iqsr: warning: other machines reach this server, and what it sends can be read on the way: "
            "put a reverse proxy with TLS in front of it",
            file=sys.stderr,
        )
    if addresses.open_link is not None:
        typer.echo(f"open link   {addresses.open_link}")
    else:
        width = max(map(len, addresses.seats))
        for seat, link in addresses.seats.items():
            typer.echo(f"{seat:<{width}}  {link}")
    typer.echo(f"admin       {addresses.admin}")
    typer.echo(f"token       {addresses.admin_token}")
    sys.stdout.flush()


def _print_progress(line: str) -> None:
    """On a terminal the line replaces the one before."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)
