"""Every bound against references, on seeded random instances.

A validator draws one instance and returns its checks: the relative violation of what the bound says, against what it
was measured, and the tolerance that this kind of reference allows. One row of the report belongs to each validator.
"""

from __future__ import annotations

import importlib
import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.tolerances import BOUND, EXACT, SOLVER

LIMITS = {"digits": EXACT, "solver": SOLVER, "side": BOUND}
"""Tolerance by reference: 50-digit arithmetic or exhaustive search, a solver or formulation, the right side of it."""


@dataclass(frozen=True)
class Check:
    """One comparison.

    Parameters
    ----------
    against : str
        A key of `LIMITS`.
    violation : float
        Relative violation, 0 where the bound holds [1].
    tightness : float or None
        How much of the truth the bound reaches, at most 1: bound/optimum from below, optimum/bound from above; None
        where the check says nothing about it [1].
    """

    against: str
    violation: float
    tightness: float | None = None


Run = Callable[[np.random.Generator, int], Iterable[Check]]


@dataclass(frozen=True, kw_only=True)
class Validator:
    """What checks one bound or a family of them.

    Parameters
    ----------
    name : str
        Name of the row.
    covers : tuple of str
        Public functions of `megdt_opt.bounds` that it checks.
    exact : bool
        Whether the bound is a closed form (tightness 1 by its proposition).
    loose : str
        Where it is loose, and why.
    share : float
        Part of the asked instances that it draws, for validators that solve many problems for each [1].
    run : callable
        From a generator and the instance's number to checks.
    """

    name: str
    covers: tuple[str, ...]
    exact: bool
    loose: str
    run: Run
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Row of the report.

    Parameters
    ----------
    validator : Validator
    instances : int
        Instances drawn [1].
    worst : dict of str to float
        Worst violation by reference [1].
    tightness : tuple of float
        Of every check that has one [1].
    failed : tuple of int
        Numbers of the instances beyond the tolerance.
    """

    validator: Validator
    instances: int
    worst: dict[str, float] = field(default_factory=dict)
    tightness: tuple[float, ...] = ()
    failed: tuple[int, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether no instance is beyond the tolerance."""
        return not self.failed


_FOUND: dict[str, Validator] = {}


def validator(
    name: str, *, covers: tuple[str, ...], exact: bool = False, loose: str, share: float = 1.0
) -> Callable[[Run], Run]:
    """Add a validator to the registry."""

    def add(run: Run) -> Run:
        _FOUND[name] = Validator(name=name, covers=covers, exact=exact, loose=loose, run=run, share=share)
        return run

    return add


def validators() -> dict[str, Validator]:
    """All validators, by name."""
    for module in ("forms", "shares", "orders", "turns", "arrivals", "batches"):
        importlib.import_module(f"megdt_opt.bounds.checks.{module}")
    return dict(_FOUND)


def validate(
    count: int,
    seed: int = 0,
    *,
    names: Iterable[str] | None = None,
    on_progress: Callable[..., None] = lambda *_: None,
) -> tuple[Outcome, ...]:
    """Check the bounds.

    Parameters
    ----------
    count : int
        Instances for each validator, of which some draw a part only (`Validator.share`) [1].
    seed : int
        Instance i of a validator depends on the seed, the validator's name and i alone.
    names : iterable of str, optional
        Validators to run; default all.
    on_progress : callable
        Called with (done, total, name).

    Raises
    ------
    InvalidInput
        For an unknown name, or a count below 1.
    """
    if count < 1:
        raise InvalidInput("count", count, "at least 1 instance", "Raise it.")
    known = validators()
    wanted = list(known if names is None else names)
    for name in wanted:
        if name not in known:
            raise InvalidInput("bound", name, f"one of {list(known)}", "Choose one of them.")
    outcomes = []
    counts = {name: math.ceil(count * known[name].share) for name in wanted}
    done, total = 0, sum(counts.values())
    for name in wanted:
        one = known[name]
        worst: dict[str, float] = {}
        tight: list[float] = []
        failed: list[int] = []
        for number in range(counts[name]):
            on_progress(done, total, name)
            done += 1
            rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
            for check in one.run(rng, number):
                worst[check.against] = max(worst.get(check.against, 0.0), float(check.violation))
                if not check.violation <= LIMITS[check.against] and number not in failed:
                    failed.append(number)
                if check.tightness is not None:
                    tight.append(float(check.tightness))
        outcomes.append(
            Outcome(validator=one, instances=counts[name], worst=worst, tightness=tuple(tight), failed=tuple(failed))
        )
    on_progress(total, total)
    return tuple(outcomes)


def apart(value: float, truth: float) -> float:
    """Relative difference of two values [1]."""
    if value == truth:
        return 0.0
    return abs(value - truth) / max(abs(value), abs(truth))


def above(value: float, limit: float) -> float:
    """Relative excess of a value over a limit [1]; 0 where there is none."""
    return max(value - limit, 0.0) / max(abs(limit), 1e-300) if value > limit else 0.0


def reached(part: float, whole: float) -> float:
    """part/whole, 1 where both are 0 [1]."""
    return 1.0 if part == whole else part / whole
