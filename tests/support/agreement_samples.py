"""People's labels for five sets with a metric's scores, whose misalignment is known; pictures of known noise."""

import numpy as np
from PIL import Image

ORIGINAL, POSITIVE, SIMILAR, NEGATIVE = _O, _P, _S, _N = 0, 1, 2, 3
LABELS = np.array(
    [
        [_O, _P, _P, _S, _N],
        [_O, _P, _S, _S, _N],
        [_O, _S, _S, _S, _S],
        [_O, _N, _N, _S, _S],
        [_O, _P, _P, _P, _P],
    ],
    np.int8,
)
QUALITY = np.array(
    [
        [3, 5, 4, 4.5, 1],  # 4.5 (similar) above 4 (positive): misaligned; the negative is last
        [1, 9, 2, 3, 10],  # the negative is above all
        [1, 2, 3, 4, 5],  # nothing positive or negative
        [2, 3, 1, 4, 0],  # a negative (3) above a similar (0), but below another (4)
        [1, 2, 2, 1, 3],  # the original ties with a positive
    ]
)


def save_noise(path: str, sigma: float, size: int = 64) -> None:
    """`laplacian` grows with sigma: it takes noise for detail."""
    values = 128 + sigma * np.random.default_rng(0).normal(size=(size, size, 3))
    Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(path)
