"""NIQE's and BRISQUE's speed on the CPU against IQA-PyTorch's, with the same parameters.

    python benchmarks/niqe.py                  # writes benchmarks/results/niqe.md and .json
    python benchmarks/niqe.py --only picture   # measures one part anew: crops, picture
    python benchmarks/niqe.py --quick --out /tmp/quick

Contenders take turns; ratios are taken within a round. Needs `pip install 'iqsr[bench,toolbox]'` and a machine that
does nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from scipy.io import savemat
from torch import Tensor

from iqsr.metrics import load_metric
from measure import Spread, Work, alternate
from setting import Result, arguments, described, environment, measured, photo, write

PACKAGES = ("torch", "pyiqa", "iqsr")
METRICS = ("niqe", "brisque")
Contenders = dict[str, Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class Load:
    """Pictures that are scored together."""

    title: str
    count: int
    size: tuple[int, int]
    rounds: int


FULL = {
    "crops": Load("16 crops of 256 x 256", 16, (256, 256), 3),
    "picture": Load("A picture of 1024 x 768", 1, (768, 1024), 3),
}
QUICK = {
    "crops": Load("2 crops of 192 x 192", 2, (192, 192), 2),
    "picture": Load("A picture of 256 x 192", 1, (192, 256), 1),
}


def main() -> None:
    args = arguments(__doc__, FULL, "one part anew; the others stay as they are in the results")
    torch.set_num_threads(args.threads)
    found, loads = contenders(), QUICK if args.quick else FULL
    parts = measured(args, "niqe", {name: partial(measure, found, load) for name, load in loads.items()})
    results = {"environment": environment(args, PACKAGES), "parts": parts}
    write(results, markdown(results), args.out, "niqe")


def contenders() -> dict[str, Contenders]:
    """For each metric IQA-PyTorch's with iqsr's parameters, then iqsr's."""
    from pyiqa.archs.brisque_arch import BRISQUE
    from pyiqa.archs.niqe_arch import NIQE
    from safetensors.torch import load_file

    import iqsr.metrics

    shipped = Path(iqsr.metrics.__file__).parent
    model, machine = (load_file(shipped / f"{name}.safetensors") for name in METRICS)
    with tempfile.TemporaryDirectory() as folder:
        savemat(f"{folder}/niqe.mat", {f"{name}_prisparam": model[long].numpy() for name, long in NAMES.items()})
        torch.save((machine["coefficients"].float()[:, None], machine["vectors"].float()), f"{folder}/brisque.pth")
        theirs = (
            NIQE(pretrained_model_path=f"{folder}/niqe.mat"),
            BRISQUE(pretrained_model_path=f"{folder}/brisque.pth"),
        )
    return {name: {"pyiqa": one, "iqsr": load_metric(name)} for name, one in zip(METRICS, theirs, strict=True)}


NAMES = {"mu": "mean", "cov": "covariance"}


def measure(metrics: dict[str, Contenders], load: Load) -> Result:
    x = pictures(load)
    rows: list[Result] = []
    for metric, networks in metrics.items():
        works: dict[str, Work] = {name: partial(network, x) for name, network in networks.items()}
        scores: dict[str, Tensor] = {}
        alternate(works, 1, on_output=lambda name, out, scores=scores: scores.update({name: out.float().flatten()}))
        seconds = alternate(works, load.rounds)
        rows.append(
            {
                "metric": metric,
                "seconds": seconds,
                "times_as_fast_as_pyiqa": Spread.of_ratios(seconds["pyiqa"], seconds["iqsr"]).plain(),
                "largest_difference_of_scores": float((scores["iqsr"] - scores["pyiqa"]).abs().max()),
            }
        )
    return {"title": load.title, "pictures": load.count, "size": load.size, "metrics": rows}


def pictures(load: Load) -> Tensor:
    """Parts of a photo with a little noise, so that no area is plain."""
    height, width = load.size
    large = photo(height + 37 * load.count, width + 53 * load.count)
    x = torch.cat([large[..., 37 * i :, 53 * i :][..., :height, :width] for i in range(load.count)])
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return ((255 * (x + 0.02 * noise)).round() / 255).clamp(0, 1).contiguous()


def markdown(results: Result) -> str:
    lines = [
        "To reproduce, on a machine that does nothing else:",
        "`pip install 'iqsr[bench,toolbox]' && python benchmarks/niqe.py`",
        "",
        "# NIQE's and BRISQUE's speed",
        "",
        described(results["environment"]),
        "",
        "Times are medians over rounds in which both take turns; ratios are taken within a round: median (least to "
        "most). Both have the same parameters. IQA-PyTorch computes NIQE in float64 and BRISQUE in float32, "
        "iqsr both in float64.",
    ]
    for load in results["parts"].values():
        lines += ["", f"## {load['title']}", "", *table(load)]
    return "\n".join(lines) + "\n"


def table(load: Result) -> Iterator[str]:
    yield "| metric | IQA-PyTorch, s | iqsr, s | times as fast | largest difference of scores |"
    yield "|---|---|---|---|---|"
    for row in load["metrics"]:
        theirs, ours = (median(row["seconds"][name]) for name in ("pyiqa", "iqsr"))
        ratio = row["times_as_fast_as_pyiqa"]
        times = f"{ratio['median']:.1f} ({ratio['min']:.1f} to {ratio['max']:.1f})"
        yield f"| {row['metric']} | {theirs:.3f} | {ours:.3f} | {times} | {row['largest_difference_of_scores']:.1g} |"


if __name__ == "__main__":
    main()
