"""What sharpening costs and gains by metrics: against plain x4plus, by amount, with mild and hard damage.

    python evaluation/sharpened/figures.py PHOTOS_OUT

PHOTOS_OUT is the folder that `evaluation/photos/run.py` wrote.
"""

import argparse
import sys
from pathlib import Path
from statistics import fmean

import torch

from iqsr import load_metric
from iqsr.images import read_rgb

sys.path.insert(0, str(Path(__file__).parents[1] / "rated"))  # unsharp masking

from methods import unsharp

AMOUNTS = (0.0, 0.25, 0.3, 0.5)
METRICS = ("psnr", "srq-holdout", "srq-2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos_out", type=Path)
    options = parser.parse_args()
    metrics = {name: load_metric(name) for name in METRICS}
    print("damage amount pictures " + " ".join(METRICS))
    for damage in ("mild", "hard"):
        paths = sorted((options.photos_out / damage / "pictures" / "realesrgan-x4plus").glob("*.png"))
        for amount in AMOUNTS:
            found: dict[str, list[float]] = {name: [] for name in METRICS}
            for path in paths:
                base = read_rgb(path)
                whole = read_rgb(options.photos_out / "originals" / path.name)
                reference = whole[:, :, : base.shape[2], : base.shape[3]]
                picture = unsharp(base, 1.0, amount).clamp(0, 1)
                with torch.inference_mode():
                    for name, metric in metrics.items():
                        given = (picture, reference) if metric.card.reference == "full" else (picture,)
                        found[name].append(float(metric(*given)))
            print(
                damage, f"{amount:.0%}", len(paths), *(f"{fmean(values):.2f}" for values in found.values()), flush=True
            )


if __name__ == "__main__":
    main()
