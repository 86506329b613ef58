"""Metrics computed by IQA-PyTorch (`pyiqa`), for those that iqsr does not compute itself.

pyiqa is licensed PolyForm Noncommercial 1.0.0 and is not installed with iqsr: `pip install 'iqsr[toolbox]'`. It is
imported when the first of its metrics is loaded. It fetches weights by itself, into torch.hub's folder; each file has
its authors' licence. The files are pickles. They are read with `weights_only`, so nothing in them is executed.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Generator
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from iqsr.errors import ModelError, UsageError, WeightsError
from iqsr.metrics.card import MetricCard
from iqsr.metrics.requirements import is_downloaded, torch_hub


class ToolboxMetric(nn.Module):
    """One of pyiqa's metrics: pictures, and references of the same shape where it compares, to (N,).

    ModelError where pyiqa gives no finite value.

    A picture of one colour has no statistics, and pyiqa's formulas then divide by 0: it gets the worst value of the
    card's range, as `piqe` gives to gray ones.
    """

    def __init__(self, card: MetricCard, network: nn.Module) -> None:
        super().__init__()
        self.card = card
        self.network = network

    def forward(self, x: Tensor, reference: Tensor | None = None) -> Tensor:
        """x: (N, 3, H, W) in [0, 1], reference: the same shape. Returns (N,); direction and range are on the card."""
        given = (x,) if reference is None else (x, reference)
        # pyiqa turns gradients on by itself where a metric is to be a loss; a detached picture keeps them off.
        pictures = given if torch.is_grad_enabled() else tuple(one.detach() for one in given)
        # Those without gradients are also those that take pictures one by one, or that are exact only so.
        together = self.card.differentiable
        batches = [pictures] if together else list(zip(*(one.split(1) for one in pictures), strict=True))
        values = torch.cat([self._values(*batch) for batch in batches])
        return self._finite(values, x)

    def _values(self, x: Tensor, *reference: Tensor) -> Tensor:
        values: Any = self.network(x, *reference)
        values = torch.as_tensor(values, device=x.device).flatten()
        if len(values) != len(x):
            raise ModelError(f"{self.card.name}: pyiqa gave {len(values)} values for {len(x)} pictures")
        return values

    def _finite(self, values: Tensor, x: Tensor) -> Tensor:
        broken = ~values.isfinite()
        if not broken.any():
            return values
        flat = x.flatten(2).std(2).amax(1) == 0
        if (broken & ~flat).any():
            raise ModelError(f"{self.card.name}: pyiqa found no value for a picture of {x.shape[3]}x{x.shape[2]}")
        return torch.where(broken, self.card.range[0 if self.card.higher_is_better else 1], values)


def load_from_toolbox(card: MetricCard, device: str) -> ToolboxMetric:
    """pyiqa's metric of that name, frozen.

    Raises UsageError where pyiqa is not installed or does not know the metric, WeightsError where files that it
    would download are neither here nor reachable, ModelError where it disagrees with the card on the direction.
    """
    try:
        from pyiqa.default_model_configs import DEFAULT_CONFIGS
    except ImportError as error:
        raise UsageError(f"the metric '{card.name}' needs pyiqa: pip install 'iqsr[toolbox]' ({error})") from error
    if card.name not in DEFAULT_CONFIGS:
        raise UsageError(f"this version of pyiqa has no '{card.name}': pip install --upgrade pyiqa")
    missing = [file for file in card.downloads if not is_downloaded(file)]
    if missing:
        _check_source(card.name, missing)
    network = _create(card, device, missing)
    check_direction(card, lower_is_better=network.lower_better)
    return ToolboxMetric(card, network)


def check_direction(card: MetricCard, *, lower_is_better: bool) -> None:
    """Raise ModelError if pyiqa's direction differs from the card's."""
    if lower_is_better is card.higher_is_better:
        raise ModelError(f"{card.name}: pyiqa and iqsr disagree on whether higher is better")


def _check_source(name: str, missing: list[str]) -> None:
    """Try the server once, briefly: pyiqa would try for minutes."""
    from iqsr.io.download import check_reachable

    try:
        check_reachable(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    except WeightsError as error:
        files = " and ".join(file.removeprefix("hf:") for file in missing)
        raise WeightsError(
            f"{name}: pyiqa has to download {files}, but {error}; use it once with internet, or copy the folder "
            f"{torch_hub()} from a machine that has"
        ) from error


def _create(card: MetricCard, device: str, missing: list[str]) -> Any:
    import pyiqa

    try:
        with contextlib.redirect_stdout(sys.stderr), _quiet(), _tensors_only():
            return pyiqa.create_metric(
                card.name,
                as_loss=card.differentiable,
                loss_reduction="none",
                check_input_range=False,
                device=torch.device(device),
            )
    except Exception as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        if isinstance(error, UnpicklingError) and "GLOBAL" in str(error):  # else it is damaged
            raise WeightsError(
                f"{card.name}: a weight file of pyiqa in {torch_hub()} holds more than tensors, which could run code; "
                "it is not read: remove it, so that it is downloaded again"
            ) from error
        if missing:
            raise WeightsError(f"{card.name}: pyiqa could not download {', '.join(missing)} ({why})") from error
        raise ModelError(f"{card.name}: pyiqa could not load it ({why})") from error


@contextlib.contextmanager
def _tensors_only() -> Generator[None]:
    """Let torch.load read with `weights_only`, also where pyiqa asks for the opposite."""
    names = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ[names[0]] = "1"
    try:
        yield
    finally:
        del os.environ[names[0]]
        os.environ |= {name: value for name, value in before.items() if value is not None}


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Suppress the lines that pyiqa logs for every metric that it makes."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
