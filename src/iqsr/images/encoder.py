"""Feed rows from Python to an encoder in libvips: as an uncompressed PNG through a pipe.

The libvips that pip installs reads no PNM, so the simplest format that it reads from a pipe is PNG with
stored (not deflated) rows, which costs two checksums. A pipe, and not a Python callback, because then no
thread of the encoder ever waits for the interpreter's lock.
"""

import os
import queue
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pyvips

from iqsr.errors import PictureError
from iqsr.images import vips

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_SAMPLES = 1 << 20
_BLOCKS_WAITING = 8


class PngRows:
    """Packs the rows of a picture as an uncompressed PNG. bands: 1 (gray) or 3 (RGB); depth: 8 or 16 bits."""

    def __init__(self, width: int, height: int, *, bands: int, depth: int) -> None:
        self.width, self.height = width, height
        self.bands, self.depth = bands, depth

    def blocks(self, bands: "Iterable[Tensor]") -> Iterator[bytes]:
        """Yield the PNG in blocks of a few MB. bands: (1, 3, any height, width); ValueError for other sizes."""
        colour = 0 if self.bands == 1 else 2
        header = struct.pack(">IIBBBBB", self.width, self.height, self.depth, colour, 0, 0, 0)
        yield b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)
        pack = zlib.compressobj(level=0)
        rows = 0
        for band in bands:
            rows += band.shape[2]
            if band.shape[3] != self.width or rows > self.height:
                raise ValueError(f"expected {self.height} rows of {self.width}, got {rows} of {band.shape[3]}")
            for piece in band.split(max(1, _BLOCK_SAMPLES // (3 * self.width)), dim=2):
                yield _chunk(b"IDAT", pack.compress(self._scanlines(piece)))
        if rows < self.height:
            raise ValueError(f"expected {self.height} rows, got only {rows}")
        yield _chunk(b"IDAT", pack.flush()) + _chunk(b"IEND", b"")

    def _scanlines(self, band: "Tensor") -> bytes:
        """The samples of a band: clamped, rounded half up, with a zero byte (filter type "none") before every row."""
        import numpy as np

        values = band[0].detach().float()
        if self.bands == 1:
            values = values.mean(0, keepdim=True)
        one = 65535 if self.depth == 16 else 255
        values = values.clamp(0, 1).mul(one).add(0.5).permute(1, 2, 0).cpu().numpy()
        samples = np.ascontiguousarray(values.astype(">u2" if self.depth == 16 else np.uint8))
        octets = samples.reshape(len(samples), -1).view(np.uint8)
        rows = np.zeros((len(octets), 1 + octets.shape[1]), np.uint8)
        rows[:, 1:] = octets
        return rows.tobytes()


class EncoderThreads:
    """Runs an encoder in a thread while the caller sends it blocks of bytes.

    A short queue holds the blocks, one thread writes them into a pipe, another one runs `encode(descriptor)`, which
    reads the pipe to its end. When the encoder ends early, its thread empties the pipe, so neither the writing thread
    nor `send` waits for ever, and the next call raises the encoder's error.
    """

    def __init__(self, out: Path, encode: Callable[[int], None]) -> None:
        self._out, self._encode = out, encode
        self._read_end, self._write_end = os.pipe()
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_BLOCKS_WAITING)
        self._failure: str | None = None
        self._abandoned = False
        # Daemons: an interrupt must never keep the process from ending.
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._run, self._feed)]

    def __enter__(self) -> "EncoderThreads":
        for thread in self._threads:
            thread.start()
        return self

    def send(self, block: bytes) -> None:
        """Queue a block; waits while the queue is full. PictureError if the encoder has failed."""
        self._raise_failure()
        self._waiting.put(block)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._abandoned = kind is not None
        self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        if kind is None:
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise PictureError(f"cannot write '{self._out}': {self._failure}")

    def _feed(self) -> None:
        try:
            while (block := self._waiting.get()) is not None:
                rest = memoryview(block)
                while rest and not self._abandoned and self._failure is None:
                    rest = rest[os.write(self._write_end, rest) :]
        finally:
            os.close(self._write_end)

    def _run(self) -> None:
        failure: str | None = "the encoder stopped unexpectedly"
        try:
            self._encode(self._read_end)
            failure = None
        except pyvips.Error as error:
            failure = vips.reason(error)
        except PictureError as error:
            failure = str(error)
        except OSError as error:
            failure = error.strerror or str(error)
        finally:
            self._failure = failure
            while os.read(self._read_end, 1 << 20):
                pass
            os.close(self._read_end)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
