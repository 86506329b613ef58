"""What the benchmarks share: their arguments, what they ran on, the photo they measure on, the files they write."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iqsr.device import bf16_gain

Result = dict[str, Any]

RESULTS = Path(__file__).parent / "results"
FEATURES = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_bf16", "bf16", "sve")


def arguments(about: str | None, parts: Iterable[str], only: str) -> Namespace:
    """Parsed from the command line. about: the script's docstring; only: the help of `--only`, which takes a part."""
    return options(about, parts, only).parse_args()


def options(about: str | None, parts: Iterable[str], only: str) -> ArgumentParser:
    """What `arguments` parses, for a script that adds to it."""
    parser = ArgumentParser(description=about.splitlines()[0] if about else None)
    parser.add_argument("--quick", action="store_true", help="tiny pictures, few rounds: does it work?")
    parser.add_argument("--only", choices=list(parts), help=only)
    parser.add_argument("--threads", type=int, default=cores(), help="all cores by default")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder")
    return parser


def measured(args: Namespace, stem: str, parts: Mapping[str, Callable[[], Result]]) -> dict[str, Result]:
    """What each part measures; with `--only` of one anew, the others as they stand in the results, if they do."""
    known = args.out / f"{stem}.json"
    found = json.loads(known.read_text())["parts"] if args.only and known.is_file() else {}
    for name in [args.only] if args.only else parts:
        started = time.perf_counter()
        found[name] = parts[name]()
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return {name: found[name] for name in parts if name in found}


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(args: Namespace, packages: Iterable[str]) -> Result:
    """What times depend on besides the code that is measured."""
    abilities = torch.cpu.get_capabilities()
    return {
        "quick": args.quick,
        "threads": args.threads,
        "cores": cores(),
        "cpu_features": [name for name in FEATURES if abilities.get(name)],
        "bf16_gain": bf16_gain(torch.device("cpu")),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def described(found: Result) -> str:
    """An `environment` in one line."""
    quick = "**A quick run with tiny pictures: its times mean nothing.** " if found["quick"] else ""
    features = ", ".join(name.upper().replace("_", "-") for name in found["cpu_features"]) or "none of note"
    if found.get("bf16_gain"):  # not in older results
        features += f"; a convolution is {found['bf16_gain']:.2f} times as fast in bf16 as in fp32"
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items())
    return f"{quick}{found['threads']} of {found['cores']} cores ({features}); Python {found['python']}, {packages}."


def photo(height: int, width: int) -> Tensor:
    """(1, 3, height, width) in [0, 1]: scikit-image's astronaut from her face on, mirrored on all sides."""
    from skimage.data import astronaut

    values = astronaut()

    def mirrored(count: int, size: int, start: int) -> np.ndarray:
        place = (np.arange(count) + start) % (2 * size)
        return np.minimum(place, 2 * size - 1 - place)

    part = values[mirrored(height, values.shape[0], 50)][:, mirrored(width, values.shape[1], 160)]
    return torch.from_numpy(part).permute(2, 0, 1).float().div(255).unsqueeze(0).contiguous()


def write(results: Result, page: str, out: Path, stem: str) -> None:
    """Write STEM.json and STEM.md, and print the page."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{stem}.json").write_text(json.dumps(results, indent=2) + "\n")
    (out / f"{stem}.md").write_text(page)
    print(page)
