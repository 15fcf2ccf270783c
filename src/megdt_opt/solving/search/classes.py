"""Users of one kind: how many of them take which option is decided for all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice, Engine

ALIKE = 0.11
"""Relative difference of any two terms up to which users are of one kind [1]."""

_AT_ONCE = 100_000
"""Numbers that are compared in one step [1]."""


def classes(engine: Engine, weight: Array, in_time: Callable[[], bool] = lambda: True) -> list[Choice]:
    """Parties of one kind, at least two of each: they have the same choices, and these nearly the same terms.

    Parameters
    ----------
    engine : Engine
    weight : array, (K,)
    in_time : callable
        Whether to go on; those found by then are handed back.
    """
    rough = np.column_stack([engine.summary(), weight])  # (K, F): users of one kind are alike in it too
    order = np.argsort(rough.sum(axis=1), kind="stable")
    left = np.ones(len(order), bool)
    found: list[Choice] = []
    for k, near in _near(rough, order, left):
        if not in_time():
            break
        if not left[k]:
            continue
        left[k] = False
        who = near[left[near]]
        if who.size == 0:
            continue
        who = who[(engine.head[who] == engine.head[k]).all(axis=1)]
        same = who[_alike(engine, k, who)]
        if same.size:
            left[same] = False
            found.append(np.sort(np.append(same, k)))
    return found


def _alike(engine: Engine, k: int, who: Choice) -> Mask:
    """Which of some parties with the choices of one have its terms, nearly."""
    heads = engine.heads[k]
    own = engine.terms(k)[:, heads]
    found = np.zeros(len(who), bool)
    step = max(_AT_ONCE // own.size, 1)  # the terms of all of them at once would be as large as the tables
    for at in range(0, len(who), step):
        others = np.array([engine.terms(m)[:, heads] for m in who[at : at + step].tolist()])
        found[at : at + step] = (np.abs(others - own) <= ALIKE * np.abs(own)).all(axis=(1, 2))
    return found


def _near(rough: Array, order: Choice, left: Mask) -> Iterator[tuple[int, Choice]]:
    """In this order the parties that are left by then and that others are near to, and these others."""
    step = max(_AT_ONCE // rough.size, 1)
    waiting = order
    while waiting.size:
        rows, waiting = waiting[:step], waiting[step:]
        near = np.ones((len(rows), len(rough)), bool)
        near[np.arange(len(rows)), rows] = False
        for column in rough.T[::-1]:  # a few tell most parties apart
            own = column[rows, None]
            near &= np.abs(column - own) <= ALIKE * np.abs(own)
            if not near.any():
                break
        for i in np.flatnonzero(near.any(axis=1)).tolist():
            yield int(rows[i]), np.flatnonzero(near[i])
        waiting = waiting[left[waiting]]
