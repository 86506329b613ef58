"""Learn how much of its fine detail Real-ESRGAN x4plus should show, place by place. It does not beat plain sharpening.

    python evaluation/fast/pairs.py PHOTOS SETS --count 594
    python evaluation/sharpened/tuned/learn.py SETS WORK adapter.safetensors

SETS holds low-resolution crops, their originals, and what x4plus makes of them. The target is x4plus's own output with
its fine detail made stronger or weaker, by how strong the original's is there. Only the layers behind the trunk learn,
by LoRA, so the trunk's features are computed once for each crop, into WORK.
"""

import argparse
import math
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur

from iqsr import load_model
from iqsr.images import read_rgb
from iqsr.models.lora import add_lora, save_adapter

BASE, LAYERS, RANK = "realesrgan-x4plus", r"model\.(3|6|8|10)", 24
CROPS, PATCH, MARGIN, SCALE = 46, 40, 4, 4
"""Sides in pixels of the low resolution; the loss leaves out the margin, where the patch's zeros are seen."""
RATE, WARMUP, BATCH, SEED = 2e-3, 50, 2, 0
FINE_WEIGHT = 2.0
"""Of the difference in fine detail, beside that of the pixels."""
DETAIL_SIGMA, WINDOW_SIGMA, FLOOR = 1.0, 5.0, (1.5 / 255) ** 2
MORE, LEAST_GAIN, MOST_GAIN = 1.7, -0.3, 1.4
"""How much stronger than the original's, as raters like it, and the least and the most that is added to 1."""
UNSURE = 0.55
"""The share of the gain where x4plus's detail has nothing in common with the original's."""
OVERSHOOT = 0.12
"""How far a target may leave the least and the most of the 5 x 5 pixels around it."""
LUMA = (0.299, 0.587, 0.114)


def blurred(x: Tensor, sigma: float) -> Tensor:
    side = 2 * round(3 * sigma) + 1
    return gaussian_blur(x, [side, side], [sigma, sigma])


def fine(x: Tensor) -> Tensor:
    """What a Gaussian of one pixel takes away."""
    return x - blurred(x, DETAIL_SIGMA)


def target(base: Tensor, original: Tensor) -> Tensor:
    """x4plus's output with its fine detail as strong as raters like it. (1, 3, H, W) in [0, 1]."""
    ours, theirs = (fine((x * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)) for x in (base, original))
    has, ought = (blurred(x**2, WINDOW_SIGMA) + FLOOR for x in (ours, theirs))
    alike = blurred(ours * theirs, WINDOW_SIGMA) / (has * ought).sqrt()
    gain = (MORE * (ought / has).sqrt() - 1).clamp(LEAST_GAIN, MOST_GAIN)
    stronger = base + gain * (UNSURE + (1 - UNSURE) * (alike / 0.3).clamp(0, 1)) * fine(base)
    most = F.max_pool2d(base, 5, 1, 2) + OVERSHOOT
    least = -F.max_pool2d(-base, 5, 1, 2) - OVERSHOOT
    return torch.minimum(torch.maximum(stronger, least), most).clamp(0, 1)


def prepare(sets: Path, work: Path, trunk: nn.Module) -> list[Path]:
    """Features and target of the drawn crops, as files that hold both. Those that are there are kept."""
    names = sorted(path.stem for path in (sets / "inputs").glob("*.png"))
    random.Random(SEED).shuffle(names)
    work.mkdir(parents=True, exist_ok=True)
    for name in names[:CROPS]:
        if not (work / f"{name}.pt").exists():
            made, original = (read_rgb(sets / "images" / of / f"{name}.png") for of in (BASE, "original"))
            with torch.inference_mode():
                features = trunk(read_rgb(sets / "inputs" / f"{name}.png")).half()
            pixels = (target(made, original) * 255).round().byte()
            torch.save({"features": features, "target": pixels}, work / f"{name}.part")
            (work / f"{name}.part").rename(work / f"{name}.pt")
    return sorted(work / f"{name}.pt" for name in names[:CROPS])


def patch_loss(tail: nn.Module, file: Path, rng: random.Random) -> Tensor:
    """The loss on one random patch of one crop."""
    held = torch.load(file, weights_only=True)
    height, width = held["features"].shape[2:]
    top, left = rng.randint(0, height - PATCH), rng.randint(0, width - PATCH)
    edge, inner = SCALE * MARGIN, SCALE * (PATCH - 2 * MARGIN)
    output = tail(held["features"][:, :, top : top + PATCH, left : left + PATCH].float())
    y, x = SCALE * top + edge, SCALE * left + edge
    wanted = held["target"][:, :, y : y + inner, x : x + inner] / 255
    difference = output[:, :, edge:-edge, edge:-edge] - wanted
    return difference.abs().mean() + FINE_WEIGHT * fine(difference).abs().mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1200)
    options = parser.parse_args()
    network = load_model(BASE).module
    files = prepare(options.sets, options.work, network.model[:2])
    add_lora(network, RANK, targets=LAYERS, seed=SEED)
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(learned, lr=RATE, betas=(0.9, 0.99))
    rng = random.Random(SEED)
    for step in range(options.steps):
        rate = RATE * min(1.0, (step + 1) / WARMUP) * (1 + math.cos(math.pi * step / options.steps)) / 2
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = torch.stack([patch_loss(network.model[2:], rng.choice(files), rng) for _ in range(BATCH)]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            print(step, f"{loss.item():.4f}", flush=True)
    save_adapter(network, options.out, base=BASE, targets=LAYERS)


if __name__ == "__main__":
    main()
