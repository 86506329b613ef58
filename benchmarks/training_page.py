"""The results of training.py as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from measure import Spread
from setting import Result, described

TITLES = {
    "samplers": "Samplers",
    "adapters": "LoRA against every weight",
    "plain": "iqsr against a plain loop",
    "plain-4": "iqsr against a plain loop, batches of 4",
    "plain-rank-24": "iqsr against a plain loop, at the paper's rank of 24",
    "plain-musiq": "iqsr against a plain loop, with the paper's predictor",
    "plain-musiq-4": "iqsr against a plain loop, with the paper's predictor, batches of 4",
    "memory": "Peak memory",
}


def markdown(results: Result) -> str:
    recipe, parts = results["recipe"], results["parts"]
    lines = [
        "To reproduce, on a machine that does nothing else (about 25 minutes on 2 cores):",
        "`pip install 'iqsr[bench,toolbox,train]' && python benchmarks/training.py`",
        "",
        "# What a training step costs",
        "",
        described(results["environment"]),
        "",
        f"`{recipe['model']['start']}`, {recipe['batch']} patches of {recipe['data']['patch']} px, five ground "
        f"truths each; L1 + {recipe['objective']['perceptual_features']} - lambda_q * srq; LoRA of rank "
        f"{recipe['lora']['rank']} on the dense blocks' convolutions; fp32. Times are medians over rounds in which all "
        "take turns; ratios are taken within a round: median (least to most). All have `iqsr.memory`'s setting, but "
        "for the plain loop's memory.",
    ]
    for name, part in parts.items():
        lines += ["", f"## {TITLES[name]}", "", *(_memory(part) if name == "memory" else _times(part))]
        lines += ["", *_remarks(name, part)]
    return "\n".join(lines).rstrip() + "\n"


def _times(part: Result) -> Iterator[str]:
    first = part["contenders"][0]["name"]
    yield f"| contender | s | its time / {first} |"
    yield "|---|---|---|"
    for row in part["contenders"]:
        ratio = "1" if row["name"] == first else _spread(row["times_the_first"])
        yield f"| {row['name']} | {median(row['seconds']):.2f} | {ratio} |"


def _memory(part: Result) -> Iterator[str]:
    yield "| contender | GB |"
    yield "|---|---|"
    for name, value in part["peak_gb"].items():
        yield f"| {name} | {value:.2f} |"


def _remarks(name: str, part: Result) -> Iterator[str]:
    if name == "samplers":
        scoring = part["scoring"]
        yield (
            "A step includes the making of its batch. UPos chooses among four enhanced versions at random, AMO takes "
            "the best of all five by srq. The grid's scores were made beforehand, once: "
            f"{scoring['seconds']:.1f} s for {scoring['sets']} sets. Aim for the grid: at most 1.03."
        )
    elif name == "memory":
        yield "Of a process with PyTorch and all else that it takes (`ru_maxrss`), three steps, AMO online."
    elif name.startswith("plain"):
        scored = "IQA-PyTorch's MUSIQ, the weights being random" if name.startswith("plain-musiq") else "the same srq"
        yield (
            "The plain loop (`benchmarks/plain_loop.py`) is eager PyTorch in fp32, NCHW, with LoRA by peft, Adam, and "
            f"ground truths scored one by one by {scored}. Both started from the same adapters and learned from the "
            f"same batches; their losses differed by at most {part['largest_difference_of_losses']:.1g} of their size. "
            f"Against AMO on a grid, whose scores are made once, the plain loop took {_plain_by_grid(part)} times as "
            "long. Aim: at least 2."
        )


def _plain_by_grid(part: Result) -> str:
    _, grid, plain = (row["seconds"] for row in part["contenders"])
    return _spread(Spread.of_ratios(plain, grid).plain())


def _spread(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.3f} ({ratio['min']:.3f} to {ratio['max']:.3f})"
