"""Bytes that this process's network namespace has sent, as the kernel counts them on an interface."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_ROUTES = Path("/proc/self/net/route")
_COUNTS = Path("/proc/self/net/dev")
_SENT = 8
"""Place of the bytes sent among an interface's counts."""


def interface_to(address: str) -> str:
    """Interface over which an address "host:port" is reached, "" where the host is no IPv4 number or here."""
    try:
        (host,) = struct.unpack("=I", socket.inet_aton(address.rpartition(":")[0]))
        lines = [line.split() for line in _ROUTES.read_text().splitlines()[1:]]
    except OSError:
        return ""
    routes = [(int(f[7], 16), f[0]) for f in lines if host & int(f[7], 16) == int(f[1], 16)]
    return max(routes, key=lambda route: route[0].bit_count())[1] if routes else ""


def sent_byte(interface: str) -> int:
    """Bytes sent over an interface so far, headers included [byte]; 0 where it is not known."""
    if not interface:
        return 0
    for line in _COUNTS.read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == interface:
            return int(counts.split()[_SENT])
    return 0
