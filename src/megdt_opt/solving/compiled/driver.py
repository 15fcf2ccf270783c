"""From an `AllocationProblem` to the compiled search and back."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.compiled.bounding import new_cuts
from megdt_opt.solving.compiled.curve import brink, curve
from megdt_opt.solving.compiled.kernels import F, Terms
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM
from megdt_opt.solving.compiled.rooting import first_sets, root
from megdt_opt.solving.compiled.starting import Option, gather, offer, positions
from megdt_opt.solving.compiled.tree import (
    CUT_SHORT,
    DONE,
    LOOSE,
    NODES,
    PASSES,
    PRICES,
    ROOM,
    ROWS,
    Tree,
    grow,
)  # fmt: skip

_BUDGET, _WORK = 500, 5e6
"""Nodes, and nodes times options of all users, between two looks at the clock [1]."""

_LN2 = float(np.log(2.0))

_NONE = np.zeros((1, 1))
_NONE.flags.writeable = False
"""Stands for a table that there is none of."""

_POOL = 6
_MOST_ROWS = 20_000_000

THIN = 200_000
"""Users times options up to which dominated options are looked for: it takes as long as many passes, and only the
branch tree gains by it [1]."""


@dataclass(frozen=True)
class Searched:
    """What the compiled search found.

    Parameters
    ----------
    option : array of int, (K,)
    x : array, (3, K)
        Scaled shares [1].
    objective, target : float
        Best objective, and what every leaf proves to be out of reach [s].
    head : array of int, (K, O)
        Dominating option of each; -1 where it is closed.
    tree : Tree
    whole : bool
        Whether every leaf proves the target.
    nodes, passes : int
    """

    option: Option
    x: F
    objective: float
    target: float
    head: Option
    tree: Tree
    whole: bool
    nodes: int
    passes: int


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
    gather(
        given(problem.fixed_s), given(problem.branch_s) if has_branch else _NONE, given(problem.uplink_bit),
        given(problem.edge_work_s), given(problem.downlink_bit), given(least), given(resources.open), scale,
        gamma, has_branch, has_least, users * options <= THIN, out[0], out_branch, out[1], out[2], out[3], out_least,
        ids, head, end,
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


def search(
    problem: AllocationProblem, resources: Resources, *, gap: float, deadline: float, first: Option | None = None
) -> Searched | None:
    """Search the whole tree; None where no simple rule keeps the limits and no `first` option set is given.

    Parameters
    ----------
    problem : AllocationProblem
        With objective "max" or "sum", every user with an open option.
    resources : Resources
        The problem, scaled.
    gap : float
        Relative gap to prove [1].
    deadline : float
        `time.monotonic()` after which the tree is cut short [s].
    first : array of int, (K,), optional
        Option set to begin with.
    """
    kind = SUM if problem.objective == "sum" else MAX
    users = problem.users
    terms, head, end = terms_of(problem, resources)
    begin = np.zeros(users, np.int64)
    best, best_ids = np.array([HUGE]), np.zeros(users, np.int32)
    best_price, best_shares, shares = np.ones(3), np.zeros((3, users)), np.zeros((3, users))
    cuts, scratch = new_cuts(users), new_cuts(users)
    pool = np.zeros((_POOL, 3))
    if first is not None:
        option, price = np.zeros(users, np.int32), np.ones(3)
        dominating = np.ascontiguousarray(head[np.arange(users), first])
        if positions(terms, begin, end, dominating, option):
            offer(kind, terms, option, price, best, best_ids, best_price, best_shares, shares, scratch, gap)
    if not first_sets(kind, terms, begin, end, gap, best, best_ids, best_price, best_shares, shares, scratch):
        return None
    if best[0] <= 0.0:
        # nothing is better than no time at all
        return Searched(best_ids, best_shares, 0.0, 0.0, head, one_leaf(np.zeros(3)), True, 1, 0)
    _, passes = root(kind, terms, begin, end, gap, pool, best, best_ids, best_price, best_shares, shares, cuts, scratch)
    pool[1:] = best_price
    if kind == MAX:
        pool /= np.maximum(pool.sum(axis=1, keepdims=True), 1e-300)
    tree = _room(int(end.sum()), users)
    how, budget = DONE + 1, int(max(1, min(_BUDGET, _WORK / (users * problem.options))))
    while how != DONE:
        how = grow(
            kind, terms, begin, end, gap, budget, tree, pool, best, best_ids, best_price, best_shares, shares, cuts,
            scratch,
        )  # fmt: skip
        if how == ROOM:
            tree = _more(tree)
        if time.monotonic() > deadline or tree.counts[ROWS] > _MOST_ROWS:
            tree.counts[CUT_SHORT] = 1
    return Searched(
        option=best_ids,
        x=best_shares,
        objective=float(best[0]),
        target=float(best[0]) * (1.0 - gap),
        head=head,
        tree=tree,
        whole=tree.counts[LOOSE] == 0,
        nodes=int(tree.counts[NODES]),
        passes=passes + int(tree.counts[PASSES]),
    )


def one_leaf(price: F) -> Tree:
    """A whole tree that is one leaf with its prices (3,)."""
    leaf = _room(0, 0)
    leaf.rows[0], leaf.prices[0] = (-1, 0, 0), price
    leaf.counts[ROWS] = leaf.counts[PRICES] = leaf.counts[NODES] = 1
    return leaf


def _room(listed: int, users: int) -> Tree:
    return Tree(
        rows=np.empty((1024 + 8 * users, 3), np.int32),
        listed=np.empty(4096 + 8 * listed, np.int32),
        prices=np.empty((256 + 2 * users, 3)),
        frames=np.empty((256 + 4 * users, 5), np.int64),
        frame_price=np.empty((256 + 4 * users, 3)),
        counts=np.zeros(9, np.int64),
    )


def _more(tree: Tree) -> Tree:
    """The same tree with twice the room."""

    def twice(array: np.ndarray) -> np.ndarray:
        grown = np.empty((2 * array.shape[0], *array.shape[1:]), array.dtype)
        grown[: array.shape[0]] = array
        return grown

    return Tree(
        rows=twice(tree.rows),
        listed=twice(tree.listed),
        prices=twice(tree.prices),
        frames=twice(tree.frames),
        frame_price=twice(tree.frame_price),
        counts=tree.counts,
    )
