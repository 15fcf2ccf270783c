"""Plans whose edge makes steps of several chains in one pass: the batches, and what a plan file states of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Conflict, Infeasible, InvalidInput
from megdt_opt.planning.claims import refused
from megdt_opt.pricing.batched_band import Band
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem, Batches, read_batches
from megdt_opt.problem.outcome import Method, Status
from megdt_opt.program.batches import batch_s, batch_times_s, batched_step, cut_of
from megdt_opt.program.schedule import schedule
from megdt_opt.program.stages import Stage
from megdt_opt.scenario.in_batches import NONE, InBatches
from megdt_opt.scenario.options import OptionTable
from megdt_opt.solving import solve
from megdt_opt.solving.batched_schedules import Schedules

LONGEST_S = 10.0
"""What a search of batches is given where no limit was asked for [s]."""

RIVAL_S = 2.0
"""What it is given for each rival and corner of a plan [s]."""

COMMON = "one common batch"
"""Name of the baseline in which those who are served make all steps in one batch; the others stay on their devices."""


@dataclass(frozen=True, kw_only=True)
class Batched:
    """A user's steps at an edge server that makes steps of several chains in one pass.

    Parameters
    ----------
    numbers : tuple of int
        Which batches the user is in, from 0 [1].
    together : tuple of int
        How many users each of them has [1].
    times_s : tuple of tuple of float
        When each of them begins and ends, after the common start [s].
    edge_s : float
        The user's equal parts of them [s].
    ready_s : float
        When the chain is ready for the first [s]; it waits from then on.
    """

    numbers: tuple[int, ...]
    together: tuple[int, ...]
    times_s: tuple[tuple[float, float], ...]
    edge_s: float
    ready_s: float

    @property
    def waiting_s(self) -> float:
        """How long the chain waits for its first batch [s]."""
        return self.start_s - self.ready_s

    @property
    def start_s(self) -> float:
        """Begin of the first [s]."""
        return self.times_s[0][0]

    @property
    def end_s(self) -> float:
        """End of the last [s]."""
        return self.times_s[-1][1]


def solved_in_batches(
    table: OptionTable,
    problem: BatchedEdgeProblem,
    method: str,
    gap: float,
    time_limit_s: float | None,
    *,
    waived: bool = False,
) -> SimpleNamespace:
    """The answer of `solve`, with the options that it stands for.

    "auto" stands for prices, of which a certificate is left: the formulation for few users leaves the word of a solver.
    """
    limit_s = LONGEST_S if time_limit_s is None else time_limit_s
    found = solve(problem, Method.PRICES if method == "auto" else method, gap=gap, time_limit_s=limit_s)
    return SimpleNamespace(**vars(found), option=_options(table, found.cut, waived=waived))


def _serving(table: OptionTable) -> InBatches:
    assert isinstance(table.serving, InBatches)  # such a problem comes from such a scenario
    return table.serving


def _options(table: OptionTable, cut: Any, *, waived: bool = False) -> NDArray[np.int64]:
    columns = _serving(table).columns(waived=waived)
    return np.asarray(columns[np.arange(len(columns)), np.asarray(cut, dtype=np.int64)])


def cuts_of(table: OptionTable, option: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Steps that the edge makes with these options, (K,) [1]."""
    return np.array([cut_of(table.program(k, int(o))) for k, o in enumerate(option)], dtype=np.int64)


def decided_in_batches(table: OptionTable, answer: Any, *, waived: bool = False) -> SimpleNamespace:
    """An answer with its options, and what its users have of the uplink and of the edge for encodings, each (K,).

    `waived` as for `serving.Serving.problem`.
    """
    serving = _serving(table)
    option = getattr(answer, "option", None)
    cut = np.asarray(answer.cut, dtype=np.int64)
    served = cut > 0
    return SimpleNamespace(
        option=_options(table, cut, waived=waived) if option is None else np.asarray(option), cut=cut,
        batches=answer.batches, downlink_hz=np.asarray(answer.downlink_hz),
        uplink_hz=np.where(served, serving.uplink_hz(waived=waived), 0.0),
        edge_share=np.where(served, serving.encoding_share(waived=waived), 0.0),
    )  # fmt: skip


def batched_of(
    k: int, problem: BatchedEdgeProblem, answer: Any, stages: Stage, durations_s: list[float]
) -> tuple[Batched, dict[int, float]] | None:
    """The batches of user k, and by which leaf they begin when; `durations_s` [s] gets their time. None without any."""
    leaf = batched_step(stages)
    numbers = tuple(j for j, batch in enumerate(answer.batches) if k in batch)
    if leaf is None or not numbers:
        return None
    sizes = [len(batch) for batch in answer.batches]
    law = problem.step_slope_s, problem.step_base_s
    times_s = batch_times_s(problem.start_s, *law, sizes)
    made = Batched(
        numbers=numbers, together=tuple(sizes[j] for j in numbers),
        times_s=tuple(times_s[j] for j in numbers),
        edge_s=float(sum(batch_s(*law, sizes[j]) / sizes[j] for j in numbers)),
        ready_s=schedule(stages, durations_s)[leaf].start_s,
    )  # fmt: skip
    durations_s[leaf] = made.end_s - made.start_s
    return made, {leaf: made.start_s}


def batches_of_users(users: Sequence[Batched | None]) -> Batches:
    """All batches, by the numbers of the users."""
    count = max((one.numbers[-1] for one in users if one is not None), default=-1) + 1
    return tuple(
        tuple(k for k, one in enumerate(users) if one is not None and number in one.numbers) for number in range(count)
    )


def read_stated_batches(
    data: Mapping[str, Any], table: OptionTable, option: NDArray[np.int64]
) -> dict[str, NDArray[np.int64] | Batches]:
    """Cuts and batches that a plan file states; raises InvalidInput where they are of another kind."""
    for k, o in enumerate(option.tolist()):
        if o not in _serving(table).columns()[k]:
            raise refused(
                f"options[{k}]", table.options[o].name, "an option that an edge in batches plans for the user"
            )
    try:
        batches = read_batches(data.get("batches"), len(option))
    except InvalidInput as error:
        raise refused(error.field, error.value, error.expected) from None
    return {"cut": cuts_of(table, option), "batches": batches}


def restricted(
    table: OptionTable,
    problem: BatchedEdgeProblem,
    open_: NDArray[np.bool_],
    *,
    gap: float = 1e-6,
    time_limit_s: float | None = None,
    waived: bool = False,
) -> SimpleNamespace:
    """The best answer with fewer cuts, (K, N + 1); raises Infeasible where a user has none left."""
    allowed = problem.allowed_mask & open_
    stuck = np.flatnonzero(~allowed.any(axis=1)).tolist()
    if stuck:
        raise Infeasible("no option is left", [Conflict(k, "open options", 0.0, "") for k in stuck])
    limit_s = RIVAL_S if time_limit_s is None else min(RIVAL_S, time_limit_s)
    return solved_in_batches(table, replace(problem, cut_allowed=allowed), "auto", gap, limit_s, waived=waived)


def only(problem: BatchedEdgeProblem, cut: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The given cuts alone, (K, N + 1)."""
    found = np.zeros((problem.users, problem.steps + 1), dtype=bool)
    found[np.arange(problem.users), cut] = True
    return found


def common_batch(table: OptionTable, problem: BatchedEdgeProblem) -> SimpleNamespace | None:
    """The best found in which those who are served make all steps in one batch, and the others none; None where some
    user can have neither."""
    whole, home = problem.open_cuts[:, problem.steps], problem.open_cuts[:, 0]
    if not (whole | home).all():
        return None
    schedules = Schedules(problem, Band(problem))
    local_s = problem.weights * (problem.steps * problem.steps_s + problem.local_rest_s)
    none = np.zeros(problem.users, dtype=np.int64)
    best = None
    for key in (-local_s, -local_s / problem.weights, -problem.steps_s, problem.rest_s):
        order = np.argsort(np.where(home, key, -np.inf), kind="stable")
        for count in range(problem.users + 1):
            cut = none.copy()
            cut[[k for k in order[:count] if whole[k]]] = problem.steps
            if (home | (cut > 0)).all():
                found = schedules.worth(none, cut)
                best = found if best is None or found.objective < best.objective else best
    if best is None:
        return None
    return evaluated(table, problem, best.cut, schedules.decided(best).batches, schedules.decided(best).downlink_hz)


def all_at_once(table: OptionTable, problem: BatchedEdgeProblem, option: NDArray[np.int64]) -> SimpleNamespace:
    """The given options, all chains from the first batch on, the band split equally among those who are served."""
    cut = cuts_of(table, option)
    batches = tuple(tuple(np.flatnonzero(cut > n).tolist()) for n in range(int(cut.max(initial=0))))
    served = (cut > 0) & (problem.downlink_bit > 0)
    band_hz = np.where(served, problem.downlink_hz / max(int(served.sum()), 1), 0.0)
    return evaluated(table, problem, cut, batches, band_hz)


def evaluated(
    table: OptionTable, problem: BatchedEdgeProblem, cut: NDArray[np.int64], batches: Batches, band_hz: Any
) -> SimpleNamespace:
    """An answer by its decisions."""
    made = SimpleNamespace(option=_options(table, cut), cut=cut, batches=batches, downlink_hz=np.asarray(band_hz))
    found: Any = problem.evaluate(made)
    made.latency_s, made.objective_s, made.status = found.latency_s, found.objective_s, Status.FEASIBLE
    return made


def single_mechanisms(
    table: OptionTable, gap: float, time_limit_s: float | None
) -> Iterator[tuple[str, SimpleNamespace, NDArray[np.bool_]]]:
    """The best in which all who can run one mechanism, and who can, (K,); without the users' own limits."""
    problem = table.waived_problem()
    assert isinstance(problem, BatchedEdgeProblem)
    n = np.arange(problem.steps + 1)
    for name, among in (("local", n == 0), ("E2U", n == problem.steps), ("SEU", (n > 0) & (n < problem.steps))):
        able = np.asarray((problem.open_cuts & among).any(axis=1))
        if 2 * able.sum() > len(able):
            open_ = np.where(able[:, None], among, True)
            yield name, restricted(table, problem, open_, gap=gap, time_limit_s=time_limit_s, waived=True), able


def closed_options(table: OptionTable, forbidden: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cuts that are left, (K, N + 1), where options, (K, O), are forbidden."""
    columns = _serving(table).columns()
    rows = np.arange(len(columns))[:, None]
    return np.asarray((columns != NONE) & ~forbidden[rows, np.maximum(columns, 0)])
