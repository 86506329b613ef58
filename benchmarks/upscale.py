"""Upscaling speed on the CPU, side by side with other ways to run the same networks, in one run.

    python benchmarks/upscale.py                  # writes benchmarks/results/upscale.md and .json
    python benchmarks/upscale.py --only compact   # one part, written beside them: rrdbnet, compact, tall, scaling, busy
    python benchmarks/upscale.py --quick --out /tmp/quick

Contenders take turns, so that a machine whose speed drifts is fair to all; ratios are taken within a round, and their
median over the rounds is given with the least and the most. Every output is compared with torch's in fp32. Needs
`pip install 'iqsr[bench]'` and a machine that does nothing else.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
import torch

from busy import busy
from contenders import ABOUT, FAST, Stream, contenders, direct_engine, streaming_engine, tiles, torch_fast
from iqsr import Upscaler
from iqsr.models import SRModel, load_model
from measure import GEMMS, Judge, Seconds, Spread, Work, alternate, flops_of, gemm, gemm_rates, untiled_flops
from setting import Result, arguments, environment, photo, write
from tables import markdown

PARTS = ("rrdbnet", "compact", "tall", "scaling", "busy")
PACKAGES = ("torch", "spandrel", "onnxruntime", "openvino", "ncnn", "numpy", "iqsr")


@dataclass(frozen=True)
class Network:
    """One network and the pictures it is measured on, as (height, width)."""

    model: str
    square: tuple[int, int]
    tall: tuple[int, int]
    megapixels: tuple[float, ...]
    rounds: int = 5
    few: int = 3
    """Rounds for tall pictures."""
    fewer: int = 3
    """Rounds for the series of sizes."""
    band_pixels: int | None = None
    """Of a tall picture's bands; None: what the engine takes for pictures too large to go through at once."""


FULL = {
    "rrdbnet": Network("realesrgan-x4plus", (128, 128), (896, 96), (0.0625, 0.125, 0.25), fewer=2, band_pixels=8192),
    "compact": Network("realesr-animevideov3-x4", (384, 384), (4096, 256), (0.0625, 0.125, 0.25, 0.5, 1, 2, 4)),
}
QUICK = {
    "rrdbnet": Network("realesrgan-x4plus-anime", (32, 40), (288, 16), (0.0004, 0.0016), 1, 1, 1, 768),
    "compact": Network("realesr-animevideov3-x4", (40, 136), (224, 24), (0.001, 0.004, 0.016), 1, 1, 1, 768),
}
"""Everything small; RRDBNet with 6 of its 23 blocks."""
BUSY = ("realesrgan-x4plus", (128, 192), 5)
QUICK_BUSY = ("realesr-animevideov3-x4", (24, 32), 2)
"""Model, picture and rounds."""


def main() -> None:
    args = arguments(__doc__, PARTS, "one part, written as upscale-PART")
    torch.set_num_threads(args.threads)
    networks, side = (QUICK, 256) if args.quick else (FULL, 4096)
    results: Result = {"environment": environment(args, PACKAGES) | {"seconds": {}}}
    for part in [args.only] if args.only else PARTS:
        started = time.perf_counter()
        if part == "busy":
            results[part] = busy(*(QUICK_BUSY if args.quick else BUSY), threads=args.threads)
        elif part in networks:
            results[part] = side_by_side(networks[part], args.threads, side)
        else:
            measure = tall if part == "tall" else scaling
            results[part] = {name: measure(network, side) for name, network in networks.items()}
        results["environment"]["seconds"][part] = round(time.perf_counter() - started)
        print(f"{part}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    write(results, markdown(results), args.out, f"upscale-{args.only}" if args.only else "upscale")


def side_by_side(network: Network, threads: int, side: int) -> Result:
    """All contenders on one picture."""
    sr_model, picture, judge = load_model(network.model), photo(*network.square), Judge()
    runs = contenders(sr_model, *network.square, threads)
    runs["iqsr, direct"] = Stream(direct_engine(sr_model))
    works = with_gemms({name: lambda run=run: run(picture) for name, run in runs.items()}, "iqsr", side)
    alternate(works, 1, on_output=judge)  # warms up, too
    seconds = alternate(works, network.rounds)
    rates = gemm_rates(seconds, side)
    flops = untiled_flops(sr_model.module, *network.square)
    small = photo(min(64, network.square[0]), min(64, network.square[1]))
    done = flops_of(lambda: runs["iqsr"](small)) / untiled_flops(sr_model.module, *small.shape[2:])
    kinds = {"iqsr": precision_of(sr_model), "iqsr fp32": "fp32", "iqsr bf16": "bf16"}
    return {
        "model": network.model,
        "picture": network.square,
        "contenders": rows_of(seconds, "iqsr", judge),
        "gemm_side": side,
        "gemm_flops_per_second": rates,
        "flops": flops,
        "share_of_flops_that_iqsr_does": done,
        "share_of_gemm_rate": [
            {"name": name, "precision": kind, **speed(flops, seconds[name], rates[kind])}
            for name, kind in kinds.items()
            if name in seconds
        ],
    }


def tall(network: Network, side: int) -> Result:
    """Streaming against the untiled pass and against tiles, on a picture many times as tall as the delay lines."""
    sr_model, picture, judge = load_model(network.model), photo(*network.tall), Judge()
    height, width = network.tall
    stream = Stream(streaming_engine(sr_model, network.band_pixels))
    runs = {
        "torch eager fp32": sr_model.module,
        **tiles(sr_model),
        f"untiled {FAST}": torch_fast(sr_model),
        "streaming": stream,
        "one band": Stream(streaming_engine(sr_model, band_pixels=height * width)),
        "iqsr": Upscaler(sr_model, device="cpu").upscale,
    }
    works = with_gemms({name: lambda run=run: run(picture) for name, run in runs.items()}, "streaming", side)
    seconds = alternate(works, network.few, once=("torch eager fp32", "tiles fp32"), on_output=judge)
    precision = precision_of(sr_model)
    rates = gemm_rates(seconds, side)[precision]
    if len(stream.seconds_a_row) != network.few:
        raise SystemExit(f"{height} rows are too few to fill the delay lines of {network.model}")
    steady = [s * height for s in stream.seconds_a_row]
    flops = untiled_flops(sr_model.module, height, width)
    untiled = (f"untiled {FAST}", "one band")
    return {
        "model": network.model,
        "picture": network.tall,
        "precision": precision,
        "contenders": rows_of(seconds, "streaming", judge),
        "seconds_a_row_in_steady_state": stream.seconds_a_row,
        "whole": {name: Spread.of_ratios(seconds["streaming"], seconds[name]).plain() for name in untiled},
        "steady": {name: Spread.of_ratios(steady, seconds[name]).plain() for name in untiled},
        "share_of_gemm_rate": {
            "whole": speed(flops, seconds["streaming"], rates),
            "steady": speed(flops, steady, rates),
        },
    }


def scaling(network: Network, side: int) -> Result:
    """Time against input size, and the slope of a straight line through its logarithms."""
    upscaler = Upscaler(network.model, device="cpu")
    pictures = {size: photo(round((size * 1e6) ** 0.5), round((size * 1e6) ** 0.5)) for size in network.megapixels}
    upscaler.upscale(pictures[network.megapixels[0]])
    seconds = alternate({str(n): lambda x=x: upscaler.upscale(x) for n, x in pictures.items()}, network.fewer)
    medians = {float(size): Spread.of(values).median for size, values in seconds.items()}
    x, y = np.log(list(medians)), np.log(list(medians.values()))
    slope, start = np.polyfit(x, y, 1)
    return {
        "model": network.model,
        "megapixels": list(medians),
        "seconds": list(seconds.values()),
        "exponent": float(slope),
        "largest_deviation": float(np.expm1(np.abs(y - (slope * x + start)).max())),
    }


def with_gemms(works: dict[str, Work], next_to: str, side: int) -> dict[str, Work]:
    """The matrix products take their turns next to the contender that is held against them."""
    mixed: dict[str, Work] = {}
    for name, work in works.items():
        if name == next_to:
            mixed |= {product: gemm(product, side) for product in GEMMS}
        mixed[name] = work
    return mixed


def rows_of(seconds: Seconds, ours: str, judge: Judge) -> list[Result]:
    return [
        {
            "name": name,
            "about": ABOUT[name],
            "seconds": values,
            f"times_{ours}": Spread.of_ratios(values, seconds[ours]).plain(),
            "decibels_to_fp32": judge.decibels[name],
            "largest_difference": judge.largest[name],
        }
        for name, values in seconds.items()
    ]


def speed(flops: float, seconds: list[float], rates: list[float]) -> dict[str, float]:
    """The time that matrix products would take for `flops`, over the time taken."""
    return Spread.of_ratios([flops / rate for rate in rates], seconds).plain()


def precision_of(sr_model: SRModel) -> str:
    """bf16 or fp32: what `Upscaler` chooses here."""
    return Upscaler(sr_model, device="cpu").describe().split(", ")[1]


if __name__ == "__main__":
    main()
