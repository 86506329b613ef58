"""Pictures for a study of unsharp masking: x4plus, the same sharpened, and the withdrawn iqsr-x4.

    python evaluation/sharpened/pictures.py PHOTOS_OUT OUT

PHOTOS_OUT is the folder that `evaluation/photos/run.py` wrote. OUT gets a folder of 40 pictures for each method.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageFilter

UNSHARP = ImageFilter.UnsharpMask(radius=2, percent=70, threshold=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos_out", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    pictures: Path = options.photos_out / "mild" / "pictures"
    for method in ("x4plus", "sharpened", "iqsr-x4"):
        (options.out / method).mkdir(parents=True, exist_ok=True)
    for path in sorted((pictures / "realesrgan-x4plus").glob("*.png")):
        with Image.open(path) as base, Image.open(pictures / "iqsr-x4" / path.name) as tuned:
            base.save(options.out / "x4plus" / path.name)
            base.filter(UNSHARP).save(options.out / "sharpened" / path.name)
            tuned.save(options.out / "iqsr-x4" / path.name)


if __name__ == "__main__":
    main()
