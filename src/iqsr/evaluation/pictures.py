"""The outputs of models: one PNG an item, made once and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from iqsr._version import __version__
from iqsr.datasets.evaluation_set import EvaluationItem
from iqsr.errors import IqsrError, UsageError
from iqsr.evaluation.contestants import Contestant, load_network
from iqsr.evaluation.made_files import MadeFiles
from iqsr.evaluation.problems import Problems
from iqsr.scoring import content_hash

if TYPE_CHECKING:
    from iqsr.upscaling.upscaler import Upscaler

OnProgress = Callable[[str, int, int], None]
"""Called with what is done (`pictures of bicubic`), how many are done, and of how many."""


def with_pictures(
    contestant: Contestant,
    items: Sequence[EvaluationItem],
    scale: int,
    folder: Path,
    problems: Problems,
    *,
    precision: str = "fp32",
    device: str = "cpu",
    on_progress: OnProgress = lambda what, done, total: None,
) -> Contestant:
    """The model with its outputs, in `folder`; those of its weights and of these inputs that are there are kept.

    scale: by how much outputs are larger than inputs. A network of another factor is a problem, and has no pictures:
    nothing is resized. Items without an input, or for which the network fails, are problems.
    """
    if contestant.kind not in ("bicubic", "network"):
        return contestant
    made, found = MadeFiles(folder), dict[str, Path]()
    enlarge = _enlarger(contestant, scale, precision, device)
    for done, item in enumerate(items):
        out = folder / f"{item.name}.png"
        if item.lr is None:
            problems.add(
                f"'{item.name}' has no input: {contestant.name} makes no picture of it",
                model=contestant.name,
                image=item.name,
            )
            continue
        try:
            of = (
                f"{contestant.model_sha256 or contestant.source} x{scale} {precision} of {content_hash(item.lr)} "
                f"by iqsr {__version__}"
            )
            if not made.has(out.name, of):
                enlarge(item.lr, out)
                made.add(out.name, of)
            found[item.name] = out
        except WrongScaleError as error:
            problems.add(error, model=contestant.name)
            break
        except IqsrError as error:
            problems.add(
                f"{contestant.name} makes no picture of '{item.name}': {error}", model=contestant.name, image=item.name
            )
        on_progress(f"pictures of {contestant.name}", done + 1, len(items))
    made.close()
    return replace(contestant, pictures=found)


class WrongScaleError(UsageError):
    """A network enlarges by another factor than the set asks for."""


def _enlarger(contestant: Contestant, scale: int, precision: str, device: str) -> Callable[[Path, Path], None]:
    """Writes the output for an input. The network is loaded when it is first needed."""
    if contestant.kind == "bicubic":
        return lambda lr, out: write_bicubic(lr, out, scale)
    ready: list[Upscaler] = []

    def enlarge(lr: Path, out: Path) -> None:
        from iqsr.upscaling.upscaler import Upscaler

        if not ready:
            network = load_network(contestant.source)
            if network.scale != scale:
                raise WrongScaleError(
                    f"{contestant.name} enlarges {network.scale} times, the set needs {scale}: it is left out"
                )
            ready.append(Upscaler(network, precision=precision, device=device))
        ready[0].upscale_file(lr, out)

    return enlarge


def write_bicubic(lr: Path, out: Path, scale: int) -> None:
    """Enlarge a file by bicubic interpolation with a = -0.5, as Pillow and MATLAB; a PNG of 8 bits."""
    import torch.nn.functional as F

    from iqsr.evaluation.sets import write_png
    from iqsr.images import read_rgb

    x = read_rgb(lr)
    size = (x.shape[2] * scale, x.shape[3] * scale)
    write_png(F.interpolate(x.contiguous(), size, mode="bicubic", antialias=True), out)
