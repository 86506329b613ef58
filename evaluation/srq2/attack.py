"""Points that 20 steps of projected gradient ascent at 4/255 add to the scores of metrics.

python evaluation/srq2/attack.py PICTURE... [--side 160] [--metrics srq,srq-2,srq-defects]
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2.functional import center_crop

from iqsr.metrics import load_metric
from iqsr.training.predictor.objective import attacked

EPS, STEPS = 4 / 255, 20


class Scorer:
    """A metric with the method that `attacked` calls."""

    def __init__(self, metric: Callable[[Tensor], Tensor]) -> None:
        self.metric = metric

    def predict(self, x: Tensor) -> SimpleNamespace:
        return SimpleNamespace(score=self.metric(x))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--metrics", default="srq,srq-2,srq-defects", help="with commas between them")
    options = parser.parse_args()
    for name in options.metrics.split(","):
        metric, rises, before = load_metric(name), [], []
        for path in options.pictures:
            x = center_crop(decode_image(str(path), ImageReadMode.RGB)[None] / 255, [options.side, options.side])
            adversarial = attacked(Scorer(metric), x, eps=EPS, steps=STEPS)  # type: ignore[arg-type]
            before.append(float(metric(x)))
            rises.append(float(metric(adversarial)) - before[-1])
        values = torch.tensor(rises)
        start = torch.tensor(before).mean()
        print(
            f"{name}: from {start:.1f}, rise {values.mean():.1f}, most {values.max():.1f}, n {len(values)}", flush=True
        )


if __name__ == "__main__":
    main()
