"""From a batch of scenarios to the compiled searches and back: threads, what is handed on, and the evaluation."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from megdt_opt.errors import Infeasible, SolverFailure
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.arrays import Array
from megdt_opt.problem.batch_problem import BatchProblem
from megdt_opt.problem.checks import LARGEST, count
from megdt_opt.problem.evaluation import evaluate_all, in_units
from megdt_opt.problem.outcome import Status
from megdt_opt.solving.asked import check_asked
from megdt_opt.solving.batch.allocation import BatchAllocation
from megdt_opt.solving.batch.check import prices_prove
from megdt_opt.solving.closing import close
from megdt_opt.solving.compiled.folder import compiled_before, mark_compiled
from megdt_opt.tolerances import EXACT, SOLVER

if TYPE_CHECKING:
    from megdt_opt.solving.batch.running import Batch

Evaluated = tuple[Array, Array, Array, Array]

WAITS = 100_000
"""Scenarios times users times options above which compiling pays for itself in one call [1]."""

_CLOSED, _HARD, _EMPTY, _FAILED = range(4)
_LEAST_GAP = 1e-9
_CHUNK = 512
_HOME = Path(__file__).parent
_loaded: set[str] = set()


def solve_batch(
    problems: BatchProblem | Sequence[AllocationProblem],
    gap: float = 1e-6,
    *,
    threads: int | None = None,
    time_limit_s: float | None = None,
) -> BatchAllocation:
    """Choose the options and shares of all users in many scenarios.

    Scenarios with linear rates, share caps included, are closed by kernels made for small problems, without Python
    between them. The others (Shannon rates; for "sum" device branches, deadlines and airtime limits), and the few that
    the kernels give up, go to the search of `solve` one after the other. The first call compiles the kernels, once for
    an installation; a small batch does not wait for that.

    Parameters
    ----------
    problems : BatchProblem or sequence of AllocationProblem
        Scenarios of one shape, objective "max" or "sum".
    gap : float
        Relative gap to prove in each [1].
    threads : int, optional
        Threads; default as many as there are cores.
    time_limit_s : float, optional
        Limit on each scenario that is handed on [s].

    Returns
    -------
    BatchAllocation
        One row a scenario.

    Raises
    ------
    InvalidInput
        For scenarios that make no batch; names scenario, user and option. An infeasible one raises nothing: its
        status says so.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, solve_batch
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> found = solve_batch([problem, problem])
    >>> found.objective_s.round(4).tolist()
    [3.9753, 3.9753]
    """
    check_asked(gap, time_limit_s)
    if threads is not None:
        count("threads", threads, 1, "Leave it out for one each core.")
    begin = time.perf_counter()
    batch = problems if isinstance(problems, BatchProblem) else BatchProblem.of(problems)
    built = time.perf_counter()
    result = _Result(batch, gap)
    rest = np.ones(batch.scenarios, bool)
    if batch.compiled and _pays(batch):
        rest = _run(result, threads or os.cpu_count() or 1)
    for s in np.flatnonzero(rest):
        _hand_on(result, int(s), time_limit_s)
    return result.allocation(built - begin, time.perf_counter() - built)


def prepare_batches(objective: str) -> None:
    """Load or compile the kernels, so that all later batches of an objective, "max" or "sum", are solved by them."""
    if objective not in _loaded:
        one = np.ones((1, 1, 1))
        batch = BatchProblem(
            fixed_s=one, downlink_bit=one, uplink_bit=one, edge_work_s=one, downlink_hz=one[0, 0], uplink_hz=one[0, 0],
            downlink_efficiency=one[0], uplink_efficiency=one[0], objective=objective,
        )  # fmt: skip
        _run(_Result(batch, 1e-6), 1)


def _pays(batch: BatchProblem) -> bool:
    """Whether the kernels are there or are worth compiling."""
    size = batch.scenarios * batch.users * batch.options
    return batch.objective in _loaded or size > WAITS or compiled_before(_HOME, batch.objective)


class _Result:
    """Results as they come in."""

    def __init__(self, batch: BatchProblem, gap: float) -> None:
        scenarios, users = batch.scenarios, batch.users
        self.batch, self.gap = batch, gap
        self.option = np.full((scenarios, users), -1, dtype=np.int32)
        self.x = np.full((scenarios, 3, users), np.nan)
        self.found = np.full(scenarios, np.nan)
        self.bound = np.full(scenarios, np.nan)
        self.how = np.full(scenarios, _HARD, dtype=np.int32)
        self.passes = np.zeros(scenarios, dtype=np.int32)
        self.nodes = np.zeros(scenarios, dtype=np.int32)
        self.handed_on = np.zeros(scenarios, bool)
        self.evaluated: Evaluated | None = None

    def evaluate(self) -> Evaluated:
        """Shares (S, 3, K), latencies (S, K), objectives and violations (S,), by the problem's own formula.

        Worked out once for as long as nothing new comes in.
        """
        if self.evaluated is None:
            shares, _ = in_units(self.batch, self.x)
            self.evaluated = (shares, *evaluate_all(self.batch, np.maximum(self.option, 0), shares))
        return self.evaluated

    def allocation(self, build_s: float, solve_s: float) -> BatchAllocation:
        """Evaluate everything again and put it together."""
        begin = time.perf_counter()
        feasible = (self.how != _EMPTY) & (self.how != _FAILED)
        shares, latency, objective, violation = self.evaluate()
        # an answer that breaks a limit is none
        failed = (self.how == _FAILED) | (feasible & ~(violation <= SOLVER))
        feasible &= ~failed
        shares = np.where(feasible[:, None, None], shares, np.nan)
        latency, objective = np.where(feasible[:, None], latency, np.nan), np.where(feasible, objective, np.nan)
        # what a reported bound claims never exceeds the objective
        lower = np.fmin(self.bound, objective)
        with np.errstate(divide="ignore", invalid="ignore"):
            reached = np.where(objective > lower, (objective - lower) / objective, 0.0)
        proven = np.where(reached <= self.gap + 1e-12, Status.OPTIMAL, Status.FEASIBLE)
        status = np.where(feasible, proven, np.where(failed, Status.FAILED, Status.INFEASIBLE))
        return BatchAllocation(
            problem=self.batch,
            option=np.where(feasible[:, None], self.option, -1).astype(np.int64),
            downlink_hz=shares[:, 0],
            uplink_hz=shares[:, 1],
            edge_share=shares[:, 2],
            latency_s=latency,
            objective_s=objective,
            lower_bound_s=np.where(feasible, lower, np.nan),
            gap=np.where(feasible, reached, np.nan),
            status=status,
            passes=self.passes.astype(np.int64),
            nodes=self.nodes.astype(np.int64),
            handed_on=self.handed_on,
            asked_gap=self.gap,
            build_s=build_s,
            solve_s=solve_s + time.perf_counter() - begin,
        )


def _run(result: _Result, threads: int) -> np.ndarray:
    """Close all scenarios by the kernels; those that they leave, (S,)."""
    from megdt_opt.solving.batch.running import Found, run

    batch = result.batch
    arrays = _arrays(batch)
    parts = np.full(result.x.shape, np.nan)  # in the kernels' order: uplink, edge, downlink
    prices = np.zeros((batch.scenarios, 3))
    found = Found(result.option, parts, result.found, result.how, result.passes, result.nodes, prices)
    summed, limited = batch.objective == "sum", batch.allowed is not None
    # a little less than asked, so that rounding cannot push the reported gap over it
    aim = max(0.95 * result.gap, _LEAST_GAP)
    chunk = max(1, min(_CHUNK, batch.scenarios // (4 * threads)))
    starts = range(0, batch.scenarios, chunk)

    def part(first: int) -> None:
        run(arrays, found, summed, limited, first, min(first + chunk, batch.scenarios), aim)

    if batch.objective not in _loaded:
        part(0)  # compiles, or loads what was compiled
        starts = range(chunk, batch.scenarios, chunk)
        mark_compiled(_HOME, batch.objective)
        _loaded.add(batch.objective)
    if threads == 1 or len(starts) < 2:
        for first in starts:
            part(first)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, starts))
    result.x[:] = parts[:, [2, 0, 1]]
    closed = result.how == _CLOSED
    result.bound[closed] = result.found[closed] * (1.0 - aim)
    # the kernels' figures are not believed: where shares do not reach them (numbers near the ends of the floating
    # range), the scenario is handed on
    *_, objective, violation = result.evaluate()
    good = (objective <= result.found * (1.0 + EXACT)) & (violation <= EXACT)
    if not batch.plain:
        good &= prices_prove(batch, prices, result.bound)  # nor are their proofs
    left: np.ndarray = (result.how == _HARD) | (closed & ~good)
    return left


def _arrays(batch: BatchProblem) -> Batch:
    from megdt_opt.solving.batch.running import Batch
    from megdt_opt.solving.compiled.driver import given

    shape = (batch.scenarios, batch.users)
    scale = np.zeros((*shape, 3))
    with np.errstate(divide="ignore", over="ignore"):
        if batch.uplink_efficiency is not None:
            scale[:, :, 0] = 1.0 / (batch.uplink_efficiency * batch.uplink_hz[:, None])
        scale[:, :, 1] = (1.0 / batch.edge_capacity)[:, None]
        if batch.downlink_efficiency is not None:
            scale[:, :, 2] = 1.0 / (batch.downlink_efficiency * batch.downlink_hz[:, None])
        cap = np.ones(shape)
        if batch.edge_share_max is not None:
            cap = np.minimum(batch.edge_share_max / batch.edge_capacity[:, None], 1.0)
    none, airtime = np.empty((0, 0, 0)), batch.uplink_airtime_max_s
    made = Batch(
        fixed=batch.fixed_s, up=batch.uplink_bit, edge=batch.edge_work_s, down=batch.downlink_bit,
        allowed=np.ones((1, 1, 1), bool) if batch.allowed is None else batch.allowed,
        scale=scale, weight=np.ones(shape) if batch.weight is None else batch.weight, cap=cap,
        branch=none if batch.device_branch_s is None else batch.device_branch_s,
        airtime=none if airtime is None else np.where(airtime >= LARGEST, np.inf, airtime),
        deadline=np.full(shape, np.inf) if batch.deadline_s is None else batch.hard_deadline_s,
    )  # fmt: skip
    return Batch(*map(given, made))


def _hand_on(result: _Result, s: int, time_limit_s: float | None) -> None:
    """Close one scenario as `solve` does."""
    problem = result.batch.problem(s)
    result.handed_on[s] = True
    result.evaluated = None
    try:
        closed = close(problem, Resources.of(problem), gap=result.gap, time_limit_s=time_limit_s)
    except (Infeasible, SolverFailure) as error:
        result.how[s] = _EMPTY if isinstance(error, Infeasible) else _FAILED
        return
    result.how[s] = _CLOSED
    result.option[s], result.x[s] = closed.option, closed.x
    result.found[s], result.bound[s] = closed.objective, closed.bound
    result.passes[s] += closed.passes
    result.nodes[s] += closed.nodes
