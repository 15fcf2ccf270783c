"""Numbers that may be larger than stated, a budget of such deviations for each user, and stored samples of times.

With extras d of the fixed time and delta_i of the amounts on the three resources, each user by itself meets the worst
xi in [0, 1]^4 with sum xi <= Gamma (Bertsimas and Sim 2004):

    L = fixed + max over xi of max(branch + d xi_0, d xi_0 + sum_i (amount_i + delta_i xi_i) / rate_i(share_i)).

For given shares the worst xi takes the largest of the four extra times whole, and a part of the next.

With M samples of the fixed time and of the work at the edge, L is the m-th smallest of what the samples yield.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks

Array = NDArray[np.float64]

EXTRAS = {"fixed_extra_s": "s", "downlink_extra_bit": "bit", "uplink_extra_bit": "bit", "edge_work_extra_s": "s"}
"""What may come on top: of the fixed time, and of downlink, uplink and edge in the order of the resources."""

NO_EXTRAS: dict[str, Any] = dict.fromkeys(EXTRAS)
"""The fields of a problem in which nothing deviates, beside the budget."""

SAMPLES = ("fixed_samples_s", "edge_work_samples_s")


@dataclass(frozen=True, eq=False)
class Deviations:
    """What each user's numbers may exceed.

    Parameters
    ----------
    budget : float
        Gamma >= 0 [1].
    fixed_s : array, (K, O)
        Extra of the fixed time [s].
    amounts : array, (3, K, O)
        Extras of the amounts on downlink, uplink and edge [bit, bit, s].
    """

    budget: float
    fixed_s: Array
    amounts: Array

    @property
    def one(self) -> float:
        """Most that a single number deviates, min(1, Gamma) [1]."""
        return min(1.0, self.budget)

    @cached_property
    def kinds(self) -> int:
        """Numbers of an option that may deviate, at most 4 [1]."""
        return int((self.fixed_s > 0).any()) + int((self.amounts > 0).any(axis=(1, 2)).sum())

    @property
    def whole(self) -> bool:
        """Whether all may deviate at once, or nothing does, so that the worst case does not depend on the shares."""
        return self.budget >= self.kinds or self.budget == 0

    def worst_s(self, own_s: Array, extra_s: Array) -> Array:
        """The worst sum of extra times (..., K): of the fixed time (..., K) and of the stages (..., 3, K) [s]."""
        times = np.concatenate([own_s[..., None, :], extra_s], axis=-2)
        times = -np.sort(-times, axis=-2)
        taken = np.clip(self.budget - np.arange(4.0), 0.0, 1.0)[:, None]
        # what is not taken counts nothing, even where it takes for ever
        return np.asarray(np.where(taken > 0, taken * times, 0.0).sum(axis=-2))


def read_deviations(shape: tuple[int, int], budget: Any, extras: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Budget and extras, checked; those that are left out stay None.

    Raises
    ------
    InvalidInput
        Where an extra is given without a budget, or a number is out of range.
    """
    for name, value in extras.items():
        if value is None:
            continue
        if budget is None:
            expected = "deviation_budget [1], how many of a user's numbers deviate at once, beside the extras"
            raise InvalidInput("deviation_budget", None, expected, f"Give a budget, or leave {name} out.")
        found = checks.numbers(name, value, shape, EXTRAS[name], axes=("user", "option"), copy=True)
        extras[name] = checks.read_only(found)
    if budget is not None:
        remedy = "Give 1 for one deviation at a time, 4 for all at once."
        budget = checks.number("deviation_budget", budget, "1", finite=False, remedy=remedy)
    return budget, extras


def read_samples(shape: tuple[int, int], fixed: Any, work: Any, kept: Any) -> tuple[Any, Any, Any]:
    """Samples of the fixed time and of the edge's work, (K, O, M), and the number of the one that counts, checked.

    Raises
    ------
    InvalidInput
        Where one of them is missing, or the samples are too few for the number.
    """
    given = {SAMPLES[0]: fixed, SAMPLES[1]: work, "samples_kept": kept}
    if all(value is None for value in given.values()):
        return None, None, None
    for name, value in given.items():
        if value is None:
            expected = "given beside the others of fixed_samples_s, edge_work_samples_s and samples_kept"
            raise InvalidInput(name, None, expected, "Give all three, or none of them.")
    axes = ("user", "option", "sample")
    size = checks.table_shape(SAMPLES[0], fixed, "s", ("K users", "O options", "M samples"))
    whole = (*shape, size[2])
    found = [checks.read_only(checks.numbers(n, given[n], whole, "s", axes=axes, copy=True)) for n in SAMPLES]
    number = checks.count("samples_kept", kept, 1, "Give the number of samples that must be kept.")
    if number > size[2]:
        expected = f"an integer of at most {size[2]}, the number of samples [1]"
        raise InvalidInput("samples_kept", number, expected, "Give more samples, or keep fewer of them.")
    return found[0], found[1], number


def level_of(fixed_s: Array, work_s: Array, kept: int, per_share: Array) -> Array:
    """The m-th smallest of fixed + work * u over the samples, (...), for samples (..., M) and u = 1 / f, (...)."""
    with np.errstate(invalid="ignore"):
        times = fixed_s + np.where(work_s > 0, work_s * per_share[..., None], 0.0)
    return np.asarray(np.partition(times, kept - 1, axis=-1)[..., kept - 1])
