"""What best prices waver between: who is undecided, and which whole choices are near.

Few parties are: no more than there are prices (Shapley and Folkman).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice, Peak

MIDDLE = 0.5 * (1.0 + 1e-9)
"""Part of the way from one choice to another up to which others are nearer to the one: none is so by rounding [1]."""


def torn(peak: Peak) -> dict[int, dict[int, float]]:
    """Weight of each choice, of the parties that have more than one."""
    if len(peak.weights) < 2:
        return {}
    (who,) = (peak.choices != peak.choices[0]).any(axis=0).nonzero()
    found: dict[int, dict[int, float]] = {}
    for party, row in zip(who.tolist(), peak.choices[:, who].T.tolist(), strict=True):
        each = peak.weights[:, party] if peak.weights.ndim == 2 else peak.weights
        weights: dict[int, float] = {}
        for choice, weight in zip(row, each.tolist(), strict=True):
            weights[choice] = weights.get(choice, 0.0) + weight
        found[party] = weights
    return found


def undecided(peak: Peak, mask: Mask, worth: Array | None) -> tuple[int, int, int]:
    """The party whose weight lies most on more than one choice, and the first two of them.

    With `worth` (K, C) it is the one for whom that makes the most of the difference between the two.
    """
    most, found = 1e-9, (-1, -1, -1)
    for party, weights in torn(peak).items():
        first, second, *_ = sorted(weights, key=weights.__getitem__, reverse=True)
        amount = less = weights[second]
        if worth is not None:
            amount *= weights[first] * abs(float(worth[party, first] - worth[party, second]))
        if amount > most and less > 1e-9 and np.count_nonzero(mask[party]) > 1:
            most, found = amount, (party, first, second)
    if found[0] >= 0:
        return found
    party = int(np.count_nonzero(mask, axis=1).argmax())
    left = np.flatnonzero(mask[party])
    return party, int(left[0]), int(left[-1])


def nearer(terms: Array, first: int, second: int, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Choices, (C,), that are nearer to one than to another by their terms (F, C), relatively to those in a mask."""
    here = terms[:, mask]
    spread = here.max(axis=1) - here.min(axis=1)
    spread[spread == 0.0] = 1.0
    step = (terms[:, second] - terms[:, first]) / spread
    along = (step / spread) @ (terms - terms[:, [first]])
    near = along <= MIDDLE * along[second]
    near[first], near[second] = True, False
    return np.asarray(near)


def mixed(peak: Peak) -> Choice:
    """For every party the choice that most weight lies on."""
    choice = np.array(peak.choices[0], dtype=np.int64)
    for party, weights in torn(peak).items():
        choice[party] = max(weights.items(), key=lambda pair: pair[1])[0]
    return choice


def shares_of(peak: Peak, mask: Mask, kinds: list[Choice]) -> list[Choice]:
    """Whole choices in which as many users of each kind take an option as the weights say, rounded."""
    base = mixed(peak)
    each = peak.weights if peak.weights.ndim == 2 else np.tile(peak.weights[:, None], (1, len(base)))
    tables = []
    for members in kinds:
        part = np.zeros((len(members), mask.shape[1]))
        for choice, weight in zip(peak.choices[:, members], each[:, members], strict=True):
            part[np.arange(len(members)), choice] += weight
        tables.append((members, part))
    return [_assigned(base, tables, cut) for cut in (0.5, 1e-6, 1.0 - 1e-6)]


def _assigned(base: Choice, tables: list[tuple[Choice, Array]], cut: float) -> Choice:
    """One rounding: what is rarest is rounded up from a fraction of `cut` on."""
    choice = base.copy()
    for members, part in tables:
        number = part.sum(axis=0)
        options = np.flatnonzero(number > 1e-9)
        options = options[np.argsort(number[options], kind="stable")]
        left = len(members)
        free = np.ones(left, bool)
        for o in options[:-1]:
            whole = int(np.floor(number[o] + 1e-9))
            quota = min(whole + int(number[o] - whole > cut), left)
            who = np.flatnonzero(free)
            who = who[np.argsort(-part[who, o], kind="stable")][:quota]
            choice[members[who]] = o
            free[who] = False
            left -= quota
        choice[members[free]] = options[-1]
    return choice
