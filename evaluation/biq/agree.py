"""How often biq-lite2 agrees with people, raters, and the strength of defects.

    python evaluation/biq/agree.py STATISTICS TEST.csv VOTES.csv JUDGEMENTS.csv [--weights biq-lite2.safetensors]

STATISTICS is a folder of files made by extract.py: biqtest (BIQ2021's official test split), votes, rated, gan
(gan-image-database), laddertest (evaluation/srq2/ladders.py --judge). TEST.csv is BIQ2021's table, VOTES.csv has the
columns of `iqsr agree`'s pairs, JUDGEMENTS.csv is gan-image-database's results/jdg.csv. The scores are those of the
head, without the term for blank areas.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from extract import opinions
from iqsr.metrics.biq_lite2 import load_biq_lite2

sys.path.append(str(Path(__file__).parents[1] / "srq2"))
from compare import Judged, gan, interval, ladder_shares
from learn import RATINGS
from pairs import ladder_pairs, rated_pairs, voted_pairs

KINDS = {"ordered": ("open", "clear"), "clear": ("clear",), "laboratory": ("laboratory",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("statistics", "test", "votes", "judgements"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    head, names, values = load_biq_lite2(options.weights).head, {}, {}
    for path in options.statistics.glob("*.npz"):
        found = np.load(path)
        names[path.stem] = found["names"]
        with torch.inference_mode():
            values[path.stem] = head(torch.from_numpy(found["statistics"]).float()).numpy()
    print(correlation(values["biqtest"], names["biqtest"], opinions(options.test)))
    votes, rated = voted_pairs(names["votes"], options.votes), rated_pairs(names["rated"], RATINGS)
    judged = Judged()
    judged.ask(values["votes"], votes.where(votes.share != 0.5))
    for kind, members in KINDS.items():
        print(f"votes, {kind}: {interval(judged.share(*members))}")
    judged = Judged()
    judged.ask(values["rated"], rated.where(rated.kind == "agreed"))
    print(f"rated set: {interval(judged.share())}")
    print(f"gan-image-database: {interval(gan(values['gan'], names['gan'], options.judgements).share())}")
    ladders = ladder_shares(values["laddertest"], ladder_pairs(names["laddertest"]))
    print("ladders: " + ", ".join(f"{name} {share:.0f} %" for name, share in ladders.items()))


def correlation(values: np.ndarray, names: np.ndarray, opinion: dict[str, float]) -> str:
    """Rank correlation with people's mean scores, of all and of each subset, with the 95 % interval over photos."""
    by_stem = {Path(name).stem: score for name, score in opinion.items()}
    wanted = np.array([by_stem[Path(name).stem] for name in names])
    subset = np.array([Path(name).name[:4] for name in names])
    lines = [f"BIQ2021's test split: {np.abs(values - 100 * wanted).mean():.1f} points away from people in the mean"]
    for name in ("all", *np.unique(subset)):
        rows = np.flatnonzero((subset == name) | (name == "all"))
        drawn = np.random.default_rng(0).choice(rows, (1000, len(rows)))
        low, high = np.quantile([spearmanr(values[d], wanted[d]).statistic for d in drawn], (0.025, 0.975))
        right = spearmanr(values[rows], wanted[rows]).statistic
        lines.append(f"  {name}: SROCC {right:.3f} ({low:.3f} to {high:.3f}; {len(rows)})")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
