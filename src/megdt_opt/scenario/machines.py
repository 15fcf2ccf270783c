"""The timing of every actor of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from megdt_opt.program.stages import Compute, Payload, Send, is_edge
from megdt_opt.program.wire import payload_byte
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.timing.finding import find_profile
from megdt_opt.timing.profile import TimingProfile


@dataclass(frozen=True, kw_only=True)
class Machines:
    """The timing of every actor of a scenario.

    Parameters
    ----------
    edges : mapping of str to TimingProfile
        Of each edge server by its name, the declared stretch included.
    devices : tuple of TimingProfile
        Of each user's device, likewise.
    edge_end, device_end : str
        "middle" takes medians, "low" or "high" an end of their intervals.
    """

    edges: Mapping[str, TimingProfile]
    devices: tuple[TimingProfile, ...]
    edge_end: str = "middle"
    device_end: str = "middle"

    @classmethod
    def of(cls, scenario: Scenario, known: Mapping[str, TimingProfile] | None = None) -> Machines:
        """Find and stretch the profiles that a scenario names; raises ProfileError where one is missing."""

        def get(name: str, stretch: float, actor: str) -> TimingProfile:
            found = find_profile(name, known)
            return found if stretch == 1.0 else found.stretched(stretch, f"{actor} (x{stretch:g})")

        return cls(
            edges={site.name: get(site.edge.profile, site.edge.stretch, site.name) for site in scenario.sites},
            devices=tuple(get(u.device.profile, u.device.stretch, u.name) for u in scenario.users),
        )

    def at(self, edge: str, devices: str) -> Machines:
        """The same machines at an end of the calibration's intervals: "low" or "high" for each."""
        return replace(self, edge_end=edge, device_end=devices)

    def compute_s(self, leaf: Compute, user: int) -> float:
        """Seconds of a compute stage of a user at its actor's full speed [s]."""
        at_edge = is_edge(leaf.at)
        profile = self.edges[leaf.at] if at_edge else self.devices[user]
        end = self.edge_end if at_edge else self.device_end
        rows = _rows(leaf)
        if end != "middle":
            # a published figure has no interval and counts as exact
            found = profile.stage_interval_s(leaf.kind, rows=rows, codec=leaf.codec)
            if found is not None:
                return leaf.amount * found[end == "high"]
        return leaf.amount * profile.stage_s(leaf.kind, rows=rows, codec=leaf.codec)

    def send_bit(self, leaf: Send, reference_byte: int | None = None) -> float:
        """Payload of a send stage [bit], as the serialiser makes it; a coded picture's by its reference [byte]."""
        if leaf.payload is not Payload.IMAGE:
            return 8.0 * payload_byte(leaf.tensors, leaf.precision)
        (picture,) = leaf.tensors
        if leaf.precision != "raw":
            sizes = next((self.edges[actor] for actor in (leaf.source, *leaf.to) if is_edge(actor)), None)
            coded = (sizes or next(iter(self.edges.values()))).image_byte(leaf.precision, reference_byte)
            picture = type(picture)(name=picture.name, shape=(coded,), floating=False)
        return 8.0 * payload_byte((picture,), "fp32")


def _rows(leaf: Compute) -> int | None:
    return None if leaf.rows is None else leaf.rows[1] - leaf.rows[0]
