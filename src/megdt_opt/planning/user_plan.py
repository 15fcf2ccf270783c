"""What one user of a plan runs, and how its stages follow each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.planning.costs import UserCosts, edge_parts, held_words, user_costs
from megdt_opt.planning.groups import GroupPlan
from megdt_opt.planning.in_batches import Batched, batched_of, decided_in_batches
from megdt_opt.planning.in_turns import Turn, decided, turn_of
from megdt_opt.planning.notes import notes_on
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.program.batches import batch_s
from megdt_opt.program.groups import GROUP_MECHANISMS, shared_name
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.schedule import StageTime, schedule
from megdt_opt.program.stages import Compute, Send, Stage, actors, is_edge, leaves
from megdt_opt.quality.curves import Quality
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.problems import Problem, rate_of
from megdt_opt.si import percent


@dataclass(frozen=True, kw_only=True)
class UserPlan:
    """What one user runs.

    Parameters
    ----------
    name : str
        The user.
    option : Option
        Mechanism, protocol, cut and precision.
    program : Stage
        The stages.
    downlink_hz, uplink_hz : float
        Bands [Hz].
    downlink_bit_per_s, uplink_bit_per_s : float
        Rates on these bands [bit/s].
    edge_share : float
        Share of an edge server [1].
    parts : tuple of float
        Part of the user's rate or share that each leaf stage has while it runs [1]; less than 1 only where another of
        the same link, or of the edge, may run at the same time.
    latency_s : float
        Predicted latency [s].
    stages : tuple of StageTime
        Predicted start and duration of each leaf stage [s].
    costs : UserCosts
        Edge seconds, memory, energy, loading, messages, signalling.
    batched : Batched or None
        In which batches an edge makes the user's steps, and when; None where it makes none, or no batches.
    turn : Turn or None
        When an edge that serves chains in turns serves the user's; None without a turn, and where it reserves shares.
    quality : Quality or None
        What was measured of such pictures, or lies between what was; None where nothing was.
    refresh_hz : float
        Pictures a second that the shares can sustain when pictures follow one another as in a pipeline: one
        over the busiest of device, uplink, edge share and downlink [Hz].
    bottleneck : str
        Which of them is the busiest.
    """

    name: str
    option: Option
    program: Stage
    downlink_hz: float
    uplink_hz: float
    downlink_bit_per_s: float
    uplink_bit_per_s: float
    edge_share: float
    parts: tuple[float, ...]
    latency_s: float
    stages: tuple[StageTime, ...]
    costs: UserCosts
    refresh_hz: float
    bottleneck: str
    turn: Turn | None = None
    batched: Batched | None = None
    quality: Quality | None = None

    @property
    def edge(self) -> str:
        """Edge server that takes part, "" where none does."""
        return str(next(filter(is_edge, actors(self.program)), ""))

    @property
    def hand_over(self) -> str:
        """Where the denoising steps run, in words; of a member who shares steps, where it goes on."""
        where = {"edge": f"at {self.option.edge or 'the edge'}", "device": "on the device"}
        made = [leaf for leaf in leaves(self.program) if isinstance(leaf, Compute) and leaf.denoises]
        steps = {at: sum(leaf.amount for leaf in made if is_edge(leaf.at) == at) for at in (True, False)}
        if self.option.mechanism in GROUP_MECHANISMS:
            own = steps[True] or steps[False]
            common = f"{self.option.cut} common {'step' if self.option.cut == 1 else 'steps'}"
            return f"{common}, then {own} {where['edge' if steps[True] else 'device']}"
        if self.option.share:
            return f"{percent(100 * self.option.share, 0, signed=False)} of the content {where['edge']}"
        if steps[True] and steps[False]:
            places = [f"{leaf.amount} {where['edge' if is_edge(leaf.at) else 'device']}" for leaf in made]
            noun = "step" if made[0].amount == 1 else "steps"
            return ", then ".join([places[0].replace(" ", f" {noun} ", 1), *places[1:]])
        return f"{steps[True] or steps[False]} steps {where['edge' if steps[True] else 'device']}"


def notes_of(table: OptionTable, users: Sequence[UserPlan], groups: Sequence[GroupPlan]) -> tuple[str, ...]:
    """What a reader of a plan should know, and how transfers and edge work that may run at once divide shares."""
    found = list(notes_on(table, [user.option for user in users], groups))
    placed = held_words(table, edge_parts(table, [user.program for user in users]))
    found += [placed] if placed else []
    for user in users:
        divided = [
            f"{leaf.label} {part:.2f}" for leaf, part in zip(leaves(user.program), user.parts, strict=True) if part < 1
        ]
        if divided:
            found.append(f"Stages of {user.name} that may run at once divide its share: {', '.join(divided)}.")
    return tuple(found)


def parts_of(table: OptionTable, k: int, answer: Any) -> tuple[float, ...]:
    """The part of its share that each leaf of user k's option has in an answer; 1 where the answer has none."""
    o = int(answer.option[k])
    count = sum(1 for _ in leaves(table.program(k, o)))
    terms, part = table.terms(k, o), getattr(answer, "part", None)
    if part is None or terms is None or not terms.tasks:
        return (1.0,) * count
    whole = [not (t.uplink_bit or t.downlink_bit or t.edge_work_s) for t in terms.tasks]
    return tuple(1.0 if w else float(p) for w, p in zip(whole, part[k], strict=False))


def _rate(table: OptionTable, problem: Problem, side: str, k: int, o: int, band_hz: NDArray[np.float64]) -> float:
    if table.serving is not None:
        return table.serving.rate(side, k, float(band_hz[k]))
    # which come from edges with such a discipline
    assert not isinstance(problem, SequencedEdgeProblem | BatchedEdgeProblem)
    return rate_of(problem, side, k, o, band_hz)


def decisions(table: OptionTable, problem: Problem, answer: Any, *, waived: bool = False) -> Any:
    """An answer with all that `user_plan` reads, where its class of problem leaves some of it open; `waived` where the
    problem is without the users' own limits."""
    if isinstance(problem, SequencedEdgeProblem):
        return decided(table, answer, waived=waived)
    if isinstance(problem, BatchedEdgeProblem):
        return decided_in_batches(table, answer, waived=waived)
    return answer


def _latency_s(problem: Problem, k: int, answer: Any, times: Sequence[StageTime]) -> float:
    """Latency of user k [s]: of its stages, or where latencies hold at a level of samples, at that level."""
    if isinstance(problem, AllocationProblem) and problem.samples is not None:
        return float(problem.evaluate(answer).latency_s[k])
    return max(t.start_s + t.duration_s for t in times)


def user_plan(table: OptionTable, problem: Problem, k: int, answer: Any, groups: Sequence[GroupPlan] = ()) -> UserPlan:
    """Figures of user k in `decisions`: `option`, `downlink_hz`, `uplink_hz` and `edge_share`, each (K,), and maybe
    `part` (K, N), `order` and `start_s` (K,) of turns, or `batches`.

    The own stages of a user who shares steps begin when its group says.
    """
    o = int(answer.option[k])
    stages = table.program(k, o)
    down_hz, up_hz = np.asarray(answer.downlink_hz), np.asarray(answer.uplink_hz)
    down, up = (_rate(table, problem, side, k, o, hz) for side, hz in (("downlink", down_hz), ("uplink", up_hz)))
    share = float(answer.edge_share[k])
    parts = parts_of(table, k, answer)
    start_s = max((group.start_s(table.scenario.users[k].name) for group in groups), default=0.0)
    propagation_s = table.scenario.channel.propagation_s

    def duration_s(leaf: Compute | Send, part: float) -> float:
        if isinstance(leaf, Send):
            return table.send_bit(leaf, k) / (part * (down if is_edge(leaf.source) else up)) + propagation_s
        return table.machines.compute_s(leaf, k) / (part * share if is_edge(leaf.at) else 1.0)

    durations = [duration_s(leaf, part) for leaf, part in zip(leaves(stages), parts, strict=True)]
    turn, begins = turn_of(k, answer, stages, durations) or (None, {})
    batched: Batched | None = None
    if isinstance(problem, BatchedEdgeProblem):
        batched, begins = batched_of(k, problem, answer, stages, durations) or (None, {})
    times = tuple(replace(t, start_s=start_s + t.start_s) for t in schedule(stages, durations, begins))
    shared = [group.busy_s(table.scenario.users[k].name) for group in groups]
    called = next((shared_name(g.riders) for g in groups if table.scenario.users[k].name in g.riders), "")
    busy = {name: sum(of[name] for of in shared) for name in ("device", "uplink", "edge share", "downlink")}
    for n, (leaf, time, part) in enumerate(zip(leaves(stages), times, parts, strict=True)):
        if batched is not None and n in begins:
            continue
        if isinstance(leaf, Send):
            busy[leaf.direction] += part * (time.duration_s - propagation_s)
        elif is_edge(leaf.at):
            busy["edge share"] += part * time.duration_s
        else:
            busy["device"] += time.duration_s
    if turn is not None and isinstance(problem, SequencedEdgeProblem):  # the others' turns come in between
        order = np.asarray(answer.order, dtype=np.int64)
        busy["edge turns"] = float(problem.edge_work_s[order, np.asarray(answer.option)[order]].sum())
    costs = user_costs(table, k, o, stages, times, called=called)
    if batched is not None and isinstance(problem, BatchedEdgeProblem):
        sizes = [len(batch) for batch in answer.batches]
        busy["edge batches"] = sum(batch_s(problem.step_slope_s, problem.step_base_s, size) for size in sizes)
        made = [leaf for n, leaf in enumerate(leaves(stages)) if n in begins and isinstance(leaf, Compute)]
        alone_s = sum(table.seconds(leaf) for leaf in made)
        costs = costs.with_edge_s(costs.edge_s - alone_s + batched.edge_s)
    bottleneck = max(busy, key=lambda name: busy[name])
    return UserPlan(
        name=table.scenario.users[k].name,
        option=table.options[o],
        program=stages,
        downlink_hz=float(down_hz[k]),
        uplink_hz=float(up_hz[k]),
        downlink_bit_per_s=down,
        uplink_bit_per_s=up,
        edge_share=share,
        parts=parts,
        latency_s=_latency_s(problem, k, answer, times),
        stages=times,
        costs=costs,
        refresh_hz=1.0 / busy[bottleneck],
        bottleneck=bottleneck,
        turn=turn,
        batched=batched,
        quality=table.quality(k, o),
    )
