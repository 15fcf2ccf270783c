"""Generation splitting: how much of the content the edge makes, and at which power the device makes the rest.

The device's speed grows with its power, so its share couples time and energy in a way that the core problem's fixed
latencies do not know. Source: "Large Model at Edge: An Optimal MEG Design" (IEEE TWC 2025; ICC 2025 slides).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.problem.outcome import BoundSource, Method, Status

_UNITS = {
    # field: (unit, whether 0 is allowed)
    "edge_s": ("s", True),
    "device_s_at_1_w": ("s", False),
    "exponent": ("1", False),
    "payload_bit": ("bit", True),
    "rate_bit_per_s": ("bit/s", False),
    "energy_max_j": ("J", True),
    "power_max_w": ("W", False),
    "share_min": ("1", True),
}

_LEAST_LOG = -300 * math.log(10.0)


@dataclass(frozen=True, kw_only=True)
class GenerationSplitProblem:
    """One user's content, made partly at the edge and then partly on the device.

    With x the share made at the edge and p the device's power,

        latency  D = x (edge_s + payload/rate) + (1 - x) device_s_at_1_w * p^-exponent,
        energy   E = (1 - x) device_s_at_1_w * p^(1 - exponent) <= energy_max_j,
        share_min <= x <= 1,  0 <= p <= power_max_w.

    Parameters
    ----------
    edge_s : float
        Time of the whole content at the edge, U_E [s].
    device_s_at_1_w : float
        Time of the whole content on the device at 1 W, V0 (V0 in s W^exponent, p in W) [s].
    exponent : float
        How speed grows with power, k in (0, 1): time = V0 p^-k [1].
    payload_bit : float
        Payload of the whole content, Z [bit].
    rate_bit_per_s : float
        Rate of the link, R [bit/s].
    energy_max_j : float
        Most energy that the device may spend, eps [J]; 0 leaves everything to the edge.
    power_max_w : float
        Largest power of the device, P [W].
    share_min : float
        Least share made at the edge, x_min [1].

    Raises
    ------
    InvalidInput
        Where a number is not finite, of the wrong sign or out of its range; names field, value, unit and remedy.

    Examples
    --------
    >>> from megdt_opt import GenerationSplitProblem
    >>> problem = GenerationSplitProblem(
    ...     edge_s=1.0, device_s_at_1_w=2.0, exponent=0.5, payload_bit=1e6, rate_bit_per_s=1e6,
    ...     energy_max_j=1.0, power_max_w=4.0,
    ... )
    >>> problem.whole_edge_s, problem.fastest_device_s
    (2.0, 1.0)
    """

    edge_s: float
    device_s_at_1_w: float
    exponent: float
    payload_bit: float
    rate_bit_per_s: float
    energy_max_j: float
    power_max_w: float
    share_min: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            unit, zero = _UNITS[field.name]
            object.__setattr__(self, field.name, checks.number(field.name, getattr(self, field.name), unit, zero=zero))
        if not self.exponent < 1:
            raise InvalidInput("exponent", self.exponent, "a number in (0, 1) [1]", "Give that of the speed.")
        if not self.share_min <= 1:
            raise InvalidInput("share_min", self.share_min, "a share in [0, 1] [1]", "Give a part, not a percentage.")
        scales = (self.whole_edge_s, self.fastest_device_s, self.fastest_device_s * self.power_max_w)
        if not all(math.isfinite(s) for s in scales) or self.fastest_device_s * self.power_max_w == 0:
            raise InvalidInput(
                "device_s_at_1_w", self.device_s_at_1_w, "times and energies within the range of floats", "Rescale it."
            )

    @property
    def whole_edge_s(self) -> float:
        """A = U_E + Z/R: latency of making everything at the edge [s]."""
        return self.edge_s + self.payload_bit / self.rate_bit_per_s

    @property
    def fastest_device_s(self) -> float:
        """U_min = V0 P^-k: the whole content on the device at full power [s]."""
        return float(self.device_s_at_1_w * self.power_max_w**-self.exponent)

    def power_w(self, device_share: float) -> float:
        """Largest power that the limits allow for a share 1 - x on the device [W]; 0 for no share.

        p = min(P, (eps/((1 - x) V0))^(1/(1 - k))): the latency falls in p, the energy grows with p^(1 - k).

        Raises
        ------
        InvalidInput
            Where the power is below the range of floats.
        """
        if device_share <= 0:
            return 0.0
        if self.energy_max_j == 0:
            return 0.0
        logarithm = (math.log(self.energy_max_j) - math.log(device_share) - math.log(self.device_s_at_1_w)) / (
            1 - self.exponent
        )
        if logarithm >= math.log(self.power_max_w):
            return self.power_max_w
        if logarithm < _LEAST_LOG:
            raise InvalidInput(
                "exponent",
                self.exponent,
                "a best power above 1e-300 W, within the range of floats",
                "Rescale the problem.",
            )
        return math.exp(logarithm)

    def evaluate(self, share: float, power_w: float) -> GenerationSplitEvaluation:
        """Latency, energy and violation of a choice, in plain arithmetic; nothing else is ever reported.

        Parameters
        ----------
        share : float
            Share of the content made at the edge, x [1].
        power_w : float
            Power of the device, p [W].
        """
        rest = 1.0 - share
        if rest <= 0:
            device_s = energy_j = 0.0
        elif power_w <= 0:
            device_s, energy_j = math.inf, 0.0
        else:
            device_s = rest * self.device_s_at_1_w * power_w**-self.exponent
            energy_j = device_s * power_w
        over = [
            _over(energy_j, self.energy_max_j),
            _over(power_w, self.power_max_w),
            _over(self.share_min, share),
            _over(share, 1.0),
        ]
        outside = not (math.isfinite(share) and math.isfinite(power_w)) or share < 0 or power_w < 0
        return GenerationSplitEvaluation(
            latency_s=share * self.whole_edge_s + device_s,
            energy_j=energy_j,
            violation=math.inf if outside else max(over),
        )

    def closed_form(self) -> GenerationSplit:
        """The optimum in closed form, exact to rounding; see `generation_split`."""
        return generation_split(self)


@dataclass(frozen=True, kw_only=True)
class GenerationSplitEvaluation:
    """A choice, evaluated.

    Parameters
    ----------
    latency_s : float
        D [s]; infinite where the device has work and no power.
    energy_j : float
        E [J].
    violation : float
        Worst relative violation of a limit [1].
    """

    latency_s: float
    energy_j: float
    violation: float


@dataclass(frozen=True, kw_only=True)
class GenerationSplit:
    """A share and a power, with what is proven about them.

    Parameters
    ----------
    share : float
        Share of the content made at the edge, x [1].
    share_tied_max : float
        Every share from `share` to this is as good (at the power `power_w` of the problem); equal to `share` where
        the optimum is unique [1].
    power_w : float
        Power of the device [W]; 0 where it has nothing to do.
    latency_s, energy_j : float
        From `GenerationSplitProblem.evaluate` [s, J].
    lower_bound_s : float
        No choice is faster than this [s].
    gap : float
        (latency - bound)/latency [1].
    status : Status
        "optimal" only where the bound does not rest on a solver's word.
    method, bound_source : Method, BoundSource
        The route, and "closed form" or "solver".
    build_s, solve_s : float
        Seconds [s].
    message : str
        What the route says about its end.

    Examples
    --------
    >>> from megdt_opt import GenerationSplitProblem, solve
    >>> problem = GenerationSplitProblem(
    ...     edge_s=1.0, device_s_at_1_w=2.0, exponent=0.5, payload_bit=1e6, rate_bit_per_s=1e6,
    ...     energy_max_j=1.0, power_max_w=4.0,
    ... )
    >>> best = solve(problem)
    >>> round(best.share, 4), round(best.latency_s, 4), best.status == "optimal"
    (0.75, 1.75, True)
    """

    share: float
    share_tied_max: float
    power_w: float
    latency_s: float
    energy_j: float
    lower_bound_s: float
    gap: float
    status: Status
    method: Method
    bound_source: BoundSource
    build_s: float = 0.0
    solve_s: float = 0.0
    message: str = ""


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


def _over(value: float, limit: float) -> float:
    if value <= limit:
        return 0.0
    return (value - limit) / limit if limit > 0 else math.inf
