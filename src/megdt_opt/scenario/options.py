"""From a scenario to options, and from options to the arrays of the core problem.

Every user has the same catalogue of options; a limit of a user closes an option and says so. The latency
terms, the costs and later the execution all come from the option's stage program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Conflict, Infeasible, InvalidInput, ProfileError
from megdt_opt.models.adapters import ReadAdapter
from megdt_opt.models.registry import find_spec
from megdt_opt.models.requests import makes_requests, reference_byte, request_of
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.problem.program_problem import ProgramProblem
from megdt_opt.program.costs import Costs, program_costs
from megdt_opt.program.groups import GROUP_MECHANISMS, tail_terms
from megdt_opt.program.latency import LatencyTerms, latency_terms
from megdt_opt.program.mechanisms import Option, Setting, program
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import Compute, Send, Series, Stage, is_edge
from megdt_opt.quality.curves import Quality
from megdt_opt.scenario.adapters import read_adapters, unmeasured_adapters, with_adapter_weights
from megdt_opt.scenario.cost_tables import with_cost_limits, with_costs
from megdt_opt.scenario.disciplines import BATCHED, IN_TURNS, MECHANISMS_OF
from megdt_opt.scenario.edges import Site
from megdt_opt.scenario.in_batches import InBatches
from megdt_opt.scenario.in_turns import InTurns
from megdt_opt.scenario.latency_level import refuse_comparing
from megdt_opt.scenario.level_samples import ruled_out_by_deadline, ruled_out_by_level, sampled_problem
from megdt_opt.scenario.machines import Machines, advice, check_profiles, find_profiles
from megdt_opt.scenario.measured import MeasuredOptions
from megdt_opt.scenario.offered import accepted_names, offered_options, setting_of, with_reserved_shares, with_sampler
from megdt_opt.scenario.placed_parts import PlacedParts, placed_parts, require_memories
from megdt_opt.scenario.problems import Problem, law_of, limited, unlimited
from megdt_opt.scenario.rules import (
    OptionCell,
    check_accepted,
    check_regions,
    check_sketches,
    check_subjects,
    never_timed,
    ruled_out_by_costs,
    ruled_out_by_picture,
    ruled_out_by_privacy,
    ruled_out_by_shape,
    ruled_out_by_wish,
)
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.scenario.serving import Serving
from megdt_opt.scenario.shared_steps import SharedSteps, grouped_problem
from megdt_opt.timing.batch_law import BatchLaw
from megdt_opt.timing.finding import Profiles, check_used
from megdt_opt.timing.profile import TimingProfile

SERVINGS: dict[str, Callable[[Any], Serving]] = {BATCHED: InBatches, IN_TURNS: InTurns}
"""What a discipline of the edge makes of a table of options."""


@dataclass(frozen=True, kw_only=True)
class OptionTable:
    """All options of all users, with what closes them.

    Parameters
    ----------
    scenario : Scenario
    spec : ModelSpec
    machines : Machines
    options : tuple of Option
        The catalogue, length O.
    profiles : mapping of str to TimingProfile
        The profiles that the scenario names, before any stretch that it declares.
    shared : SharedSteps or None
        What groups of users may share; None where there are none.
    adapters : tuple of ReadAdapter or None
        The adapter of each user; None for those without.
    """

    scenario: Scenario
    spec: ModelSpec
    machines: Machines
    options: tuple[Option, ...]
    profiles: Mapping[str, TimingProfile]
    shared: SharedSteps | None = None
    adapters: tuple[ReadAdapter | None, ...] = ()

    def __repr__(self) -> str:
        return f"<OptionTable: {self.scenario.name}, {len(self.scenario.users)} users, {len(self.options)} options>"

    @classmethod
    def build(
        cls,
        scenario: Scenario | str | Path,
        profiles: Profiles | None = None,
        *,
        spec: ModelSpec | None = None,
    ) -> OptionTable:
        """Make the table of a scenario.

        Parameters
        ----------
        scenario : Scenario, str or Path
            Itself, the path of its file, or a bundled name.
        profiles : mapping of str to TimingProfile or path, optional
            Profiles at hand by name, or their files; they go before bundled ones.
        spec : ModelSpec, optional
            The model; default the one that the scenario names.

        Raises
        ------
        InvalidInput
            Where a profile is given that the scenario does not name.
        ProfileError
            Where a profile is missing, or is one of another model than is planned; names both.
        """
        scenario = Scenario.named(scenario)
        check_used(profiles, scenario.profile_names)
        found = find_profiles(scenario, profiles)
        spec = spec or find_spec(scenario.model, scenario.guidance, scenario.controlnet)
        scenario = with_sampler(scenario, spec)
        check_regions(scenario, spec)
        check_sketches(scenario, spec)
        check_subjects(scenario, spec)
        check_profiles(scenario, spec, found)
        machines = Machines.of(scenario, found)
        draft = cls(scenario=scenario, spec=spec, machines=machines, options=(), profiles=found)
        precisions, codecs = accepted_names(scenario)
        names = dict.fromkeys(offered_options(scenario, spec))
        draft = replace(draft, adapters=read_adapters(scenario, spec, tuple(names)))
        if scenario.groups is not None:
            settings = tuple(draft.setting(k) for k in range(len(scenario.users)))
            shared = SharedSteps(scenario, settings, precisions, codecs, law_of(scenario)[0][:, 0])
            draft = replace(draft, shared=shared)
            names.update(dict.fromkeys(shared.options))
        draft = replace(draft, options=tuple(names))
        check_accepted(scenario, spec, draft.doubted or any(unmeasured_adapters(scenario, spec)))
        return draft

    def unshared(self) -> OptionTable:
        """The table of the same scenario without its groups."""
        alone = tuple(option for option in self.options if option.mechanism not in GROUP_MECHANISMS)
        scenario = self.scenario.model_copy(update={"groups": None, "grouping": None})
        return replace(self, scenario=scenario, options=alone, shared=None)

    def reserved(self) -> OptionTable:
        """The table of the same scenario where the edge reserves shares, with the options of that."""
        more = MECHANISMS_OF[self.scenario.discipline]
        options = tuple(option for option in self.options if option.mechanism not in more)
        return replace(self, scenario=with_reserved_shares(self.scenario), options=options)

    @cached_property
    def serving(self) -> Serving | None:
        """What the edge's discipline makes of the scenario; None where it reserves shares."""
        name = self.scenario.discipline
        return SERVINGS[name](self) if name in SERVINGS else None

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """The edge servers of the scenario."""
        return self.scenario.sites

    def site(self, option: int) -> int | None:
        """Which of `sites` takes part in an option; None where none does."""
        name = self.options[option].edge
        if len(self.sites) > 1:
            return next((e for e, site in enumerate(self.sites) if site.name == name), None)
        return 0

    def setting(self, user: int, edge: str = "") -> Setting:
        """What the programs of a user are built for, with an edge server by its name; default the first."""
        return setting_of(self.scenario, self.spec, user, edge or self.sites[0].name)

    def program(self, user: int, option: int) -> Stage:
        """Stage program of a user's option, as the edge's discipline arranges it; of one that rides common steps, the
        user's own stages."""
        return self._arranged(user, option)

    @cached_property
    def _arranged(self) -> Callable[[int, int], Stage]:
        arranged = (lambda _, stages: stages) if self.serving is None else self.serving.arranged
        return cache(lambda user, option: arranged(user, self.declared(user, option)))

    def declared(self, user: int, option: int) -> Stage:
        """Stage program of a user's option, as its mechanism has it."""
        chosen, shared = self.options[option], self.shared
        return program(chosen, self.setting(user, chosen.edge)) if shared is None else shared.tail(user, chosen)

    def seconds(self, leaf: Compute) -> float:
        """Seconds of a compute stage at full speed, on whoever's device [s]."""
        return self.machines.compute_s(leaf, self._user_of(leaf))

    def _user_of(self, leaf: Compute) -> int:
        return 0 if is_edge(leaf.at) else [user.name for user in self.scenario.users].index(leaf.at)

    @cached_property
    def pictures(self) -> MeasuredOptions:
        """What was measured of the options' pictures; raises as `MeasuredOptions` does."""
        return MeasuredOptions(self.scenario, self.spec, self.machines)

    def quality(self, user: int, option: int) -> Quality | None:
        """What was measured of an option's pictures, or lies between what was; None where it was never measured."""
        return self.pictures.quality(user, self.options[option], self._whole(user, option))

    def unmeasured(self, user: int, option: int) -> tuple[str, ...]:
        """What of an option was never measured: precisions, merging, a decoder, a sketch."""
        return self.pictures.unmeasured(user, self.options[option], self._whole(user, option))

    def _whole(self, user: int, option: int) -> Stage:
        """All the stages that make a picture: common steps and the user's own."""
        trunk = None if self.shared is None else self.shared.trunk_of(user, self.options[option])
        return Series((*(() if trunk is None else trunk.stages), self.program(user, option)))

    @cached_property
    def doubted(self) -> bool:
        """Whether something that is offered or computed in was not measured."""
        return self.pictures.doubted(self.options)

    def send_bit(self, leaf: Send, user: int) -> float:
        """Payload of a send stage of a user's program [bit]."""
        return self.machines.send_bit(leaf, self._reference_byte(user, leaf.codec) if leaf.codec else None)

    @cached_property
    def _reference_byte(self) -> Callable[[int, str], int | None]:
        users, known = self.scenario.users, makes_requests(self.spec) and not self.spec.source
        of = partial(reference_byte, self.spec)
        return cache(lambda user, codec: of(request_of(users[user].subject, self.spec), codec) if known else None)

    @cached_property
    def _cells(self) -> list[list[OptionCell]]:
        return [[self._cell(k, o) for o in range(len(self.options))] for k in range(len(self.scenario.users))]

    def terms(self, user: int, option: int) -> LatencyTerms | None:
        """Latency terms; None where a stage was never timed."""
        return self._cells[user][option].terms

    def costs(self, user: int, option: int) -> Costs | None:
        """Costs; None where a stage was never timed."""
        return self._cells[user][option].costs

    def untimed(self, user: int, option: int) -> bool:
        """Whether an option that would yield the picture is closed because a stage of it was never timed."""
        return self._cells[user][option].untimed

    def below_floor(self, user: int, option: int) -> bool:
        """Whether the user's floor on the quality is among what closes an option."""
        return any(limit.limit.startswith("quality_min.") for limit in self._cells[user][option].closed)

    def closed_by(self, user: int, option: int) -> tuple[str, ...]:
        """The limits that close an option, with their figures; empty where it is allowed."""
        return tuple(limit.text("") for limit in self._cells[user][option].closed)

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """Allowed options, (K, O)."""
        return np.array([[not cell.closed for cell in row] for row in self._cells])

    def open_options(self, *, waived: bool = False) -> NDArray[np.bool_]:
        """Options that are allowed, (K, O); `waived`: that were timed, yield the picture and can be reached."""
        return self._possible if waived else self.allowed

    def batch_law(self) -> BatchLaw:
        """The law by which the edge makes steps of several chains; raises ProfileError where it was timed without."""
        return self.machines.batch_law(str(self.sites[0].name))

    def problem(self) -> Problem:
        """The arrays of the core problem, with every limit; of a placement problem where there are several edges, of a
        shared-prefix problem where there are groups.

        Raises
        ------
        Infeasible
            Where a user has no allowed option; the message says which limit closed what.
        InvalidInput
            Where a user is in reach of no edge and has no option without one, an edge's memory is too small, or a limit
            cannot be kept at several edges.
        """
        self._require(self.allowed)
        require_memories(self.sites, [[cell.costs for cell in row] for row in self._cells], self._servers)
        return self._limited

    def waived_problem(self) -> Problem:
        """The problem without the users' own limits (privacy, energy, memory, wishes, deadlines), for baselines.

        Raises
        ------
        Infeasible
            Where a user has no option that was timed and yields the picture.
        InvalidInput
            Where latencies hold at a level, for this problem has median times.
        """
        refuse_comparing(self.scenario.holds)
        self._require(self._possible)
        waived: Problem = self._waived
        return waived

    def _require(self, allowed: NDArray[np.bool_]) -> None:
        stuck = [int(k) for k in np.flatnonzero(~allowed.any(axis=1))]
        for k in stuck:
            self._require_reach(k)
        if stuck:
            limits = [
                replace(limit, words=f"{limit.words} ({count} options)")
                for k in stuck
                for limit, count in self._counted(k)
            ]
            names, hint = [u.name for u in self.scenario.users], advice(self.scenario, self.machines, self.spec.name)
            raise Infeasible("no option is allowed", limits, stuck, names=names, hint=hint)

    def _require_reach(self, k: int) -> None:
        """Where no edge serves a user who has no option of its own left, that is what is wrong."""
        if not any(cell.unreached for cell in self._cells[k]):
            return
        user = self.scenario.users[k]
        field, value = next(iter(user.by_name.items()))
        raise InvalidInput(
            f"users.{user.name}.{field}",
            value,
            "an edge that reaches the user, who has no option without one",
            "Let an edge with a band reach it, or allow it to generate on its device (mechanism 'local').",
        )

    @cached_property
    def parts(self) -> PlacedParts | None:
        """Parts of the model that are placed, where memories of several edges do not hold all that the options that are
        open there need; else None."""
        timed = np.array([[cell.terms is not None for cell in row] for row in self._cells])
        precisions = {str(site.name): self.machines.edges[site.name].provenance.precision for site in self.sites}
        return placed_parts(self.sites, self.spec, precisions, self.program, timed, self.allowed, self._servers)

    @property
    def _servers(self) -> list[int | None]:
        return [self.site(o) for o in range(len(self.options))]

    @cached_property
    def _possible(self) -> NDArray[np.bool_]:
        """Options that were timed, yield the picture and can be reached, limits apart, (K, O)."""
        return np.array([[cell.terms is not None and cell.possible for cell in row] for row in self._cells])

    @cached_property
    def _limited(self) -> Problem:
        if self.serving is not None:
            served: Problem = self.serving.problem(self.allowed)
            return served
        airtime_s = np.array([[cell.airtime_s for cell in row] for row in self._cells])
        if self.shared is not None:
            rows = [[(cell.terms, cell.costs) for cell in row] for row in self._cells]
            return grouped_problem(
                self.shared, self.options, rows, self.allowed, self.seconds, lambda k, leaf: self.send_bit(leaf, k)
            )
        folded = ~np.array([[cell.terms is not None and bool(cell.terms.tasks) for cell in row] for row in self._cells])
        chains = isinstance(self._waived, ProgramProblem) and bool(folded[self.allowed].all())
        # where limits leave chains beside one device branch alone, the core problem has them, with its limits
        problem = self._unlimited(self._possible & folded) if chains else self._waived
        made = with_cost_limits(limited(problem, self.scenario, self.allowed, airtime_s), self.scenario)
        if self.scenario.holds is None:
            return made
        assert isinstance(made, AllocationProblem)  # options whose programs fork are closed
        names = tuple(user.name for user in self.scenario.users)
        return sampled_problem(made, self.scenario.holds, self.machines, names, self.program, self.terms)

    @cached_property
    def _waived(self) -> Any:
        """Of the class that the scenario has; raises as `_unlimited`."""
        if self.serving is not None:
            return self.serving.problem(self._possible, waived=True)
        return self._unlimited(self._possible)

    def _unlimited(self, possible: NDArray[np.bool_]) -> AllocationProblem | PlacementProblem | ProgramProblem:
        terms = [[cell.terms for cell in row] for row in self._cells]
        problem = unlimited(self.scenario, terms, possible, self._servers)
        if self.parts is not None and isinstance(problem, PlacementProblem):
            problem = self.parts.onto(problem)
        costs = [[cell.costs for cell in row] for row in self._cells]
        return with_costs(problem, self.scenario, costs, self.program, self.send_bit, self.quality)

    def closings(self, user: int) -> dict[str, int]:
        """What closed a user's options: each limit in words, with how many options it closed, most first."""
        return {limit.text(""): count for limit, count in self._counted(user)}

    def _counted(self, user: int) -> list[tuple[Conflict, int]]:
        return Counter(limit for cell in self._cells[user] for limit in cell.closed).most_common()

    def summary(self, user: int) -> list[str]:
        """`closings` in words."""
        return [f"{reason} ({count} options)" for reason, count in self.closings(user).items()]

    def index(self, name: str) -> int:
        """Column of the option of this name."""
        found = next((o for o, option in enumerate(self.options) if option.name == name), None)
        if found is None:
            raise InvalidInput("option", name, "the name of an option of the scenario", "See `megdt-opt show`.")
        return found

    def _cell(self, k: int, o: int) -> OptionCell:
        user, option = self.scenario.users[k], self.options[o]
        closed, possible = ruled_out_by_wish(k, user, option)
        trunk = None if self.shared is None else self.shared.trunk_of(k, option)
        if self.shared is not None and option.mechanism in GROUP_MECHANISMS:
            closed += self.shared.closed(k, option)
            possible &= trunk is not None
        if not possible:
            return OptionCell(None, None, tuple(closed), False, np.inf)
        stages = self.program(k, o)
        how: dict[str, Callable[[Any], float]] = {"compute_s": self.seconds, "send_bit": partial(self.send_bit, user=k)}
        propagation_s = self.scenario.channel.propagation_s
        try:
            if trunk is not None:
                terms = tail_terms(option, self.setting(k), trunk, **how, propagation_s=propagation_s)
            else:
                terms = latency_terms(stages, **how, propagation_s=propagation_s)
        except ProfileError as error:
            return OptionCell(
                None, None, (*closed, Conflict(k, "timings", 0.0, "", never_timed(error))), False, np.inf, untimed=True
            )
        whole = stages if trunk is None else Series((*trunk.stages, stages))
        doubtful = ruled_out_by_picture(k, self.scenario, self.pictures, option, whole)
        closed, possible = closed + doubtful, possible and not doubtful
        site = self.sites[self.site(o) or 0]
        costs = limiting = self._costs(stages, k, site)
        hosts = trunk is not None and trunk.actor == user.name
        if trunk is not None and (hosts or not trunk.hosted):  # who makes the common steps holds their weights too
            limiting = self._costs(whole, k, site)
        unreached = self._unreached(k, o, terms)
        if unreached:
            possible = False
            words = "{limit}: a link that the option needs carries nothing"
            closed.append(Conflict(k, f"reach of {site.name}", 0.0, "bit/s", words))
        closed += ruled_out_by_costs(k, self.scenario, site, limiting, terms)
        if self.serving is not None:
            found, planned = self.serving.closed(k, stages, costs)
        else:
            found, planned = ruled_out_by_shape(k, self.scenario) if terms.tasks else ([], True)
        closed += found
        possible &= planned
        if self.shared is not None:
            closed += self.shared.not_planned(k, terms, limiting if hosts else None, option)
        closed += ruled_out_by_privacy(k, user, stages)
        if self.scenario.holds is not None:
            closed += ruled_out_by_level(k, self.scenario.holds, stages, terms, self.machines)
        closed += ruled_out_by_deadline(k, self.scenario, stages, terms, self.machines, closed=bool(closed))
        airtime_s = np.inf
        if user.energy_max_j is not None and costs.device_compute_j is not None and terms.uplink_bit > 0:
            airtime_s = (user.energy_max_j - costs.device_compute_j) / user.device.transmit_power_w
        possible &= trunk is None
        return OptionCell(terms, costs, tuple(closed), possible, max(airtime_s, 0.0), unreached and len(closed) == 1)

    def alone(self, user: int) -> tuple[Stage | None, tuple[str, ...]]:
        """The program by which a user's device makes the whole picture by itself, or None with what it lacks for that.

        The user's wishes and deadline do not count: it is asked for where nothing else is left.
        """
        if self.scenario.users[user].shown_at == "edge":
            return None, ("the picture is shown at the edge",)
        stages = program(local := Option(mechanism="local"), self.setting(user))
        try:
            terms = latency_terms(stages, compute_s=self.seconds, send_bit=lambda leaf: self.send_bit(leaf, user))
        except ProfileError as error:
            return None, (never_timed(error),)
        costs = self._costs(stages, user, self.sites[0])
        limits = ruled_out_by_costs(user, self.scenario, self.sites[0], costs, terms)
        limits += ruled_out_by_picture(user, self.scenario, self.pictures, local, stages)
        closed = tuple(limit.text("") for limit in limits)
        return (None if closed else stages), closed

    def _costs(self, stages: Stage, k: int, site: Site) -> Costs:
        """Costs of stages of user k that run at one edge, or at none."""
        return program_costs(
            stages,
            with_adapter_weights(self.spec, self.adapters[k]),
            compute_s=self.seconds,
            compute_power_w=self.scenario.users[k].device.compute_power_w,
            edge_precision=self.machines.edges[site.name].provenance.precision,
            device_precision=self.machines.devices[k].provenance.precision,
        )

    def _unreached(self, k: int, o: int, terms: LatencyTerms) -> bool:
        """Whether an option needs a link that carries nothing; of one edge alone the problem itself says so."""
        site = self.site(o)
        if len(self.sites) == 1 or site is None:
            return False
        demands = zip((terms.downlink_bit, terms.uplink_bit), self._links[k, :, site], strict=True)
        return any(bits > 0 and not carries for bits, carries in demands)

    @cached_property
    def _links(self) -> NDArray[np.bool_]:
        """Whether downlink and uplink of a user carry anything, (K, 2, E)."""
        bands = np.array([[site.downlink_hz, site.uplink_hz] for site in self.sites]).T
        return (np.stack(law_of(self.scenario), axis=1) > 0) & (bands > 0)
