"""How often srq-defects and srq are right: on pairs of raters, on votes, on ladders of defects.

    python evaluation/defects/judge.py RATED PHOTOS VOTES GROUPS

RATED has the pictures of evaluation/rated/make.py, PHOTOS the freely licensed photos, VOTES the pictures and pairs.csv
of people's votes. GROUPS has group0.safetensors to group4.safetensors of learn.py --group: each judges the pairs of the
methods and scenes that it did not learn from. Votes and ladders are judged by the weights that ship; the photos of the
ladders were held out, and no vote was learned from. Prints Markdown.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from iqsr.images import read_rgb
from iqsr.metrics import load_metric
from iqsr.metrics.srq import load_srq
from material import GROUPS, Rated, asked, read_rated, scenes
from spoil import DEFECTS

sys.path.insert(0, str(Path(__file__).parents[1] / "srq2"))
from compare import Judged, interval
from pairs import voted_pairs

Score = Callable[[Tensor], Tensor]
STRENGTHS = 5
PHOTOS_OF_LADDERS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("rated", "photos", "votes", "groups"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    metrics: dict[str, Score] = {name: load_metric(name) for name in ("srq-defects", "srq")}
    rated = read_rated(options.rated)
    left_out, plain = Judged(), Judged()
    for group in range(len(GROUPS)):
        pairs = asked(rated.pairs, group)
        networks = (load_srq(options.groups / f"group{group}.safetensors"), metrics["srq"])
        for found, network in zip((left_out, plain), networks, strict=True):
            values = scores_of(rated, np.unique([pairs.first, pairs.second]), network)
            for method in GROUPS[group]:
                found.ask(values, pairs.where(pairs.has(method)), method)
    rows = {"srq-defects, methods and scenes left out": left_out, "srq": plain}
    print("| rated set | right |\n|---|--:|")
    print(*(f"| {name} | {interval(found.share())} |" for name, found in rows.items()), sep="\n")
    shares = {method: left_out.share(method=method) for group in GROUPS for method in group}
    order = sorted(shares, key=lambda method: shares[method]["share"])
    print("\nBy method:", ", ".join(f"{m} {shares[m]['share']:.0f} % of {shares[m]['n']}" for m in order), flush=True)
    for name, metric in metrics.items():
        found = voted(metric, options.votes)
        kinds = {"ordered": ("open", "clear"), "clear": ("clear",), "laboratory": ("laboratory",)}
        print(f"\n{name}, votes:", ", ".join(f"{kind} {interval(found.share(*of))}" for kind, of in kinds.items()))
        print(f"\n{name}, ladders: {ladders(metric, options.photos)}", flush=True)


@torch.inference_mode()
def scores_of(rated: Rated, rows: np.ndarray, network: Score) -> np.ndarray:
    """By row of the rated set; those that were not asked for are NaN."""
    values = np.full(len(rated.names), np.nan)
    for row in rows:
        values[row] = float(network(rated.pictures[row][None].float() / 255))
    return values


@torch.inference_mode()
def voted(metric: Score, votes: Path) -> Judged:
    names = sorted(path.name for path in (votes / "pictures").iterdir())
    values = np.array([float(metric(read_rgb(votes / "pictures" / name))) for name in names])
    pairs, found = voted_pairs(names, votes / "pairs.csv"), Judged()
    found.ask(values, pairs.where(pairs.share != 0.5))
    return found


@torch.inference_mode()
def ladders(metric: Score, photos: Path) -> str:
    """Shares of steps to more of a defect that lower the score, and of clean crops above the mildest and strongest."""
    held_out = [path for path in sorted(photos.glob("*.jpg")) if scenes.is_held_out(path.name)]
    steps: dict[str, list[float]] = {name: [] for name in DEFECTS}
    mildest, strongest = list[float](), list[float]()
    for number, photo in enumerate(held_out[::4][:PHOTOS_OF_LADDERS]):
        clean = scenes.crop(photo, 5000 + number)
        for name, spoiled in DEFECTS.items():
            rngs = [torch.Generator().manual_seed(100 * number) for _ in range(STRENGTHS)]
            rungs = [spoiled(clean, step / (STRENGTHS - 1), rng) for step, rng in enumerate(rngs)]
            values = metric((torch.cat([clean, *rungs]).clamp(0, 1) * 255).round() / 255)
            steps[name].append(float((values[1:-1] > values[2:]).float().mean()))
            mildest.append(float(values[0] > values[1]))
            strongest.append(float(values[0] > values[-1]))
    means = {name: 100 * float(np.mean(found)) for name, found in steps.items()}
    order = ", ".join(f"{name} {means[name]:.0f}" for name in sorted(means, key=lambda name: means[name]))
    whole = float(np.mean(list(means.values())))
    above = [100 * float(np.mean(found)) for found in (mildest, strongest)]
    return f"{whole:.1f} % of steps ({order}); clean above mildest {above[0]:.1f} %, above strongest {above[1]:.1f} %"


if __name__ == "__main__":
    main()
