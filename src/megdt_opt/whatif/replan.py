"""Planning again from the last plan, with a cost for switching, starting from the last plan's prices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.pricing.scaled import Array, Resources, in_units
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate_shares
from megdt_opt.problem.outcome import Status
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.allocation import Allocation
from megdt_opt.solving.answers import relative_gap
from megdt_opt.solving.asked import check_asked
from megdt_opt.solving.door import solve_again
from megdt_opt.tolerances import EXACT
from megdt_opt.whatif.names import UNNAMED, Names
from megdt_opt.whatif.said import Said
from megdt_opt.whatif.shares_at import checked_options, require_time


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Replan(Said):
    """A new plan beside the old one.

    Parameters
    ----------
    allocation : Allocation
        The new plan. Latencies, objective, bound, gap and certificate are of `charged`: switching costs included.
    charged : AllocationProblem
        The problem that was solved: `fixed_s` of every option other than the previous one holds the switching cost;
        the problem itself where switching costs nothing.
    settled_s : float
        Objective without switching costs: that of the next pictures, once the switches are paid [s].
    kept_s : float
        Objective of the previous options with new shares [s]; infinite where they cannot keep the limits.
    switched : tuple of int
        Users whose option changes.
    warm : bool
        Whether the previous plan's prices proved the new plan without a new search.
    names : Names
        What users and options are called in words.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, replan, solve
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> replan(problem, solve(problem)).switched
    ()
    """

    allocation: Allocation
    charged: AllocationProblem
    settled_s: float
    kept_s: float
    switched: tuple[int, ...]
    warm: bool
    names: Names = UNNAMED

    @property
    def objective_s(self) -> float:
        """Objective with switching costs [s]."""
        return self.allocation.objective_s

    @property
    def gain_s(self) -> float:
        """How much better than keeping the options, switching costs paid [s]; infinite where they cannot be kept."""
        return self.kept_s - self.allocation.objective_s

    def __str__(self) -> str:
        who = self.names.several(self.switched) or "nobody"
        if self.names.options:
            to = [(k, int(self.allocation.option[k])) for k in self.switched]
            who = ", ".join(f"{self.names.user(k)} to {self.names.option(o)}" for k, o in to) or "nobody"
        how = "proved by the previous prices" if self.warm else "searched again"
        return (
            f"switches: {who}; objective {self.objective_s:.6g} s with switching, {self.settled_s:.6g} s after it, "
            f"{self.kept_s:.6g} s with the previous options ({how}, {self.allocation.status}, "
            f"gap {self.allocation.gap:.1e})"
        )


def replan(
    problem: AllocationProblem,
    previous: Allocation | ArrayLike,
    switch_cost_s: float | ArrayLike = 0.0,
    *,
    gap: float = 1e-6,
    time_limit_s: float | None = None,
) -> Replan:
    """Choose again where a switch of a user's option takes `switch_cost_s`.

    What is minimised is the problem's own objective of the latencies

        L'_k = L_k + switch_cost_s  if user k's option is not its previous one, else L_k,

    over all options and shares: the picture with which the switch happens. So with "sum" a switch of user k costs
    w_k * switch_cost_s once; with "max" it costs nothing unless it makes user k the worst; hard deadlines hold for
    L', the switch included. Within the gap the result is optimal in this sense, and in no other: it looks one
    decision ahead, not at what later problems will ask. To weigh a cost that is paid once against a gain that lasts n
    pictures, pass the cost divided by n (exact for "sum": the mean over the n pictures). Shares change freely.

    The search begins with the previous options and prices. Where one of these prices proves the gap for the best of
    the options that they propose, that is all.

    Parameters
    ----------
    problem : AllocationProblem
        The new problem, with as many users and options as the previous one.
    previous : Allocation or array_like of int, (K,)
        The last plan, or its options; prices are reused from an Allocation with a certificate.
    switch_cost_s : float or array_like, (K,)
        At least 0 [s].
    gap, time_limit_s
        As for `solve` [1, s].

    Returns
    -------
    Replan
        The new allocation, its objective with and without switching costs, and who switches.

    Raises
    ------
    InvalidInput
        For the objective "missed", a cost that is negative, or a plan of another shape.
    Infeasible
        Where no allocation keeps the limits with the switching costs.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, replan, solve
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> before = solve(problem)
    >>> slower = AllocationProblem(
    ...     fixed_s=problem.fixed_s, edge_work_s=4 * problem.edge_work_s, downlink_bit=problem.downlink_bit,
    ...     uplink_bit=problem.uplink_bit, downlink_hz=1e6, uplink_hz=0.0, downlink_efficiency=[1.0, 2.0],
    ... )
    >>> replan(slower, before, switch_cost_s=0.1).allocation.option.tolist()
    [1, 0]
    """
    require_time(problem, "re-planning")
    check_asked(gap, time_limit_s)
    option = checked_options(problem, previous.option if isinstance(previous, Allocation) else previous)
    charged = _charged(problem, option, switch_cost_s)
    again = solve_again(charged, previous if isinstance(previous, Allocation) else option, gap, time_limit_s)
    allocation, kept_s, settled_s = again.allocation, again.allocation.objective_s, again.allocation.objective_s
    if (allocation.option != option).any():
        kept = _kept(charged, option, again.kept)
        kept_s = kept.objective_s
        if not again.warm and kept_s <= allocation.objective_s * (1 + EXACT):
            allocation, settled_s = _keep(allocation, kept, gap), kept_s  # a switch that gains nothing is not made
        elif charged is not problem:
            settled_s = allocation.evaluate(problem).objective_s
    return Replan(
        allocation=allocation,
        charged=charged,
        settled_s=settled_s,
        kept_s=kept_s,
        switched=tuple(int(k) for k in np.flatnonzero(allocation.option != option)),
        warm=again.warm,
    )


def _charged(
    problem: AllocationProblem, option: NDArray[np.int64], switch_cost_s: float | ArrayLike
) -> AllocationProblem:
    shape = checks.plain("switch_cost_s", switch_cost_s, "numbers [s], one for all users or one for each").shape or ()
    cost = checks.numbers("switch_cost_s", switch_cost_s, shape and (problem.users,), "s", axes=("user",))
    if not cost.any():
        return problem
    other = np.arange(problem.options)[None, :] != option[:, None]
    return problem.with_fixed_s(problem.fixed_s + other * np.broadcast_to(cost, (problem.users,))[:, None])


@dataclass(frozen=True)
class _Kept:
    """The previous options with their best shares."""

    option: NDArray[np.int64]
    shares: Array
    latency_s: Array
    objective_s: float


def _kept(charged: AllocationProblem, option: NDArray[np.int64], x: Array | None) -> _Kept:
    """With scaled shares (3, K), worked out here where they are not known; infinite where none keep the limits."""
    if x is None:
        found = best_shares(charged, Resources.of(charged), option[None])
        x = found.x[0]
        if not np.isfinite(found.objective[0]):
            return _Kept(option, x, x[0], np.inf)
    shares, _ = in_units(charged, x)
    seen = evaluate_shares(charged, option, shares)
    return _Kept(option, shares, seen.latency_s, seen.objective_s)


def _keep(found: Allocation, kept: _Kept, gap: float) -> Allocation:
    """The kept options in place of others that are no better, under the same bound."""
    lower = min(found.lower_bound_s, kept.objective_s)
    reached = relative_gap(kept.objective_s, lower)
    return replace(
        found,
        option=kept.option,
        downlink_hz=kept.shares[0],
        uplink_hz=kept.shares[1],
        edge_share=kept.shares[2],
        latency_s=kept.latency_s,
        objective_s=kept.objective_s,
        lower_bound_s=lower,
        gap=reached,
        status=found.status if reached <= max(gap, found.gap) + 1e-12 else Status.FEASIBLE,
    )
