"""Exact streaming: a convolutional network runs over a picture in bands of rows, without tiles and without seams.

Every convolution keeps the last rows of its input; skips and concatenations keep delay lines. No pixel is computed
twice and none sees an artificial border. So the output equals the untiled forward pass, and memory grows with the
picture's width only.

Words that the modules of this package share:

| word | meaning |
|---|---|
| row | one row of pixels, with all columns and channels |
| band | consecutive rows over the whole width; what goes through the network at one time |
| strip | consecutive columns over the whole height; very wide pictures are computed strip by strip |
| stage | one operation of the network and the changes to its result in place (`program.ProgramStage`) |
| value | what a stage makes, or the picture; other stages read it (`program.Value`) |
| program | the network as stages in order (`program.RowProgram`) |
| trunk | the stages before the first change of size; they may run in a faster way of their own |
| head | the stages after the trunk |
| stack | values that convolutions read together, in one array (`iqsr.kernels.stacks`) |
| Winograd tile | 4x4 pixels (`iqsr.kernels.winograd`) |
| wavefront | bands follow one another through the trunk, each a level behind the one above it (`wavefront`) |
| level | the stages that a band passes in one step of the wavefront |
"""

from iqsr.engines.streaming.compiler import NotStreamableError, compile_rows
from iqsr.engines.streaming.engine import StreamEngine, winograd_gain
from iqsr.engines.streaming.program import RowProgram
from iqsr.engines.streaming.stream import RowStream

__all__ = [
    "NotStreamableError",
    "RowProgram",
    "RowStream",
    "StreamEngine",
    "compile_rows",
    "winograd_gain",
]
