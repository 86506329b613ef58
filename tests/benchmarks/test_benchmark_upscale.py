"""The benchmark measures every contender on the same pictures, and none of them gives another picture."""

import json
import subprocess
import sys
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch

from iqsr.kernels.winograd import has_winograd

for package in ("ncnn", "onnxruntime", "openvino", "skimage"):
    pytest.importorskip(package)

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "upscale.py"
CPU = torch.device("cpu")
FP32 = {"spandrel", "ONNX Runtime", "OpenVINO fp32", "ncnn"}
ALL = {"torch eager fp32", "ncnn bf16", "iqsr", "iqsr, direct"} | FP32


def of_torch(gain: float) -> tuple[str, set[str], set[str]]:
    """The form in which plain torch is quickest, the contenders of its forms, the tiles. gain: as the run measured it,
    for another process may not agree where it is about as much as pays."""
    fast = "bf16" if gain >= 1.2 else "fp32, channels-last"
    return fast, {f"torch {fast}"} | ({"torch bf16"} if gain else set()), {"tiles fp32", f"tiles {fast}"}


def quick(out: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    command = [sys.executable, SCRIPT, "--quick", "--threads", "1", "--out", out, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (data,), (page,) = out.glob("*.json"), out.glob("*.md")
    assert data.stem == page.stem == "-".join(["upscale", *arguments[1:]])
    return json.loads(data.read_text()), page.read_text()


def check_contenders(part: dict[str, Any], ours: str, expected: set[str], page: str, gain: float) -> None:
    rows = {row["name"]: row for row in part["contenders"]}
    in_the_other = {"iqsr fp32", "iqsr bf16"} & rows.keys()
    assert len(in_the_other) == (ours == "iqsr" and gain > 0)
    expected = expected | in_the_other
    assert rows.keys() - {"OpenVINO bf16"} == expected
    for name, row in rows.items():
        ratio = row[f"times_{ours}"]
        assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]
        assert min(row["seconds"]) > 0
        assert row["decibels_to_fp32"] > (100 if name in FP32 | {"iqsr fp32"} else 45), name
        assert f"| {name} |" in page or f"| **{name}** |" in page
    assert rows[ours][f"times_{ours}"]["median"] == 1


def check_share(share: dict[str, Any]) -> None:
    assert 0 < share["min"] <= share["median"] <= share["max"]


def check_share_of_flops(part: dict[str, Any], least: float, most: float) -> None:
    """In bf16; Winograd's convolutions, in fp32, save more than half."""
    precision = part["share_of_gemm_rate"][0]["precision"]
    least, most = (least, most) if precision == "bf16" or not has_winograd(CPU, torch.float32) else (0.2, 0.7)
    assert least <= part["share_of_flops_that_iqsr_does"] < most


def test_one_part_holds_every_contender(tmp_path):
    results, page = quick(tmp_path, "--only", "compact")
    assert results.keys() == {"environment", "compact"}
    compact, gain = results["compact"], results["environment"]["bf16_gain"]
    _, plain, tiles = of_torch(gain)
    check_contenders(compact, "iqsr", ALL | plain | tiles, page, gain)
    assert len(compact["share_of_gemm_rate"]) == (2 if gain else 1)
    for share in compact["share_of_gemm_rate"]:
        check_share(share)
    # 16 layers of 64 to 64 channels, 3 to 64 before them and 64 to 48 behind, 3 x 3 each.
    assert compact["flops"] == 2 * 9 * (3 * 64 + 16 * 64 * 64 + 64 * 48) * 40 * 136
    check_share_of_flops(compact, 1, 1.001)
    seconds = median(compact["contenders"][0]["seconds"])
    for precision, rates in compact["gemm_flops_per_second"].items():
        assert f"{seconds * median(rates) / compact['flops']:.2f} ({precision})" in page.partition("The ceiling")[2]
    assert page.startswith("To reproduce")
    assert "A quick run" in page
    assert str(tmp_path) not in page + json.dumps(results)
    assert str(SCRIPT.parents[1]) not in page + json.dumps(results)


@pytest.mark.slow
def test_a_whole_run(tmp_path):
    results, page = quick(tmp_path)
    gain = results["environment"]["bf16_gain"]
    fast, plain, tiles = of_torch(gain)
    check_contenders(results["rrdbnet"], "iqsr", ALL | plain, page, gain)
    check_contenders(results["compact"], "iqsr", ALL | plain | tiles, page, gain)
    check_share_of_flops(results["rrdbnet"], 0.85, 1)  # enlargements at the small size save little
    for part in results["tall"].values():
        runs = {"torch eager fp32", f"untiled {fast}", "one band", "streaming", "iqsr"} | tiles
        check_contenders(part, "streaming", runs, page, gain)
        for share in [*part["whole"].values(), *part["steady"].values(), *part["share_of_gemm_rate"].values()]:
            check_share(share)
    for part in results["scaling"].values():
        assert part["megapixels"] == sorted(part["megapixels"])
        assert isfinite(part["exponent"])
        assert all(min(seconds) > 0 for seconds in part["seconds"])
    check_busy(results["busy"], page)


def check_busy(part: dict[str, Any], page: str) -> None:
    for kind in ("idle", "busy"):
        assert [row["name"] for row in part[kind]] == ["bounded", "longer", "default", "passive"]
        assert part[kind][0]["times_bounded"] == {"median": 1, "min": 1, "max": 1}
        for row in part[kind]:
            assert min(row["seconds"]) > 0
            assert f"| {row['name']} | " in page.partition("## Busy machines")[2]


@pytest.mark.slow
def test_ways_to_wait_are_compared_in_processes_of_their_own(tmp_path):
    results, page = quick(tmp_path, "--only", "busy")
    check_busy(results["busy"], page)
