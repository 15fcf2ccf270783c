"""Generation splitting: its front of latency against energy, each point in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.problem.generation_split import GenerationSplitProblem, generation_split


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
        limits = np.asarray(checks.plain("energy_max_j", energy_max_j, "a list of limits [J]"), dtype=float)
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
