"""The statistics that srq-2's heads see, of every picture in a folder, kept in one file.

    python evaluation/srq2/measure.py FOLDER OUT.npz [--metrics srq,laplacian,piqe]

Writes `names` (paths below FOLDER), `deep` (N, 1568), `sharp` (N, 2), and for each metric its values; higher is better.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_image

from iqsr.io import weights
from iqsr.metrics import load_metric
from iqsr.metrics.efficientnet_lite import EfficientNetLite0
from iqsr.metrics.srq_2 import cell_statistics, sharpness_of

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--metrics", default="", help="other metrics to compare with, with commas between them")
    options = parser.parse_args()
    metrics = [load_metric(name) for name in options.metrics.split(",") if name]
    found: dict[str, list] = {metric.card.name: [] for metric in metrics}
    trunk = imagenet_trunk()
    names, deep, sharp = [], [], []
    for path in sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        x = decode_image(str(path), ImageReadMode.RGB)[None] / 255
        with torch.inference_mode():
            deep.append(cell_statistics(trunk, x).mean((2, 3))[0].numpy())
            sharp.append(sharpness_of(x)[0].numpy())
            for metric in metrics:
                found[metric.card.name].append(float(metric(x)) * (1 if metric.card.higher_is_better else -1))
        names.append(str(path.relative_to(options.folder)))
    np.savez(options.out, names=np.array(names), deep=np.stack(deep), sharp=np.stack(sharp), **found)


def imagenet_trunk() -> EfficientNetLite0:
    trunk = EfficientNetLite0()
    found = torch.load(weights.locate("efficientnet-lite0"), weights_only=True, map_location="cpu")
    trunk.load_unfolded(found.values())
    return trunk.eval().requires_grad_(False)


if __name__ == "__main__":
    main()
