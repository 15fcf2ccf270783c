"""What a plan says of groups: the common steps that run, at which pace, and when each member goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from megdt_opt.models.similarity import alike_objects
from megdt_opt.planning.claims import number, refused
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.program.groups import ALONE, GroupProgram, group_program
from megdt_opt.program.schedule import Pace, StageTime, schedule
from megdt_opt.program.stages import Compute, Send, is_edge, leaves
from megdt_opt.scenario.options import OptionTable

GROUP_SHARES = ("trunk_uplink_hz", "trunk_edge_share", "multicast_hz")
"""Shares of groups, each (G,) [Hz, 1, Hz], by their names in answers and in plan files."""


@dataclass(frozen=True, kw_only=True)
class GroupPlan:
    """What a group shares.

    Parameters
    ----------
    number : int
        Which group of the scenario it is.
    trunk : int
        Which trunk of the problem runs.
    members, riders, receivers : tuple of str
        All members, those who wait for the common steps, and those of them who get the latent.
    lead : str
        Member whose request the common steps follow, and who hosts them if a device does.
    steps : int
        Common denoising steps [1].
    hosted : bool
        Whether the lead's device makes them, and not the edge.
    precision : str
        Precision of the latent that is sent, "" where nobody receives it.
    reserve : str
        "phased" or "separate".
    uplink_hz, edge_share, multicast_hz : float
        Shares of the common steps, and of the multicast or of the host's link in the downlink's band [Hz, 1, Hz]. In a
        phased reservation the members who go on at the edge divide the edge share afterwards.
    multicast_bit_per_s : float
        Rate of the latent that is sent [bit/s]; 0 where nobody receives it.
    similarity : tuple of float or None
        Similarity of each rider to the lead [1]; None without a floor on the quality.
    alike : tuple of (int, int) or None
        For each rider, how many objects of its scene the lead's has too, and how many there are [1]; None for models
        that show no scenes.
    program : GroupProgram
        Of those who ride.
    pace : tuple of float
        Rate of each send [bit/s] and share of each compute [1].
    stages : tuple of StageTime
        Predicted start and duration of each leaf [s].
    """

    number: int
    trunk: int
    members: tuple[str, ...]
    riders: tuple[str, ...]
    receivers: tuple[str, ...]
    lead: str
    steps: int
    hosted: bool
    precision: str
    reserve: str
    uplink_hz: float
    edge_share: float
    multicast_hz: float
    multicast_bit_per_s: float
    similarity: tuple[float, ...] | None
    alike: tuple[tuple[int, int] | None, ...]
    program: GroupProgram
    pace: tuple[float, ...]
    stages: tuple[StageTime, ...]

    def start_s(self, member: str) -> float:
        """When a member's own stages begin [s]; 0 for one who does not ride."""
        starts = [t.start_s for t, chain in zip(self.stages, self.program.chain, strict=True) if chain == member]
        return starts[0] if starts else 0.0

    def busy_s(self, member: str) -> dict[str, float]:
        """Seconds of the shared stages that a rider's pictures take of each resource, when they follow one another."""
        found = {"device": 0.0, "uplink": 0.0, "edge share": 0.0, "downlink": 0.0}
        each = zip(leaves(self.program.program), self.program.chain, self.stages, strict=True)
        for leaf, chain, time in each if member in self.riders else ():
            if chain != self.program.shared:
                continue
            if isinstance(leaf, Send):
                to_devices = not is_edge(leaf.to[0])
                if not to_devices or member in leaf.to:
                    found["downlink" if to_devices else "uplink"] += time.duration_s
            elif is_edge(leaf.at) or leaf.at == member:
                found["edge share" if is_edge(leaf.at) else "device"] += time.duration_s
        return found

    @property
    def shared(self) -> tuple[tuple[str, StageTime], ...]:
        """Label and time of each stage that the riders share [s]."""
        found = zip(leaves(self.program.program), self.program.chain, self.stages, strict=True)
        return tuple((leaf.label, time) for leaf, chain, time in found if chain == self.program.shared)

    @property
    def words(self) -> str:
        """What is shared, in a sentence without its stop."""
        where = f"on {self.lead}" if self.hosted else "at the edge"
        sent = ""
        if self.receivers:
            how = "sent from device to device" if self.hosted else "multicast"
            sent = f", {how} in {self.precision} to {', '.join(self.receivers)}"
        found = f"{', '.join(self.riders)} share {self.steps} steps of {self.lead}'s request, made once {where}{sent}"
        if self.similarity is None:
            return found
        alike = [
            f"{name} {value:.4f}" + ("" if same is None else f" ({same[0]} of {same[1]} objects alike)")
            for name, value, same in zip(self.riders, self.similarity, self.alike, strict=True)
        ]
        return f"{found}; similarity to it: {', '.join(alike)}"


def group_plans(table: OptionTable, problem: Any, answer: Any) -> tuple[GroupPlan, ...]:
    """The groups of which somebody rides.

    Parameters
    ----------
    table : OptionTable
    problem : SharedPrefixProblem or another
        What was solved; only the first has groups.
    answer : object
        With the decisions of the problem's answers.
    """
    if not isinstance(problem, SharedPrefixProblem):
        return ()
    found = (_group_plan(table, problem, answer, g) for g in range(problem.groups))
    return tuple(plan for plan in found if plan is not None)


def _group_plan(table: OptionTable, problem: SharedPrefixProblem, answer: Any, g: int) -> GroupPlan | None:
    shared, users = table.shared, table.scenario.users
    assert shared is not None  # a problem with groups comes from a table with groups
    members, q = shared.members(g), int(answer.trunk[g])
    options = {k: table.options[int(answer.option[k])] for k in members}
    riders = [k for k in members if shared.rides(k, options[k]) != ALONE]
    if q < 0 or not riders:
        return None
    row = shared.trunks[q]
    made = group_program(row.trunk, {users[k].name: (options[k], shared.settings[k]) for k in riders})
    bands = np.array([float(getattr(answer, name)[g]) for name in GROUP_SHARES])
    trunk = np.array([q])
    uplink = float(problem.rate("trunk_uplink", bands[:1], trunk)[0])
    in_band = row.trunk.d2d_bit_per_s is None
    multicast = (
        float(problem.rate("multicast", bands[2:], trunk)[0]) if in_band else float(row.trunk.d2d_bit_per_s or 0)
    )
    up, down = (problem.rate(side, np.asarray(getattr(answer, f"{side}_hz"))) for side in ("uplink", "downlink"))
    pace = made.pace(
        Pace(uplink_bit_per_s=uplink, edge_share=min(float(bands[1]), float(problem.trunk_caps[q]))),
        multicast,
        {
            users[k].name: Pace(
                uplink_bit_per_s=float(up[k]), downlink_bit_per_s=float(down[k]), edge_share=float(answer.edge_share[k])
            )
            for k in riders
        },
    )
    receivers = [leaf.to for leaf, chain in zip(leaves(made.program), made.chain, strict=True)
                 if chain == made.shared and isinstance(leaf, Send) and leaf.source == row.trunk.actor
                 and leaf.to[0] in made.riders]  # fmt: skip
    alike = shared.similarity.get(g)
    lead = shared.leads[g]
    return GroupPlan(
        number=g,
        trunk=q,
        members=tuple(users[k].name for k in members),
        riders=tuple(users[k].name for k in riders),
        receivers=receivers[0] if receivers else (),
        lead=users[lead].name,
        steps=row.trunk.steps,
        hosted=row.trunk.hosted,
        precision=row.trunk.precision if receivers else "",
        reserve=problem.reserve,
        uplink_hz=float(bands[0]),
        edge_share=float(bands[1]),
        multicast_hz=float(bands[2]),
        multicast_bit_per_s=multicast if receivers else 0.0,
        similarity=None
        if alike is None
        else tuple(float(alike[members.index(k), members.index(lead)]) for k in riders),
        alike=tuple(alike_objects(users[k].subject, users[lead].subject, table.scenario.model) for k in riders),
        program=made,
        pace=pace,
        stages=_times(table, made, pace, {users[k].name: k for k in riders}, lead),
    )


def _times(
    table: OptionTable, made: GroupProgram, pace: tuple[float, ...], users: Mapping[str, int], lead: int
) -> tuple[StageTime, ...]:
    propagation_s = table.scenario.channel.propagation_s

    def seconds(leaf: Compute | Send, chain: str, speed: float) -> float:
        if isinstance(leaf, Compute):
            return table.seconds(leaf) / speed
        return table.send_bit(leaf, users.get(chain, lead)) / speed + propagation_s

    each = zip(leaves(made.program), made.chain, pace, strict=True)
    return schedule(made.program, [seconds(leaf, chain, speed) for leaf, chain, speed in each])


def group_fields(groups: Iterable[GroupPlan], count: int) -> dict[str, list[Any]]:
    """The decisions of all groups of a scenario, as a plan file states them; zeros for those that share nothing."""
    of = {group.number: group for group in groups}
    found: dict[str, list[Any]] = {"trunk": [of[g].trunk if g in of else -1 for g in range(count)]}
    for name, own in zip(GROUP_SHARES, ("uplink_hz", "edge_share", "multicast_hz"), strict=True):
        found[name] = [getattr(of[g], own) if g in of else 0.0 for g in range(count)]
    return found


def stated_groups(data: Mapping[str, Any], problem: SharedPrefixProblem) -> dict[str, Any]:
    """The groups' decisions that a plan file states; raises InvalidInput where one is missing or of another kind."""
    found: dict[str, Any] = {}
    for name in ("trunk", *GROUP_SHARES):
        stated = data[name]
        if not isinstance(stated, list) or len(stated) != problem.groups:
            raise refused(name, stated, f"a list of {problem.groups} values, one per group")
        if name != "trunk":
            found[name] = np.array([number(f"{name}[{i}]", value) for i, value in enumerate(stated)])
            continue
        for i, q in enumerate(stated):
            if type(q) is not int or not -1 <= q < problem.trunks:
                raise refused(f"trunk[{i}]", q, f"a trunk from 0 to {problem.trunks - 1}, or -1 for none")
        found[name] = np.array(stated, dtype=np.int64)
    return found
