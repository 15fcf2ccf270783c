"""Whether a choice survives the calibration's interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.planning.baselines import fixed
from megdt_opt.planning.claims import read_fields
from megdt_opt.scenario.options import OptionTable
from megdt_opt.solving import solve
from megdt_opt.tolerances import SOLVER

CORNERS = (("low", "low"), ("low", "high"), ("high", "low"), ("high", "high"))
"""(edge, devices): every stage time at the low or at the high end of its interval."""


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """What happens to a plan at the ends of the calibration's intervals.

    Parameters
    ----------
    survives : tuple of bool
        For each user, whether its mechanism and cut stay optimal at every corner.
    regret : float
        Most that keeping the plan's options costs at a corner, against the optimum there, shares being
        optimal in both [1].
    breaks : bool
        Whether a limit that the plan keeps at the median is broken at a corner; the regret leaves those out.
    corners : int
        Corners tried: edge and devices, each at either end.
    """

    survives: tuple[bool, ...]
    regret: float
    breaks: bool
    corners: int

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
    same = replace(read, regret=found.regret) == found and abs(read.regret - found.regret) <= SOLVER
    return read if same else found


def robustness(
    table: OptionTable, option: NDArray[np.int64], *, gap: float = 1e-6, time_limit_s: float | None = None
) -> Robustness:
    """Solve again at each corner of the intervals.

    Parameters
    ----------
    table : OptionTable
    option : array of int, (K,)
        The plan's options.
    gap, time_limit_s
        As for `solve` [1, s].
    """
    survives = np.ones(len(option), dtype=bool)
    regret, broken = 0.0, False
    for edge, devices in CORNERS:
        there = replace(table, machines=table.machines.at(edge, devices))
        problem = there.problem()
        best = solve(problem, gap=gap, time_limit_s=time_limit_s)
        for k, o in enumerate(option):
            mine, theirs = table.options[int(o)], table.options[int(best.option[k])]
            survives[k] &= (mine.mechanism, mine.cut, mine.share) == (
                theirs.mechanism,
                theirs.cut,
                theirs.share,
            )
        if bool(problem.allowed_mask[np.arange(len(option)), option].all()):
            kept = fixed(problem, option).objective_s
            regret = max(regret, kept / best.objective_s - 1.0)
        else:
            broken = True
    return Robustness(
        survives=tuple(bool(s) for s in survives), regret=float(regret), breaks=broken, corners=len(CORNERS)
    )
