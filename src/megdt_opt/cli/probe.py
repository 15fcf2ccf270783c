"""Links between serving actors, measured, and written as a scenario states them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.link_probe import LinkMeasured
from megdt_opt.files import read_text, write_text
from megdt_opt.yaml_text import parse_yaml

if TYPE_CHECKING:
    from rich.console import Console

Links = Mapping[tuple[str, str], LinkMeasured]
"""What was measured, by who sends and who receives."""

START_S = 120.0
"""Time that an actor has to come up [s]."""

PROBE_S = 120.0
"""Time for the measurement of one direction [s]."""

TRANSFER_S = 10.0
"""Longest transfer of a measurement [s]."""


def run_command(
    hosts: Path,
    edges: list[str],
    key: Path | None,
    output: Path | None,
    scenario: Path | None,
    write: Path | None,
    console: Console,
) -> None:
    """Measure every link between an edge server and a device, print, and write what is asked."""
    links = measure(hosts, edges, key)
    for (source, to), link in links.items():
        told = f"{source} to {to}: {link.rate_bit_per_s / 1e6:.4g} Mbit/s"
        told += f" ({link.slowest_bit_per_s / 1e6:.4g} to {link.fastest_bit_per_s / 1e6:.4g})"
        console.print(f"{told}, round trip {link.round_trip_s * 1e3:.3g} ms", markup=False, highlight=False)
    if output is not None:
        columns = {
            f"users.{user}.{side}": _text(min(rates.values()))
            for user, sides in _rates(links, edges).items()
            for side, rates in sides.items()
        }
        write_text(output, ",".join(columns) + "\n" + ",".join(columns.values()) + "\n")
        console.print(f"written: {output}", markup=False)
    if scenario is not None and write is not None:
        import yaml

        data = with_links(parse_yaml(read_text(scenario, "scenario"), str(scenario)).value, links, edges, str(scenario))
        write_text(write, yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120))
        console.print(f"written: {write}", markup=False)


def measure(hosts: Path, edges: list[str], key: Path | None = None) -> Links:
    """Both directions of each link between an edge server and a device.

    Raises
    ------
    InvalidInput
        Where an edge server is none of the hosts file's actors, or what was measured makes no sense.
    ExecutionError
        Where an actor does not take part.
    """
    from megdt_opt.execution.authority import COORDINATOR
    from megdt_opt.execution.hosts_file import Hosts
    from megdt_opt.execution.hosts_world import credentials_beside
    from megdt_opt.execution.remote import RemoteActor

    known, identity = Hosts.load(hosts), credentials_beside(hosts, COORDINATOR, key)
    for edge in edges:
        known.place(edge)
    pairs = [(edge, device) for device in known.actors if device not in edges for edge in edges]
    if not pairs:
        remedy = "Name the edge servers with --edge."
        raise InvalidInput("hosts", sorted(known.actors), "an edge server and a device", remedy)
    found = {}
    with ExitStack() as stack:
        peers, deadline_s = {}, time.monotonic() + START_S
        for actor in dict.fromkeys(name for pair in pairs for name in pair):  # who has just been started is waited for
            peers[actor] = RemoteActor(actor, "", identity, str(known.place(actor))).connect(deadline_s)
            stack.callback(peers[actor].close)
        for source, to in ((a, b) for pair in pairs for a, b in (pair, pair[::-1])):
            message = {"to": to, "address": str(known.place(to)), "most_s": TRANSFER_S}
            found[source, to] = LinkMeasured.from_dict(peers[source].call("probe", message, PROBE_S))
    return found


def with_links(data: Any, links: Links, edges: list[str], source: str) -> dict[str, Any]:
    """A scenario's data with rates and delay as measured; raises InvalidInput where a user has no measured link."""
    users = data.get("users") if isinstance(data, dict) else None
    if not isinstance(users, list) or not all(isinstance(user, dict) for user in users):
        raise InvalidInput(source, "no list of users", "a scenario with users", "Begin with a bundled scenario.")
    measured = _rates(links, edges)
    made = []
    for user in users:
        name = str(user.get("name"))
        if name not in measured:
            expected = f"users that were probed: {', '.join(measured)}"
            raise InvalidInput(f"{source}: users", name, expected, "Add the user to the hosts file, and serve it.")
        kept = {k: v for k, v in user.items() if not k.startswith(("downlink_", "uplink_")) and k != "distance"}
        for side, rates in measured[name].items():
            each = {edge: _text(rate) for edge, rate in rates.items()}
            kept[side] = each if len(each) > 1 else next(iter(each.values()))
        made.append(kept)
    delay_s = max(link.round_trip_s for link in links.values()) / 2
    return {**data, "channel": {**(data.get("channel") or {}), "propagation": f"{delay_s * 1e3:.4g} ms"}, "users": made}


def _rates(links: Links, edges: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Measured rates [bit/s] by user, field of a scenario, and edge server."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (source, to), link in links.items():
        user, side, edge = (to, "downlink_rate", source) if source in edges else (source, "uplink_rate", to)
        found.setdefault(user, {}).setdefault(side, {})[edge] = link.rate_bit_per_s
    return found


def _text(rate_bit_per_s: float) -> str:
    return f"{rate_bit_per_s / 1e6:.6g} Mbit/s"
