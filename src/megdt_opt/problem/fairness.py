"""Problems whose objective is fairness among the users; `solve` takes them like the core problem."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem

LARGEST_ALPHA = 100.0
"""Above, the largest latency decides alone within rounding: use the objective "max"."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LexicographicProblem:
    """Make the largest weighted latency w_k L_k smallest, then the second largest, and so on.

    Parameters
    ----------
    allocation : AllocationProblem
        Users, options and limits; of its objective nothing is used, but "missed" is refused, for it makes deadlines
        soft.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, LexicographicProblem, solve
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> best = solve(LexicographicProblem(allocation=problem))
    >>> round(best.objective_s, 4)  # the largest weighted latency [s]
    3.9753
    """

    allocation: AllocationProblem

    def __post_init__(self) -> None:
        object.__setattr__(self, "allocation", _hard(self.allocation, "max"))

    def levels_s(self, latency_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """What is compared: the weighted latencies from the largest on, (K,) [s]."""
        result: NDArray[np.float64] = np.sort(self.allocation.weights * latency_s)[::-1]
        return result


@dataclass(frozen=True, kw_only=True, eq=False)
class AlphaFairProblem:
    """Minimise sum_k w_k L_k^(1 + alpha) / (1 + alpha).

    alpha = 0 is the objective "sum"; as alpha grows, the largest latency counts more and more and the weights, whose
    (1 + alpha)-th root counts, less and less: in the end it is "max" with equal weights.

    Parameters
    ----------
    allocation : AllocationProblem
        Users, options and limits; of its objective nothing is used, but "missed" is refused, for it makes deadlines
        soft.
    alpha : float
        From 0 to 100 [1].

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, AlphaFairProblem
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> import numpy as np
    >>> round(AlphaFairProblem(allocation=problem, alpha=1.0).value(np.array([2.0, 4.0])), 6)  # (2² + 4²)/2
    10.0
    """

    allocation: AllocationProblem
    alpha: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "allocation", _hard(self.allocation, "sum"))
        alpha = checks.number("alpha", self.alpha, "1", remedy=f"Give a number from 0 to {LARGEST_ALPHA:g}.")
        if alpha > LARGEST_ALPHA:
            raise InvalidInput(
                "alpha", alpha, f"a number from 0 to {LARGEST_ALPHA:g} [1]", 'Use the objective "max" above.'
            )
        object.__setattr__(self, "alpha", alpha)

    @property
    def power(self) -> float:
        """1 + alpha."""
        return 1.0 + self.alpha

    def value(self, latency_s: NDArray[np.float64]) -> float:
        """The objective of latencies (K,) [s^(1 + alpha)]; infinite where it is too large for a float."""
        return self.of_norm(self.norm_s(latency_s))

    def norm_s(self, latency_s: NDArray[np.float64]) -> float:
        """(sum_k w_k L_k^p / sum_k w_k)^(1 / p) with p = 1 + alpha: the same order, in seconds [s]."""
        worst = float(latency_s.max())
        if worst == 0 or not math.isfinite(worst):
            return worst
        w = self.allocation.weights / self.allocation.weights.sum()
        return worst * math.pow(float((w * (latency_s / worst) ** self.power).sum()), 1.0 / self.power)

    def of_norm(self, norm_s: float) -> float:
        """The objective [s^(1 + alpha)] of a norm [s]."""
        total = float(self.allocation.weights.sum())
        try:
            return total * math.pow(max(norm_s, 0.0), self.power) / self.power
        except OverflowError:
            return math.inf


def _hard(allocation: object, objective: str) -> AllocationProblem:
    """The users and limits under another objective."""
    if not isinstance(allocation, AllocationProblem):
        raise InvalidInput("allocation", type(allocation).__name__, "an AllocationProblem", "Build one.")
    if allocation.objective == "missed":
        raise InvalidInput(
            "allocation.objective", "missed", '"max" or "sum", so that deadlines are hard', "Choose one of them."
        )
    if allocation.option_cost is not None:
        raise InvalidInput(
            "allocation.option_cost", "given", "no costs beside the latency where fairness is the objective",
            "Remove the costs, or use an AllocationProblem.",
        )  # fmt: skip
    for name in ("deviation_budget", "samples_kept"):
        if getattr(allocation, name) is not None:
            expected = "None where fairness is the objective"
            remedy = "Leave it out, or use an AllocationProblem."
            raise InvalidInput(f"allocation.{name}", getattr(allocation, name), expected, remedy)
    return replace(allocation, objective=objective, max_weight=None)
