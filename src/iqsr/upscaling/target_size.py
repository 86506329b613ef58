"""How large a picture shall become, and how many passes of a network that takes."""

from __future__ import annotations

from dataclasses import dataclass

from iqsr.errors import UsageError

LARGEST_SCALE = 16


@dataclass(frozen=True)
class TargetSize:
    """A factor, or a width, a height or both in pixels; nothing means the network's own factor.

    Raises UsageError for wishes that no picture can fulfil.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        sides = [side for side in (self.width, self.height) if side is not None]
        if self.scale is not None and sides:
            raise UsageError("give either --scale or --width/--height, not both")
        if self.scale is not None and not 1 <= self.scale <= LARGEST_SCALE:
            raise UsageError(f"--scale goes from 1 to {LARGEST_SCALE}, got {self.scale:g}")
        if any(side < 1 for side in sides):
            raise UsageError("--width and --height are at least 1 pixel")

    def size(self, picture: tuple[int, int], native: int) -> tuple[int, int]:
        """(width, height) for a picture of this (width, height) and a network that enlarges by `native`.

        Raises UsageError if that is more than 16 times the picture.
        """
        across, down = picture
        if self.width is None and self.height is None:
            scale = native if self.scale is None else self.scale
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


def passes_for(ratio: float, native: int) -> int:
    """How often a network that enlarges by `native` must run to reach `ratio`; at least once."""
    passes = 1
    while native > 1 and native**passes < ratio - 1e-9:
        passes += 1
    return passes
