"""How often a client may ask: token buckets, kept in memory for the clients that were here last."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

_REMEMBERED = 20_000
"""Clients. Those that were not here for the longest are forgotten first."""


@dataclass(frozen=True)
class Rate:
    """So many requests at once, and so many a second in the long run."""

    burst: float
    per_second: float


@dataclass(frozen=True)
class Limits:
    """What one client and one link may do. A laboratory's raters share an address, so clients may do a lot."""

    client: Rate = Rate(burst=2000, per_second=200)
    link: Rate = Rate(burst=120, per_second=20)
    unknown_links: Rate = Rate(burst=20, per_second=0.2)
    """Links that do not exist, by client. More of them get no answer on whether they exist."""
    joins: Rate = Rate(burst=60, per_second=0.2)
    """Seats that the open link hands out, by client."""
    admin_tokens: Rate = Rate(burst=5, per_second=0.1)
    """Wrong admin tokens, by client."""
    body_bytes: int = 64 * 1024
    body_seconds: float = 10.0
    """From the end of the headers to the end of the body."""


class Buckets:
    """One bucket a client."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> bool:
        """Count a request. Returns False where the client asks too often."""
        with self._lock:
            level = self._level(client)
            allowed = level >= 1
            self._levels[client] = (level - 1 if allowed else level, time.monotonic())
            self._levels.move_to_end(client)
            if len(self._levels) > _REMEMBERED:
                self._levels.popitem(last=False)
            return allowed

    def has(self, client: str) -> bool:
        """Whether the next request would be allowed."""
        with self._lock:
            return self._level(client) >= 1

    def _level(self, client: str) -> float:
        level, since = self._levels.get(client, (self._rate.burst, time.monotonic()))
        return min(self._rate.burst, level + (time.monotonic() - since) * self._rate.per_second)


def client_name(address: str) -> str:
    """What counts as one client: an IPv4 address, or the 64 bits of IPv6 that one line has."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
