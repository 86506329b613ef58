"""Evaluations with pictures, and runs with logs, for tests of what is shown of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from iqsr.datasets.evaluation_set import EvaluationItem, EvaluationSet
from iqsr.evaluation.contestants import Contestant
from iqsr.evaluation.result import Evaluation
from iqsr.evaluation.scores import sorted_scores
from support.evaluation_samples import save, smooth
from support.evaluations import METRICS, evaluation

SIZE = (160, 128)
"""Width and height of originals; inputs have a quarter."""
SPOT = (slice(64, 96), slice(32, 64))
"""Rows and columns where `other` differs from the original most."""


def with_pictures(folder: Path) -> Evaluation:
    """The evaluation by hand, with pictures: `base` is blurred, `other` has a white spot, `third` is noisy."""
    found = evaluation(folder)
    items, pictures = [], {"base": {}, "other": {}, "third": {}}
    for seed, item in enumerate(found.set.items):
        original = smooth(seed, SIZE)
        small = Image.fromarray(original).resize((SIZE[0] // 4, SIZE[1] // 4), Image.Resampling.BOX)
        spotted = original.copy()
        spotted[SPOT] = 255
        noise = np.random.default_rng(seed).integers(-9, 10, original.shape)
        versions = {
            "base": np.asarray(small.resize(SIZE, Image.Resampling.BICUBIC)),
            "other": spotted,
            "third": (original + noise).clip(0, 255).astype(np.uint8),
        }
        for name, version in versions.items():
            pictures[name][item.name] = save(folder / "pictures" / name / f"{item.name}.png", version)
        reference = save(folder / "HR" / f"{item.name}.png", original)
        lr = save(folder / "LR" / f"{item.name}.png", np.asarray(small))
        items.append(EvaluationItem(item.name, lr, (reference,), (reference,)))
    models = tuple(replace(model, pictures=pictures.get(model.name, {})) for model in found.models)
    return replace(found, set=replace(found.set, items=tuple(items)), models=models)


def many(folder: Path, images: int, models: int, side: int = 128) -> Evaluation:
    """Noise, which no codec makes small: the same few files for many images."""
    rng = np.random.default_rng(0)
    files = [
        save(folder / f"{number}.png", rng.integers(0, 256, (side, side, 3), np.uint8)) for number in range(models + 1)
    ]
    names = [f"img{k:03}" for k in range(images)]
    items = tuple(EvaluationItem(name, files[0], (files[0],), (files[0],)) for name in names)
    shown = tuple(
        Contestant(f"model{k}", "pictures", f"model{k}/", pictures=dict.fromkeys(names, files[k + 1]))
        for k in range(models)
    )
    rows = [
        {"image": name, "model": model.name, "metric": metric.name, "score": float(rng.random())}
        for name in names
        for model in shown
        for metric in METRICS
    ]
    empty = {"n_references": 1, "crop_border": 0} | dict.fromkeys(("error", "protocol", "origin"), "")
    found = evaluation(folder)
    return replace(
        found,
        scores=sorted_scores(pd.DataFrame([empty | row for row in rows])),
        set=EvaluationSet("many", "pairs", items),
        models=shown,
        baseline="model0",
    )


def run_folder(folder: Path, recipe: str, psnr: dict[int, float]) -> Path:
    """What a training leaves: its recipe, and a log whose last line a kill tore."""
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe)
    lines = [json.dumps({"step": step, "group": "train", "loss": 1 / (step + 1), "seconds": 2.0}) for step in psnr]
    lines += [json.dumps({"step": s, "group": "validation", "psnr": v, "quality": None}) for s, v in psnr.items()]
    (folder / "log.jsonl").write_text("\n".join(lines) + '\n{"step": 9, "gro')
    return folder
