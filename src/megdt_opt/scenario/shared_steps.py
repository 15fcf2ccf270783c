"""What the groups of a scenario may share: whose request the common steps follow, how many they are, who hears them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Conflict
from megdt_opt.models.similarity import prefix_quality, similarities
from megdt_opt.problem.prefix_arrays import ALONE as IN_NO_GROUP
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.program.costs import Costs
from megdt_opt.program.groups import (
    COOPERATIVE,
    GROUP_MECHANISMS,
    SHARED_DEVICE,
    SHARED_EDGE,
    Trunk,
    TrunkTerms,
    rides,
    tail,
)
from megdt_opt.program.latency import LatencyTerms
from megdt_opt.program.mechanisms import Option, Setting
from megdt_opt.program.stages import Compute, Send, Series
from megdt_opt.program.wire import payload_byte
from megdt_opt.scenario.groups import Group
from megdt_opt.scenario.scenario import Scenario, User

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SharedTrunk:
    """A trunk that a group may run.

    Parameters
    ----------
    group : int
        The group.
    trunk : Trunk
        The common steps.
    admitted : tuple of int
        Users whom the multicast reaches: its rate is that of the weakest of them.
    """

    group: int
    trunk: Trunk
    admitted: tuple[int, ...]


@dataclass(frozen=True)
class SharedSteps:
    """The groups of a scenario.

    Parameters
    ----------
    scenario : Scenario
        With groups.
    settings : tuple of Setting
        Of each user.
    precisions, codecs : tuple of str
        Those to offer for the common latent and for images.
    reach : array, (K,)
        Downlink efficiency [bit/s/Hz] or SNR-bandwidth product [Hz] of each user.
    """

    scenario: Scenario
    settings: tuple[Setting, ...]
    precisions: tuple[str, ...]
    codecs: tuple[str, ...]
    reach: Array

    @property
    def groups(self) -> tuple[Group, ...]:
        """Groups of the scenario."""
        return self.scenario.groups or ()

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """Group of each user, (K,); -1 for none."""
        of = {name: number for number, group in enumerate(self.groups) for name in group.members}
        return np.array([of.get(user.name, IN_NO_GROUP) for user in self.scenario.users])

    def members(self, number: int) -> list[int]:
        """Users of a group."""
        return [int(k) for k in np.flatnonzero(self.group == number)]

    @cached_property
    def similarity(self) -> dict[int, Array]:
        """Similarity of each two members, of groups with a floor on the quality, in the order of `members`."""
        users, model = self.scenario.users, self.scenario.model
        found = {}
        for number, group in enumerate(self.groups):
            if group.psnr_min_db is None:
                continue
            members = self.members(number)
            if group.similarity is None:
                found[number] = similarities([users[k].subject for k in members], model)
            else:
                count = len(members)
                found[number] = np.where(np.eye(count, dtype=bool), 1.0, group.similarity)
        return found

    @cached_property
    def leads(self) -> tuple[int, ...]:
        """For each group, the user whose request the common steps follow: its host, the lead that it names, or the
        member whose least similar fellow is most similar."""
        found = []
        for number, group in enumerate(self.groups):
            members = self.members(number)
            names = [self.scenario.users[k].name for k in members]
            named = group.host or group.lead
            if named is not None:
                found.append(members[names.index(named)])
            elif number in self.similarity:
                found.append(members[int(np.argmax(self.similarity[number].min(axis=1)))])
            else:
                found.append(members[0])
        return tuple(found)

    @cached_property
    def most(self) -> NDArray[np.int64]:
        """Most common steps that each user may take, (K,) [1]: 0 outside groups, all for the lead."""
        found = np.zeros(len(self.settings), dtype=np.int64)
        for number, group in enumerate(self.groups):
            members, lead, steps = self.members(number), self.leads[number], self.scenario.steps
            found[members] = steps
            if group.psnr_min_db is None:
                continue
            quality, users = prefix_quality(self.scenario.model), self.scenario.users
            for i, k in enumerate(members):
                alike = float(self.similarity[number][members.index(lead), i])
                equal = users[k].seed == users[lead].seed
                if k != lead:
                    found[k] = quality.most_steps(alike, steps, group.psnr_min_db, equal_seeds=equal)
        return found

    @cached_property
    def steps(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of common steps that each group offers, where at least two members may take them.

        By default the most that each member may take: with shares that are given, every latency is linear in the
        number of common steps, so that for the sum no number between is better.
        """
        found = []
        for number, group in enumerate(self.groups):
            limits = sorted(int(most) for most in self.most[self.members(number)])
            offered = sorted(set(limits if group.steps is None else group.steps))
            found.append(tuple(x for x in offered if 0 < x <= limits[-2]))
        return tuple(found)

    @cached_property
    def options(self) -> tuple[Option, ...]:
        """Options of the members, for each number of common steps."""
        made: dict[Option, None] = {}
        for number, group in enumerate(self.groups):
            hosted = (COOPERATIVE,) if group.host is not None else ()
            shown = {self.scenario.users[k].shown_at for k in self.members(number)}
            codecs = [*(self.codecs if "device" in shown else ()), *([""] if "edge" in shown else [])]
            for x in self.steps[number]:
                made.update(dict.fromkeys(Option(mechanism=SHARED_EDGE, cut=x, codec=c) for c in codecs))
                for name in (SHARED_DEVICE, *hosted):
                    made.update(dict.fromkeys(Option(mechanism=name, cut=x, precision=p) for p in self.precisions))
        return tuple(made)

    @cached_property
    def trunks(self) -> tuple[SharedTrunk, ...]:
        """Trunks of all groups: common steps, at the edge or on the host, precision, and whom the multicast reaches.

        A lead who keeps its request to itself lets no edge make its steps.
        """
        return tuple(trunk for number in range(len(self.groups)) for trunk in self._trunks(number))

    def _trunks(self, number: int) -> Iterator[SharedTrunk]:
        lead, group, members = self.leads[number], self.groups[number], self.members(number)
        private = self.scenario.users[lead].private_steps
        weakest = sorted({float(self.reach[k]) for k in members})
        for x in self.steps[number]:
            for precision in self.precisions:
                if private == 0:
                    trunk = Trunk(lead=self.settings[lead], steps=x, precision=precision)
                    for reach in weakest:
                        yield SharedTrunk(number, trunk, tuple(k for k in members if self.reach[k] >= reach))
                if group.host is not None and x >= private:
                    rate = group.d2d_rate_bit_per_s
                    hosted = Trunk(
                        lead=self.settings[lead], steps=x, hosted=True, precision=precision, d2d_bit_per_s=rate
                    )
                    yield SharedTrunk(number, hosted, tuple(k for k in members if k != lead))

    def leading(self, user: int) -> bool:
        """Whether the common steps of a user's group follow its request."""
        return user in self.leads

    def trunk_of(self, user: int, option: Option) -> Trunk | None:
        """The common steps that a user's option rides; None where its group offers no such ones."""
        number = int(self.group[user])
        if option.mechanism not in GROUP_MECHANISMS or number == IN_NO_GROUP or option.cut not in self.steps[number]:
            return None
        hosted = option.mechanism == COOPERATIVE
        if hosted and self.groups[number].host is None:
            return None
        rate = self.groups[number].d2d_rate_bit_per_s if hosted else None
        lead, precision = self.settings[self.leads[number]], option.precision or "fp32"
        return Trunk(lead=lead, steps=option.cut, hosted=hosted, precision=precision, d2d_bit_per_s=rate)

    def closed(self, user: int, option: Option) -> list[Conflict]:
        """What closes an option of a group to a user, limits of its device apart."""
        number = int(self.group[user])
        if number == IN_NO_GROUP:
            return [Conflict(user, "groups", 0.0, "", "the user is in no group")]
        if option.cut > self.most[user]:
            floor_db = self.groups[number].psnr_min_db or 0.0
            words = f"floor on the quality: at most {int(self.most[user])} common steps keep {{value}}"
            return [Conflict(user, "psnr_min", floor_db, "dB", words)]
        if not any(self.compatible(user, option, trunk) for trunk in self.trunks):
            return [Conflict(user, "groups", 0.0, "", "nobody makes these common steps for the group")]
        return []

    def not_planned(self, user: int, terms: LatencyTerms, hosting: Costs | None, option: Option) -> list[Conflict]:
        """What closes any option of a scenario with groups; `hosting` are the costs of an option that hosts."""
        who, closed = self.scenario.users[user], []
        if terms.device_branch_s > 0:
            words = "a parallel generation is not planned beside groups"
            closed.append(Conflict(user, "groups", float(len(self.groups)), "", words))
        if who.energy_max_j is not None and terms.uplink_bit > 0:
            words = "{limit} {value} per picture: beside groups the airtime of a user's own uplink is not planned"
            closed.append(Conflict(user, "energy", who.energy_max_j, "J", words))
        if who.energy_max_j is not None and hosting is not None and hosting.device_compute_j is not None:
            rate = self.groups[int(self.group[user])].d2d_rate_bit_per_s or np.inf
            trunk = self.trunk_of(user, option)
            sends = () if trunk is None else trunk.multicast(("others",))
            sent_s = sum(8.0 * payload_byte(send.tensors, send.precision) for send in sends) / rate
            if hosting.device_compute_j + sent_s * who.device.transmit_power_w > who.energy_max_j:
                words = "{limit} {value} per picture: making and sending the common steps exceeds it"
                closed.append(Conflict(user, "energy", who.energy_max_j, "J", words))
        return closed

    def tail(self, user: int, option: Option) -> Series:
        """A member's own stages."""
        return tail(option, self.settings[user], leads=self.leading(user))

    def rides(self, user: int, option: Option) -> int:
        """How a user's option uses the trunk."""
        return rides(option, leads=self.leading(user))

    def compatible(self, user: int, option: Option, shared: SharedTrunk) -> bool:
        """Whether an option may be taken while a trunk runs: one that rides, if it is one of these steps; another,
        unless the user hosts them."""
        if self.group[user] != shared.group:
            return False
        trunk, hosts = shared.trunk, shared.trunk.hosted and user == self.leads[shared.group]
        if option.mechanism not in GROUP_MECHANISMS:
            return not hosts
        if option.cut != trunk.steps or (option.mechanism == COOPERATIVE) != trunk.hosted:
            return False
        return option.mechanism == SHARED_EDGE or (
            option.precision == trunk.precision and (hosts or user in shared.admitted)
        )


def grouped_problem(
    shared: SharedSteps,
    options: Sequence[Option],
    rows: Sequence[Sequence[tuple[LatencyTerms | None, Costs | None]]],
    allowed: NDArray[np.bool_],
    compute_s: Callable[[Compute], float],
    send_bit: Callable[[int, Send], float],
) -> SharedPrefixProblem:
    """The arrays of a scenario with groups.

    Parameters
    ----------
    shared : SharedSteps
        The groups.
    options : sequence of Option, (O,)
        The options.
    rows : sequence of sequence of (LatencyTerms, Costs), (K, O)
        Of the members' own stages; None where there are none.
    allowed : array of bool, (K, O)
        Options that no limit closes.
    compute_s, send_bit : callable
        Seconds of a compute stage at full speed [s], and bits of a user's send [bit].
    """
    scenario, trunks, (site,) = shared.scenario, shared.trunks, shared.scenario.sites
    users, channel = range(len(scenario.users)), scenario.channel
    down, up = scenario.efficiencies() if channel.law == "linear" else scenario.snr_products_hz()
    trunk_terms, airtime_s = [], []
    for t in trunks:
        lead = shared.leads[t.group]
        found = t.trunk.terms(
            compute_s=compute_s, send_bit=partial(send_bit, lead), propagation_s=channel.propagation_s
        )
        trunk_terms.append(found)
        open_costs = [c for (_, c), is_open in zip(rows[lead], allowed[lead], strict=True) if c is not None and is_open]
        airtime_s.append(_airtime_s(scenario.users[lead], found, open_costs))

    def own(read: Callable[[LatencyTerms], float]) -> Array:
        return np.array([[0.0 if found is None else read(found) for found, _ in row] for row in rows])

    def of_trunks(read: Callable[[TrunkTerms], float]) -> Array:
        return np.array([read(found) for found in trunk_terms], dtype=np.float64)

    compatible = [[[shared.compatible(k, option, t) for t in trunks] for option in options] for k in users]
    kind = "efficiency" if channel.law == "linear" else "snr_hz"
    laws: dict[str, Any] = {
        f"downlink_{kind}": down,
        f"uplink_{kind}": up,
        f"trunk_uplink_{kind}": np.array([up[shared.leads[t.group]] for t in trunks], dtype=np.float64),
        f"multicast_{kind}": np.array([_reach(shared, t) for t in trunks], dtype=np.float64),
    }
    return SharedPrefixProblem(
        fixed_s=own(lambda t: t.fixed_s),
        uplink_bit=own(lambda t: t.uplink_bit),
        edge_work_s=own(lambda t: t.edge_work_s),
        downlink_bit=own(lambda t: t.downlink_bit),
        rides=np.array([[shared.rides(k, option) for option in options] for k in users]),
        group=shared.group,
        trunk_group=np.array([t.group for t in trunks], dtype=np.int64),
        trunk_fixed_s=of_trunks(lambda t: t.fixed_s),
        trunk_uplink_bit=of_trunks(lambda t: t.uplink_bit),
        trunk_edge_work_s=of_trunks(lambda t: t.edge_work_s),
        multicast_bit=of_trunks(lambda t: t.multicast_bit),
        compatible=np.array(compatible, dtype=bool).reshape(len(users), len(options), len(trunks)),
        allowed=allowed,
        weight=scenario.weights,
        reserve=shared.groups[0].reserve,
        downlink_hz=site.downlink_hz,
        uplink_hz=site.uplink_hz,
        edge_capacity=site.edge.servers,
        edge_share_max=np.ones(len(users)),
        trunk_edge_share_max=np.ones(len(trunks)),
        trunk_uplink_airtime_max_s=np.array(airtime_s) if np.isfinite(airtime_s).any() else None,
        objective=scenario.objective,
        **laws,
    )


def _airtime_s(lead: User, trunk: TrunkTerms, costs: Sequence[Costs]) -> float:
    """How long a lead with an energy limit may send its request, whichever of its open options it takes [s]."""
    if lead.energy_max_j is None or trunk.uplink_bit == 0:
        return np.inf
    most_j = max((found.device_compute_j or 0.0 for found in costs), default=0.0)
    return max(lead.energy_max_j - most_j, 0.0) / lead.device.transmit_power_w


def _reach(shared: SharedSteps, trunk: SharedTrunk) -> float:
    """The law of a multicast: that of the weakest who hears it, or of the host's link."""
    if trunk.trunk.hosted:
        return shared.groups[trunk.group].d2d_efficiency_bit_per_s_per_hz or 1.0
    return float(min(shared.reach[list(trunk.admitted)]))
