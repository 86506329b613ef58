"""`iqsr evaluate`: models on a data set, scored under a named protocol."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iqsr.cli.evaluation_result import print_found, print_problem
from iqsr.cli.interrupt import interruptible
from iqsr.cli.options import COMPUTING, FILES, Cache, Device, NoCache, ShardOption, output_option, precision_option
from iqsr.cli.outputs import list_shard
from iqsr.cli.parsing import output_path, score_cache
from iqsr.cli.progress import printable
from iqsr.errors import UsageError

if TYPE_CHECKING:
    from iqsr.evaluation import EvaluationRecipe
    from iqsr.io.shards import Shard

HELP = """Compare models on a data set: outputs, scores, and what each number is.

The set is HGGT's Test-100, RealSR v3, folders of inputs and originals (HR and LR),
originals alone (--degradation makes the inputs), or inputs alone. Models are
names, bicubic, checkpoints, adapters, runs, and folders of pictures made
elsewhere, which are matched by name. DIR gets report.html, the tables table.csv,
table.md and table.tex, and scores.parquet, one row a picture, model and metric.
The same command goes on where it was stopped, and computes only what is new.
Names that do not exist end it (2); a missing picture, a metric without weights
is reported and the rest goes on (1). --strict ends it at the first of these.

[bold]Examples[/bold]

  iqsr evaluate --data HGGT/Test-100 --models bicubic,runs/ft -o results/

  iqsr evaluate --data RealSR/ --protocol hggt --models mine/ -o results/

  iqsr evaluate --data photos/ --degradation bicubic --models a=x/ -o out/

  iqsr evaluate --init results/

  iqsr evaluate results/evaluation.toml
"""

_BESIDE_RECIPE = {"recipe", "output", "device", "strict", "cache", "no_cache", "paper", "shard"}
"""What may be given with a recipe: where results go and how they are computed, not what is evaluated."""
_GO_ON = "the same command goes on from here"
_SET = "The set"


def command(
    context: typer.Context,
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE]", help="A file that --init wrote: the whole evaluation.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="DIR", help="Data: folder of the set to evaluate on.")
    ] = None,
    models: Annotated[
        str | None,
        typer.Option("--models", metavar="A,B,...", help="Models; NAME=SOURCE names the row."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics", "-m", metavar="A,B,...", help="Names that `iqsr metrics` lists. Default: the protocol's."
        ),
    ] = None,
    protocol: Annotated[str, typer.Option(metavar="NAME", help="rgb, hggt, osediff, ntire2026, luma-shave4.")] = "rgb",
    baseline: Annotated[
        str, typer.Option(metavar="MODEL", help="The model that others are tested against. Default: the first.")
    ] = "",
    output: Annotated[Path | None, output_option("Folder of the results.", metavar="DIR")] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init",
            parser=output_path,
            metavar="DIR",
            help="Write DIR/evaluation.toml with these options and comments, and run nothing.",
            show_default=False,
        ),
    ] = None,
    layout: Annotated[
        str, typer.Option(metavar="LAYOUT", help="auto, hggt, realsr, pairs, hr, lr.", rich_help_panel=_SET)
    ] = "auto",
    lr: Annotated[
        str, typer.Option(metavar="DIR", help="Inputs, where they are elsewhere.", rich_help_panel=_SET)
    ] = "",
    scale: Annotated[
        int,
        typer.Option(
            "-s",
            "--scale",
            metavar="FACTOR",
            help="Factor: how much larger outputs are than inputs.",
            rich_help_panel=_SET,
        ),
    ] = 4,
    cameras: Annotated[
        str, typer.Option(metavar="A,B", help="RealSR's cameras to use.", rich_help_panel=_SET)
    ] = "Canon,Nikon",
    degradation: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What makes the inputs of originals: bicubic, hggt-one-stage, hggt-two-stage, real-esrgan.",
            rich_help_panel=_SET,
        ),
    ] = "",
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of a random degradation.", rich_help_panel=_SET)] = 0,
    scores: Annotated[
        list[str] | None,
        typer.Option("--scores", metavar="FILE", help="Scores made elsewhere: .csv, .parquet.", rich_help_panel=FILES),
    ] = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    device: Device = "auto",
    precision: Annotated[str, precision_option("fp32, bf16, auto; metrics compute in fp32.")] = "fp32",
    gold_standard: Annotated[
        bool,
        typer.Option(
            "--gold-standard/--no-gold-standard",
            help="A row for the set's own ground truths.",
            rich_help_panel=COMPUTING,
        ),
    ] = True,
    strict: Annotated[
        bool, typer.Option("--strict", help="End at the first problem.", rich_help_panel=COMPUTING)
    ] = False,
    shard: ShardOption = None,
    paper: Annotated[
        int | None,
        typer.Option("--paper", metavar="N", help="Show the published rows of table 7 or 8 of arXiv:2504.18524, too."),
    ] = None,
    paper_table: Annotated[
        int | None,
        typer.Option(
            "--paper-table", metavar="N", help="The models of table 7 or 8: what its recipes trained, from --runs."
        ),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option("--runs", metavar="DIR", help="Folder of the runs of the paper's recipes.")
    ] = None,
) -> None:
    """Evaluate models (see HELP)."""
    from iqsr.evaluation.recipe import checked, named, read_evaluation_recipe

    how = _Options(device, strict, score_cache(cache, no_cache), paper or paper_table, shard)
    if recipe is not None:
        _refuse_beside(recipe, context)
        _evaluate(read_evaluation_recipe(recipe), output or recipe.parent, how)
        return
    settings: dict[str, Any] = {
        "data": {
            "path": data or "",
            "layout": layout,
            "lr": lr,
            "scale": scale,
            "cameras": _split(cameras),
            "degradation": degradation,
            "seed": seed,
        },
        "models": [*(named(text) for text in _split(models)), *_paper_models(paper_table, runs)],
        "metrics": _split(metrics),
        "protocol": protocol,
        "baseline": baseline,
        "gold_standard": gold_standard,
        "scores": scores or [],
        "precision": precision,
    }
    if init is not None:
        _init(checked(settings), init)
        return
    if data is None or output is None or not (settings["models"] or scores):
        raise UsageError("give --data SET, --models A,B,... and -o DIR; or a file that --init wrote")
    _evaluate(checked(settings), output, how)


def _refuse_beside(recipe: Path, context: typer.Context) -> None:
    """UsageError for options that the recipe decides."""
    given = [
        parameter.opts[-1]
        for parameter in context.command.params
        if (name := str(parameter.name)) not in _BESIDE_RECIPE
        and (source := context.get_parameter_source(name)) is not None
        and source.name == "COMMANDLINE"
    ]
    if given:
        raise UsageError(f"'{recipe}' says what is evaluated: change it there, not with {', '.join(given)}")


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _paper_models(table: int | None, runs: Path | None) -> list[dict[str, str]]:
    """The rows of the paper's table whose run is in `runs`; the command that makes each missing one is printed."""
    from iqsr.evaluation.paper_table import paper_rows

    if (table is None) != (runs is None):
        raise UsageError("--paper-table N and --runs DIR go together")
    if table is None or runs is None:
        return []
    rows = paper_rows(table, runs)
    for missing in rows.missing:
        print(printable(f"iqsr: no run for '{missing.model}': {missing.command}"), file=sys.stderr)
    return [{"model": row.model, "name": row.name} for row in rows.models]


def _init(recipe: EvaluationRecipe, folder: Path) -> None:
    """Write the recipe; one that is there is never replaced."""
    from iqsr.evaluation.recipe import ModelRecipe, commented_toml, relative_to
    from iqsr.evaluation.result import RECIPE_FILE
    from iqsr.io.atomic import write_text

    file = folder / RECIPE_FILE
    if file.exists():
        raise UsageError(f"'{file}' is there already: edit it, or name another folder")
    if not recipe.models:
        recipe = recipe.model_copy(update={"models": (ModelRecipe(model="bicubic"),)})
    write_text(file, commented_toml(relative_to(recipe, folder)))
    missing = "" if recipe.data.path else "; fill in data.path"
    typer.echo(printable(f"{file}{missing}; run: iqsr evaluate {file}"))


@dataclass(frozen=True)
class _Options:
    """What is not part of the recipe."""

    device: str
    strict: bool
    cache: Path | None
    paper: int | None
    shard: Shard | None


def _evaluate(recipe: EvaluationRecipe, out: Path, options: _Options) -> None:
    from iqsr.cli.progress import StageBars
    from iqsr.evaluation.api import evaluate_recipe
    from iqsr.evaluation.run import Setting
    from iqsr.evaluation.shards import evaluate_shard

    with interruptible(_GO_ON), StageBars() as bars:
        setting = Setting(
            device=options.device,
            cache=options.cache,
            strict=options.strict,
            on_progress=lambda what, done, total: bars.stage(what, done, total, {}),
            on_problem=print_problem,
        )
        if options.shard is None:
            part, found = None, evaluate_recipe(recipe, out, setting, paper=options.paper)
        else:
            part, found = evaluate_shard(recipe, out, options.shard, setting, paper=options.paper)
    if part is None:
        print_found(found, out)
    else:
        list_shard(part)
    if found.problems:
        raise typer.Exit(1)
