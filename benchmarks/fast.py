"""How much faster the small network is than the large one, and than its peers, in alternating rounds.

python benchmarks/fast.py        # writes benchmarks/results/fast.md and .json
"""

from __future__ import annotations

import torch

from iqsr import Upscaler
from measure import Spread, alternate
from setting import Result, arguments, environment, photo, write

SMALL, LARGE = "iqsr-compact-x4", "realesrgan-x4plus"
PEER = "OpenVINO, fp32 (the same network)"
PACKAGES = ("torch", "openvino", "numpy", "iqsr")
ROUNDS = 5


def main() -> None:
    args = arguments(__doc__, (), "nothing: there is one part")
    torch.set_num_threads(args.threads)
    side, rounds = (32, 1) if args.quick else (320, ROUNDS)
    picture = photo(side, side)
    networks = {name: Upscaler(name, device="cpu", precision="fp32") for name in (SMALL, "realesr-animevideov3", LARGE)}
    networks[PEER] = Upscaler(SMALL, device="cpu", precision="fp32", backend="openvino")
    works = {name: lambda network=network: network.upscale(picture) for name, network in networks.items()}
    alternate(works, 1)  # warms up, too
    seconds = alternate(works, rounds)
    ratios = {name: Spread.of_ratios(seconds[name], seconds[SMALL]).plain() for name in works}
    result: Result = {"environment": environment(args, PACKAGES), "side": side, "ratios": ratios}
    write(result, table(result), args.out, "fast")


def table(result: Result) -> str:
    """Markdown."""
    lines = [f"Time of each on a picture of {result['side']} x {result['side']}, over that of {SMALL}, fp32.", ""]
    lines += ["| | median | least | most |", "|---|--:|--:|--:|"]
    for name, ratio in result["ratios"].items():
        lines.append(f"| {name} | {ratio['median']:.2f} | {ratio['min']:.2f} | {ratio['max']:.2f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
