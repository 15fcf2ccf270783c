"""Exchanges between two users of one kind: each takes the other's option.

Near-identical users make near-identical sets: the best prices say how many users take an option, and who does so hardly
matters to them. What is left between a set and its bound is how evenly it uses the budgets, which exchanges even out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice, Engine

_STEP = 1e-5
"""Relative step of the differences that give usages [1]."""

_MOST = 200
"""Exchanges of one call [1]."""

_LEAST = 1e-9
"""Relative gain below which an exchange is not worth it [1]."""

_SIDE = 1000
"""Users of either option looked at for one exchange: of more, as many at even distances [1]."""


def usages(engine: Engine, prices: Array, level_s: float | None) -> Array:
    """Share of each budget that each choice takes at these prices, (3, K, C): the slope of its cost."""
    found = np.zeros((3, *engine.heads.shape))
    for i in np.flatnonzero(prices[:3] > _STEP * prices[:3].max()):  # what costs nothing is not scarce
        step = np.zeros(len(prices))
        step[i] = _STEP * prices[i]
        above = engine.costs(engine.heads, prices + step, level_s)
        below = engine.costs(engine.heads, prices - step, level_s)
        known = np.isfinite(above) & np.isfinite(below)
        found[i] = np.where(known, np.where(known, above, 0.0) - np.where(known, below, 0.0), np.inf) / (2.0 * step[i])
    return found


def evened(
    engine: Engine,
    choice: Choice,
    kinds: list[Choice],
    prices: Array,
    level_s: float | None,
    in_time: Callable[[], bool] = lambda: True,
) -> Choice:
    """Choices (K,) whose largest use of a budget no exchange of two users makes smaller.

    Parameters
    ----------
    engine : Engine
    choice : array of int, (K,)
    kinds : list of array of int
        Users of each kind.
    prices : array, (M,)
    level_s : float, optional
        For "max", the level that the costs are to keep [s].
    in_time : callable
        Whether to go on.
    """
    usage = usages(engine, prices, level_s)
    choice, rows = choice.copy(), np.arange(len(choice))
    total = usage[:, rows, choice].sum(axis=1)
    if not np.isfinite(total).all():
        return choice
    for _ in range(_MOST):
        if not in_time():
            break
        best, pair = float(total.max()) * (1.0 - _LEAST), None
        for members in kinds:
            taken = np.unique(choice[members])
            for at, one in enumerate(taken.tolist()):
                for other in taken[at + 1 :].tolist():
                    first, second = members[choice[members] == one], members[choice[members] == other]
                    first, second = first[:: 1 + len(first) // _SIDE], second[:: 1 + len(second) // _SIDE]
                    gives = usage[:, first, other] - usage[:, first, one]
                    takes = usage[:, second, one] - usage[:, second, other]
                    most = (total[:, None, None] + gives[:, :, None] + takes[:, None, :]).max(axis=0)
                    place = int(most.argmin())
                    if most.flat[place] < best:
                        i, j = divmod(place, len(second))
                        best, pair = float(most.flat[place]), (int(first[i]), int(second[j]))
        if pair is None:
            break
        choice[list(pair)] = choice[list(pair[::-1])]
        total = usage[:, rows, choice].sum(axis=1)
    return choice
