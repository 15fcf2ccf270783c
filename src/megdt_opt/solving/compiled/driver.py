"""From an `AllocationProblem` to the compiled search and back."""

from __future__ import annotations

import numpy as np

from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.compiled.curve import brink, curve
from megdt_opt.solving.compiled.kernels import F, Terms
from megdt_opt.solving.compiled.starting import Option, gather

_LN2 = float(np.log(2.0))

_NONE, _NO_ORDER = np.zeros((1, 1)), np.zeros((1, 1), np.int64)
_NONE.flags.writeable = False
"""Stands for a table that there is none of."""

THIN = 200_000
"""Users times options up to which dominated options are looked for: it takes as long as many passes, and only the
branch tree gains by it [1]."""


def given(array: np.ndarray) -> np.ndarray:
    """The array in one layout and not to be written to, without a copy where it can be.

    Numba compiles a kernel anew, for about a minute, for every mixture of layouts and of arrays that can be written to.
    """
    flags = array.flags
    if flags.c_contiguous and not flags.writeable:
        return array
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def laws_of(problem: AllocationProblem) -> tuple[F, F, F]:
    """Seconds at the whole budget per unit of downlink, uplink and edge demand, (K, 3), infinite where a budget is not
    there; g of downlink and uplink over the band, (K, 2), infinite for R(x) = x; largest edge shares, (K,) [1].
    """
    users = problem.users
    scale, gamma = np.zeros((users, 3)), np.full((users, 2), np.inf)
    with np.errstate(divide="ignore"):  # the options that need a rate of 0 are closed
        for i, budget, efficiency, snr in (
            (0, problem.downlink_hz, problem.downlink_efficiency, problem.downlink_snr_hz),
            (1, problem.uplink_hz, problem.uplink_efficiency, problem.uplink_snr_hz),
        ):
            if snr is not None:
                scale[:, i] = _LN2 / budget if budget > 0 else np.inf
                gamma[:, i] = snr / budget if budget > 0 else 0.0
            elif efficiency is not None:
                np.divide(1.0, efficiency * budget, out=scale[:, i])
    scale[:, 2] = 1.0 / problem.edge_capacity if problem.edge_capacity > 0 else np.inf
    if problem.edge_share_max is not None and problem.edge_capacity > 0:
        cap = np.minimum(problem.edge_share_max / problem.edge_capacity, 1.0)
    else:
        cap = np.ones(users)
    return scale, gamma, cap


def terms_of(problem: AllocationProblem, resources: Resources) -> tuple[Terms, Option, np.ndarray]:
    """Compact terms of a problem, the dominating options (K, O), and how many options each user has left (K,)."""
    users, options = problem.users, problem.options
    scale, gamma, cap = laws_of(problem)
    has_branch, has_least = not problem.sequential, problem.uplink_airtime_max_s is not None
    least = resources.lo[1] if has_least else _NONE
    limited = problem.deadline_s is not None and problem.objective != "missed"
    limit = np.array(problem.hard_deadline_s)
    shape = (users, options)
    out = np.empty((4 + has_branch + has_least, users, options))
    out_branch = out[4] if has_branch else np.zeros((1, 1))
    out_least = out[-1] if has_least else np.zeros((1, 1))
    ids, head = np.empty(shape, np.int32), np.empty(shape, np.int32)
    end = np.zeros(users, np.int64)
    thin = users * options <= THIN
    # the fastest alone first
    order = np.argsort(problem.fixed_s, axis=1, kind="stable") if thin else _NO_ORDER
    gather(
        given(problem.fixed_s), given(problem.branch_s) if has_branch else _NONE, given(problem.uplink_bit),
        given(problem.edge_work_s), given(problem.downlink_bit), given(least), given(resources.open), scale,
        gamma, has_branch, has_least, thin, order, out[0], out_branch, out[1], out[2], out[3], out_least, ids, head,
        end,
    )  # fmt: skip
    curved = not problem.linear and bool(np.isfinite(gamma).any())
    plain = not (has_branch or has_least or limited or curved)
    edges, full = brink(gamma) if curved else (np.ones((users, 2)), np.ones((users, 2)))
    terms = Terms(
        fixed=out[0], branch=out_branch, up=out[1], edge=out[2], down=out[3], least=out_least, ids=ids, gamma=gamma,
        brink=edges, full=full, cap=cap, weight=np.array(problem.weights), limit=limit,
        curve=curve().ctypes.data if curved else 0, plain=plain, has_branch=has_branch, has_least=has_least,
    )  # fmt: skip
    return terms, head, end
