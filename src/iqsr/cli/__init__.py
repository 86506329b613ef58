"""The command line. Commands parse, call and print; what they import is imported when they run."""

import sys

import typer

from iqsr.cli import export, upscale, weights

app = typer.Typer(
    name="iqsr",
    help="Image-quality-guided super-resolution: enlarge pictures with networks that people like to look at.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(  # pyright: ignore[reportUnusedFunction]
    version: bool = typer.Option(False, "--version", help="Print the version."),
) -> None:
    if version:
        from iqsr import __version__

        typer.echo(f"iqsr {__version__}")
        raise typer.Exit


app.command("upscale", help=upscale.HELP)(upscale.command)
app.command("export")(export.command)
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Entry point: errors of ours become one line and their exit code."""
    from iqsr.errors import IqsrError

    try:
        app()
    except IqsrError as error:
        print(f"iqsr: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)
