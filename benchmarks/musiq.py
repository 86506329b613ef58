"""MUSIQ's speed on the CPU against IQA-PyTorch's, with the same random weights.

    python benchmarks/musiq.py                  # writes benchmarks/results/musiq.md and .json
    python benchmarks/musiq.py --only crops     # measures one part anew: crops, gradient, picture
    python benchmarks/musiq.py --quick --out /tmp/quick

Contenders take turns; ratios are taken within a round. Every score is compared with IQA-PyTorch's in float32. Needs
`pip install 'iqsr[bench,toolbox]'` and a machine that does nothing else. Random weights say all about speed and
rounding, and nothing about quality.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, pstdev

import torch
from torch import Tensor, nn

from iqsr.metrics.musiq import Musiq
from measure import Spread, Work, alternate
from setting import Result, arguments, described, environment, measured, photo, write

PACKAGES = ("torch", "pyiqa", "iqsr")
ABOUT = {
    "pyiqa": "IQA-PyTorch's network",
    "iqsr fp32": "the default",
    "iqsr bf16": '`Musiq(precision="bf16")`',
}


@dataclass(frozen=True)
class Load:
    """Pictures that are scored together."""

    title: str
    count: int
    size: tuple[int, int]
    rounds: int
    gradient: bool = False
    """Also the gradient with respect to the pictures, as in a training step."""


FULL = {
    "crops": Load("16 crops of 256 x 256", 16, (256, 256), 3),
    "gradient": Load("4 crops of 256 x 256, with the gradient", 4, (256, 256), 3, gradient=True),
    "picture": Load("A picture of 1024 x 768", 1, (768, 1024), 5),
}
QUICK = {
    "crops": Load("2 crops of 64 x 64", 2, (64, 64), 2),
    "gradient": Load("A crop of 40 x 40, with the gradient", 1, (40, 40), 1, gradient=True),
    "picture": Load("A picture of 64 x 48", 1, (48, 64), 1),
}


def main() -> None:
    args = arguments(__doc__, FULL, "one part anew; the others stay as they are in the results")
    torch.set_num_threads(args.threads)
    networks, loads = contenders(), QUICK if args.quick else FULL
    parts = measured(args, "musiq", {name: partial(measure, networks, load) for name, load in loads.items()})
    results = {"environment": environment(args, PACKAGES), "parts": parts}
    write(results, markdown(results), args.out, "musiq")


def contenders() -> dict[str, nn.Module]:
    from pyiqa.archs.musiq_arch import MUSIQ

    torch.manual_seed(0)
    reference = MUSIQ(pretrained=False).eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pth"
        torch.save(reference.state_dict(), path)
        return {
            "pyiqa": reference,
            "iqsr fp32": Musiq().load(path),
            "iqsr bf16": Musiq(precision="bf16").load(path),
        }


def measure(networks: dict[str, nn.Module], load: Load) -> Result:
    x = pictures(load)
    scores: dict[str, Tensor] = {}
    works: dict[str, Work] = {name: work(network, x, gradient=load.gradient) for name, network in networks.items()}

    def keep(name: str, out: Tensor) -> None:
        scores[name] = out.flatten()

    small = x[:1, :, :64, :64]
    alternate({name: work(network, small, gradient=load.gradient) for name, network in networks.items()}, 1)  # warm up
    seconds = alternate(works, load.rounds, on_output=keep)
    return {
        "title": load.title,
        "pictures": load.count,
        "size": load.size,
        "gradient": load.gradient,
        "spread_of_scores": pstdev(scores["pyiqa"].tolist()),
        "contenders": [
            {
                "name": name,
                "seconds": values,
                "times_as_fast_as_pyiqa": Spread.of_ratios(seconds["pyiqa"], values).plain(),
                "largest_difference_of_scores": float((scores[name] - scores["pyiqa"]).abs().max()),
            }
            for name, values in seconds.items()
        ],
    }


def pictures(load: Load) -> Tensor:
    """Parts of a photo, half of them made worse by noise."""
    height, width = load.size
    large = photo(height + 37 * load.count, width + 53 * load.count)
    crops = [large[..., 37 * i :, 53 * i :][..., :height, :width] for i in range(load.count)]
    x = torch.cat(crops).contiguous()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return (x + 0.1 * noise * (torch.arange(load.count) % 2).view(-1, 1, 1, 1)).clamp(0, 1)


def work(network: nn.Module, x: Tensor, *, gradient: bool) -> Work:
    if not gradient:
        return lambda: network(x)

    def step() -> Tensor:
        with torch.inference_mode(mode=False), torch.enable_grad():
            picture = x.clone().requires_grad_()
            score = network(picture)
            score.sum().backward()
            return score.detach()

    return step


def markdown(results: Result) -> str:
    lines = [
        "To reproduce, on a machine that does nothing else:",
        "`pip install 'iqsr[bench,toolbox]' && python benchmarks/musiq.py`",
        "",
        "# MUSIQ's speed",
        "",
        described(results["environment"]),
        "",
        "All have the same random weights, so scores have no meaning. Times are medians over rounds in which all take "
        "turns; ratios are taken within a round: median (least to most).",
    ]
    for load in results["parts"].values():
        lines += ["", f"## {load['title']}", "", *table(load)]
    return "\n".join(lines) + "\n"


def table(load: Result) -> Iterator[str]:
    yield "| network | what | s | pictures/s | times as fast as pyiqa | largest difference of scores |"
    yield "|---|---|---|---|---|---|"
    for row in load["contenders"]:
        seconds, ratio = median(row["seconds"]), row["times_as_fast_as_pyiqa"]
        times = f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
        end = "1 | reference" if row["name"] == "pyiqa" else f"{times} | {row['largest_difference_of_scores']:.1g}"
        yield f"| {row['name']} | {ABOUT[row['name']]} | {seconds:.2f} | {load['pictures'] / seconds:.1f} | {end} |"
    if load["pictures"] > 1:
        yield ""
        yield f"Standard deviation of pyiqa's scores over these pictures: {load['spread_of_scores']:.2g}."


if __name__ == "__main__":
    main()
