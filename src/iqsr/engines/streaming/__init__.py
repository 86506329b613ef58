"""Exact streaming: a convolutional network run over a picture in bands of rows, without tiles and without seams.

Every convolution keeps the last rows of its input, skips and concatenations keep delay lines. No pixel is computed
twice and none sees an artificial border, so the output equals the untiled forward pass at a memory that grows with
the picture's width only.
"""

from iqsr.engines.streaming.compiler import NotStreamableError, compile_rows
from iqsr.engines.streaming.engine import StreamEngine, winograds_gain
from iqsr.engines.streaming.program import RowProgram
from iqsr.engines.streaming.stream import RowStream

__all__ = [
    "NotStreamableError",
    "RowProgram",
    "RowStream",
    "StreamEngine",
    "compile_rows",
    "winograds_gain",
]
