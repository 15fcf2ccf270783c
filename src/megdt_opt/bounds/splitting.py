"""Generation splitting in closed form, and its front of latency against energy."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.generation_split import GenerationSplit, GenerationSplitProblem
from megdt_opt.problem.outcome import BoundSource, Method, Status


def generation_split(problem: GenerationSplitProblem) -> GenerationSplit:
    """Optimal share and power of a `GenerationSplitProblem`.

    Proposition. Write y = 1 - x, A = U_E + Z/R, U_min = V0 P^-k, and

        y1 = eps/(P U_min)                                   (what full power makes before the energy is spent),
        y0 = (eps/V0) ((1 - k) A/V0)^((1-k)/k)               (where slowing down costs as much as the edge saves).

    If U_min > A the edge makes everything (x = 1). Otherwise y* = min(1 - x_min, max(y0, y1)); y0 >= y1 iff
    U_min <= (1 - k) A. The power is p* = min(P, (eps/(y V0))^(1/(1-k))). Splitting is strictly better than full edge
    generation iff U_min < A, eps > 0 and x_min < 1.
    Proof. For given y the latency falls in p, so p = p*(y) as stated, and the device takes
    max(y U_min, V0 (V0/eps)^(k/(1-k)) y^(1/(1-k))): both are convex in y (1/(1-k) > 1) and cross at y1. So
    D(y) = (1 - y) A + that maximum is convex. Its slope is U_min - A below y1, and (y/y0)^(k/(1-k)) A - A above; y0 is
    where the latter is 0, and U_min/(1-k) - A is its value at y1. A convex function on [0, 1 - x_min] is least at the
    point of its stationary set nearest to the interval.
    Ties: at U_min = A the slope below y1 is 0, so every x from max(x_min, 1 - y1) to 1 is optimal; the least is
    returned with `share_tied_max` = 1. y0 is computed in logarithms: (1-k)/k is large for a small exponent.
    Region: the whole domain of the problem class. Source: "Large Model at Edge: An Optimal MEG Design", IEEE TWC 2025
    (`paper/MEG-DT.md`); the proof by convexity in y is ours.

    Parameters
    ----------
    problem : GenerationSplitProblem

    Returns
    -------
    GenerationSplit
        Share, power, latency and energy; its bound is its latency.

    Raises
    ------
    InvalidInput
        Where the best power lies below the range of floats.

    Examples
    --------
    >>> from megdt_opt import GenerationSplitProblem, bounds
    >>> problem = GenerationSplitProblem(
    ...     edge_s=1.0, device_s_at_1_w=2.0, exponent=0.5, payload_bit=1e6, rate_bit_per_s=1e6,
    ...     energy_max_j=1.0, power_max_w=4.0,
    ... )
    >>> best = bounds.generation_split(problem)
    >>> round(best.share, 4), best.power_w, round(best.latency_s, 4), best.message
    (0.75, 4.0, 1.75, 'full power, energy spent')
    """
    begin = time.perf_counter()
    p, A, fastest = problem, problem.whole_edge_s, problem.fastest_device_s
    most = 1.0 - p.share_min
    tied = fastest == A
    if fastest > A or p.energy_max_j == 0:
        rest, tied = 0.0, False
    else:
        # A >= U_min > 0 here; math.exp cannot overflow because `most` cuts it first
        logs = [math.log(p.energy_max_j) - math.log(p.power_max_w) - math.log(fastest)]
        spent = math.log(p.energy_max_j) - math.log(p.device_s_at_1_w)
        slow = math.log1p(-p.exponent) + math.log(A) - math.log(p.device_s_at_1_w)
        logs.append(spent + (1 - p.exponent) / p.exponent * slow)
        rest = most if max(logs) >= 0 else min(most, math.exp(max(logs)))
    # 1 - (1 - x_min) would lose the digits of a small x_min
    share = p.share_min if rest == most else 1.0 - rest
    # the power for the share that is reported: 1 - x rounds, and the energy limit must hold for what is reported
    power_w = p.power_w(1.0 - share)
    found = p.evaluate(share, power_w)
    return GenerationSplit(
        share=share, share_tied_max=1.0 if tied and rest > 0 else share, power_w=power_w,
        latency_s=found.latency_s, energy_j=found.energy_j, lower_bound_s=found.latency_s, gap=0.0,
        status=Status.OPTIMAL, method=Method.CLOSED_FORM, bound_source=BoundSource.CLOSED_FORM,
        solve_s=time.perf_counter() - begin, message=_regime(p, rest, most),
    )  # fmt: skip


def _regime(p: GenerationSplitProblem, rest: float, most: float) -> str:
    if rest == 0:
        return "everything at the edge"
    if rest == most:
        return "the least edge share that is allowed"
    return "slower than full power" if p.power_w(rest) < p.power_max_w * (1 - 1e-12) else "full power, energy spent"


@dataclass(frozen=True, kw_only=True, eq=False)
class EnergyDelayFront:
    """Least latency for each energy limit, as arrays for a figure, all (n,).

    Parameters
    ----------
    energy_max_j : array
        The limits [J].
    energy_j : array
        What the optimum spends [J]; less than its limit once more energy no longer helps.
    latency_s : array
        Least latency [s].
    share, power_w : array
        Share made at the edge [1], and the device's power [W].

    Examples
    --------
    >>> import numpy as np
    >>> from megdt_opt import GenerationSplitProblem, bounds
    >>> problem = GenerationSplitProblem(
    ...     edge_s=1.0, device_s_at_1_w=2.0, exponent=0.5, payload_bit=1e6, rate_bit_per_s=1e6,
    ...     energy_max_j=1.0, power_max_w=4.0,
    ... )
    >>> front = bounds.energy_delay_front(problem)
    >>> bool((np.diff(front.latency_s) <= 0).all())
    True
    """

    energy_max_j: NDArray[np.float64]
    energy_j: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    share: NDArray[np.float64]
    power_w: NDArray[np.float64]


def energy_delay_front(problem: GenerationSplitProblem, energy_max_j: ArrayLike | None = None) -> EnergyDelayFront:
    """Least latency against the energy limit: every limit solved in closed form.

    Proposition. The front is convex and non-increasing, from (0 J, A) to the limit at which energy no longer binds.
    Proof. {(y, t, E): y V0 <= E^k t^(1-k)} is convex (a power cone), the other constraints and the latency
    A (1 - y) + t are linear, so the least latency is convex in the limit; a larger limit only widens the set.
    Region: the problem class. Source: ours, with the formulation `energy_delay`.

    Parameters
    ----------
    problem : GenerationSplitProblem
        Its own energy limit is not used.
    energy_max_j : array_like, (n,), optional
        Limits [J]; default 65 from 0 to the energy that full power would spend on the largest device share.

    Returns
    -------
    EnergyDelayFront
        One row for each limit.

    Raises
    ------
    InvalidInput
        Where the limits are no list of finite numbers of at least 0.

    Examples
    --------
    >>> from megdt_opt import GenerationSplitProblem, bounds
    >>> problem = GenerationSplitProblem(
    ...     edge_s=1.0, device_s_at_1_w=2.0, exponent=0.5, payload_bit=1e6, rate_bit_per_s=1e6,
    ...     energy_max_j=1.0, power_max_w=4.0,
    ... )
    >>> bounds.energy_delay_front(problem, [0.0, 1.0, 4.0]).latency_s.round(4).tolist()
    [2.0, 1.75, 1.0]
    """
    if energy_max_j is None:
        limits = np.linspace(0.0, (1 - problem.share_min) * problem.fastest_device_s * problem.power_max_w, 65)
    else:
        limits = np.asarray(energy_max_j, dtype=float)
    if limits.ndim != 1 or limits.size == 0:
        raise InvalidInput("energy_max_j", limits.shape, "a list of limits [J]", "Give at least one limit.")
    found = [generation_split(replace(problem, energy_max_j=float(limit))) for limit in limits]
    return EnergyDelayFront(
        energy_max_j=limits,
        energy_j=np.array([f.energy_j for f in found]),
        latency_s=np.array([f.latency_s for f in found]),
        share=np.array([f.share for f in found]),
        power_w=np.array([f.power_w for f in found]),
    )
