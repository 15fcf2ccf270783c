"""Whether a choice survives the calibration's interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Infeasible
from megdt_opt.planning.baselines import answer, kept_options
from megdt_opt.planning.claims import read_fields
from megdt_opt.planning.in_turns import late_users
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.scenario.machines import Machines
from megdt_opt.scenario.options import OptionTable
from megdt_opt.tolerances import SOLVER

_ENDS = ("low", "high")
"""Every stage time at the low or at the high end of its interval."""


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """What happens to a plan at the ends of the calibration's intervals.

    Parameters
    ----------
    survives : tuple of bool
        For each user, whether its mechanism, cut and edge server stay optimal at every corner.
    regret : float
        Most that keeping the plan's options costs at a corner, against the optimum there (for "missed", against the
        weight of all users), shares being optimal in both [1].
    breaks : bool
        Whether a limit that the plan keeps at the median is broken at a corner; the regret leaves those out.
    corners : int
        Corners tried: edges and devices, each at either end where it has intervals.
    without : int
        Corners at which no choice keeps all limits; no user's choice survives them.
    """

    survives: tuple[bool, ...]
    regret: float
    breaks: bool
    corners: int
    without: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def restated_robustness(
    stated: object, table: OptionTable, option: NDArray[np.int64], gap: float, time_limit_s: float | None
) -> Robustness | None:
    """The robustness that a plan file states, where it is that of its plan; else this. None where it states none.

    Raises
    ------
    InvalidInput
        Where a field is missing, unknown or of another kind.
    """
    if stated is None:
        return None
    read = Robustness(**read_fields(Robustness, stated, "robustness"))
    found = robustness(table, option, gap=gap, time_limit_s=time_limit_s)
    if found is None:
        return None
    same = replace(read, regret=found.regret) == found and abs(read.regret - found.regret) <= SOLVER
    return read if same else found


def robustness(
    table: OptionTable, option: NDArray[np.int64], *, gap: float = 1e-6, time_limit_s: float | None = None
) -> Robustness | None:
    """Solve again at each corner of the intervals; None where no profile has intervals, as published ones have none,
    and where latencies hold at a level, for corners have no samples.

    Parameters
    ----------
    table : OptionTable
    option : array of int, (K,)
        The plan's options.
    gap, time_limit_s
        As for `solve` [1, s].
    """
    corners = corners_of(table.machines)
    if not corners or table.scenario.holds is not None:
        return None
    survives = np.ones(len(option), dtype=bool)
    regret, broken, without = 0.0, False, 0
    for edge, devices in corners:
        there = replace(table, machines=table.machines.at(edge, devices))
        try:
            problem = there.problem()
            best = answer(there, problem, gap=gap, time_limit_s=time_limit_s)
        except Infeasible:
            survives[:] = False
            broken, without = True, without + 1
            continue
        for k, o in enumerate(option):
            mine, theirs = table.options[int(o)], table.options[int(best.option[k])]
            survives[k] &= mine.alike(theirs)
        try:
            kept = best if np.array_equal(best.option, option) else kept_options(there, problem, option)
        except Infeasible:
            broken = True
            continue
        # classes of turns and of batches do not know deadlines
        if isinstance(problem, SequencedEdgeProblem | BatchedEdgeProblem) and late_users(there, kept.latency_s):
            broken = True
            continue
        # a weight may be 0, so it is related to that of all users
        scale = best.objective_s if table.scenario.objective_is_time else float(problem.weights.sum())
        regret = max(regret, (kept.objective_s - best.objective_s) / scale)
    return Robustness(
        survives=tuple(bool(s) for s in survives),
        regret=float(regret),
        breaks=broken,
        corners=len(corners),
        without=without,
    )


def corners_of(machines: Machines) -> tuple[tuple[str, str], ...]:
    """Ends of the intervals for (edges, devices), "middle" for those without; empty where none has any."""
    measured = [any(p.has_intervals for p in those) for those in (machines.edges.values(), machines.devices)]
    edge, devices = (_ENDS if has else ("middle",) for has in measured)
    return tuple(product(edge, devices)) if any(measured) else ()
