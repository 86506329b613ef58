"""Pictures for the comparison on real small pictures: faces, text and others, plain x4plus and the default.

    python evaluation/sharpened/real.py CLONES OUT

CLONES has a clone of each repository of `COMMITS`, as CLONES/OWNER/NAME. `real.csv` names the pictures and the crop
that is taken from each. OUT gets the folders `realesrgan-x4plus` and `realesrgan-x4plus-crisp`. Nothing is added to the
inputs. Faces that their repositories had aligned to 512 px are reduced to 128 px first, large pictures with lettering
until it is about 8 to 30 px high. Seven faces and one sign were left out, because in 99 % of the values their two
pictures differ by 1/255 or less. The pictures belong to others: they are not in this repository.
"""

import argparse
import csv
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.utils import save_image

from iqsr import load_model
from iqsr.images import read_rgb

COMMITS = {
    "breezedeus/CnOCR": "4686db2e08952e7a7843d35b200d00f428efde7b",
    "csxmli2016/DFDNet": "df949706b7296e6af9aa8a07a2176dbd9d268022",
    "csxmli2016/MARCONet": "dc52a5fddd18ba728e36496f39e448b21d84812f",
    "csxmli2016/MARCONetPlusPlus": "29e40deeb56650637bb976270fdb2deab4ee0716",
    "csxmli2016/textbsr": "48eb7776a0856f633369d869536df93c3cfb8feb",
    "cszn/BSRGAN": "5ce1a9c6ae292f30ccfce4b597ecb73c70401733",
    "cszn/SCUNet": "52e440a80a655b01e0b41e9dd9bfe599bc11625e",
    "JaidedAI/EasyOCR": "c4f3cd7225efd4f85451bd8b4a7646ae9a092420",
    "microsoft/Bringing-Old-Photos-Back-to-Life": "33875eccf4ebcd3665cf38cc56f3a0ce563d3a9c",
    "mittagessen/kraken": "67df2800cf470fa7d84017938e2f1d1ef5679299",
    "naptha/tesseract.js": "42eae669e4b3a66429d8516f078912cc747a89df",
    "open-mmlab/mmocr": "966296f26ac34cf0e96d40ab4a0a94c9a697909a",
    "openalpr/benchmarks": "9790ed20d475be1e940a7e2a3f492a97c2ebed9b",
    "ouyanghuiyu/chineseocr_lite": "7ad83549e52e81588937062d5aa96c6c816d3e5b",
    "RapidAI/RapidOCR": "9ceb3420f551643d6daaf2ae9e06d09c37edca6a",
    "sczhou/CodeFormer": "b33cc7d639d6545bfcccc7e0bc6ae51f24e79c2b",
    "TencentARC/GFPGAN": "7552a7791caad982045a7bbe5634bbf1cd5c8679",
    "tesseract-ocr/test": "232ff181c66516116ec0e84c4963f70de15050fd",
    "xinntao/Real-ESRGAN": "a4abfb2979a7bbff3f69f58f58ae324608821e27",
    "XPixelGroup/DiffBIR": "3f8b5304245ba0ffd6f1995e51c27c3c72d7618f",
    "yangxy/GPEN": "2c736702983368847fb544d234a22ac7cff25802",
}
"""Repositories on GitHub, and the commit that was read."""
PLAIN, CRISP = "realesrgan-x4plus", "realesrgan-x4plus-crisp"


def crop(row: dict[str, str], clones: Path) -> torch.Tensor:
    """(1, 3, H, W) in [0, 1]. The box of a row is in pixels of the reduced picture."""
    picture = F.avg_pool2d(read_rgb(clones / row["repository"] / row["path"]), int(row["reduced"]))
    left, top, width, height = (int(row[side]) for side in ("left", "top", "width", "height"))
    return picture[:, :, top : top + height, left : left + width]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clones", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for method in (PLAIN, CRISP):
        (options.out / method).mkdir(parents=True, exist_ok=True)
    model = load_model(CRISP).module
    assert isinstance(model, nn.Sequential)
    network, sharpening = model
    with (Path(__file__).parent / "real.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        name = f"{row['kind']}-{row['repository'].split('/')[1]}-{Path(row['path']).stem}.png"
        with torch.inference_mode():
            plain = network(crop(row, options.clones))
            save_image(sharpening(plain).clamp(0, 1), options.out / CRISP / name)
        save_image(plain.clamp(0, 1), options.out / PLAIN / name)


if __name__ == "__main__":
    main()
