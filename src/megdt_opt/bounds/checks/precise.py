"""References for the closed forms: bisection and golden section in 50 decimal digits, and trying every order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext

DIGITS = 50
_HALVINGS = 170
_SECTIONS = 150


def bisect(falling: Callable[[Decimal], Decimal], low: float, high: float) -> float:
    """Root of a non-increasing function between `low` and `high`, to the last digit of a float."""
    with localcontext() as context:
        context.prec = DIGITS
        a, b = Decimal(low), Decimal(high)
        for _ in range(_HALVINGS):
            middle = (a + b) / 2
            if falling(middle) > 0:
                a = middle
            else:
                b = middle
        return float((a + b) / 2)


def least(convex: Callable[[Decimal], Decimal], low: float, high: float) -> float:
    """Least value of a convex function on an interval, by golden section."""
    with localcontext() as context:
        context.prec = DIGITS
        ratio = (Decimal(5).sqrt() - 1) / 2
        a, b = Decimal(low), Decimal(high)
        c, d = b - ratio * (b - a), a + ratio * (b - a)
        at_c, at_d = convex(c), convex(d)
        best = min(convex(a), convex(b), at_c, at_d)
        for _ in range(_SECTIONS):
            if at_c <= at_d:
                b, d, at_d = d, c, at_c
                c = b - ratio * (b - a)
                at_c = convex(c)
            else:
                a, c, at_c = c, d, at_d
                d = a + ratio * (b - a)
                at_d = convex(d)
            best = min(best, at_c, at_d)
        return float(best)


def square_root_s(weight: Sequence[float], demand_s: Sequence[float]) -> float:
    """Least Σ w a/x with Σ x = 1: the price at which the users' wishes sqrt(w a/price) fill the budget [s]."""
    with localcontext() as context:
        context.prec = DIGITS
        products = [Decimal(float(w)) * Decimal(float(a)) for w, a in zip(weight, demand_s, strict=True)]
        top = max(products)
        if top == 0:
            return 0.0

        def excess(price: Decimal) -> Decimal:
            return sum(((p / price).sqrt() for p in products), Decimal(0)) - 1

        return bisect(excess, float(top) * 0.5, float(top) * (len(products) + 1) ** 2)


def deadline_s(weight: Sequence[float], fixed_s: Sequence[float], cost: Sequence[float]) -> float:
    """D with Σ cost/(D/w - fixed) = 1 [s]: one resource's demands, or demands priced together."""
    with localcontext() as context:
        context.prec = DIGITS
        users = [(Decimal(float(w)), Decimal(float(q)), Decimal(float(c)))
                 for w, q, c in zip(weight, fixed_s, cost, strict=True) if c > 0]  # fmt: skip
        # alone, a user needs w (fixed + cost); with a share of 1/K each, w (fixed + K cost) is enough
        low = max(w * (q + c) for w, q, c in users)
        high = max(w * (q + len(users) * c) for w, q, c in users)

        def excess(level: Decimal) -> Decimal:
            return sum((c / (level / w - q) for w, q, c in users), Decimal(0)) - 1

        return bisect(excess, float(low) * (1 - 1e-15), float(high) * (1 + 1e-9)) if len(users) > 1 else float(low)


def shannon_band_hz(rate_bit_per_s: float, snr_hz: float) -> float:
    """Band b with b log2(1 + g/b) = rate [Hz], for rates that can be reached."""
    with localcontext() as context:
        context.prec = DIGITS
        rate, g, ln2 = Decimal(rate_bit_per_s), Decimal(snr_hz), Decimal(2).ln()

        def missing(band: Decimal) -> Decimal:
            return rate - band * (1 + g / band).ln() / ln2

        high = rate_bit_per_s
        while missing(Decimal(high)) > 0:
            high *= 2
        return bisect(missing, high * 1e-6, high)


def split_latency_s(
    *, whole_edge_s: float, device_s_at_1_w: float, exponent: float, energy_max_j: float, power_max_w: float,
    share_min: float,
) -> float:  # fmt: skip
    """Least latency of a generation splitting [s], by golden section over the device's share."""
    with localcontext() as context:
        context.prec = DIGITS
        A, V0, k = Decimal(whole_edge_s), Decimal(device_s_at_1_w), Decimal(exponent)
        eps, P = Decimal(energy_max_j), Decimal(power_max_w)

        def latency(y: Decimal) -> Decimal:
            if y == 0:
                return A
            if eps == 0:
                return Decimal("Infinity")
            power = min(P, (eps / (y * V0)) ** (1 / (1 - k)))
            return (1 - y) * A + y * V0 * power**-k

        return least(latency, 0.0, 1.0 - share_min) if share_min < 1 else float(A)


def best_order(work_s: Sequence[float], weight: Sequence[float], fixed_s: Sequence[float], objective: str) -> float:
    """Best objective of all K! orders of service [s]."""
    best = float("inf")
    for order in itertools.permutations(range(len(work_s))):
        done, values = 0.0, []
        for k in order:
            done += work_s[k]
            values.append(weight[k] * (done + fixed_s[k]))
        best = min(best, max(values) if objective == "max" else sum(values))
    return best
