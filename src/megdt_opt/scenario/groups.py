"""Groups of users who may make their common steps once, as scenarios state them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

from pydantic import Field, model_validator

from megdt_opt.errors import InvalidInput
from megdt_opt.scenario.equipment import Device
from megdt_opt.scenario.quantities import Quantities


class Group(Quantities):
    """Users who ask for similar pictures, and may share the first steps of their generation.

    Parameters
    ----------
    members : tuple of str
        Names of at least two users.
    host : str, optional
        The member whose device may make the common steps, in place of the edge; they then follow its request.
    reserve : str
        "phased": the group reserves one edge share, on which the common steps run and which the members divide
        afterwards. "separate": each stage reserves a share of its own.
    steps : tuple of int, optional
        Numbers of common steps to offer [1]; default: for each member the most that the floor on the quality leaves.
    psnr_min_db : float, optional
        Floor on how near a member's picture must come to its unsplit one [dB]: it limits the member's common steps by
        what was measured at its similarity to the member whose request they follow. Either this or `steps`, or both.
    similarity : float, optional
        Similarity of the members' requests, from 0 to 1 [1]; default that of their conditionings.
    d2d_rate_bit_per_s : float, optional
        Rate of the host's link to the other devices, outside the scenario's bands [bit/s].
    d2d_efficiency_bit_per_s_per_hz : float, optional
        Its spectral efficiency, where it takes part of the downlink's band [bit/s/Hz]. One of the two where there is a
        host.
    """

    dimensions: ClassVar[dict[str, str]] = {
        "psnr_min_db": "ratio",
        "d2d_rate_bit_per_s": "rate",
        "d2d_efficiency_bit_per_s_per_hz": "efficiency",
    }

    members: tuple[str, ...]
    host: str | None = None
    reserve: Literal["phased", "separate"] = "phased"
    steps: tuple[int, ...] | None = None
    psnr_min_db: float | None = Field(default=None, gt=0.0)
    similarity: float | None = None
    d2d_rate_bit_per_s: float | None = Field(default=None, gt=0.0)
    d2d_efficiency_bit_per_s_per_hz: float | None = Field(default=None, gt=0.0)

    @model_validator(mode="after")
    def _whole(self) -> Group:
        if len(set(self.members)) < 2 or len(set(self.members)) < len(self.members):
            remedy = "Name two users or more, each once, or leave the group out."
            raise InvalidInput("members", list(self.members), "at least two different users", remedy)
        if self.host is not None and self.host not in self.members:
            expected = f"a member of the group: one of {list(self.members)}"
            raise InvalidInput("host", self.host, expected, "Name a member, or add it.")
        if self.similarity is not None and not 0 <= self.similarity <= 1:
            raise InvalidInput(
                "similarity", self.similarity, "a number from 0 to 1 [1]", "Leave it out for that of the requests."
            )
        if self.steps is None and self.psnr_min_db is None:
            expected = "a floor on the quality [dB], or the common steps to offer"
            raise InvalidInput("psnr_min", None, expected, 'Write for example "psnr_min: 30 dB".')
        if self.similarity is not None and self.psnr_min_db is None:
            remedy = "Leave it out, or state psnr_min."
            raise InvalidInput("similarity", self.similarity, "nothing without a floor on the quality", remedy)
        links = {"d2d_rate": self.d2d_rate_bit_per_s, "d2d_efficiency": self.d2d_efficiency_bit_per_s_per_hz}
        given = [name for name, value in links.items() if value is not None]
        if self.host is None and given:
            raise InvalidInput(given[0], links[given[0]], "nothing without a host", "Leave it out, or name a host.")
        if self.host is not None and len(given) != 1:
            expected = "one of d2d_rate [bit/s] and d2d_efficiency [bit/s/Hz], where there is a host"
            raise InvalidInput("d2d_rate", self.d2d_rate_bit_per_s, expected, "State how the host reaches the others.")
        return self


class Member(Protocol):
    """What is asked of a user here."""

    @property
    def name(self) -> str:
        """Unique name."""

    @property
    def device(self) -> Device:
        """What the user holds."""

    @property
    def energy_max_j(self) -> float | None:
        """Energy per picture [J]."""

    @property
    def deadline_s(self) -> float | None:
        """Hard limit on the latency [s]."""


def check_groups(groups: Sequence[Group], users: Sequence[Member], *, steps: int, law: str, objective: str) -> None:
    """Refuse groups that do not fit their scenario, by name, value, unit and remedy."""
    if not groups:
        raise InvalidInput("groups", [], "at least one group", "Add one, or leave groups out.")
    by_name = {user.name: user for user in users}
    seen: dict[str, int] = {}
    for number, group in enumerate(groups):

        def bad(field: str, value: object, expected: str, remedy: str, number: int = number) -> InvalidInput:
            return InvalidInput(f"groups.{number}.{field}", value, expected, remedy)

        for member in group.members:
            if member not in by_name:
                raise bad("members", member, f"users of the scenario: {list(by_name)}", "Name one of them.")
            if member in seen:
                expected = f"a user in one group alone; it is in groups.{seen[member]} already"
                raise bad("members", member, expected, "Leave it out of one of the two.")
            seen[member] = number
        for count in group.steps or ():
            if not 0 < count <= steps:
                raise bad("steps", count, f"1..{steps} common steps", "Leave it out.")
        if group.reserve != groups[0].reserve:
            raise bad("reserve", group.reserve, f"{groups[0].reserve!r}, as for the first group", "State the same.")
        if group.host is not None:
            _check_host(group, by_name[group.host], law, bad)
    for user in users:
        if user.deadline_s is not None and objective in ("max", "sum"):
            expected = "no deadline [s], as plans of groups do not keep any"
            raise InvalidInput(f"users.{user.name}.deadline", user.deadline_s, expected, "Leave it or the groups out.")
    if objective not in ("max", "sum"):
        expected = '"max" or "sum" where there are groups'
        raise InvalidInput("objective", objective, expected, "Choose one of them, or leave the groups out.")


def _check_host(group: Group, host: Member, law: str, bad: Any) -> None:
    """A host says what it lives on, and how it reaches the others."""
    limited = host.energy_max_j is not None
    if not limited and host.device.powered is None:
        expected = "a host with an energy limit [J] or a device that is powered from the mains"
        remedy = f'State "energy_max: 5 J" or "device: {{powered: mains}}" of {host.name}.'
        raise bad("host", group.host, expected, remedy)
    in_band = group.d2d_efficiency_bit_per_s_per_hz
    if in_band is not None and law != "linear":
        expected = "d2d_rate [bit/s] where the channel's law is 'shannon'"
        raise bad("d2d_efficiency", in_band, expected, "State the rate of a link of its own.")
    if in_band is not None and limited:
        expected = "d2d_rate [bit/s] for a host with an energy limit: what sending takes depends on the band"
        raise bad("d2d_efficiency", in_band, expected, "State the rate of a link of its own, or power it by mains.")
