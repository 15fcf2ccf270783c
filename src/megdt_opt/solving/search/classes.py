"""Users of one kind: how many of them take which option is decided for all at once."""

from __future__ import annotations

import numpy as np

from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice, Engine

ALIKE = 0.11
"""Relative difference of any two terms up to which users are of one kind [1]."""


def classes(engine: Engine, weight: Array) -> list[Choice]:
    """Parties of one kind, at least two of each: they have the same choices, and these nearly the same terms.

    Parameters
    ----------
    engine : Engine
    weight : array, (K,)
    """
    parties = len(engine.heads)
    rough = engine.summary()  # (K, F): users of one kind are alike in it too
    rough = np.column_stack([rough, weight])
    order = np.argsort(rough.sum(axis=1), kind="stable")
    left = np.ones(parties, bool)
    found: list[Choice] = []
    for k in order.tolist():
        if not left[k]:
            continue
        left[k] = False
        near = left & (np.abs(rough - rough[k]) <= ALIKE * np.abs(rough[k])).all(axis=1)
        who = np.flatnonzero(near)
        if who.size == 0:
            continue
        terms, heads = engine.terms(k), engine.heads[k]
        same = [
            m for m in who.tolist()
            if (engine.head[m] == engine.head[k]).all()
            and (np.abs(engine.terms(m) - terms) <= ALIKE * np.abs(terms))[:, heads].all()
        ]  # fmt: skip
        if same:
            left[same] = False
            found.append(np.array(sorted([k, *same])))
    return found
