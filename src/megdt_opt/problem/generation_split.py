"""Generation splitting: how much of the content the edge makes, and at which power the device makes the rest.

The device's speed grows with its power, so its share couples time and energy in a way that the core problem's fixed
latencies do not know. Source: "Large Model at Edge: An Optimal MEG Design" (IEEE TWC 2025; ICC 2025 slides).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from megdt_opt.errors import InvalidInput
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
            value = getattr(self, field.name)
            try:
                found = float(value)
            except (TypeError, ValueError):
                found = math.nan
            if not (math.isfinite(found) and (found >= 0 if zero else found > 0)):
                sign = "of at least 0" if zero else "above 0"
                raise InvalidInput(field.name, value, f"a finite number {sign} [{unit}]", "Mend the value.")
            object.__setattr__(self, field.name, found)
        if not self.exponent < 1:
            raise InvalidInput("exponent", self.exponent, "a number in (0, 1) [1]", "Mend the value.")
        if not self.share_min <= 1:
            raise InvalidInput("share_min", self.share_min, "a share in [0, 1] [1]", "Mend the value.")
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
        """The optimum in closed form, exact to rounding; see `megdt_opt.bounds.generation_split`."""
        from megdt_opt.bounds.splitting import generation_split

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


def _over(value: float, limit: float) -> float:
    if value <= limit:
        return 0.0
    return (value - limit) / limit if limit > 0 else math.inf
