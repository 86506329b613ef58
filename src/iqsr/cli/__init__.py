"""The command line. Commands parse, call and print; what they import is imported when they run."""

import logging
import sys
import warnings

import typer

from iqsr.cli import (
    agree,
    agree_labels,
    check_sets,
    compare,
    demo,
    doctor,
    evaluate,
    export,
    interpolate,
    merge,
    merge_shards,
    metrics,
    panel,
    prepare,
    recipes,
    run_shards,
    score,
    study,
    train,
    train_quality,
    upscale,
    weights,
)
from iqsr.cli.parsing import Command
from iqsr.cli.progress import printable
from iqsr.cli.streams import discard_buffer, safe_streams
from iqsr.cli.threads import bound_waiting

HELP = """Enlarge pictures with super-resolution networks, without seams.

[bold]Examples[/bold]

  iqsr upscale photo.jpg

  iqsr upscale holiday/ -o holiday-large/ --scale 2

  iqsr score holiday-large/ -o scores.csv

  iqsr agree pairs.csv --metrics srq,laplacian

  iqsr agree-labels HGGT/Train --metrics srq,laplacian

  iqsr evaluate --data set/ --models bicubic,runs/ft -o results/

  iqsr panel results/ -o figure.pdf

  iqsr metrics

  iqsr prepare photos/ -o sets/

  iqsr check-sets sets/

  iqsr train ablation/cpu-first --data sets/ -o runs/cpu-first

  iqsr train-quality predictor/srq --photos photos/ -o runs/srq

  iqsr compare runs/base runs/guided

  iqsr weights

  iqsr export realesrgan-x4plus -o realesrgan-x4plus.onnx

  iqsr merge runs/ft -o sharper.safetensors

  iqsr merge-shards scores.csv.shards/ -o scores.csv

  iqsr interpolate realesrgan-x4plus runs/ft -o between.safetensors

  iqsr demo

  iqsr doctor

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


app.command("upscale", cls=Command, help=upscale.HELP)(upscale.command)
app.command("score", cls=Command, help=score.HELP)(score.command)
app.command("evaluate", cls=Command, help=evaluate.HELP)(evaluate.command)
app.command("panel", cls=Command, help=panel.HELP)(panel.command)
app.command("compare", cls=Command, help=compare.HELP)(compare.command)
app.command("agree", cls=Command, help=agree.HELP)(agree.command)
app.command("agree-labels", cls=Command, help=agree_labels.HELP)(agree_labels.command)
app.command("metrics", cls=Command, help=metrics.HELP)(metrics.command)
app.command("export", cls=Command)(export.command)
app.command("merge", cls=Command)(merge.command)
app.command("merge-shards", cls=Command, help=merge_shards.HELP)(merge_shards.command)
app.command("run-shards", cls=Command, help=run_shards.HELP, context_settings={"allow_interspersed_args": False})(
    run_shards.command
)
app.command("interpolate", cls=Command)(interpolate.command)
app.command("prepare", cls=Command, help=prepare.HELP)(prepare.command)
app.command("check-sets", cls=Command, help=check_sets.HELP)(check_sets.command)
app.command("train", cls=Command)(train.command)
app.command("train-quality", cls=Command)(train_quality.command)
app.command("demo", cls=Command, help=demo.HELP)(demo.command)
app.command("doctor", cls=Command, help=doctor.HELP)(doctor.command)
app.add_typer(recipes.app, name="recipes")
app.add_typer(study.app, name="study")
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Entry point: an IqsrError, or wrong arguments, becomes one line and its exit code."""
    bound_waiting()
    with safe_streams():
        logger, handler = logging.getLogger("iqsr"), _WarningLines()
        logger.addHandler(handler)
        try:
            code = _run()
        finally:
            logger.removeHandler(handler)
    sys.exit(code)


def _run() -> int:
    from iqsr.errors import IqsrError

    if not sys.warnoptions:  # what torch tells the authors of networks
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(torch|spandrel)\b")
    try:
        code = app(prog_name="iqsr", standalone_mode=False)
        sys.stdout.flush()
    except IqsrError as error:
        return _print_error(str(error), error.exit_code)
    except typer.TyperException as error:
        context: typer.Context | None = getattr(error, "ctx", None)
        command = context.command_path if context else "iqsr"
        return _print_error(f"{error.format_message().rstrip('.')}; see `{command} --help`", error.exit_code)
    except BrokenPipeError:
        discard_buffer(sys.stdout)
        return 1
    except OSError as error:
        discard_buffer(sys.stdout)
        file = f"'{error.filename}': " if error.filename is not None else ""
        return _print_error(f"{file}{error.strerror or error}", 1)
    return code or 0


class _WarningLines(logging.Handler):
    """Prints warnings as lines like those of errors."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"iqsr: {printable(record.getMessage())}", file=sys.stderr)


def _print_error(message: str, code: int) -> int:
    """Print one line; returns the exit code."""
    print(f"iqsr: {printable(message)}", file=sys.stderr)
    return code
