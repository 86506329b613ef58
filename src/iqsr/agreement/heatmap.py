"""The complementarity matrix as a picture."""

from pathlib import Path

import numpy as np

from iqsr.agreement.accuracy import Agreement

_CELL_INCHES = 0.52


def write_heatmap(agreement: Agreement, path: Path) -> None:
    """A PNG: rows are the metrics that err, with the number of pairs; columns those that are asked instead.

    Both in order of accuracy, the best first. Colours turn at 50 %, where asking is as good as a coin. Needs two
    metrics or more.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = agreement.ranking
    percent = np.array([[_percent(agreement, a, b) for b in names] for a in names])
    side = _CELL_INCHES * len(names)
    figure = Figure(figsize=(side + 4.2, side + 2.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    colours = mpl.colormaps["PuOr"].with_extremes(bad="0.85")
    image = axes.imshow(np.ma.masked_invalid(percent), cmap=colours, vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), [f"{a}  ({_wrong(agreement, a):,})" for a in names])
    axes.set_xlabel("metric asked instead")
    axes.set_ylabel("metric that is wrong  (pairs)")
    axes.set_title("Accuracy (%) on the pairs\nthat another metric gets wrong", fontsize="medium")
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(percent):
        text = "–" if np.isnan(value) else f"{value:.0f}"
        colour = "white" if _is_dark(colours(value / 100)) else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    figure.colorbar(image, ax=axes, shrink=min(1.0, 3 / side), label="accuracy (%)")
    # No name of the writer, no time: the same figures make the same file.
    figure.savefig(path, format="png", bbox_inches="tight", pad_inches=0.15, metadata={"Software": None})


def _is_dark(colour: tuple[float, float, float, float]) -> bool:
    """Whether white is easier to read on it than black (BT.709 luma of an RGBA colour)."""
    red, green, blue, _ = colour
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.53


def _percent(agreement: Agreement, a: str, b: str) -> float:
    return float("nan") if a == b else 100 * agreement.complementarity[a, b].value


def _wrong(agreement: Agreement, a: str) -> int:
    """On how many pairs `a` is wrong."""
    found = agreement.accuracy[a]
    return found.n - found.hits - found.ties
