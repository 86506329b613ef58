"""Learn the head of biq-lite2 from people's scores of BIQ2021's training split, and write its weights.

    python evaluation/biq/fit.py TRAIN.npz TRAIN.csv TRUNK.pth OUT.safetensors [--seed 0]

TRAIN.npz has the photos' statistics, made by extract.py, TRAIN.csv is BIQ2021's table of that split.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from extract import imagenet_trunk, opinions
from iqsr.metrics.biq_lite2 import BiqLite2, OpinionHead

EPOCHS, BATCH, RATE, DECAY = 14, 128, 1e-3, 0.1
DROPPED = 0.3
"""Share of statistics, and of hidden units, that a step does without."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("statistics", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("trunk", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)  # sums in another order give other weights
    train, scores = np.load(options.statistics), opinions(options.table)
    by_stem = {Path(name).stem: score for name, score in scores.items()}
    wanted = torch.tensor([by_stem[Path(name).stem] for name in train["names"]])
    model = BiqLite2()
    model.trunk = imagenet_trunk(options.trunk)
    model.head = learned(torch.from_numpy(train["statistics"]).float(), wanted, options.seed)
    state = {k: (v.half() if k.startswith("trunk.") else v).contiguous() for k, v in model.state_dict().items()}
    save_file(state, options.out)


def learned(statistics: torch.Tensor, scores: torch.Tensor, seed: int) -> OpinionHead:
    """The head with the least squared error, by AdamW with dropout; scores are in [0, 1]."""
    torch.manual_seed(seed)
    head = OpinionHead()
    head.mean.data, head.deviation.data = statistics.mean(0), statistics.std(0) + 1e-3
    nn.init.normal_(head.hidden.weight, 0, 0.3 / len(head.mean) ** 0.5)
    standard = head.standard(statistics).detach()
    steps = len(scores) // BATCH
    optimizer = torch.optim.AdamW([*head.hidden.parameters(), *head.out.parameters()], lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, EPOCHS * steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(scores))[: steps * BATCH].split(BATCH):
            hidden = F.dropout(F.silu(head.hidden(F.dropout(standard[rows], DROPPED))), DROPPED)
            loss = (torch.sigmoid(head.out(hidden)[:, 0]) - scores[rows]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return head.requires_grad_(False)


if __name__ == "__main__":
    main()
