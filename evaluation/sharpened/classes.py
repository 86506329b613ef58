"""Pictures for the comparisons on drawings and on photos without damage: plain x4plus, and sharpened.

    python evaluation/sharpened/classes.py PHOTOS OUT

PHOTOS holds the photos of the rated set. OUT gets the folders `x4plus`, `fine` and `default` of 29 drawings and 19
photos: those scenes of the rated set that have x4plus among their methods, and 17 drawings more.
"""

import argparse
import csv
import sys
from pathlib import Path

from torchvision.utils import save_image

from iqsr import Upscaler

sys.path.insert(0, str(Path(__file__).parents[1] / "rated"))  # scenes, and unsharp masking

from methods import unsharp
from scenes import DAMAGES, PIPELINES, Scene, low_resolution, original, scenes

RATINGS = Path(__file__).parents[1] / "rated" / "ratings.csv"
AMOUNTS = {"x4plus": 0.0, "default": 0.3, "fine": 0.5}
MORE_DRAWINGS, FIRST_SEED = 17, 5000


def shown(photos: Path) -> dict[str, Scene]:
    """The scenes by the names that their pictures get."""
    with RATINGS.open(newline="") as file:
        compared = {row["scene"] for row in csv.DictReader(file) if "x4plus" in (row["first"], row["second"])}
    rated = [scene for scene in scenes(photos) if scene.name in compared]
    found = {f"drawing-{scene.name}": scene for scene in rated if scene.photo is None}
    found |= {f"clean-{scene.name}": scene for scene in rated if scene.photo and scene.damage == DAMAGES[0]}
    damages = (DAMAGES[0], *PIPELINES)
    for n in range(MORE_DRAWINGS):
        scene = Scene(f"n{n:03}", None, damages[n % len(damages)], FIRST_SEED + n)
        found[f"drawing-{scene.name}-{scene.damage}"] = scene
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    upscaler = Upscaler("realesrgan-x4plus", precision="fp32")
    for method in AMOUNTS:
        (options.out / method).mkdir(parents=True, exist_ok=True)
    for name, scene in shown(options.photos).items():
        base = upscaler.upscale(low_resolution(scene, original(scene, options.photos))).clamp(0, 1)
        for method, amount in AMOUNTS.items():
            save_image(unsharp(base, 1.0, amount).clamp(0, 1), options.out / method / f"{name}.png")


if __name__ == "__main__":
    main()
