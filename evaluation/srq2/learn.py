"""Learn srq-2's heads and write its weights.

    python evaluation/srq2/learn.py STATISTICS VOTES.csv OUT.safetensors

STATISTICS is a folder with rated.npz, ladders.npz and votes.npz, made by measure.py of the pictures of
evaluation/rated/make.py, of ladders.py and of the votes. VOTES.csv has the columns of `iqsr agree`'s pairs.
"""

import argparse
from dataclasses import astuple
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from heads import DefectSpace, learn_sharpness
from iqsr.metrics.srq_2 import Srq2
from measure import imagenet_trunk
from pairs import ladder_pairs, rated_pairs, voted_pairs

RATINGS = Path(__file__).parents[1] / "rated" / "ratings.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("statistics", type=Path)
    parser.add_argument("votes", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    rated, ladders, votes = (dict(np.load(options.statistics / f"{n}.npz")) for n in ("rated", "ladders", "votes"))
    space = DefectSpace(rated["deep"], ladders["deep"])
    defects, _ = space.learn(rated_pairs(rated["names"], RATINGS), ladder_pairs(ladders["names"]))
    sharpness = learn_sharpness(votes["sharp"], voted_pairs(votes["names"], options.votes), rated["sharp"].std(0))
    model = Srq2()
    model.trunk = imagenet_trunk()
    for part, head in ((model.defects, defects), (model.sharpness, sharpness)):
        for to, values in zip((part.mean, part.deviation, part.weight), astuple(head), strict=True):
            to.data = torch.from_numpy(values).float()
    state = {k: (v.half() if k.startswith("trunk.") else v).contiguous() for k, v in model.state_dict().items()}
    save_file(state, options.out)


if __name__ == "__main__":
    main()
