"""Network namespaces, one for all edges and one for each device, and a shaped link between each device and the edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.kernel.commands import command, command_json
from megdt_opt.timing.shaped import burst_byte

PREFIX = "megdt-"
"""Names of all namespaces begin with it, so that left ones are known."""

EDGE = f"{PREFIX}edge"
EDGE_HOST = "10.81.255.1"
"""Address of every edge actor: at the loopback of their namespace, behind every device's link."""

LIMIT_BYTE = 4_000_000
"""Queue of a shaped link [byte]."""

MOST_DEVICES = 250
"""One network 10.81.k.0/24 for each."""


@dataclass(frozen=True)
class _Ends:
    """Namespace and interface of a direction's sender."""

    namespace: str
    interface: str


class Links:
    """The network of a world. `make` and `remove` pair up.

    Parameters
    ----------
    devices : sequence of str
        One link for each.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        if len(devices) > MOST_DEVICES:
            raise InvalidInput("devices", len(devices), f"at most {MOST_DEVICES}", "Execute fewer users.")
        self._number = {device: k for k, device in enumerate(devices)}

    def make(self) -> None:
        """Namespaces, interfaces and addresses; nothing is shaped yet."""
        command("ip", "netns", "add", EDGE)
        command("ip", "-n", EDGE, "link", "set", "lo", "up")
        command("ip", "-n", EDGE, "addr", "add", f"{EDGE_HOST}/32", "dev", "lo")
        for k in self._number.values():
            own, far, net = f"{PREFIX}{k}", f"d{k}", f"10.81.{k}"
            command("ip", "netns", "add", own)
            command("ip", "-n", own, "link", "set", "lo", "up")
            peer = ("peer", "name", far, "netns", EDGE)
            command("ip", "link", "add", "name", "air", "netns", own, "type", "veth", *peer)
            command("ip", "-n", own, "addr", "add", f"{net}.2/24", "dev", "air")
            command("ip", "-n", EDGE, "addr", "add", f"{net}.1/24", "dev", far)
            command("ip", "-n", own, "link", "set", "air", "up")
            command("ip", "-n", EDGE, "link", "set", far, "up")
            command("ip", "-n", own, "route", "add", f"{EDGE_HOST}/32", "via", f"{net}.1")

    def namespace(self, actor: str) -> str:
        """Where an actor's process runs; whoever is no device is an edge."""
        return f"{PREFIX}{self._number[actor]}" if actor in self._number else EDGE

    def host(self, actor: str) -> str:
        """Address of an actor."""
        return f"10.81.{self._number[actor]}.2" if actor in self._number else EDGE_HOST

    def shape(self, device: str, direction: str, rate_bit_per_s: float) -> None:
        """Set the rate of "uplink" or "downlink" [bit/s on the wire]; connections stay."""
        end = self._sender(device, direction)
        rate = round(rate_bit_per_s)
        burst = burst_byte(rate)
        limits = ("rate", f"{rate}bit", "burst", f"{burst}", "limit", f"{LIMIT_BYTE}")
        where = ("ip", "netns", "exec", end.namespace, "tc", "qdisc", "replace", "dev", end.interface, "root")
        command(*where, "tbf", *limits)

    def state(self, device: str, direction: str) -> dict[str, Any]:
        """What the kernel says of a direction: rate, burst, bytes so far, congestion control."""
        end = self._sender(device, direction)
        found = command_json("tc", "-n", end.namespace, "-s", "-j", "qdisc", "show", "dev", end.interface)
        shaped = next((one for one in found if one.get("kind") == "tbf"), None)
        control = command("ip", "netns", "exec", end.namespace, "sysctl", "-n", "net.ipv4.tcp_congestion_control")
        state: dict[str, Any] = {"congestion_control": control.strip(), "rate_bit_per_s": 0.0, "burst_byte": 0}
        if shaped is not None:
            options = shaped["options"]
            state |= {"rate_bit_per_s": 8.0 * options["rate"], "burst_byte": round(options["burst"])}
            state |= {"byte": int(shaped["bytes"]), "drops": int(shaped["drops"])}
        return state

    def _sender(self, device: str, direction: str) -> _Ends:
        if direction == "uplink":
            return _Ends(self.namespace(device), "air")
        return _Ends(EDGE, f"d{self._number[device]}")


def remove_namespaces() -> None:
    """Remove every namespace of such a world, and the links with them."""
    names = [str(one["name"]) for one in command_json("ip", "-j", "netns", "list")]
    for name in names:
        if name.startswith(PREFIX):
            command("ip", "netns", "del", name)
