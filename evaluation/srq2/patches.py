"""How often AMO takes a spoilt ground truth though the clean one is there, by the metric it goes by.

    python evaluation/srq2/patches.py PHOTOS [--metrics srq-2,srq,piqe,laplacian] [--sides 256,128]

PHOTOS has the freely licensed photos of the rated set; only those that are held out are looked at. From each comes a
clean crop of 320 px. The crop and the same under one defect are the two ground truths of a set. AMO chooses one for
each patch, by the functions that `iqsr train` calls. Prints a table: the share of patches in which it takes the spoilt
one, with the 95 % interval over photos.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from iqsr.metrics import load_metric
from iqsr.metrics.metric import Metric
from iqsr.sampling import Amo, choose
from iqsr.training.sr.targets import patch_scores
from ladders import DEFECTS

sys.path.insert(0, str(Path(__file__).parents[1] / "rated"))
import methods
import scenes

GRIT = {"grit mild": 0.3, "grit strong": 0.8}
HALOS = {"halos 100 %": 1.0, "halos 200 %": 2.0, "halos 300 %": 3.0}
"""Amounts of unsharp masking at a radius of 2 px."""
AIM = (*GRIT, *HALOS)
"""What the aim names. All of these also stand beside the clean crop in one set, as `any of these`."""
OTHER_STRENGTH = 0.5

Spoil = Callable[[Tensor], Tensor]
Taken = dict[str, list[list[bool]]]
"""For each defect and photo: in which patches the spoilt one is taken."""


class Remembering:
    """A metric that scores each picture once: the clean patch stands in many sets."""

    def __init__(self, metric: Metric) -> None:
        self.metric, self.card = metric, metric.card
        self._known: dict[bytes, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        keys = [picture.numpy().tobytes() for picture in x]
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        if new:
            self._known.update(zip(new, self.metric(x[list(new.values())]), strict=True))
        return torch.stack([self._known[key] for key in keys])

    def forget(self) -> None:
        self._known.clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--metrics", default="srq-2,srq,piqe,laplacian", help="with commas between them")
    parser.add_argument("--sides", default="256,128", help="of the patches, in pixels, with commas between them")
    options = parser.parse_args()
    photos = [path for path in sorted(options.photos.glob("*.jpg")) if scenes.is_held_out(path.name)]
    metrics = [Remembering(load_metric(name)) for name in options.metrics.split(",")]
    for side in map(int, options.sides.split(",")):
        print(table(judged(metrics, photos, side), side), flush=True)


def judged(metrics: list[Remembering], photos: list[Path], side: int) -> dict[str, Taken]:
    """For each metric, what AMO takes in the patches of each photo's crop."""
    found: dict[str, Taken] = {metric.card.name: defaultdict(list) for metric in metrics}
    for photo in photos:
        clean = scenes.crop(photo, 7000)
        versions = {"clean": _bytes(clean)} | {name: _bytes(spoil(clean)) for name, spoil in spoils().items()}
        for metric in metrics:
            metric.forget()
            for name, defects in {**{name: (name,) for name in spoils()}, "any of these": AIM}.items():
                gts = patches(torch.stack([versions[n] for n in ("clean", *defects)]), side)
                found[metric.card.name][name].append((amo(metric, gts) > 0).tolist())
    return found


def spoils() -> dict[str, Spoil]:
    """What is done to a clean crop, by name: what the aim names, and the other defects of the ladders."""

    def defect(name: str, strength: float) -> Spoil:
        return lambda x: DEFECTS[name](x, strength, torch.Generator().manual_seed(0))

    found = {name: defect("grit", strength) for name, strength in GRIT.items()}
    found |= {name: lambda x, a=amount: methods.unsharp(x, 2.0, a) for name, amount in HALOS.items()}
    return found | {name: defect(name, OTHER_STRENGTH) for name in DEFECTS if name != "grit"}


def amo(metric: Remembering, gts: Tensor) -> Tensor:
    """gts: (B, K, 3, side, side) uint8, the clean one first. Returns (B,), the number of the one that is taken."""
    scores = patch_scores(metric, gts)  # type: ignore[arg-type]
    return choose(Amo(), scores, None, torch.Generator().manual_seed(0))


def patches(versions: Tensor, side: int) -> Tensor:
    """versions: (K, 3, H, W). Returns (places, K, 3, side, side): as many as fit side by side, in the middle."""
    height, width = versions.shape[2:]
    top, left = (height % side) // 2, (width % side) // 2
    whole = versions[:, :, top : top + height // side * side, left : left + width // side * side]
    return whole.unfold(2, side, side).unfold(3, side, side).permute(2, 3, 0, 1, 4, 5).flatten(0, 1)


def _bytes(x: Tensor) -> Tensor:
    """(1, 3, H, W) in [0, 1] -> (3, H, W), uint8."""
    return (x[0].clamp(0, 1) * 255).round().byte()


def table(found: dict[str, Taken], side: int) -> str:
    """Markdown: a row for each defect, a column for each metric."""
    rows = [*AIM, "any of these", *(name for name in spoils() if name not in AIM)]
    first = next(iter(found.values()))["any of these"]
    lines = [f"{sum(map(len, first))} patches of {side} px, of {len(first)} photos.", ""]
    lines += [f"| spoilt by | {' | '.join(found)} |", f"|---|{'--:|' * len(found)}"]
    lines += [f"| {row} | {' | '.join(share(taken[row]) for taken in found.values())} |" for row in rows]
    return "\n".join(lines) + "\n"


def share(photos: list[list[bool]]) -> str:
    """In per cent, with the interval over photos."""
    sums, counts = np.array([sum(p) for p in photos]), np.array([len(p) for p in photos])
    drawn = np.random.default_rng(0).integers(0, len(photos), (1000, len(photos)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), (0.025, 0.975))
    return f"{100 * sums.sum() / counts.sum():.1f} % ({100 * low:.0f} to {100 * high:.0f})"


if __name__ == "__main__":
    main()
