"""The size that a picture is enlarged to, and how many passes of the model that takes."""

from __future__ import annotations

from dataclasses import dataclass

from iqsr.errors import UsageError

LARGEST_SCALE = 16


@dataclass(frozen=True)
class TargetSize:
    """How large a result becomes: a scale, or a width, a height or both; by default the model's own scale.

    Raises:
        UsageError: For a scale outside 1 to 16, sides below 1 pixel, and a scale together with a side.
    """

    scale: float | None = None
    """Result to source, 1 to 16."""
    width: int | None = None
    """In pixels. Of width or height alone, the other follows from the source's proportions."""
    height: int | None = None
    """In pixels."""

    def __post_init__(self) -> None:
        sides = [side for side in (self.width, self.height) if side is not None]
        if self.scale is not None and sides:
            raise UsageError("give either --scale or --width/--height, not both")
        if self.scale is not None and not 1 <= self.scale <= LARGEST_SCALE:
            raise UsageError(f"--scale goes from 1 to {LARGEST_SCALE}, got {self.scale:g}")
        if any(side < 1 for side in sides):
            raise UsageError("--width and --height are at least 1 pixel")

    def size(self, picture: tuple[int, int], model_scale: int) -> tuple[int, int]:
        """The (width, height) of the result in pixels.

        Args:
            picture: (width, height) of the source.
            model_scale: The factor by which the model enlarges.

        Raises:
            UsageError: If a side is more than 16 times that of the source.
        """
        across, down = picture
        if self.width is None and self.height is None:
            scale = model_scale if self.scale is None else self.scale
            return max(1, round(across * scale)), max(1, round(down * scale))
        if self.width is None:
            assert self.height is not None
            size = max(1, round(across * self.height / down)), self.height
        elif self.height is None:
            size = self.width, max(1, round(down * self.width / across))
        else:
            size = self.width, self.height
        ratio = max(size[0] / across, size[1] / down)
        if ratio > LARGEST_SCALE:
            raise UsageError(
                f"{size[0]} x {size[1]} is {ratio:.6g} times the picture's {across} x {down}; "
                f"the most is {LARGEST_SCALE}"
            )
        return size


def passes_for(ratio: float, model_scale: int) -> int:
    """How often a model that enlarges by `model_scale` must run to reach `ratio`; at least once."""
    passes = 1
    while model_scale > 1 and model_scale**passes < ratio - 1e-9:
        passes += 1
    return passes
