"""The baselines that a plan file states, beside those of its plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.planning.baselines import Baseline, baselines
from megdt_opt.planning.claims import refused
from megdt_opt.planning.groups import GROUP_SHARES
from megdt_opt.scenario.options import OptionTable
from megdt_opt.tolerances import SOLVER


def restated_baselines(
    stated: object, table: OptionTable, option: NDArray[np.int64], gap: float, time_limit_s: float | None
) -> tuple[Baseline, ...]:
    """The baselines that a plan file states, where they are the ones of its plan; else these.

    Parameters
    ----------
    stated : object
        A list of baselines as plain data; an empty one stands for a plan that was compared with nothing.
    table, option, gap, time_limit_s
        As for `baselines`.

    Raises
    ------
    InvalidInput
        Where a field is missing, unknown or of another kind.
    """
    if not isinstance(stated, list):
        raise refused("baselines", stated, "a list of baselines")
    read = tuple(Baseline.from_dict(data, f"baselines[{i}]") for i, data in enumerate(stated))
    if not read:
        return ()
    found = baselines(table, option, gap=gap, time_limit_s=time_limit_s)
    return read if len(read) == len(found) and all(map(_alike, read, found)) else found


def worth_the_same(stated: list[object], found: tuple[Baseline, ...], objective: str) -> bool:
    """Whether baselines that a file states differ from these in what the largest latency leaves open alone.

    Users below the largest latency need not all of their shares, and engines divide the rest differently.

    Parameters
    ----------
    stated : list
        Baselines as plain data.
    found : tuple of Baseline
    objective : str
        The scenario's; for all but "max" shares are unique.
    """
    read = [Baseline.from_dict(data, f"baselines[{i}]") for i, data in enumerate(stated)]
    if objective != "max" or len(read) != len(found):
        return False
    shares = ("downlink_hz", "uplink_hz", "edge_share", "latency_s")
    return all(
        _alike(replace(one, **{name: getattr(other, name) for name in shares}), other)
        and all(len(getattr(one, name)) == len(getattr(other, name)) for name in shares)
        for one, other in zip(read, found, strict=True)
    )


def _alike(one: Baseline, other: Baseline) -> bool:
    """Whether two baselines are the same but for rounding and the gap of a search."""
    figures = (
        "downlink_hz", "uplink_hz", "edge_share", "latency_s", "objective_s", "part", *GROUP_SHARES, "start_s",
    )  # fmt: skip
    same = replace(one, **{name: getattr(other, name) for name in figures}) == other
    same = same and all(np.shape(getattr(one, n)) == np.shape(getattr(other, n)) for n in figures)
    return same and all(np.allclose(getattr(one, n), getattr(other, n), rtol=SOLVER, atol=0.0) for n in figures)
