"""An evaluation by hand: three models, four images, three metrics, and the Gold Standard."""

from pathlib import Path

import pandas as pd

from iqsr.datasets.evaluation_set import EvaluationItem, EvaluationSet
from iqsr.evaluation.contestants import GOLD_STANDARD, Contestant
from iqsr.evaluation.problems import Problem
from iqsr.evaluation.protocols import protocol
from iqsr.evaluation.result import Evaluation
from iqsr.evaluation.scores import EvaluatedMetric, sorted_scores

SCORES = {
    ("base", "psnr"): [20.0, 22.0, 24.0, 26.0],
    ("other", "psnr"): [21.0, 23.0, 25.0, 27.0],
    ("third", "psnr"): [20.0, 22.0, 24.0, 26.0],
    ("base", "stlpips"): [0.30, 0.20, 0.10, 0.20],
    ("other", "stlpips"): [0.20, 0.10, 0.10, 0.20],
    ("third", "stlpips"): [0.40, 0.30, 0.20, 0.30],
    ("base", "srq"): [40.0, 50.0, 60.0, 50.0],
    ("other", "srq"): [50.0, 60.0, 70.0, 60.0],
    (GOLD_STANDARD, "srq"): [80.0, 80.0, 90.0, 90.0],
}
"""By model and metric, an image each. `third` has no srq."""
METRICS = (
    EvaluatedMetric("psnr", "psnr-y", "Peak signal-to-noise ratio", "full", "low", True, (0, 100), crop_border=4),
    EvaluatedMetric(
        "stlpips", "stlpips", "Shift-tolerant LPIPS", "full", "mid", False, (0, 1), weights_sha256="ab" * 32
    ),
    EvaluatedMetric("srq", "srq", "Quality", "none", "mid", True, (0, 100)),
)


def evaluation(folder: Path | None = None) -> Evaluation:
    """`base` is the baseline; `other` was trained on srq."""
    images = [f"img{k}" for k in range(4)]
    rows = [
        {"image": image, "model": model, "metric": metric, "score": score}
        for (model, metric), scores in SCORES.items()
        for image, score in zip(images, scores, strict=True)
    ]
    empty = {"n_references": 1, "crop_border": 0} | dict.fromkeys(("error", "protocol", "origin"), "")
    models = (
        Contestant(GOLD_STANDARD, "gold", ""),
        Contestant("base", "network", "base"),
        Contestant("other", "network", "runs/other", trained_on=("srq",)),
        Contestant("third", "pictures", "third/"),
    )
    return Evaluation(
        scores=sorted_scores(pd.DataFrame([empty | row for row in rows])),
        set=EvaluationSet("mine", "pairs", tuple(EvaluationItem(image, None) for image in images)),
        protocol=protocol("luma-shave4"),
        metrics=METRICS,
        models=models,
        problems=(Problem("'third' has no srq", model="third", metric="srq"),),
        baseline="base",
        folder=folder,
    )
