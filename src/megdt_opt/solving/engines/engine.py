"""What the search asks of whoever prices a problem.

The search knows parties, of which each takes one of its choices, and what a choice costs at prices of the budgets. A
user is a party of one, and its choices are its options; for "missed" being late is one more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.scaled import Array

Choice = NDArray[np.signedinteger[Any]]

NO_CHOICE: Choice = np.zeros(0, np.int64)
NO_WEIGHTS: Array = np.zeros(0)


class Priced(NamedTuple):
    """Least costs at prices.

    Parameters
    ----------
    total : float
        Sum of the parties' least costs; infinite where a party has none.
    slope : array, (M,)
        Slope of the total in the prices: the budgets used, (3,), and for "mixed" the weighted latencies.
    choice : array of int, (K,)
        What costs least.
    """

    total: float
    slope: Array
    choice: Choice


class Peak(NamedTuple):
    """Best prices that were found.

    Parameters
    ----------
    prices : array, (M,)
    value : float
        Sum of the least costs there, less what the prices charge for the budgets.
    passes : int
        Price vectors tried.
    choices : array of int, (W, K)
        Choices of the convexified optimum.
    weights : array, (W,) or (W, K)
        Their weights, which sum to 1, or to 1 for each party.
    least : array of int, (K,)
        What costs least at the best prices; empty where that is not known, as where their value reaches the goal.
    """

    prices: Array
    value: float
    passes: int
    choices: Choice
    weights: Array
    least: Choice = NO_CHOICE


class Narrowed(NamedTuple):
    """A part of the problem, as far as prices decide it.

    Parameters
    ----------
    peak : Peak
        The best prices of what is left. Where their value reaches the goal they prove it of that, and of the whole part
        if nothing was ruled out.
    ruled_out : list of tuple of array, (M,), and array of bool, (K, C)
        Prices, and the choices whose reduced costs there reach the goal, one after another, with those that they stand
        for.
    """

    peak: Peak
    ruled_out: list[tuple[Array, Mask]]


class Settled(NamedTuple):
    """What given choices are worth.

    Parameters
    ----------
    objective : float
        Infinite where they cannot keep the limits, or are no better than what was asked for.
    prices : array, (M,)
        That prove it.
    x : array, (3, K)
        Scaled shares [1].
    choice : array of int, (K,)
        The choices, or what an engine that can has mended them to.
    """

    objective: float
    prices: Array
    x: Array
    choice: Choice


class Span(NamedTuple):
    """Part of the range of the largest latency: its end [s], prices and multipliers (M,) there, whether they prove the
    goal in it, and what the prices alone are worth at a level in it, as low a one as is known [s]."""

    end_s: float
    prices: Array
    is_proven: bool
    level_s: float
    worth_s: float


class Engine(Protocol):
    """One problem, scaled once.

    Attributes
    ----------
    heads : array of bool, (K, C)
        Choices that are worth a look: no other choice of the party is at least as good in every term.
    head : array of int, (K, C)
        The choice that is as good as each; -1 where a choice is closed.
    budgets : int
        Prices that are charged for: the first ones, B.
    countable : bool
        Whether rows fall apart at prices, so that limits on counts of them can be priced.
    """

    heads: Mask
    head: Choice
    budgets: int
    countable: bool

    def terms(self, party: int) -> Array:
        """What the choices of a party differ in, (F, C), each in the problem's own unit."""
        ...

    def summary(self) -> Array:
        """Sums of these terms over the choices of each party, and what else it differs in, (K, F)."""
        ...

    def price(self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None) -> Priced:
        """Least costs within a mask (K, C), with what `extra` (K, C) adds to them."""
        ...

    def costs(self, mask: Mask, prices: Array, level_s: float | None) -> Array:
        """Costs of all choices within a mask, (K, C); infinite elsewhere."""
        ...

    def rises(
        self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None
    ) -> tuple[float, Array]:
        """The least total within a mask, and by how much it rises if a row takes a choice, (K, C); infinite outside."""
        ...

    def ruled_out(self, mask: Mask, prices: Array, goal: float) -> Iterator[tuple[Array, Mask]]:
        """Choices (K, C), apart from those of too high a reduced cost at these prices, that reach the goal by
        themselves, and the prices that prove it."""
        ...

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        """Whole choices that differ from one in one party alone, and whose cost at prices leaves hope of reaching less
        than a goal: its level, for "max" beside the level of the choice itself, and its value. The likeliest first."""
        ...

    def split(self, mask: Mask, peak: Peak) -> tuple[int, Mask]:
        """The party that the best prices of a mask waver about most, and the part of all choices, (C,), that one of its
        two sides gets, first the better one."""
        ...

    def shares(self, choice: Choice, prices: Array, level_s: float | None) -> Array:
        """Shares at which given choices cost least, (3, K); 0 for -1."""
        ...

    def proving(self, mask: Mask, prices: Array, level_s: float | None, goal: float) -> int | None:
        """Number of the first of some prices, (N, M), whose value reaches the goal."""
        ...

    def climb(self, mask: Mask, level_s: float | None, goal: float, box: float, passes: int, start: Array) -> Peak:
        """Look for prices whose value reaches a goal, from `start`."""
        ...

    def narrow(self, mask: Mask, level_s: float | None, goal: float, box: float, passes: int, tried: Array) -> Narrowed:
        """Prove that nothing in a mask is below a goal, or rule choices out: by the first of `tried` prices, (N, M),
        that do, or by looking for better ones from the first of all."""
        ...

    def peak(self, mask: Mask, ceiling_s: float, box: float, gap: float, start: Array) -> Peak:
        """The best prices, for "max" at the level that is best without whole choices."""
        ...

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """The best shares of given choices (K,); they matter below `ceiling_s` only. `prices` are a guess."""
        ...

    def settle_all(
        self, choices: list[Choice], ceiling_s: float, prices: Array, first: bool = False
    ) -> Iterator[Settled]:
        """The same for several choices, one after another or all at once; with `first` those after one that is below
        the ceiling can be left out."""
        ...

    def first_sets(self) -> Choice:
        """Simple choices to begin with, (S, K)."""
        ...

    def valuer(self) -> Valuer:
        """What recomputes the bound of a finished tree."""
        ...
