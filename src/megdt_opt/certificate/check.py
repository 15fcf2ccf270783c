"""Recomputing what a certificate's leaves prove, in rational or in floating arithmetic."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import Protocol

import numpy as np

from megdt_opt.certificate.tree import Leaf, Mask, Node, Part, parts
from megdt_opt.certificate.verdict import EXACT_SIZE, Verdict
from megdt_opt.pricing.scaled import Array
from megdt_opt.values import real

MARGIN = 2e-12
"""Relative allowance for rounding in floating arithmetic: far above what K * O additions lose, twice what rates that
hardly grow with the band do."""

_CLEARLY = 1e-9
"""Relative distance from a limit that no rounding makes."""

_TURNS = 30
"""Turns of a search for the level that a leaf proves."""


class Valuer(Protocol):
    """What proves the parts of a tree: their bounds, or for "max" what their costs exceed the prices by at a level."""

    def value(self, part: Part, level_s: float | None) -> Fraction | float:
        """A number that the true value is not below; infinite where the part has no allocation."""
        ...


class Proof(Protocol):
    """What the certificates of one class of problems are about, and how they are recomputed.

    Attributes
    ----------
    objective : str
        "max" asks whether a level is out of reach; all others bound a value.
    budgets : int
        Prices of a leaf that are those of budgets, B; the first ones.
    cost_prices : int
        How many of these, the last ones, are those of limits on costs.
    size : int
        Numbers of the tables, which say whether rational arithmetic is in reach.
    """

    @property
    def objective(self) -> str:
        """As above."""
        ...

    @property
    def budgets(self) -> int:
        """As above."""
        ...

    @property
    def cost_prices(self) -> int:
        """As above."""
        ...

    @property
    def size(self) -> int:
        """As above."""
        ...

    def to_partition(self, exact: bool) -> Mask:
        """What a tree must partition, (rows, choices): nothing is closed that is not proven to be."""
        ...

    def fault(self, leaf: Leaf) -> str:
        """What is wrong with the prices of a leaf; empty where nothing is."""
        ...

    def valuer(self, exact: bool) -> Valuer:
        """What recomputes the bounds of parts, in rational or in floating arithmetic."""
        ...

    def whole(self, value: Fraction | float) -> float:
        """The least value of the objective that is at least `value`, rounded down to a float."""
        ...


def sealed_bound_s(proof: Proof, tree: Node, mask: Mask, target_s: float, valuer: Valuer) -> float:
    """The bound that a tree proves, by a valuer in floats [s]; for "max" at most `target_s`, at which it was grown.

    Parameters
    ----------
    proof : Proof
    tree : Node
    mask : array of bool, (K, choices)
        What the tree partitions.
    target_s : float
        [s]
    valuer : Valuer
    """
    if proof.objective != "max":
        values = (float(valuer.value(part, None)) for part in parts(tree, mask))
        least: Fraction | float = min(values, default=np.inf)
        if least == np.inf:
            # where a limit is kept within rounding only, every leaf seems closed
            few = list(islice(parts(tree, mask), EXACT_SIZE // max(proof.size, 1) + 1))
            if proof.size * len(few) <= EXACT_SIZE:
                exact = proof.valuer(exact=True)
                least = min((exact.value(part, None) for part in few), default=np.inf)
        return proof.whole(max(least, 0.0)) if least < np.inf else target_s  # no objective is negative
    bound = target_s
    for part in parts(tree, mask):
        if bound > 0 and not valuer.value(part, bound) > 0:
            # a tree that was cut short; what is proven of a level is proven of those below it
            bound = _proven_level(part, bound, valuer, proof.budgets)
    return bound


def _proven_level(part: Part, high: float, valuer: Valuer, budgets: int) -> float:
    """The largest level below `high`, to 1e-9 of it, that a part proves.

    The cost is nearly a power of the level, so secants of the logarithms settle in a few turns; where one would leave
    the bracket, it is halved.
    """
    prices = sum(part.leaf.prices[:budgets])
    low, place = 0.0, high * (1.0 - _CLEARLY)
    last: tuple[float, float] | None = None
    for turn in range(_TURNS):
        value = float(valuer.value(part, place))
        low, high = (place, high) if value > 0 else (low, place)
        ratio = 1.0 + value / prices if prices > 0 else 0.0
        if 1.0 < ratio <= 1.0 + _CLEARLY or (turn == 0 and value > 0) or high - low <= _CLEARLY * high:
            break
        middle = 0.5 * (low + high)
        if 0.0 < ratio < np.inf:
            point = (np.log(place), np.log(ratio))
            if last is not None and point[1] != last[1]:
                # aimed at the middle of what ends the search
                aim = point[0] - (point[1] - 0.5 * _CLEARLY) * (point[0] - last[0]) / (point[1] - last[1])
                guess = float(np.exp(min(aim, np.log(high))))
                middle = guess if low < guess < high else middle
            last = point
        place = middle
    return low


def rounded_down(value: Fraction | float) -> float:
    """The largest float that is at most `value`."""
    if isinstance(value, float):
        return value
    rounded = float(value)
    return float(np.nextafter(rounded, -np.inf)) if np.isfinite(rounded) and Fraction(rounded) > value else rounded


def check(tree: Node, bound_s: float, proof: Proof, *, exact: bool) -> Verdict:
    """Verify that a tree proves a bound [s]; see `Certificate.verify`."""
    bound = real(bound_s)
    if bound is None or not np.isfinite(bound):
        return Verdict(False, -np.inf, exact, 0, "the bound is not a finite number")
    bound_s = bound
    try:
        found = list(parts(tree, proof.to_partition(exact)))
    except (ValueError, IndexError) as error:
        return Verdict(False, -np.inf, exact, 0, str(error))
    fault = next((fault for part in found if (fault := proof.fault(part.leaf))), "")
    if fault:
        return Verdict(False, -np.inf, exact, len(found), fault)
    if bound_s <= 0:
        # latencies and weights are never negative: nothing is left to prove
        return Verdict(True, bound_s, exact, len(found))
    summed = proof.objective != "max"
    valuer = proof.valuer(exact)
    proven = [valuer.value(part, None if summed else bound_s) for part in found]
    if summed:
        least = proof.whole(min(proven, default=np.inf))
        holds = least >= bound_s - abs(bound_s) * MARGIN * (not exact)
        return Verdict(holds, least, exact, len(found), "" if holds else "a leaf proves less than the bound")
    holds = all(value > 0 for value in proven)
    return Verdict(
        holds, bound_s if holds else -np.inf, exact, len(found),
        "" if holds else "a leaf does not rule out the bound's level",
    )  # fmt: skip


def total_of(part: Part, cost: Array, budgets: int = 3) -> float:
    """Bound of a part for a table of costs (K, choices) of rows that do not meet, rounded down by a margin."""
    extra = part.extra()
    if extra is not None:
        cost = cost + extra
    here = np.where(part.mask, cost, np.inf)
    least = here.min(axis=1)
    if part.removed is not None:
        if not np.isfinite(least).all():
            return np.inf
        rise = np.where(part.removed, here, np.inf) - least[:, None]
        total = float(least.sum()) + float(rise.min(initial=np.inf))
    else:
        total = float(least.sum())
    prices, offset = sum(part.leaf.prices[:budgets]), part.offset()
    if not np.isfinite(total):
        return np.inf
    counted = sum(m * row.limit for row, m in zip(part.rows, part.leaf.counts, strict=True))
    return total - prices - offset - MARGIN * (abs(total) + prices + counted)
