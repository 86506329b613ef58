"""The command line. Commands parse, call and print; what they import is imported when they run."""

import logging
import sys
import warnings

import typer

from iqsr.cli import (
    agree,
    export,
    interpolate,
    merge,
    metrics,
    prepare,
    recipes,
    score,
    train,
    train_quality,
    upscale,
    weights,
)
from iqsr.cli.progress import printable
from iqsr.cli.surroundings import bound_waiting, give_up, whole_streams

HELP = """Enlarge pictures with super-resolution networks, without seams.

[bold]Examples[/bold]

  iqsr upscale photo.jpg

  iqsr upscale holiday/ -o holiday-large/ --scale 2

  iqsr score holiday-large/ -o scores.csv

  iqsr agree pairs.csv --metrics srq,laplacian

  iqsr metrics

  iqsr prepare photos/ -o sets/

  iqsr train ablation/cpu-first --data sets/ -o runs/cpu-first

  iqsr train-quality predictor/srq --photos photos/ -o runs/srq

  iqsr weights

  iqsr export realesrgan-x4plus -o realesrgan-x4plus.onnx

  iqsr merge runs/ft -o sharper.safetensors

  iqsr interpolate realesrgan-x4plus runs/ft -o between.safetensors

Each command has its own --help.
"""

app = typer.Typer(
    name="iqsr",
    help=HELP,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(  # pyright: ignore[reportUnusedFunction]
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version."),
) -> None:
    if version:
        from iqsr._version import __version__

        typer.echo(f"iqsr {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command("upscale", help=upscale.HELP)(upscale.command)
app.command("score", help=score.HELP)(score.command)
app.command("agree", help=agree.HELP)(agree.command)
app.command("metrics", help=metrics.HELP)(metrics.command)
app.command("export")(export.command)
app.command("merge")(merge.command)
app.command("interpolate")(interpolate.command)
app.command("prepare", help=prepare.HELP)(prepare.command)
app.command("train")(train.command)
app.command("train-quality")(train_quality.command)
app.add_typer(recipes.app, name="recipes")
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Entry point: errors of ours, and wrong arguments, become one line and their exit code."""
    bound_waiting()
    with whole_streams():
        ours, said = logging.getLogger("iqsr"), _Lines()
        ours.addHandler(said)
        try:
            code = _run()
        finally:
            ours.removeHandler(said)
    sys.exit(code)


def _run() -> int:
    from iqsr.errors import IqsrError

    if not sys.warnoptions:  # what torch tells the authors of networks
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(torch|spandrel)\b")
    try:
        code = app(prog_name="iqsr", standalone_mode=False)
        sys.stdout.flush()
    except IqsrError as error:
        return _failed(str(error), error.exit_code)
    except typer.TyperException as error:
        context: typer.Context | None = getattr(error, "ctx", None)
        command = context.command_path if context else "iqsr"
        return _failed(f"{error.format_message().rstrip('.')}; see `{command} --help`", error.exit_code)
    except BrokenPipeError:
        give_up(sys.stdout)
        return 1
    except OSError as error:
        give_up(sys.stdout)
        named = f"'{error.filename}': " if error.filename is not None else ""
        return _failed(f"{named}{error.strerror or error}", 1)
    return code or 0


class _Lines(logging.Handler):
    """Warnings of ours, as lines like those of errors."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"iqsr: {printable(record.getMessage())}", file=sys.stderr)


def _failed(message: str, code: int) -> int:
    print(f"iqsr: {printable(message)}", file=sys.stderr)
    return code
