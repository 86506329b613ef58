"""Is the default better than what it was tuned from: models side by side on photos that none of them learned from.

    python evaluation/iqsr-x4/compare.py PHOTOS --model iqsr-x4 --model sma=runs/sma/adapter.safetensors [--out NAME]

The first model is `realesrgan-x4plus`, which all others are compared with, photo by photo. A model is a name, a
checkpoint, or an adapter of `realesrgan-x4plus` (`label=path` gives it a label). Writes NAME.md and NAME.json
beside this file and, with --panels, pictures of the photos where LPIPS-ST gains and loses most.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.degrade import degrade, pipeline
from iqsr.errors import ModelError
from iqsr.images import read_rgb
from iqsr.metrics import availability, card, load_metric
from iqsr.metrics.lr_consistency import lr_consistency
from iqsr.models import load_model
from iqsr.models.adapter import read_adapter
from iqsr.models.lora import load_adapter, merge_adapter
from iqsr.report.page import ComparedPicture, Variant
from iqsr.report.panel import write_panel
from iqsr.training.predictor.sources import find_photos

RESULTS = Path(__file__).parent
BASE = "realesrgan-x4plus"
SETS = {"mild": "hggt-one-stage", "hard": "real-esrgan"}
METRICS = ("psnr", "ssim", "stlpips", "stlpips-vgg", "lpips", "dists", "srq-holdout", "piqe", "niqe", "srq")
TRAINED_ON = ("stlpips-vgg", "srq")
GRAIN, OWN_GRAIN = "grain on flat areas", "grain in each photo's flattest tenth"
Network = Callable[[Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", action="append", default=[], help="name, file, or label=file")
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--side", type=int, default=256, help="of the square in the middle that is used")
    parser.add_argument("--metrics", default=",".join(METRICS))
    parser.add_argument("--out", default="default")
    parser.add_argument("--sets", default="mild,hard")
    parser.add_argument("--panels", type=Path)
    options = parser.parse_args()
    originals = [middle(path, options.side) for path in spread(find_photos([options.folder]), options.photos)]
    models = {BASE: network(BASE)} | {label: network(name) for label, name in map(labelled, options.model)}
    names = [name for name in options.metrics.split(",") if availability(name).available]
    found: dict = {"photos": len(originals), "side": options.side, "sets": {}}
    for kind in options.sets.split(","):
        inputs = [degraded(x, SETS[kind], seed) for seed, x in enumerate(originals)]
        outputs = {label: [restored(run, lr) for lr in inputs] for label, run in models.items()}
        rows = {label: measured(made, originals, inputs, names) for label, made in outputs.items()}
        rows["original"] = measured(originals, originals, inputs, [n for n in names if card(n).reference == "none"])
        found["sets"][kind] = {label: summary(row, rows[BASE]) for label, row in rows.items()}
        if options.panels:
            panels(options.panels / kind, inputs, outputs, originals, rows)
            (RESULTS / f"{options.out}.json").write_text(json.dumps(found, indent=1) + "\n")
        (RESULTS / f"{options.out}.md").write_text(markdown(found))
    print(markdown(found))


def labelled(text: str) -> tuple[str, str]:
    label, _, name = text.rpartition("=")
    return (label or Path(name).stem, name)


def network(name: str) -> Network:
    """A name, a checkpoint, or an adapter of the base."""
    path = Path(name)
    if path.suffix == ".safetensors" and is_adapter(path):
        module = load_model(read_adapter(path).base).module
        load_adapter(module, path)
        module = merge_adapter(module)
    else:
        module = load_model(name).module
    module.to(memory_format=torch.channels_last)
    return module


def is_adapter(path: Path) -> bool:
    try:
        read_adapter(path)
    except ModelError:
        return False
    return True


def middle(path: Path, side: int) -> Tensor:
    x = read_rgb(path)
    top, left = ((n - side) // 2 for n in x.shape[2:])
    return x[:, :, top : top + side, left : left + side].contiguous()


def degraded(x: Tensor, kind: str, seed: int) -> Tensor:
    sr_model = torch.Generator().manual_seed(seed)
    return degrade(x, pipeline(kind).draw(1, x.shape[2], x.shape[3], sr_model))


@torch.inference_mode()
def restored(run: Network, lr: Tensor) -> Tensor:
    """As a file would hold it: whole 1/255ths."""
    y = run(lr.contiguous(memory_format=torch.channels_last)).float().clamp(0, 1)
    return (y * 255).round().div(255).contiguous()


@torch.inference_mode()
def measured(made: list[Tensor], originals: list[Tensor], inputs: list[Tensor], names: list[str]) -> dict:
    """A value a photo, by metric."""
    row: dict[str, list[float]] = {}
    for name in names:
        metric = load_metric(name)
        full = metric.card.reference == "full"
        row[name] = [float(metric(y, x) if full else metric(y)) for y, x in zip(made, originals, strict=True)]
    row["LR-consistency"] = [float(lr_consistency(y, lr)) for y, lr in zip(made, inputs, strict=True)]
    return row | grains(made, originals)


def grains(made: list[Tensor], originals: list[Tensor]) -> dict[str, list[float]]:
    """High-frequency energy of the difference to the original in the flattest tenth of 16-px patches, x 1e6.

    Of all patches: a photo has many of them, or none; its share of the sum, so that the mean over photos is that over
    patches. Of each photo's own: what is flattest in a photo full of texture is texture, and counts here as well.
    """
    flatness = torch.stack([in_patches(high(x)) for x in originals])
    energy = torch.stack([in_patches(high(y - x)) for y, x in zip(made, originals, strict=True)])
    tenth = max(1, flatness.shape[1] // 10)
    everywhere = flatness <= flatness.flatten().kthvalue(tenth * len(flatness)).values
    share = (energy * everywhere).sum(1) * len(energy) / everywhere.sum()
    own = energy.gather(1, flatness.argsort(1)[:, :tenth]).mean(1)
    return {GRAIN: (1e6 * share).tolist(), OWN_GRAIN: (1e6 * own).tolist()}


def high(x: Tensor) -> Tensor:
    return x - F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), 5, 1)


def in_patches(x: Tensor) -> Tensor:
    """(1, 3, H, W) -> (patches of 16x16,): their energy."""
    return F.avg_pool2d(x.square().mean(1, keepdim=True), 16).flatten()


def summary(row: dict, base: dict) -> dict:
    """Mean, and the mean paired difference to the base with its 95 % bootstrap interval."""
    found = {}
    for name, values in row.items():
        given = np.array(values)
        entry = {"mean": float(given.mean())}
        if name in base:
            difference = given - np.array(base[name])
            drawn = np.random.default_rng(0).integers(0, len(given), (4000, len(given)))
            low, high = np.quantile(difference[drawn].mean(1), (0.025, 0.975))
            entry |= {"difference": float(difference.mean()), "low": float(low), "high": float(high)}
            entry["relative"] = float(difference.mean() / np.mean(base[name])) if np.mean(base[name]) else 0.0
        found[name] = entry
    return found


def panels(folder: Path, inputs: list, outputs: dict, originals: list, rows: dict) -> None:
    """The three photos where the first model gains most by LPIPS-ST, the three where it loses most, and the median."""
    label = list(outputs)[1]
    gain = np.array(rows[label]["stlpips"]) - np.array(rows[BASE]["stlpips"])
    order = np.argsort(gain)
    chosen = [*order[:3], order[len(order) // 2], *order[-3:]]
    folder.mkdir(parents=True, exist_ok=True)
    for place, i in enumerate(chosen):
        side = originals[i].shape[2]
        pictures = {"input": inputs[i], **{name: made[i] for name, made in outputs.items()}, "original": originals[i]}
        picture = ComparedPicture(str(i), [Variant(name, x[0]) for name, x in pictures.items()])
        write_panel(folder / f"{place}-{gain[i]:+.3f}.png", [(picture, (0, 0, side, side))], zoom=1)


def markdown(found: dict) -> str:
    lines = [
        f"{found['photos']} photos, the middle {found['side']} px of each; difference to {BASE} with its 95 % interval "
        "(paired bootstrap over photos). Trained on: " + ", ".join(TRAINED_ON) + " (no judges of the tuned models).",
    ]
    for kind, rows in found["sets"].items():
        names = list(rows[BASE])
        lines += ["", f"**{kind}** ({SETS[kind]})", "", "| metric | " + " | ".join(rows) + " |"]
        lines += ["|---|" + "--:|" * len(rows)]
        for name in names:
            lines.append(
                f"| {title(name)} | " + " | ".join(cell(row.get(name), label) for label, row in rows.items()) + " |"
            )
    return "\n".join(lines) + "\n"


def title(name: str) -> str:
    if name == "LR-consistency":
        return "LR-consistency, dB ↑"
    if name in (GRAIN, OWN_GRAIN):
        return f"{name} ↓"
    return name + (" ↑" if card(name).higher_is_better else " ↓") + (" (trained on)" if name in TRAINED_ON else "")


def cell(entry: dict | None, label: str) -> str:
    if entry is None:
        return ""
    digits = 2 if abs(entry["mean"]) >= 10 else 3
    text = f"{entry['mean']:.{digits}f}"
    if label in (BASE, "original"):
        return text
    return f"{text} ({entry['difference']:+.{digits}f}: {entry['low']:+.{digits}f} to {entry['high']:+.{digits}f})"


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """`count` of the paths, spread evenly over them."""
    return [paths[i * len(paths) // count] for i in range(min(count, len(paths)))]


if __name__ == "__main__":
    main()
