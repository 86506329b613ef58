"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from setting import Result, described

_HOW = [
    "To reproduce, on a machine that does nothing else (2 cores: some 20 minutes):",
    "`pip install 'iqsr[bench]' && python benchmarks/upscale.py`",
]
_MEASURE = (
    "Times are medians over rounds in which all contenders take turns. Ratios are taken within a round: median "
    "(least to most). dB and the largest difference (of 255) are to torch's untiled fp32 output."
)
_LIMIT = """\
How close to the matrix products: the time that `torch.mm` ({side} x {side}, its turn comes next to iqsr's in every \
round) would take for the FLOPs of the plain network, as `torch.utils.flop_counter` counts them, over the time taken. \
1 is as fast as matrix products; the aim is 0.9."""
_LESS = """\
 iqsr does only {done:.1%} of these FLOPs: a convolution behind a nearest x2 enlargement is computed at the small size \
(EnlargeConvolve), and in fp32 Winograd's convolutions multiply less, so that the share can exceed 1."""


def markdown(results: Result) -> str:
    """All parts that `results` has."""
    lines = [*_HOW, "", "# Upscaling speed", "", described(results["environment"]), "", _MEASURE, ""]
    for part, title in (("rrdbnet", "RRDBNet x4"), ("compact", "Compact x4")):
        if part in results:
            lines += [f"## {title}", "", *_side_by_side(results[part]), ""]
    if "tall" in results:
        lines += ["## Tall pictures: streaming, untiled, tiles", ""]
        for part in results["tall"].values():
            lines += [*_tall(part), ""]
    if "scaling" in results:
        lines += ["## Time against input size", ""]
        for part in results["scaling"].values():
            lines += [*_scaling(part), ""]
    if "busy" in results:
        lines += ["## Busy machines", "", *_busy(results["busy"])]
    return "\n".join(lines).rstrip() + "\n"


def _side_by_side(part: Result) -> Iterator[str]:
    height, width = part["picture"]
    yield f"`{part['model']}`, picture of {width} x {height}, {part['flops'] / 1e9:.0f} GFLOP."
    yield ""
    yield from _contenders(part["contenders"], "iqsr")
    yield ""
    done = part["share_of_flops_that_iqsr_does"]
    yield _LIMIT.format(side=part["gemm_side"]) + (_LESS.format(done=done) if done < 0.999 else "")
    yield ""
    yield "| contender | GFLOP/s of matrix products | share reached |"
    yield "|---|---|---|"
    for share in part["share_of_gemm_rate"]:
        rate = median(part["gemm_flops_per_second"][share["precision"]]) / 1e9
        yield f"| {share['name']} | {rate:.0f} ({share['precision']}) | {_spread(share)} |"
    yield ""
    yield _ceiling(part)


def _ceiling(part: Result) -> str:
    """What the machine allows to anybody who multiplies as often as the network says."""
    eager, flops = part["contenders"][0], part["flops"]
    times = {
        name: median(eager["seconds"]) * median(rates) / flops for name, rates in part["gemm_flops_per_second"].items()
    }
    bounds = " and ".join(f"{value:.2f} ({name})" for name, value in times.items())
    return (
        f"The ceiling: direct convolutions at the full speed of these products would be {bounds} times as fast as "
        f"{eager['name']}."
    )


def _tall(part: Result) -> Iterator[str]:
    height, width = part["picture"]
    yield f"`{part['model']}`, picture of {width} x {height}. torch eager fp32 and tiles fp32 ran once."
    yield ""
    yield from _contenders(part["contenders"], "streaming")
    yield ""
    yield (
        "Streaming against untiled (time per row; lower is better) and against the matrix products (higher is better). "
        "Steady state is from the first band that comes out, when the delay lines are full, to the last that goes in."
    )
    yield ""
    yield "| streaming | whole call | steady state |"
    yield "|---|---|---|"
    for name, whole in part["whole"].items():
        yield f"| its time / {name} | {_spread(whole)} | {_spread(part['steady'][name])} |"
    whole, steady = (_spread(part["share_of_gemm_rate"][kind]) for kind in ("whole", "steady"))
    yield f"| share of the {part['precision']} matrix products | {whole} | {steady} |"


def _scaling(part: Result) -> Iterator[str]:
    yield (
        f"`{part['model']}`, `Upscaler().upscale` on square tensors: time grows with the input's pixels to the power "
        f"of **{part['exponent']:.3f}** (aim: 1.00 +/- .05). No time is more than {part['largest_deviation']:.1%} off "
        "the fitted line."
    )
    yield ""
    yield "| megapixels in | s | s / megapixel |"
    yield "|---|---|---|"
    for size, seconds in zip(part["megapixels"], part["seconds"], strict=True):
        yield f"| {size:g} | {median(seconds):.2f} | {median(seconds) / size:.2f} |"


def _busy(part: Result) -> Iterator[str]:
    height, width = part["picture"]
    yield (
        f"How threads wait for each other: `{part['model']}`, picture of {width} x {height}, alone and beside "
        f"{part['neighbours']} processes that compute without end. Each way is a process of its own; all take turns."
    )
    yield ""
    yield "| threads wait | how | idle, s | its time / bounded | busy, s | its time / bounded |"
    yield "|---|---|---|---|---|---|"
    for idle, busy in zip(part["idle"], part["busy"], strict=True):
        cells = [
            cell for row in (idle, busy) for cell in (f"{median(row['seconds']):.2f}", _spread(row["times_bounded"]))
        ]
        yield f"| {idle['name']} | {idle['about']} | {' | '.join(cells)} |"


def _contenders(rows: list[Result], ours: str) -> Iterator[str]:
    yield f"| contender | what | s | its time / {ours} | dB | largest difference |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        mine = row["name"] == ours
        name = f"**{ours}**" if mine else row["name"]
        ratio = "1" if mine else _spread(row[f"times_{ours}"])
        far = "reference | " if row is rows[0] else _difference(row)
        yield f"| {name} | {row['about']} | {median(row['seconds']):.2f} | {ratio} | {far} |"


def _difference(row: Result) -> str:
    decibels = row["decibels_to_fp32"]
    return f"{f'{decibels:.1f}' if decibels < 100 else '> 100'} | {255 * row['largest_difference']:.2g}"


def _spread(value: dict[str, float]) -> str:
    if value["min"] == value["max"]:  # one round
        return f"{value['median']:.2f}"
    return f"{value['median']:.2f} ({value['min']:.2f} to {value['max']:.2f})"
