"""How biq-lite2 as it ships, with its term for blank areas, ranks BIQ2021's official test split.

python evaluation/biq/shipped.py BIQ2021/Images TEST.csv
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from agree import correlation
from extract import opinions
from iqsr import load_metric
from iqsr.images import read_rgb
from iqsr.metrics.biq_lite2 import LEAST_CONTENT
from iqsr.metrics.dense import blankness


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("test", type=Path)
    options = parser.parse_args()
    metric, opinion = load_metric("biq-lite2"), opinions(options.test)
    scores, blank = [], 0
    with torch.inference_mode():
        for name in opinion:
            x = read_rgb(options.images / name)
            scores.append(float(metric(x)))
            blank += float(blankness(x).mean()) > 1 - LEAST_CONTENT
    print(correlation(np.array(scores), np.array(list(opinion)), opinion))
    print(f"  the term for blank areas lowers the score of {blank} photos")


if __name__ == "__main__":
    main()
