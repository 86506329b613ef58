"""Files damaged at random, as disks, transfers and other programs damage them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_HEAD = 1024
"""Bytes at the beginning of a file, where most of what says how to read it is. Half of all damage is there."""
_NUMBERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\1\0\0", b"\x80\0\0\0")


def cut_short(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data))]


def bits_flipped(data: bytes, rng: Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 16)):
        damaged[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def bytes_replaced(data: bytes, rng: Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        damaged[_place(data, rng)] = rng.randrange(256)
    return bytes(damaged)


def zeroed(data: bytes, rng: Random) -> bytes:
    first = _place(data, rng)
    last = min(len(data), first + rng.randint(1, 4096))
    return data[:first] + bytes(last - first) + data[last:]


def repeated(data: bytes, rng: Random) -> bytes:
    first = _place(data, rng)
    last = min(len(data), first + rng.randint(1, 512))
    return data[:last] + data[first:]


def number_replaced(data: bytes, rng: Random) -> bytes:
    """Another length, offset or count."""
    at = _place(data, rng)
    return data[:at] + rng.choice(_NUMBERS) + data[at + 4 :]


MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    cut_short, bits_flipped, bytes_replaced, zeroed, repeated, number_replaced,
)  # fmt: skip


def mutated(data: bytes, rng: Random) -> tuple[str, bytes]:
    """One of the mutations: its name, and what it makes of the file."""
    mutation = rng.choice(MUTATIONS)
    return mutation.__name__, mutation(data, rng)


def _place(data: bytes, rng: Random) -> int:
    return rng.randrange(min(_HEAD, len(data)) if rng.random() < 0.5 else len(data))
