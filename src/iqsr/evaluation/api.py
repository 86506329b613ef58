"""`iqsr.evaluate`: models on a set, in one call; and what `iqsr evaluate` does with a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqsr.errors import UsageError

if TYPE_CHECKING:
    from iqsr.evaluation.recipe import EvaluationRecipe
    from iqsr.evaluation.result import Evaluation
    from iqsr.evaluation.run import OnProgress, Setting


def evaluate(
    data: str | Path,
    models: Sequence[str | Path] = (),
    metrics: Sequence[str] | None = None,
    *,
    out: str | Path,
    protocol: str = "rgb",
    baseline: str = "",
    layout: str = "auto",
    lr: str | Path = "",
    scale: int = 4,
    cameras: Sequence[str] = ("Canon", "Nikon"),
    degradation: str = "",
    seed: int = 0,
    scores: Sequence[str | Path] = (),
    precision: str = "fp32",
    gold_standard: bool = True,
    device: str = "auto",
    cache: Path | None = None,
    strict: bool = False,
    paper: int | None = None,
    on_progress: OnProgress = lambda what, done, total: None,
) -> Evaluation:
    """Run models on a data set, score their outputs under a named protocol, and write all of it to a folder.

    The folder gets the same files as from `iqsr evaluate`: outputs, scores, tables and the report. What is there and
    still right is kept: an evaluation that was stopped goes on, one that is run again with a further model computes
    that model alone. What cannot be had does not stop the rest: it is in `problems`.

    Args:
        data: Folder of the set: HGGT's Test-100, RealSR v3, folders of inputs and originals, originals alone (with
            `degradation`), inputs alone; or a file that `iqsr evaluate --init` wrote, which says all that is evaluated:
            beside it only `out`, `device`, `cache`, `strict`, `paper` and `on_progress` may be given.
        models: Names, `bicubic`, checkpoints, adapters, runs, folders of pictures made elsewhere; `NAME=SOURCE` names
            the row.
        metrics: Names; the protocol's own by default.
        out: Folder of the results.
        protocol: How scores are computed, see `iqsr.evaluation.protocol_names`.
        baseline: Name of the model that the others are tested against; the first by default.
        layout: `auto`, `hggt`, `realsr`, `pairs`, `hr`, `lr`.
        lr: Folder of the inputs, where it is not where the layout has it.
        scale: How much larger outputs are than inputs.
        cameras: The cameras of RealSR whose pictures are used.
        degradation: What makes the inputs of originals alone: `bicubic`, `hggt-one-stage`, `hggt-two-stage`,
            `real-esrgan`.
        seed: Seed of a degradation that is drawn at random.
        scores: Files of scores made elsewhere, which are joined.
        precision: Of the super-resolution networks: `fp32`, `bf16`, `auto`.
        gold_standard: Whether the set's own ground truths get a row, in metrics that need no reference.
        device: `cpu`, `cuda`, `cuda:N`, `mps` or `auto`.
        cache: A file that remembers scores, so that a run that was stopped goes on; None for none.
        strict: Whether the first problem ends the evaluation.
        paper: 7 or 8: tables and report also show the published rows of this table of arXiv:2504.18524.
        on_progress: Called with what is done, how many are done, and of how many.

    Returns:
        `scores`, a table with a row an image, model and metric; `means()`; `problems`; what each metric and model is.

    Raises:
        UsageError: For arguments that cannot be right, and for a folder with results of other data or another protocol.
        IqsrError: With `strict`, for the first problem.
    """
    from iqsr.evaluation.recipe import checked, named, read_evaluation_recipe
    from iqsr.evaluation.run import Setting

    settings: dict[str, Any] = {
        "data": {
            "path": str(data),
            "layout": layout,
            "lr": str(lr),
            "scale": scale,
            "cameras": list(cameras),
            "degradation": degradation,
            "seed": seed,
        },
        "models": [named(str(model)) for model in models],
        "metrics": list(metrics or ()),
        "protocol": protocol,
        "baseline": baseline,
        "gold_standard": gold_standard,
        "scores": [str(file) for file in scores],
        "precision": precision,
    }
    recipe = checked(settings)
    if Path(data).suffix == ".toml":
        if recipe != checked({"data": {"path": str(data)}}):
            raise UsageError(f"'{data}' says what is evaluated: change it there")
        recipe = read_evaluation_recipe(Path(data))
    setting = Setting(device=device, cache=cache, strict=strict, on_progress=on_progress)
    return evaluate_recipe(recipe, Path(out), setting, paper=paper)


def evaluate_recipe(recipe: EvaluationRecipe, out: Path, setting: Setting, *, paper: int | None = None) -> Evaluation:
    """Evaluate as the recipe says, and write every file of the folder: pictures, scores, facts, tables, the report.

    paper: 7 or 8 for the published rows of that table. Raises what `run` raises, and UsageError for another table.
    """
    from iqsr.evaluation.published import published
    from iqsr.evaluation.report import write_report
    from iqsr.evaluation.run import run
    from iqsr.evaluation.tables import write_tables

    check_paper(paper)
    rows = [] if paper is None else published(paper)
    found = run(recipe, out, setting)
    write_tables(found, out, rows)
    write_report(found, out, rows, on_progress=setting.on_progress)
    return found


def check_paper(paper: int | None) -> None:
    """UsageError for a number that is no table of models."""
    from iqsr.evaluation.paper_table import PAPER_TABLES

    if paper is not None and paper not in PAPER_TABLES:
        choices = " or ".join(map(str, PAPER_TABLES))
        raise UsageError(f"table {paper} of the paper has no rows of models; choose {choices}")
