"""How good is srq: agreement with LPIPS-ST on unseen photos, ladders of defects, attacks; beside other metrics.

    python evaluation/srq/compare.py PHOTOS [--photos 100] [--unguarded RUN/weights.safetensors]

PHOTOS is a folder of photographs that no predictor learned from. Writes srq.md and srq.json beside this file.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.metrics import availability, load_metric
from iqsr.metrics.srq import load_srq
from iqsr.models import load_model
from iqsr.training.predictor.batches import Versions
from iqsr.training.predictor.dataset import GRID, Shard, read_shards, write_shard
from iqsr.training.predictor.ladders import LADDERS
from iqsr.training.predictor.measures import CLEAR, Score, agreement, monotone, rise_under_attack, score_versions
from iqsr.training.predictor.sources import crops_of, find_photos
from iqsr.training.predictor.teachers import Teachers
from iqsr.training.predictor.versions import Upscalers, Version, versions_of

RESULTS = Path(__file__).parent
SIDE = 192
DRAWS = 500
ROWS = ("srq", "srq-holdout", "piqe", "niqe", "laplacian")
SIGHTED = ("ms_ssim", "ssim", "psnr")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photographs that no predictor learned from")
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--unguarded", type=Path, help="weights of predictor/srq-unguarded")
    parser.add_argument("--data", type=Path, default=Path("predictor-data"), help="where the judged versions are kept")
    options = parser.parse_args()
    photos = spread(find_photos([options.folder]), options.photos)
    make_versions(photos, options.data)
    versions = Versions(s for s in read_shards(options.data) if s.photo in {p.name for p in photos})
    clean = [row[:1].float() / 255 for row in versions.pictures]
    table = {name: measured_metric(name, versions, clean) for name in ROWS if availability(name).available}
    if options.unguarded:
        table["unguarded"] = measured(load_srq(options.unguarded), versions, clean)
    attack = attacks(versions, options.unguarded)
    found = {"photos": len(photos), "side": SIDE, "metrics": table, "sighted": sighted(versions), "attack": attack}
    (RESULTS / "srq.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "srq.md").write_text(markdown(found))
    print(markdown(found))


def make_versions(photos: list[Path], out: Path) -> None:
    """One crop a photo, as in training but for the seed, and two settings that training has not seen (x2)."""
    upscalers = Upscalers(("realesrgan-x4plus", "realesrgan-x4plus-anime", "realesr-animevideov3"))
    double = load_model("realesr-animevideov3-x2").module
    teachers = Teachers()
    for number, photo in enumerate(photos):
        path = out / f"{photo.stem}.safetensors"
        if path.exists():
            continue
        rng = torch.Generator().manual_seed(90_000 + number)
        crop = next(crops_of(photo, SIDE, 1, rng)).crop[None]
        made = [*versions_of(crop, upscalers, 7, rng), *unseen(crop, double)]
        stored = torch.cat([(v.picture * 255).round().byte() for v in made])
        judged = teachers.judge(stored / 255, crop, SIDE // GRID)
        kinds = [[v.kind for v in made]]
        places = judged.places[None, :, 0].half()
        write_shard(path, Shard(photo.name, kinds, stored[None], judged.alex[None], judged.vgg[None], places))


@torch.inference_mode()
def unseen(crop: Tensor, double: torch.nn.Module) -> list[Version]:
    """Half the size and enlarged by a network for x2, and by bicubic interpolation."""
    half = F.interpolate(crop, scale_factor=0.5, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    bicubic = F.interpolate(half, scale_factor=2, mode="bicubic", align_corners=False).clamp(0, 1)
    return [Version("realesr-animevideov3-x2", double(half).clamp(0, 1)), Version("bicubic-x2", bicubic)]


def measured_metric(name: str, versions: Versions, clean: list[Tensor]) -> dict[str, object]:
    metric = load_metric(name)
    sign = 1 if metric.card.higher_is_better else -1
    return measured(lambda x: sign * metric(x), versions, clean)


def measured(score: Score, versions: Versions, clean: list[Tensor]) -> dict[str, object]:
    """Agreement and ladders of one metric; `score` is higher where it is better."""
    row = agreed(score_versions(score, versions), versions)
    return row | {"ladders": {ladder: monotone(score, clean, ladder)._asdict() for ladder in LADDERS}}


def agreed(scores: Sequence[Tensor], versions: Versions) -> dict[str, object]:
    """Agreement, and the 95 % intervals of the SRCC and the share of pairs, by bootstrap over photos."""
    drawn = np.random.default_rng(0).integers(0, len(scores), (DRAWS, len(scores)))
    again = [agreement([scores[i] for i in draw], versions.of(draw.tolist())) for draw in drawn]
    bounds = {
        f"{what}_interval": np.quantile([getattr(found, what) for found in again], (0.025, 0.975)).tolist()
        for what in ("srcc", "pairs")
    }
    return asdict(agreement(scores, versions)) | bounds


@torch.inference_mode()
def sighted(versions: Versions) -> dict[str, object]:
    """Agreement of metrics that see the original, each half of the teacher among them: what blind ones cannot pass."""
    scores = {
        "LPIPS-ST, AlexNet alone": [-d for d in versions.alex],
        "LPIPS-ST, VGG16 alone": [-d for d in versions.vgg],
    }
    for metric in map(load_metric, SIGHTED):
        sign = 1 if metric.card.higher_is_better else -1
        rows = (pictures.float() / 255 for pictures in versions.pictures)
        scores[metric.card.name] = [sign * metric(x, x[:1].expand_as(x)).nan_to_num(posinf=1e3) for x in rows]
    return {name: agreed(score, versions) for name, score in scores.items()}


def attacks(versions: Versions, unguarded: Path | None) -> dict[str, object]:
    """The rise under 20 steps at 4/255 on 50 photos' clean crops, and on what Real-ESRGAN makes of them."""
    upscaled = [kinds.index("realesrgan-x4plus") for kinds in versions.kinds]
    pictures = {
        "clean": torch.stack([row[0] for row in versions.pictures[:50]]).float() / 255,
        "upscaled": torch.stack([row[i] for row, i in zip(versions.pictures, upscaled, strict=True)][:50]).float()
        / 255,
    }
    models = {"srq": load_srq()} | ({"unguarded": load_srq(unguarded)} if unguarded else {})
    rises = {
        what: {name: rise_under_attack(model, x) for name, model in models.items()} for what, x in pictures.items()
    }
    found: dict[str, object] = {name: {what: summary(rises[what][name]) for what in pictures} for name in models}
    if unguarded:
        found |= {f"share of it, {what}": interval(rises[what]) for what in pictures}
    return found


def summary(rise: Tensor) -> dict[str, float]:
    return {"mean": float(rise.mean()), "median": float(rise.median()), "most": float(rise.max()), "n": len(rise)}


def interval(rises: dict[str, Tensor]) -> list[float]:
    """Ratio of srq's mean rise to the unguarded one's, with its 95 % bootstrap interval over pictures."""
    guarded, bare = rises["srq"].numpy(), rises["unguarded"].numpy()
    drawn = np.random.default_rng(0).integers(0, len(bare), (2000, len(bare)))
    ratios = guarded[drawn].mean(1) / bare[drawn].mean(1)
    return [float(guarded.mean() / bare.mean()), *(float(q) for q in np.quantile(ratios, (0.025, 0.975)))]


def markdown(found: dict) -> str:
    lines = [
        f"{found['photos']} photos, one crop of {found['side']} px each, "
        f"{next(iter(found['metrics'].values()))['pictures']} versions in all. SRCC: against LPIPS-ST (mean of both "
        "trunks, AlexNet, VGG16); pairs: versions of one photo ordered as by the mean; agreed: the same, of the pairs "
        f"that both trunks order alike; clear: of those whose mean distances differ by {CLEAR} or more; "
        "ladders (blur to ringing): share of photos whose score falls with each of five strengths; in brackets from "
        "the clean crop on, to whose own JPEG and grain the mildest strength adds little. Of SRCC and pairs the 95 % "
        "interval by bootstrap over photos is given as well.",
        "",
        "| metric | SRCC | alex | vgg | pairs | agreed | clear | blur | noise | JPEG | ringing |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [agreement_row(name, row) for name, row in found["metrics"].items()]
    lines += [agreement_row(f"*{name}*", row) for name, row in found["sighted"].items()]
    lines += ["", "In italics: metrics that see the original. Each trunk of LPIPS-ST is half of what all are held to."]
    lines += ["", "Points that 20 steps of projected gradient ascent at 4/255 add to the score:", ""]
    for name, row in found["attack"].items():
        if isinstance(row, dict):
            lines.append(
                f"* {name}: " + "; ".join(f"{k} {v['mean']:.1f} (most {v['most']:.1f})" for k, v in row.items())
            )
        else:
            lines.append(f"* {name}: {row[0]:.2f} ({row[1]:.2f} to {row[2]:.2f})")
    return "\n".join(lines) + "\n"


def agreement_row(name: str, row: dict) -> str:
    figures = [f"{row[k]:.3f}" for k in ("srcc", "srcc_alex", "srcc_vgg")]
    figures += [f"{100 * row[k]:.1f} %" for k in ("pairs", "agreed", "clear")]
    for place, what, form, scale in ((0, "srcc", ".2f", 1), (3, "pairs", ".0f", 100)):
        if f"{what}_interval" in row:
            low, high = (f"{scale * bound:{form}}" for bound in row[f"{what}_interval"])
            figures[place] += f" ({low} to {high})"
    ladders = row.get("ladders", {}).values()
    figures += [f"{100 * v['strengths']:.0f} % ({100 * v['from_clean']:.0f} %)" for v in ladders] or [""] * len(LADDERS)
    return f"| {name} | {' | '.join(figures)} |"


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """`count` of the paths, spread evenly over them."""
    return [paths[i * len(paths) // count] for i in range(min(count, len(paths)))]


if __name__ == "__main__":
    main()
