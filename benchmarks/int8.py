"""What 8-bit integers would give the default network on the CPU, and what they would cost.

    python benchmarks/int8.py PHOTOS --calibrate 32 --measure 24 --out int8

PHOTOS is a folder of photos. Some, reduced x4 (bicubic, antialiased), calibrate NNCF's post-training quantisation of
`realesrgan-x4plus`; others measure it: speed against OpenVINO fp32 and bf16 and torch bf16 (alternating in one run,
medians of ratios), PSNR against the fp32 output, and LPIPS-ST (alex) against the photo before it was reduced, with a
bootstrap interval of the relative loss over the photos; `shift` is the mean change of brightness in steps of 8 bits.
What is not quantised computes in bf16. Needs `pip install nncf` beside `iqsr[openvino]`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import statistics
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("NNCF_CI", "1")  # NNCF reports its use over the network otherwise

import nncf
import numpy as np
import openvino as ov
import torch
import torch.nn.functional as F
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
from nncf.quantization.range_estimator import RangeEstimatorParameters, RangeEstimatorParametersSet
from torch import Tensor

from iqsr.engines.int8 import calibration as own_pictures
from iqsr.engines.openvino import compile_network, convert, run
from iqsr.images import open_picture
from iqsr.metrics.lpips_st import LpipsSt
from iqsr.models import SRModel, load_model

Network = Callable[[Tensor], Tensor]

SCALE = 4
ENDS = r"model\.(0|3|6|8|10)/|sub\.23/"
"""RRDBNet's convolutions outside of the dense blocks: the first, the trunk's last, two upsamplings, the last two."""
FIFTHS = r":192>64"
"""The last convolution of each of the 69 dense blocks: 46 % of the blocks' arithmetic."""
LATE = r"sub\.(19|20|21|22)\."
"""The last 4 of 23 blocks."""
Preset = nncf.QuantizationPreset


@dataclass(frozen=True)
class Setting:
    """One way to quantise: which layers stay in bf16, and how ranges are found."""

    about: str
    keep: str | None = None
    """Pattern of `name:inputs>outputs` of convolutions that are not quantised."""
    preset: Preset = Preset.MIXED
    ranges: RangeEstimatorParameters | None = None
    """Of activations; None = NNCF's default, the mean over pictures of their extremes."""
    bias_correction: bool = False
    own: bool = False
    """Calibrated on scikit-image's pictures, which anyone has, instead of PHOTOS."""


HISTOGRAM, MINMAX = RangeEstimatorParametersSet.HISTOGRAM, RangeEstimatorParametersSet.MINMAX
SETTINGS = {
    "default": Setting("NNCF's mixed preset as it comes", bias_correction=True),
    "symmetric": Setting("NNCF's performance preset", preset=Preset.PERFORMANCE, bias_correction=True),
    "no-bias": Setting("mixed preset, biases not corrected"),
    "minmax": Setting("as `no-bias`, ranges from the extremes of all pictures", ranges=MINMAX),
    "histogram": Setting("as `no-bias`, ranges from histograms", ranges=HISTOGRAM),
    "own": Setting("`--precision int8`: as `histogram`, on scikit-image's pictures", ranges=HISTOGRAM, own=True),
    "histogram-bias": Setting("as `histogram`, biases corrected", ranges=HISTOGRAM, bias_correction=True),
    "ends": Setting("as `histogram`, 6 convolutions outside of the blocks kept", ENDS, ranges=HISTOGRAM),
    "late": Setting("as `ends`, and the last 4 of 23 blocks", f"{ENDS}|{LATE}", ranges=HISTOGRAM),
    "fifths": Setting("as `ends`, and each dense block's last one", f"{ENDS}|{FIFTHS}", ranges=HISTOGRAM),
}


@dataclass
class Row:
    """What was measured of one network."""

    name: str
    about: str
    kept: int | None = None
    psnr: float | None = None
    shift: float | None = None
    """Mean of output minus fp32 output, in steps of 8 bits."""
    lpips_st: list[float] = field(default_factory=list)
    loss_percent: float | None = None
    loss_interval: tuple[float, float] | None = None
    faster_than: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    photos = sorted(path for path in args.photos.iterdir() if path.suffix.lower() in {".jpg", ".png"})
    order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(args.seed)).tolist()
    calibrate = [photos[i] for i in order[: args.calibrate]]
    first = args.calibrate + args.skip
    measure = [photos[i] for i in order[first : first + args.measure]]
    if len(measure) < args.measure:
        raise SystemExit(f"{args.photos}: {len(photos)} photos, {first + args.measure} needed")
    nncf.set_log_level(logging.ERROR)  # else a line for every layer that is kept
    sr_model = load_model("realesrgan-x4plus")
    networks, rows = references(sr_model, args.threads)
    crops = [reduced(photo)[0][..., : args.side, : args.side].contiguous() for photo in calibrate]
    for name in args.settings:
        calibration = own_pictures(side=args.side) if SETTINGS[name].own else crops
        network, kept = quantised(sr_model, SETTINGS[name], calibration, args.threads)
        networks[f"int8 {name}"] = network
        rows[f"int8 {name}"] = Row(f"int8 {name}", SETTINGS[name].about, kept)
    measure_quality(networks, rows, measure)
    measure_speed(networks, rows, crops[0], args.rounds)
    report(rows, args)


def arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="folder of .jpg or .png photos")
    parser.add_argument("--calibrate", type=int, default=32, help="photos that calibrate (default 32)")
    parser.add_argument("--measure", type=int, default=24, help="other photos that measure (default 24)")
    parser.add_argument(
        "--skip", type=int, default=0, help="leave out so many photos, e.g. those that a setting was chosen on"
    )
    parser.add_argument("--side", type=int, default=80, help="side of a calibration crop (default 80)")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["default", "histogram", "fifths"])
    parser.add_argument("--rounds", type=int, default=7, help="rounds of timing (default 7)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="also write OUT.md and OUT.json")
    return parser.parse_args()


def reduced(path: Path) -> tuple[Tensor, Tensor]:
    """A photo reduced x4, rounded to 8 bits, and the photo: (1, 3, H / 4, W / 4) and (1, 3, H, W)."""
    hr = torch.cat(list(open_picture(path).rows(256)), 2).contiguous()
    hr = hr[..., : hr.shape[2] // SCALE * SCALE, : hr.shape[3] // SCALE * SCALE]
    return smaller(hr, SCALE), hr


def smaller(picture: Tensor, factor: int) -> Tensor:
    """Reduced (bicubic, antialiased) and rounded to 8 bits."""
    lr = F.interpolate(picture, scale_factor=1 / factor, mode="bicubic", antialias=True)
    return (lr.clamp(0, 1) * 255).round() / 255


def references(sr_model: SRModel, threads: int) -> tuple[dict[str, Network], dict[str, Row]]:
    model = convert(sr_model)
    fp32 = compile_network(model, threads=threads)
    bf16 = compile_network(model, precision="bf16", threads=threads)
    module = load_model(sr_model.name).module.to(torch.bfloat16, memory_format=torch.channels_last)

    def torch_bf16(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return module(x.to(torch.bfloat16, memory_format=torch.channels_last)).float()

    networks: dict[str, Network] = {
        "OpenVINO fp32": lambda x: run(fp32, x),
        "OpenVINO bf16": lambda x: run(bf16, x),
        "torch bf16": torch_bf16,
    }
    return networks, {name: Row(name, "") for name in networks}


def quantised(sr_model: SRModel, setting: Setting, crops: list[Tensor], threads: int) -> tuple[Network, int]:
    """The quantised network, the rest of it in bf16, and how many convolutions were kept."""
    model = convert(sr_model)
    kept = name_convolutions(model, setting.keep)
    advanced = AdvancedQuantizationParameters(disable_bias_correction=not setting.bias_correction)
    if setting.ranges is not None:
        advanced.activations_range_estimator_params = setting.ranges
    model = nncf.quantize(
        model,
        nncf.Dataset([crop.numpy() for crop in crops]),
        preset=setting.preset,
        subset_size=len(crops),
        ignored_scope=nncf.IgnoredScope(names=kept) if kept else None,
        advanced_parameters=advanced,
    )
    network = compile_network(model, precision="bf16", threads=threads)
    return lambda x: run(network, x), len(kept)


def name_convolutions(model: ov.Model, keep: str | None) -> list[str]:
    """The names of the convolutions that match `keep`."""
    kept: list[str] = []
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convolution":
            continue
        outputs, inputs = list(node.input(1).get_shape())[:2]
        if keep is not None and re.search(keep, f"{origin(node)}:{inputs}>{outputs}"):
            kept.append(node.get_friendly_name())
    return kept


def origin(node: Any) -> str:
    """The layer that a convolution comes from: its own name, or, where a factor was folded into it and renamed
    it, that of the nearest layer after it."""
    while "__module" not in node.get_friendly_name():
        node = next(iter(node.output(0).get_target_inputs())).get_node()
    return node.get_friendly_name()


def measure_quality(networks: dict[str, Network], rows: dict[str, Row], photos: list[Path]) -> None:
    """PSNR against fp32 and LPIPS-ST against the photo; every network on every photo."""
    metric = LpipsSt("alex")
    errors: dict[str, list[float]] = {name: [] for name in networks}
    shifts: dict[str, list[float]] = {name: [] for name in networks}
    for photo in photos:
        lr, hr = reduced(photo)
        outputs = {name: network(lr).clamp(0, 1) for name, network in networks.items()}
        for name, y in outputs.items():
            difference = y - outputs["OpenVINO fp32"]
            errors[name].append(difference.square().mean().item())
            shifts[name].append(255 * difference.mean().item())
            rows[name].lpips_st.append(metric(y, hr).item())
    base = np.array(rows["OpenVINO fp32"].lpips_st)
    for name, row in rows.items():
        if name != "OpenVINO fp32":
            row.psnr = float(np.mean([-10 * np.log10(error) for error in errors[name]]))
            row.shift = statistics.mean(shifts[name])
            row.loss_percent, row.loss_interval = relative_loss(np.array(row.lpips_st), base)


def relative_loss(values: np.ndarray, base: np.ndarray) -> tuple[float, tuple[float, float]]:
    """How much larger the mean of `values` is than that of `base`, in percent, and its 95 % interval.

    Both are per photo, in one order; photos are drawn with replacement, 10,000 times.
    """
    draws = np.random.default_rng(0).integers(0, len(base), (10_000, len(base)))
    ratios = values[draws].mean(1) / base[draws].mean(1)
    low, high = np.percentile(100 * (ratios - 1), [2.5, 97.5])
    return float(100 * (values.mean() / base.mean() - 1)), (float(low), float(high))


def measure_speed(networks: dict[str, Network], rows: dict[str, Row], lr: Tensor, rounds: int) -> None:
    """Every network once a round, in turn; the median over rounds of the ratios of times."""
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds + 1):
        for name, network in networks.items():
            start = time.perf_counter()
            network(lr)
            seconds[name].append(time.perf_counter() - start)
    for name, row in rows.items():
        mine = seconds[name][1:]  # the first round warms up
        row.seconds = statistics.median(mine)
        for peer in ("OpenVINO fp32", "OpenVINO bf16", "torch bf16"):
            pairs = zip(seconds[peer][1:], mine, strict=True)
            row.faster_than[peer] = statistics.median(theirs / ours for theirs, ours in pairs)


def report(rows: dict[str, Row], args: Namespace) -> None:
    lines = [
        "| network | s | x OV fp32 | x OV bf16 | x torch bf16 | PSNR to fp32 | shift | LPIPS-ST | loss % (95 %) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows.values():
        ratios = " | ".join(f"{ratio:.2f}" for ratio in row.faster_than.values())
        quality = "- | - | " if row.psnr is None else f"{row.psnr:.1f} | {row.shift:+.2f} | "
        quality += f"{statistics.mean(row.lpips_st):.4f} | "
        if row.loss_percent is not None and row.loss_interval is not None:
            quality += f"{row.loss_percent:+.2f} ({row.loss_interval[0]:+.2f} to {row.loss_interval[1]:+.2f})"
        lines.append(f"| {row.name} | {row.seconds:.2f} | {ratios} | {quality} |")
    lines += ["", *(f"* {row.name}: {row.about} ({row.kept} kept)" for row in rows.values() if row.about)]
    print("\n".join(lines))
    if args.out:
        args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
        settings = {key: value for key, value in vars(args).items() if key not in {"photos", "out"}}
        result = {"settings": settings, "rows": [asdict(row) for row in rows.values()]}
        args.out.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
