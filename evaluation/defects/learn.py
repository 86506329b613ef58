"""Tune srq to see the defects that people dislike in enlarged pictures: srq-defects.

    python evaluation/defects/learn.py RATED PHOTOS OUT.safetensors             # all there is: the weights that ship
    python evaluation/defects/learn.py RATED PHOTOS OUT.safetensors --group 0   # a group of methods left out, to judge

RATED has the pictures of evaluation/rated/make.py, PHOTOS the freely licensed photos they were made of. It takes
four seconds a step on one core and writes a checkpoint beside OUT every 50 steps; the same command goes on from it.
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from iqsr.io.atomic import atomic_open
from iqsr.metrics.srq import load_srq
from iqsr.training.predictor.objective import attacked, preference_loss
from material import clean_crops, learned_from, read_rated
from spoil import DEFECTS

STEPS, STEPS_OF_GROUP = 800, 220
TRUNK_LR, HEAD_LR, WARMUP, LAST_RATE = 1e-4, 3e-4, 50, 0.02
EMA = 0.995
PAIRS_BY_SIDE = {128: 12, 160: 8, 224: 4, 288: 3}
LADDERS_BY_SIDE = {64: 12, 96: 10, 128: 8, 192: 4}
LADDER_CROP_PX = 256
"""Defects are drawn on squares of this side, and cut with them to a ladder's side."""
MARGIN, SOFTNESS = 4.0, 3.0
"""Points by which each rung of a ladder shall be worse than the one above, and how softly it is asked for."""
CLEAN_SCORE, CLEAN_WEIGHT = 85.0, 0.5
"""What clean crops shall score, so that pictures of different content compare."""
ATTACK_EVERY, ATTACKED, ATTACK_PX, ATTACK_STEPS, ATTACK_WEIGHT = 3, 3, 160, 3, 3.0
EPS = 4 / 255


class Chance:
    """One random source for everything that is drawn."""

    def __init__(self, seed: int) -> None:
        self.rng = torch.Generator().manual_seed(seed)

    def share(self) -> float:
        return float(torch.rand((), generator=self.rng))

    def below(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.rng))

    def cut(self, x: Tensor, side: int) -> Tensor:
        """A random square of pictures, turned and mirrored at random, all alike."""
        room = x.shape[-1] - side
        top, left = ((self.below(room + 1) if room else 0) for _ in range(2))
        x = torch.rot90(x[..., top : top + side, left : left + side], self.below(4), (-2, -1))
        return x.flip(-1) if self.share() < 0.5 else x


class Tuning:
    def __init__(self, rated: Path, photos: Path, steps: int, group: int | None) -> None:
        whole = read_rated(rated)
        self.pairs, self.defects = learned_from(whole.pairs, group)
        self.pictures, self.clean, self.steps = whole.pictures, clean_crops(photos), steps
        self.model = load_srq().requires_grad_(True)
        trunk, head = (
            [p for n, p in self.model.named_parameters() if n.startswith("trunk") == t] for t in (True, False)
        )
        self.rates = (HEAD_LR, TRUNK_LR)
        self.optimizer = torch.optim.AdamW([{"params": head}, {"params": trunk}], weight_decay=1e-4)
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.chance = Chance(0 if group is None else 1 + group)
        self.done = 0

    def run(self, checkpoint: Path) -> dict[str, Tensor]:
        """The average of the weights."""
        if checkpoint.exists():
            self.load(checkpoint)
        figures: dict[str, list[float]] = defaultdict(list)
        while self.done < self.steps:
            for name, value in self.step().items():
                figures[name].append(value)
            if self.done % 25 == 0:
                print(self.done, *(f"{name} {np.mean(values):.3f}" for name, values in figures.items()), flush=True)
                figures.clear()
            if self.done % 50 == 0 or self.done == self.steps:
                self.save(checkpoint)
        return self.average

    def step(self) -> dict[str, float]:
        share = 0.5 * (1 + math.cos(math.pi * self.done / self.steps))
        rate = min(1, (self.done + 1) / WARMUP) * (LAST_RATE + (1 - LAST_RATE) * share)
        for part, highest in zip(self.optimizer.param_groups, self.rates, strict=True):
            part["lr"] = highest * rate
        losses, seen = self.losses()
        self.optimizer.zero_grad(set_to_none=True)
        sum(losses.values(), torch.zeros(())).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.done += 1
        decay = min(EMA, (1 + self.done) / (10 + self.done))
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)
        return {name: float(value.detach()) for name, value in (losses | seen).items()}

    def losses(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The terms of the objective, and shares that are reported beside them."""
        side = list(PAIRS_BY_SIDE)[self.chance.below(len(PAIRS_BY_SIDE))]
        drawn = torch.randint(len(self.pairs.first), (PAIRS_BY_SIDE[side],), generator=self.chance.rng).tolist()
        pictures, wanted = self.rated(drawn, side), torch.tensor(self.pairs.share[drawn], dtype=torch.float32)
        ladder_side = list(LADDERS_BY_SIDE)[self.chance.below(len(LADDERS_BY_SIDE))]
        rungs = torch.cat([self.ladder(ladder_side) for _ in range(LADDERS_BY_SIDE[ladder_side])])
        pair, rung = self.model(pictures).view(-1, 2), self.model(rungs).view(-1, 3)
        clean = torch.full_like(rung[:, 0], CLEAN_SCORE / 100)
        losses = {
            "rated": preference_loss(pair[:, 0], pair[:, 1], wanted),
            "ladders": F.softplus((rung[:, 1:] - rung[:, :-1] + MARGIN) / SOFTNESS).mean(),
            "clean": CLEAN_WEIGHT * F.smooth_l1_loss(rung[:, 0] / 100, clean, beta=0.1),
        }
        if self.done % ATTACK_EVERY == 0:
            losses["attack"] = ATTACK_WEIGHT * self.attack(pictures[::2], rungs[::3] if ladder_side >= 96 else None)
        seen = {
            "of pairs": ((pair[:, 0] > pair[:, 1]) == (wanted > 0.5)).float().mean(),
            "of rungs": (rung[:, :-1] > rung[:, 1:]).float().mean(),
        }
        return losses, seen

    def rated(self, drawn: Sequence[int], side: int) -> Tensor:
        """(2 N, 3, side, side): both pictures of each pair, cut alike."""
        both = [torch.stack([self.pictures[rows[i]] for rows in (self.pairs.first, self.pairs.second)]) for i in drawn]
        return torch.cat([self.chance.cut(pair, side) for pair in both]).float() / 255

    def ladder(self, side: int) -> Tensor:
        """(3, 3, side, side), whole 1/255ths: a clean square, and the same under a mild and a stronger defect."""
        clean = self.chance.cut(self.clean[self.chance.below(len(self.clean))][None], LADDER_CROP_PX).float() / 255
        spoiled = DEFECTS[self.defects[self.chance.below(len(self.defects))]]
        seed, mild = self.chance.below(1 << 30), 0.6 * self.chance.share()
        strong = min(1.0, mild + 0.25 + 0.3 * self.chance.share())
        rungs = [spoiled(clean, s, torch.Generator().manual_seed(seed)).clamp(0, 1) for s in (mild, strong)]
        top, left = (self.chance.below(LADDER_CROP_PX - side + 1) for _ in range(2))
        return (torch.cat([clean, *rungs])[..., top : top + side, left : left + side] * 255).round() / 255

    def attack(self, rated: Tensor, clean: Tensor | None) -> Tensor:
        """How far pictures rise when projected gradient ascent changes them: a point is free."""
        pool = rated if self.chance.share() < 0.6 or clean is None else clean
        x = pool[torch.randperm(len(pool), generator=self.chance.rng)[:ATTACKED]][..., :ATTACK_PX, :ATTACK_PX]
        before, parameters = self.model(x.contiguous()).detach(), list(self.model.parameters())
        eps, reach = EPS * (0.25 + 1.25 * self.chance.share()), 2 + 2 * self.chance.share()
        rng = self.chance.rng if self.chance.share() < 0.5 else None
        for parameter in parameters:
            parameter.requires_grad_(False)
        adversarial = attacked(self.model, x, eps=eps, steps=ATTACK_STEPS, reach=reach, rng=rng)
        for parameter in parameters:
            parameter.requires_grad_(True)
        rise = F.relu(self.model(adversarial) - before - 1) / 100
        return F.smooth_l1_loss(rise, torch.zeros_like(rise), beta=0.05)

    def save(self, path: Path) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "rng": self.chance.rng.get_state(),
            "done": self.done,
        }
        with atomic_open(path) as file:
            torch.save(state, file)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.done = state["average"], state["done"]
        self.chance.rng.set_state(state["rng"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rated", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--group", type=int, help="number of the group of methods to leave out (material.py)")
    options = parser.parse_args()
    steps = STEPS if options.group is None else STEPS_OF_GROUP
    tuning = Tuning(options.rated, options.photos, steps, options.group)
    average = tuning.run(options.out.with_suffix(".checkpoint"))
    save_file({name: value.half().contiguous() for name, value in average.items()}, options.out)


if __name__ == "__main__":
    main()
