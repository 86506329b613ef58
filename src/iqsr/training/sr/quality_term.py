"""Q of `-lambda_q * Q`: predicted quality as something to optimise, one metric or several."""

from collections.abc import Mapping

from torch import Tensor, nn

from iqsr.errors import UsageError
from iqsr.metrics import card, load_metric, metric_names
from iqsr.metrics.metric import Metric


class QualityTerm(nn.Module):
    """(N, 3, H, W), not clamped -> (N,), higher is better, on a scale of 0 to 100.

    shares: weights by name, of metrics without reference that are differentiable and of bounded range; those of 0 are
    left out, the rest is scaled to add up to 1. Each metric is turned so that more is better, and its card's range is
    spread over 0 to 100; srq and MUSIQ stay as they are, so that the paper's lambda_q of 0.05 means the same.

    Pictures are clamped to [0, 1] first, as a file would: what lies outside of it gains nothing and gets no gradient.
    UsageError for a metric that cannot be used.
    """

    def __init__(self, shares: Mapping[str, float], *, device: str = "cpu") -> None:
        super().__init__()
        used = {name: share for name, share in shares.items() if share != 0}
        if not used or min(used.values()) < 0:
            raise UsageError(f"the quality needs shares above 0, got {dict(shares)}")
        for name in used:
            _check_usable(name)
        self.metrics = nn.ModuleDict({name: load_metric(name, device=device) for name in used})
        self.shares = {name: share / sum(used.values()) for name, share in used.items()}

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = x.float().clamp(0, 1)
        terms = [self.shares[name] * _on_hundred(metric, x) for name, metric in self.metrics.items()]  # pyright: ignore[reportArgumentType]
        return sum(terms, x.new_zeros(len(x)))


def _on_hundred(metric: Metric, x: Tensor) -> Tensor:
    return metric.card.on_hundred(metric.unchecked(x))


def _check_usable(name: str) -> None:
    if _is_usable(name):
        return
    raise UsageError(
        f"'{name}' cannot be optimised for: it takes a differentiable metric without reference, of bounded range: "
        + ", ".join(n for n in metric_names() if _is_usable(n))
    )


def _is_usable(name: str) -> bool:
    facts = card(name)
    return facts.reference == "none" and facts.differentiable and facts.is_bounded
