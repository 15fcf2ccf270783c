"""A plan: what each user runs, with which shares, how long each stage takes, and how good that is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_json, write_text
from megdt_opt.planning.baselines import Baseline
from megdt_opt.planning.claims import (
    REMEDY,
    agrees,
    fields,
    finite,
    known,
    number,
    numbers,
    one_of,
    proven_bound,
    refused,
    texts,
)
from megdt_opt.planning.cost_totals import CostTotal, cost_totals
from megdt_opt.planning.costs import edge_parts, edge_resident
from megdt_opt.planning.groups import GROUP_SHARES, GroupPlan, group_fields, group_plans, stated_groups
from megdt_opt.planning.in_batches import batches_of_users, read_stated_batches
from megdt_opt.planning.in_turns import read_turns, require_in_time, stated_turns
from megdt_opt.planning.robustness import Robustness, restated_robustness
from megdt_opt.planning.stated_baselines import restated_baselines, worth_the_same
from megdt_opt.planning.user_plan import UserPlan, decisions, notes_of, user_plan
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem, Batches
from megdt_opt.problem.outcome import BoundSource, Method, Status, status_of
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.problem.program_problem import ProgramProblem
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import Stage, leaves
from megdt_opt.scenario.measured import quality_columns
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.problems import Problem
from megdt_opt.scenario.rules import check_named
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.solving.answers import relative_gap
from megdt_opt.solving.asked import check_asked
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.tolerances import EXACT

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "megdt-opt plan 2"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The chosen options and shares of all users, with the proof of how good they are.

    Parameters
    ----------
    table : OptionTable
        The scenario, its machines and its options.
    problem : AllocationProblem, or a problem of another class
        The problem that was solved: a PlacementProblem where there are several edges, a SharedPrefixProblem where there
        are groups, a ProgramProblem where the program of an option forks more than once, a SequencedEdgeProblem or
        BatchedEdgeProblem where the edge serves in turns or makes batches;
        `certificate.verify(plan.problem)` checks the proof.
    users : tuple of UserPlan
        One per user.
    objective_s : float
        Objective, evaluated in closed form [s]; for "missed" a weight [1], as is the bound.
    lower_bound_s : float
        No allocation is better than this [s]; minus infinity where the route found no bound.
    gap : float
        (objective - bound) / objective [1]; infinite where there is no bound.
    status : Status
        "optimal" where the asked gap is proven, without a solver's word, else "feasible".
    method : Method
        Route that found it.
    bound_source : BoundSource
        What stands behind the bound, as in `Allocation`.
    solve_s : float
        Seconds the solution took [s].
    asked_gap : float
        Gap that was to be proven, for baselines and robustness too [1].
    time_limit_s : float or None
        Limit on each solution [s].
    certificate : Certificate or None
        Proof of the bound, where the method yields one; beside an enumeration of turns, of a bound that may be looser.
    baselines : tuple of Baseline
        Single mechanisms and simple rules for comparison.
    robustness : Robustness or None
        Whether the choice survives the calibration's interval; None where it was not asked for.
    notes : tuple of str
        What a reader should know, for example that the optimum is all on one side by theorem.
    groups : tuple of GroupPlan
        What groups share, where somebody rides.
    remarks : tuple of str
        What was said when the plan was made, of groups that were formed or left out; among the notes too.
    restated : tuple of str
        Of a plan that was read from a file: "baselines", "robustness" and "notes" that the file states otherwise than
        they are worked out now; what the plan has is what was worked out.

    Examples
    --------
    >>> from megdt_opt import Plan, Scenario, plan
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> made = plan(cell)
    >>> made.save("plan.json")
    >>> Plan.load("plan.json").users == made.users
    True
    """

    table: OptionTable
    problem: Problem
    users: tuple[UserPlan, ...]
    objective_s: float
    lower_bound_s: float
    gap: float
    status: Status
    method: Method
    bound_source: BoundSource
    solve_s: float
    asked_gap: float = 1e-6
    time_limit_s: float | None = None
    certificate: Certificate | None = None
    baselines: tuple[Baseline, ...] = ()
    robustness: Robustness | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)
    groups: tuple[GroupPlan, ...] = ()
    remarks: tuple[str, ...] = ()
    restated: tuple[str, ...] = ()

    @property
    def scenario(self) -> Scenario:
        """The scenario planned for."""
        return self.table.scenario

    @property
    def options(self) -> NDArray[np.int64]:
        """Columns of the chosen options in the table, (K,)."""
        return np.array([self.table.index(user.option.name) for user in self.users])

    @property
    def batches(self) -> Batches:
        """The users, by their numbers, of each batch of an edge that makes batches, in the order of time."""
        return batches_of_users([user.batched for user in self.users])

    @property
    def cost_totals(self) -> tuple[CostTotal, ...]:
        """Totals of the costs that the scenario limits or weighs."""
        return cost_totals(self.table, [user.option.name for user in self.users])

    @property
    def edge_resident(self) -> dict[str, tuple[int, float | None]]:
        """Weights that each edge holds for all its users together [byte], and the time to load them [s], if known."""
        return edge_resident(self.table, self._programs)

    @property
    def edge_parts(self) -> dict[str, dict[str, int]]:
        """Parts of the model that each edge holds for all its users together, with their sizes [byte]."""
        return edge_parts(self.table, self._programs)

    @property
    def _programs(self) -> list[Stage]:
        return [*(user.program for user in self.users), *(group.program.program for group in self.groups)]

    def __repr__(self) -> str:
        return f"<Plan: {self._headline}>"

    def _repr_html_(self) -> str:
        """The plan in a notebook: a sentence and the table of its users."""
        columns = ["user", "mechanism", "cut", "downlink_hz", "uplink_hz", "edge_share", "latency_s"]
        table: str = self.to_frame()[columns].to_html(index=False, na_rep="", max_rows=60)
        return f"<p>{escape(self._headline)}</p>{table}"

    @property
    def _headline(self) -> str:
        counts = Counter(user.option.mechanism for user in self.users)
        chosen = ", ".join(f"{mechanism} {number}" for mechanism, number in counts.most_common())
        return (
            f"{self.scenario.name}, {len(self.users)} user{'s' if len(self.users) != 1 else ''} ({chosen}), "
            f"{self.scenario.objective} {self.objective_s:.6g}{' s' if self.scenario.objective_is_time else ''}, "
            f"{self.status}, gap {self.gap:.1e}"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per user: mechanism, cut, shares, latency, refresh rate, costs.

        Returns
        -------
        pandas.DataFrame
            One row per user, in the order of the scenario. Columns: "user"; "edge", the edge server that takes part, ""
            where none does; "mechanism", "protocol" ("seed", "image" or "none"), "cut" [denoising steps at the edge, or
            before the hand-over], "share_at_edge" of the content (PEU) [1], "precision" and "codec" of what is sent, ""
            where nothing is; "downlink_hz", "uplink_hz" [Hz] and "edge_share" [edge servers]; "latency_s" [s];
            "refresh_hz", the pictures that can be made one after another [Hz]; "bottleneck", the resource that limits
            it; "survives_calibration", whether the choice stays over the calibration's interval (None where that was
            not asked for); "edge_s", time on one whole edge server [s]; "edge_byte" and "device_byte" of weights
            [byte]; "edge_compute_j", "device_compute_j" and "device_radio_j" [J], None where the power is not declared;
            "device_load_s", to load the device's weights [s], None where the rate is not declared; "messages" sent [1]
            and "signalling_byte" around them [byte]. Where the scenario has groups: "group", its number, -1 in none;
            "common_steps" that the user waits for [1]; "rides", 0 on its own, 1 where it waits for them, 2 where it
            gets their latent. Where the edge serves in turns: "back", the step of a second hand-over [1], "turn", its
            place from 0 [1], "turn_start_s", "turn_end_s" and "turn_waiting_s" [s], None without a turn. Where users
            ask for a quality: "quality_psnr_db" and so on, what can be relied on of the figures that they ask for.
        """
        import pandas as pd

        rows = []
        for k, u in enumerate(self.users):
            rows.append(
                {
                    "user": u.name,
                    "edge": u.edge,
                    "mechanism": u.option.mechanism,
                    "protocol": u.option.protocol,
                    "cut": u.option.cut,
                    "share_at_edge": u.option.share,
                    "precision": u.option.precision,
                    "codec": u.option.codec,
                    "downlink_hz": u.downlink_hz,
                    "uplink_hz": u.uplink_hz,
                    "edge_share": u.edge_share,
                    "latency_s": u.latency_s,
                    "refresh_hz": u.refresh_hz,
                    "bottleneck": u.bottleneck,
                    "survives_calibration": None if self.robustness is None else self.robustness.survives[k],
                    "edge_s": u.costs.edge_s,
                    "edge_byte": u.costs.edge_byte,
                    "device_byte": u.costs.device_byte,
                    "edge_compute_j": u.costs.edge_compute_j,
                    "device_compute_j": u.costs.device_compute_j,
                    "device_radio_j": u.costs.device_radio_j,
                    "device_load_s": u.costs.device_load_s,
                    "messages": u.costs.messages,
                    "signalling_byte": u.costs.signalling_byte,
                    **quality_columns(self.scenario.users[k], u.quality),
                }
            )
        frame, shared = pd.DataFrame(rows), self.table.shared
        if shared is not None:
            frame["group"] = shared.group
            frame["rides"] = [shared.rides(k, u.option) for k, u in enumerate(self.users)]
            frame["common_steps"] = np.where(frame["rides"] > 0, frame["cut"], 0)
        if isinstance(self.problem, SequencedEdgeProblem):
            turns = [u.turn for u in self.users]
            frame["back"] = [u.option.back for u in self.users]
            for name, field_name in (("", "place"), *((f"_{n}", n) for n in ("start_s", "end_s", "waiting_s"))):
                frame[f"turn{name}"] = [None if turn is None else getattr(turn, field_name) for turn in turns]
        if isinstance(self.problem, BatchedEdgeProblem):
            found = [u.batched for u in self.users]
            frame["batches"] = [0 if one is None else len(one.numbers) for one in found]
            for name in ("start_s", "end_s"):
                frame[f"batches_{name}"] = [None if one is None else getattr(one, name) for one in found]
        return frame

    def stage_frame(self) -> pd.DataFrame:
        """One row per user and stage: predicted start and duration [s], and the part of the user's share [1]."""
        import pandas as pd

        return pd.DataFrame(
            {
                "user": u.name,
                "stage": index,
                "label": leaf.label,
                "start_s": u.stages[index].start_s,
                "duration_s": u.stages[index].duration_s,
                "part": u.parts[index],
            }
            for u in self.users
            for index, leaf in enumerate(leaves(u.program))
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        shared = self.table.shared
        return {
            "format": FORMAT,
            "scenario": self.scenario.model_dump(mode="json", exclude_none=True),
            "spec": self.table.spec.to_dict(),
            "profiles": {name: profile.to_dict() for name, profile in self.table.profiles.items()},
            "options": [u.option.name for u in self.users],
            "downlink_hz": [u.downlink_hz for u in self.users],
            "uplink_hz": [u.uplink_hz for u in self.users],
            "edge_share": [u.edge_share for u in self.users],
            **({} if shared is None else group_fields(self.groups, len(shared.groups))),
            **(stated_turns([u.turn for u in self.users]) if isinstance(self.problem, SequencedEdgeProblem) else {}),
            **({"batches": [list(b) for b in self.batches]} if isinstance(self.problem, BatchedEdgeProblem) else {}),
            **({"part": [list(u.parts) for u in self.users]} if isinstance(self.problem, ProgramProblem) else {}),
            "latency_s": [u.latency_s for u in self.users],
            "objective_s": self.objective_s,
            "lower_bound_s": finite(self.lower_bound_s),
            "gap": finite(self.gap),
            "status": self.status,
            "method": self.method,
            "bound_source": self.bound_source,
            "solve_s": self.solve_s,
            "asked_gap": self.asked_gap,
            "time_limit_s": self.time_limit_s,
            "certificate": None if self.certificate is None else self.certificate.to_dict(),
            "baselines": [b.to_dict() for b in self.baselines],
            "robustness": None if self.robustness is None else self.robustness.to_dict(),
            "notes": list(self.notes),
            **({"remarks": list(self.remarks)} if self.remarks else {}),
        }

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON, whole or not at all."""
        write_text(path, json.dumps(self.to_dict(), indent=1, allow_nan=False))

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan; raises as `from_dict` does, and where the file is no whole JSON file."""
        data = read_json(path, "plan file", fmt=FORMAT, remedy=REMEDY)
        try:
            return cls.from_dict(data)
        except InvalidInput as error:
            raise error.within(str(path)) from None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Build from plain data, of which nothing is believed that follows from the rest.

        Latencies, objective, bound, gap and status are recomputed from scenario, profiles, options, shares and
        certificate, and refused where they differ. A bound without a certificate is compared with one that is proven
        now. Baselines, robustness and notes are recomputed; those that differ are replaced, and named in `restated`
        (shares that a largest latency leaves open are replaced only: engines divide them differently).

        Raises
        ------
        InvalidInput
            Where a field is missing, unknown or malformed, or does not follow from the others; names the field.
        ProfileError
            Where an embedded profile is malformed.
        """
        grouped = "groups" in data["scenario"] if isinstance(data.get("scenario"), Mapping) else False
        more = ("trunk", *GROUP_SHARES) if grouped else tuple(n for n in _MORE if n in data)
        remarks = texts("remarks", data["remarks"]) if "remarks" in data else ()
        fields(data, (*_FIELDS, *more, *(("remarks",) if remarks else ())))
        table, users = _table(data), len(data["options"])
        problem = table.problem()
        option = np.array([table.index(str(name)) for name in data["options"]])
        names = ("downlink_hz", "uplink_hz", "edge_share")
        shares = {name: np.array(numbers(name, data[name], users)) for name in names}
        answer = SimpleNamespace(option=option, **shares, **_stated(data, table, problem, option))
        found: Any = problem.evaluate(answer)
        if not found.violation <= EXACT:
            raise refused("shares", found.violation, "shares that keep every budget and limit")
        for k, latency_s in enumerate(numbers("latency_s", data["latency_s"], users)):
            agrees(f"latency_s[{k}]", latency_s, float(found.latency_s[k]))
        agrees("objective_s", data["objective_s"], found.objective_s)
        answer = decisions(table, problem, answer)
        if isinstance(problem, SequencedEdgeProblem | BatchedEdgeProblem):
            require_in_time(table, found.latency_s)
        for name in names:
            for k, value in enumerate(getattr(answer, name).tolist()):
                agrees(f"{name}[{k}]", data[name][k], value, 1.0)
        asked_gap, time_limit_s = number("asked_gap", data["asked_gap"]), data["time_limit_s"]
        check_asked(asked_gap, time_limit_s)
        bound_s, source, certificate = proven_bound(data, problem, found.objective_s)
        agrees("lower_bound_s", data["lower_bound_s"], bound_s, found.objective_s)
        gap = relative_gap(found.objective_s, bound_s)
        agrees("gap", data["gap"], gap, 1.0)
        status = status_of(gap, asked_gap, source)
        if data["status"] != status:
            raise refused("status", data["status"], f"{status!r}, which its gap and the source of its bound give")
        groups = group_plans(table, problem, answer)
        chosen = tuple(user_plan(table, problem, k, answer, groups) for k in range(users))
        made = cls(
            table=table,
            problem=problem,
            users=chosen,
            objective_s=found.objective_s,
            lower_bound_s=bound_s,
            gap=gap,
            status=status,
            method=one_of("method", data["method"], Method),
            bound_source=source,
            solve_s=number("solve_s", data["solve_s"]),
            asked_gap=asked_gap,
            time_limit_s=time_limit_s,
            certificate=certificate,
            baselines=restated_baselines(data["baselines"], table, option, asked_gap, time_limit_s),
            robustness=restated_robustness(data["robustness"], table, option, asked_gap, time_limit_s),
            notes=(*remarks, *notes_of(table, chosen, groups)),
            groups=groups,
            remarks=remarks,
        )
        now = json.loads(json.dumps(made.to_dict()))
        known(data, now)
        other = {n for n in ("baselines", "robustness", "notes") if now[n] != data[n]}
        if "baselines" in other and worth_the_same(data["baselines"], made.baselines, table.scenario.objective):
            other.remove("baselines")
        return replace(made, restated=tuple(sorted(other)))


_FIELDS = (
    "format", "scenario", "spec", "profiles", "options", "downlink_hz", "uplink_hz", "edge_share", "latency_s",
    "objective_s", "lower_bound_s", "gap", "status", "method", "bound_source", "solve_s", "asked_gap", "time_limit_s",
    "certificate", "baselines", "robustness", "notes",
)  # fmt: skip

_MORE = ("part", "order", "start_s", "batches")
"""Fields of plans whose class of problem decides more."""


def _stated(data: Mapping[str, Any], table: OptionTable, problem: Problem, option: NDArray[np.int64]) -> dict[str, Any]:
    """What a plan file states beside options and shares, where its class of problem decides more."""
    stated: dict[str, Any] = stated_groups(data, problem) if isinstance(problem, SharedPrefixProblem) else {}
    if isinstance(problem, ProgramProblem) or "part" in data:
        stated |= _stated_parts(data, table, problem, option)
    placed = problem.needed(option) if isinstance(problem, PlacementProblem) else None
    if placed is not None:
        stated["placed"] = placed  # no more than the options need: nothing that a file must state
    if isinstance(problem, SequencedEdgeProblem):
        stated |= read_turns(data, problem.users)
    elif "order" in data or "start_s" in data:
        raise refused("order, start_s", "given", "nothing, as the edge does not serve in turns")
    if isinstance(problem, BatchedEdgeProblem):
        stated |= read_stated_batches(data, table, option)
    elif "batches" in data:
        raise refused("batches", "given", "nothing, as the edge makes no batches")
    return stated


def _stated_parts(
    data: Mapping[str, Any], table: OptionTable, problem: Problem, option: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """The parts of a plan file, (K, N), which stand there for each leaf of the users' programs."""
    if not isinstance(problem, ProgramProblem) or "part" not in data:
        expected = "parts where, and only where, a program forks more than once"
        raise refused("part", sorted(set(data) & {"part"}), expected)
    if not isinstance(data["part"], list) or len(data["part"]) != problem.users:
        raise refused("part", data["part"], f"a list of {problem.users} lists")
    part = np.ones((problem.users, problem.tasks))
    for k, o in enumerate(option.tolist()):
        count = sum(1 for _ in leaves(table.program(k, o)))
        given = numbers(f"part[{k}]", data["part"][k], count)
        terms = table.terms(k, o)
        if terms is not None and terms.tasks:
            part[k, :count] = given
        elif any(one != 1.0 for one in given):
            raise refused(f"part[{k}]", given, "1 for each stage of a chain")
    return {"part": part}


def _table(data: Mapping[str, Any]) -> OptionTable:
    """The table of a plan file: its scenario, with the profiles that it holds and no others."""
    if not isinstance(data["scenario"], Mapping) or not isinstance(data["profiles"], Mapping):
        raise refused("scenario, profiles", None, "objects with fields")
    scenario = Scenario(**data["scenario"])
    names = scenario.profile_names
    fields(data["profiles"], names, "profiles")
    if not isinstance(data["options"], list) or len(data["options"]) != len(scenario.users):
        raise refused("options", data["options"], f"a list of {len(scenario.users)} values, one per user")
    profiles = {name: TimingProfile.from_dict(data["profiles"][name]) for name in names}
    spec = ModelSpec.from_dict(data["spec"])
    check_named(scenario.model, spec)
    return OptionTable.build(scenario, profiles, spec=spec)
