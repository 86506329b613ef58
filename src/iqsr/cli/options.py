"""Options that several commands share: each is written once, with one name, one metavar and one wording."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from iqsr.cli.parsing import output_path, output_place
from iqsr.io.shards import Shard, shard_of

COMPUTING, FILES, PRINTING = "How it is computed", "Files", "Output of the command"
"""Panels of the help, in which options of a kind stand together."""


def output_option(help: str, *, metavar: str, urls: bool = False) -> Any:
    """`--output`. metavar: FILE, DIR, or OUT where it may be either. urls: whether it may be a URL."""
    chosen = output_place if urls else output_path
    parser = None if metavar == "OUT" else chosen  # of OUT, the slash at its end counts
    return typer.Option("--output", "-o", parser=parser, metavar=metavar, help=help, rich_help_panel=FILES)


def precision_option(choices: str) -> Any:
    """`--precision`, with what the command can choose from."""
    return typer.Option(
        "--precision",
        metavar="PRECISION",
        help=f"Numbers that networks compute with: {choices}",
        rich_help_panel=COMPUTING,
    )


def model_option(help: str) -> Any:
    """`--model`."""
    return typer.Option("--model", "-m", metavar="MODEL", help=f"Model, by name or file: {help}")


def format_option(choices: str) -> Any:
    """`--format`, with what the command can write."""
    return typer.Option(
        "--format", "-f", metavar="FORMAT", help=f"Format of the file: {choices}", rich_help_panel=FILES
    )


def json_option(what: str) -> Any:
    """`--json`. what: is printed."""
    return typer.Option("--json", help=f"Print JSON: {what}", rich_help_panel=PRINTING)


Device = Annotated[
    str,
    typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N, mps.", rich_help_panel=COMPUTING),
]
ScorePrecision = Annotated[str, precision_option("fp32, or bf16: faster, less exact.")]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=os.cpu_count(),
        metavar="N",
        help="CPU threads. Default: all cores.",
        rich_help_panel=COMPUTING,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers", metavar="N", help="Processes; each needs memory for its networks.", rich_help_panel=COMPUTING
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option("--metrics", "-m", metavar="A,B,...", help="Names that `iqsr metrics` lists. Default: srq."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel=FILES)]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Go on where a run stopped.", rich_help_panel=FILES)
]
ShardOption = Annotated[
    Shard | None,
    typer.Option(
        "--shard",
        parser=shard_of,
        metavar="I/N",
        help="Do part I of N, into OUT.shards; slurm: this task of the array. Then `iqsr merge-shards`.",
        rich_help_panel=COMPUTING,
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        parser=output_path,
        metavar="FILE",
        help="Where scores are remembered. Default: in your cache folder.",
        rich_help_panel=FILES,
    ),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Neither remember scores nor use those there.", rich_help_panel=FILES)
]

RECIPE_HELP = "A TOML file, or a name that `iqsr recipes` lists."
Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help=RECIPE_HELP)]


def set_option(example: str) -> Any:
    """`--set`, which may be given several times. example: a setting of the command's recipes."""
    return typer.Option("--set", metavar="A.B=C", help=f"Change a setting of the recipe: {example}")


Run = Annotated[Path, output_option("Folder of the run: log, checkpoints, result.", metavar="DIR")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the run's last whole checkpoint.")]
AcceptData = Annotated[
    bool, typer.Option("--accept-data", help="With --resume: go on with the data as it is now, and note what changed.")
]
