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
    lead : str, optional
        The member whose request the common steps follow; default the host, or the member whose least similar fellow is
        most similar.
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
    lead: str | None = None
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
        if self.lead is not None and self.host not in (None, self.lead):
            remedy = "Leave out one of the two."
            raise InvalidInput("lead", self.lead, f"{self.host!r}, for the host makes its own request", remedy)
        if self.lead is not None and self.lead not in self.members:
            expected = f"a member of the group: one of {list(self.members)}"
            raise InvalidInput("lead", self.lead, expected, "Name a member, or leave it out.")
        if self.similarity is not None and not 0 <= self.similarity <= 1:
            raise InvalidInput(
                "similarity", self.similarity, "a number from 0 to 1 [1]", "Leave it out for that of the requests."
            )
        _some_steps(self.steps, self.psnr_min_db)
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


def _some_steps(steps: tuple[int, ...] | None, psnr_min_db: float | None) -> None:
    if steps is None and psnr_min_db is None:
        expected = "a floor on the quality [dB], or the common steps to offer"
        raise InvalidInput("psnr_min", None, expected, 'Write for example "psnr_min: 30 dB".')


class Grouping(Quantities):
    """Which users may be put into groups whose common steps are made once, at the edge; the plan forms the groups.

    Parameters
    ----------
    similarity_min : float
        Least similarity of any two users of a group, from 0 to 1 [1].
    size_max : int
        Most users of a group, at least 2 [1].
    reserve, steps, psnr_min_db
        As for `Group`; either `steps` or the floor on the quality, or both.
    """

    dimensions: ClassVar[dict[str, str]] = {"psnr_min_db": "ratio"}

    similarity_min: float
    size_max: int
    reserve: Literal["phased", "separate"] = "phased"
    steps: tuple[int, ...] | None = None
    psnr_min_db: float | None = Field(default=None, gt=0.0)

    @model_validator(mode="after")
    def _whole(self) -> Grouping:
        if not 0 <= self.similarity_min <= 1:
            expected = "a number from 0 to 1 [1]"
            raise InvalidInput("similarity_min", self.similarity_min, expected, "0 lets any two users share.")
        if self.size_max < 2:
            remedy = "Allow two at least, or leave grouping out."
            raise InvalidInput("size_max", self.size_max, "at least 2 users", remedy)
        _some_steps(self.steps, self.psnr_min_db)
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


def check_sharing(
    groups: Sequence[Group] | None,
    grouping: Grouping | None,
    users: Sequence[Member],
    *,
    steps: int,
    law: str,
    objective: str,
    edges: int,
) -> None:
    """Refuse groups, or how they are to be formed, that do not fit their scenario."""
    if edges > 1:
        expected = "one edge server where there are groups"
        raise InvalidInput("edges", edges, expected, "State one edge, or leave the groups out.")
    if groups is not None:
        check_groups(groups, users, steps=steps, law=law, objective=objective)
    if grouping is not None and groups is not None:
        expected = "nothing where the groups are given, for it says how they are formed"
        raise InvalidInput("grouping", "given", expected, "Leave out one of the two.")
    if grouping is not None:
        check_grouping(grouping, users, steps=steps, objective=objective)


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
        _check_steps(f"groups.{number}", group.steps, steps)
        if group.reserve != groups[0].reserve:
            raise bad("reserve", group.reserve, f"{groups[0].reserve!r}, as for the first group", "State the same.")
        if group.host is not None:
            _check_host(group, by_name[group.host], law, bad)
    _check_users("groups", users, objective)


def check_grouping(grouping: Grouping, users: Sequence[Member], *, steps: int, objective: str) -> None:
    """Refuse what groups cannot be formed of, by name, value, unit and remedy."""
    _check_steps("grouping", grouping.steps, steps)
    if len(users) < 2:
        raise InvalidInput("grouping", f"{len(users)} user", "two users at least", "Add one, or leave grouping out.")
    _check_users("grouping", users, objective)


def _check_steps(field: str, offered: Sequence[int] | None, steps: int) -> None:
    for count in offered or ():
        if not 0 < count <= steps:
            raise InvalidInput(f"{field}.steps", count, f"1..{steps} common steps", "Leave it out.")


def _check_users(field: str, users: Sequence[Member], objective: str) -> None:
    """What plans of groups do not keep, or cannot prove."""
    for user in users:
        if user.deadline_s is not None and objective in ("max", "sum"):
            expected = "no deadline [s], as plans of groups do not keep any"
            remedy = f"Leave it or the {field} out."
            raise InvalidInput(f"users.{user.name}.deadline", user.deadline_s, expected, remedy)
    if objective not in ("max", "sum"):
        expected = '"max" or "sum" where there are groups'
        raise InvalidInput("objective", objective, expected, f"Choose one of them, or leave the {field} out.")


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
