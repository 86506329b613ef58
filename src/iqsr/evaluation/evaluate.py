"""`iqsr.evaluate`: models on a set, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqsr.errors import UsageError

if TYPE_CHECKING:
    from iqsr.evaluation.result import Evaluation
    from iqsr.evaluation.run import OnProgress


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
    degradation: str = "",
    seed: int = 0,
    scores: Sequence[str | Path] = (),
    precision: str = "fp32",
    device: str = "cpu",
    cache: Path | None = None,
    strict: bool = False,
    on_progress: OnProgress = lambda what, done, total: None,
) -> Evaluation:
    """Run models on a data set, score their outputs under a named protocol, and write all of it to a folder.

    What is in the folder and still right is kept: an evaluation that was stopped goes on, one that is run again with a
    further model computes that model alone. What cannot be had does not stop the rest: it is in `problems`.

    Args:
        data: Folder of the set: HGGT's Test-100, RealSR v3, folders of inputs and originals, originals alone (with
            `degradation`), inputs alone; or a file that `iqsr evaluate --init` wrote, which says all else.
        models: Names, `bicubic`, checkpoints, adapters, runs, folders of pictures made elsewhere; `NAME=SOURCE` names
            the row.
        metrics: Names; the protocol's own by default.
        out: Folder of the results.
        protocol: How scores are computed, see `iqsr.evaluation.protocol_names`.
        baseline: Name of the model that the others are tested against; the first by default.
        layout: `auto`, `hggt`, `realsr`, `pairs`, `hr`, `lr`.
        lr: Folder of the inputs, where it is not where the layout has it.
        scale: How much larger outputs are than inputs.
        degradation: Of originals alone: `bicubic`, `hggt-one-stage`, `hggt-two-stage`, `real-esrgan`.
        seed: Of the degradation.
        scores: Files of scores made elsewhere, which are joined.
        precision: Of the super-resolution networks: `fp32`, `bf16`, `auto`.
        device: `cpu`, `cuda`, `cuda:N`, `mps` or `auto`.
        cache: A file that remembers scores, so that a run that was stopped goes on; None for none.
        strict: Whether the first problem ends the evaluation.
        on_progress: Called with what is done, how many are done, and of how many.

    Returns:
        `scores`, a table with a row an image, model and metric; `means()`; `problems`; what each metric and model is.

    Raises:
        UsageError: For arguments that cannot be right.
        IqsrError: With `strict`, for the first problem.
    """
    from iqsr.evaluation.recipe import checked, named, read_evaluation_recipe
    from iqsr.evaluation.run import Setting, run

    if Path(data).suffix == ".toml":
        if models or metrics:
            raise UsageError(f"'{data}' says which models and metrics: change it there")
        recipe = read_evaluation_recipe(Path(data))
    else:
        settings: dict[str, Any] = {
            "data": {
                "path": str(data),
                "layout": layout,
                "lr": str(lr),
                "scale": scale,
                "degradation": degradation,
                "seed": seed,
            },
            "models": [named(str(model)) for model in models],
            "metrics": list(metrics or ()),
            "protocol": protocol,
            "baseline": baseline,
            "scores": [str(file) for file in scores],
            "precision": precision,
        }
        recipe = checked(settings)
    how = Setting(device=device, cache=cache, strict=strict, on_progress=on_progress)
    return run(recipe, Path(out), how)
