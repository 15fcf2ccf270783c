"""The price method: bounds from prices, closed by a branch tree whose leaves prove the asked gap."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Branch, Leaf
from megdt_opt.errors import Infeasible, SolverFailure
from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving import compiled
from megdt_opt.solving.conflict import no_option, not_together
from megdt_opt.solving.search.closed import Closed
from megdt_opt.solving.search.incumbent import Incumbent
from megdt_opt.solving.search.pool import Mask, Pool
from megdt_opt.solving.search.tilted import TiltedPool

_ROOT_PASSES = 60
_NODE_PASSES = 8
_LEAF_PASSES = 200
LEAST_GAP = 1e-10
_EXCESS = 1e-11
"""What the priced cost of "max" must exceed the budgets by: far above rounding, far below the gap."""

_POLISHING = 6
_NEIGHBOURS = 48
_MOST_NODES = 1_000_000


@dataclass
class _Node:
    mask: Mask
    tree: Branch | Leaf | None = None
    parent: Branch | None = None
    place: int = 0


@dataclass
class Search:
    """State of a search; another objective overrides what it does in another way.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
        The problem, scaled.
    gap : float
        Relative gap to prove [1].
    deadline : float
        `time.monotonic()` after which the tree is cut short [s].
    incumbent : Incumbent
        With a first allocation.
    enough : float
        Objective with which the search is content, proven or not [s].
    """

    problem: AllocationProblem
    resources: Resources
    gap: float
    deadline: float
    incumbent: Incumbent
    enough: float = -np.inf
    pool: Pool = field(init=False)
    box: float = field(init=False)
    nodes: int = 0
    passes: int = 0

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Set the level that the incumbent asks for; tables of "max" depend on it."""
        best = self.incumbent.objective
        if self.problem.objective == "max":
            old = getattr(self, "pool", None)
            self.pool = old.relevel(self.target) if old is not None else self._pool(Pool, self.target)
            self.box = 1.0
        else:
            if not hasattr(self, "pool"):
                make = TiltedPool if self.problem.objective == "mixed" else Pool
                self.pool = self._pool(make, None)
            self.box = 4.0 * best

    def _pool(self, make: type[Pool], level_s: float | None) -> Pool:
        return make(self.problem, self.resources, level_s, self.deadline)

    @property
    def target(self) -> float:
        """Objective that must be proven out of reach [s]."""
        return self.incumbent.objective * (1.0 - self.gap)

    @property
    def goal(self) -> float:
        """Value of the pool that proves it."""
        return self.target if self.pool.summed else _EXCESS

    @property
    def mask(self) -> Mask:
        """Choices at the root."""
        return self.resources.open.copy()

    def groups(self) -> NDArray[np.int64]:
        """Dominating choice of each."""
        return dominance(self.problem, self.resources, self.deadline)

    def terms(self, k: int) -> Array:
        """What the options of a user differ in, (5, O)."""
        p = self.problem
        return np.concatenate([self.resources.a[:, k], p.fixed_s[None, k], p.branch_s[None, k]])

    def divide(self, k: int, first: int, second: int, mask: Mask, groups: NDArray[np.int64]) -> NDArray[np.bool_]:
        """One side of a cut between two choices of a user that leaves the user something on both."""
        demand = self.terms(k)
        spread = np.ptp(demand[:, mask[k]], axis=1)
        unit = demand / np.where(spread > 0, spread, 1.0)[:, None]
        along = (unit[:, second] - unit[:, first]) @ unit
        middle = 0.5 * (along[first] + along[second])
        far = mask[k] & (along > middle)
        # a dominated option goes with the one that dominates it
        far = mask[k] & far[groups[k]]
        if not far.any() or (far == mask[k]).all():
            far = mask[k] & (groups[k] == groups[k, second])
            if (far == mask[k]).all():
                far = mask[k] & (groups[k] != groups[k, first])
        result: NDArray[np.bool_] = far
        return result

    def try_sets(self, sets: NDArray[np.int64]) -> None:
        """Offer option sets to the incumbent; a better one lowers the target."""
        if self.incumbent.offer(sets):
            self.reset()

    def polish(self, mask: Mask) -> None:
        """Switch single users among the options that the prices do not rule out, while it helps."""
        for _ in range(_POLISHING):
            value, _, _ = self.pool.values(mask)
            best = int(value.argmax())
            slack = (self.incumbent.objective if self.pool.summed else 0.0) - value[best]
            extra = self.pool.reduced_costs(best, mask)
            extra[np.arange(len(extra)), self.incumbent.option] = np.inf
            user, option = np.nonzero(extra <= slack)
            order = np.argsort(extra[user, option])[:_NEIGHBOURS]
            sets = np.tile(self.incumbent.option, (len(order), 1))
            sets[np.arange(len(order)), user[order]] = option[order]
            before = self.incumbent.objective
            self.try_sets(sets)
            if self.incumbent.objective >= before or self.out_of_time:
                break

    @property
    def out_of_time(self) -> bool:
        """Whether to end with what was found."""
        return self.incumbent.objective <= self.enough or time.monotonic() > self.deadline


def close(
    problem: AllocationProblem,
    resources: Resources,
    *,
    gap: float,
    time_limit_s: float | None,
    named: bool = True,
    enough: float = -np.inf,
) -> Closed:
    """Minimise any of the objectives and prove it.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
        The problem, scaled.
    gap : float
        Relative gap to prove [1].
    time_limit_s : float, optional
        After this the tree is cut short; its bound then proves a larger gap [s].
    named : bool
        Whether an `Infeasible` names the users in conflict, for which further problems are solved; once the time is
        over it names all users.
    enough : float
        Objective with which to be content, proven or not [s].

    Raises
    ------
    Infeasible
        Where a user has no open option, or the hard limits cannot be met together.
    SolverFailure
        Where the time is over before it is known whether the hard limits can be met.
    """
    if not problem.all_open and not resources.open.any(axis=1).all():
        raise no_option(problem, resources)
    deadline = np.inf if time_limit_s is None else time.monotonic() + time_limit_s
    if problem.objective == "missed":
        from megdt_opt.solving.search.missed import close_missed

        return close_missed(problem, resources, gap=gap, deadline=deadline)
    # a little less than asked, so that rounding cannot push the reported gap over it
    asked = max(0.95 * gap, LEAST_GAP)
    incumbent = Incumbent(problem, resources, deadline)
    if problem.objective != "mixed" and compiled.usable(problem):
        closed = compiled.close(problem, resources, gap=asked, deadline=deadline, incumbent=incumbent)
        if closed is not None:
            return closed
    else:
        compiled.solved_in_numpy(problem)
    incumbent.start()
    if not np.isfinite(incumbent.objective):
        if not incumbent.ruled_out:
            raise SolverFailure(
                "no allocation that keeps the deadlines was found within the time limit, nor that there is none; raise "
                "time_limit_s or leave it out"
            )
        if not named or time.monotonic() > deadline:
            # who is in conflict takes many more solves to say: `explain` does
            raise Infeasible("the hard limits cannot be kept together", users=tuple(range(problem.users)))
        raise not_together(problem, resources, deadline)
    return run(Search(problem, resources, asked, deadline, incumbent, enough))


def run(search: Search) -> Closed:
    """Grow the branch tree until every leaf proves the goal, and seal it."""
    if search.incumbent.objective <= 0.0:
        # nothing is better than no time at all
        tilts = search.problem.users if search.problem.objective == "mixed" else 0
        nothing = Certificate(search.problem.objective, 0.0, Leaf((0.0,) * (3 + tilts)))
        return Closed(incumbent=search.incumbent, bound=0.0, certificate=nothing, nodes=1, passes=0)
    root = _Node(mask=search.mask)
    for prices in search.incumbent.seed_prices():
        search.pool.add(prices)
    _bound_root(search, root.mask)
    groups = search.groups()
    stack = [root]
    top: list[Branch | Leaf] = []
    while stack:
        node = stack.pop()
        search.nodes += 1
        if search.out_of_time or search.nodes > _MOST_NODES:
            _attach(node, Leaf(prices=_plain(_best_prices(search, node.mask))), top)
            continue
        proof = _fathom(search, node.mask, groups)
        if proof is not None:
            _attach(node, Leaf(prices=_plain(proof)), top)
            continue
        left = _prune(search, node, top)
        if left is not node:
            stack.append(left)
            continue
        user, parts = _split(search, node.mask, groups)
        branch = Branch(
            user=user,
            groups=tuple(tuple(int(o) for o in np.flatnonzero(part)) for part in parts),
            children=[],
        )
        _attach(node, branch, top)
        branch.children.extend([Leaf(prices=())] * len(parts))  # each is replaced when its turn comes
        for place, part in enumerate(parts):
            mask = node.mask.copy()
            mask[user] = part
            stack.append(_Node(mask=mask, parent=branch, place=place))
    certificate = Certificate.seal(search.problem, search.resources, top[0], search.target)
    return Closed(
        incumbent=search.incumbent,
        bound=min(certificate.bound_s, search.incumbent.objective),
        certificate=certificate,
        nodes=search.nodes,
        passes=len(search.pool.prices),
    )


def _plain(prices: Array) -> tuple[float, ...]:
    return tuple(float(p) for p in prices)


def _attach(node: _Node, tree: Branch | Leaf, top: list[Branch | Leaf]) -> None:
    if node.parent is None:
        top.append(tree)
    else:
        node.parent.children[node.place] = tree


def _bound_root(search: Search, mask: Mask) -> None:
    """Good prices and a good incumbent before the tree grows."""
    for _ in range(12):
        if search.out_of_time:
            return
        before = search.incumbent.objective
        search.pool.improve(mask, search.goal, search.box, _ROOT_PASSES)
        value, _, options = search.pool.values(mask)
        order = np.argsort(-value)[:24]
        search.try_sets(np.unique(options[order], axis=0))
        if search.incumbent.objective >= before * (1 - 1e-9) or search.out_of_time:
            break
    if search.out_of_time:
        return
    search.polish(mask)
    search.pool.add(search.incumbent.prices)
    search.pool.improve(mask, search.goal, search.box, _ROOT_PASSES)


def _best_prices(search: Search, mask: Mask) -> Array:
    value, _, _ = search.pool.values(mask)
    return search.pool.prices[int(value.argmax())]


def _fathom(search: Search, mask: Mask, groups: NDArray[np.int64]) -> Array | None:
    """Prices that prove a mask out of reach, or None."""
    value, _, options = search.pool.values(mask)
    best = int(value.argmax())
    if value[best] >= search.goal:
        return search.pool.prices[best]
    if _single(mask, groups):
        return _settle(search, mask, groups)
    reached, best, _, _ = search.pool.improve(mask, search.goal, search.box, _NODE_PASSES)
    if reached >= search.goal:
        return search.pool.prices[best]
    before = search.incumbent.objective
    search.try_sets(options[[int(value.argmax())]])
    if search.incumbent.objective < before:
        return _fathom(search, mask, groups)
    return None


def _prune(search: Search, node: _Node, top: list[Branch | Leaf]) -> _Node:
    """Split off the options whose reduced cost alone proves the goal; the node that is left.

    With any of them the best prices' value would be at least the goal, so those prices are the proof of a leaf that
    has nothing else for its user.
    """
    value, _, _ = search.pool.values(node.mask)
    best = int(value.argmax())
    missing = search.goal - value[best]
    if missing <= 0:  # a better allocation was found meanwhile: the node is out already
        return _Node(mask=node.mask, parent=node.parent, place=node.place)
    gone = node.mask & (search.pool.reduced_costs(best, node.mask) >= missing)
    for k in np.flatnonzero(gone.any(axis=1)):
        kept = node.mask[k] & ~gone[k]
        groups = tuple(tuple(int(o) for o in np.flatnonzero(part)) for part in (gone[k], kept))
        branch = Branch(user=int(k), groups=groups, children=[Leaf(prices=_plain(search.pool.prices[best]))] * 2)
        _attach(node, branch, top)
        mask = node.mask.copy()
        mask[k] = kept
        node = _Node(mask=mask, parent=branch, place=1)
    return node


def _single(mask: Mask, groups: NDArray[np.int64]) -> bool:
    """Whether every user has one group of options left: the best of it is known."""
    heads = mask & (groups == np.arange(mask.shape[1]))
    return bool((heads.sum(axis=1) <= 1).all())


def _settle(search: Search, mask: Mask, groups: NDArray[np.int64]) -> Array:
    """Evaluate the one option set that is left; its own prices prove its value."""
    heads = mask & (groups == np.arange(mask.shape[1]))
    option = np.where(heads.any(axis=1), heads.argmax(axis=1), mask.argmax(axis=1))
    search.try_sets(option[None])
    prices = search.incumbent.prices_of(option)
    if prices is not None:
        index = search.pool.add(prices)
        value, _, _ = search.pool.values(mask)
        if value[index] >= search.goal:
            return search.pool.prices[index]
    # the set cannot meet the hard limits, or its prices are at a corner: cutting planes find the proof
    box = search.box
    for _ in range(6):
        reached, best, _, _ = search.pool.improve(mask, search.goal, box, _LEAF_PASSES)
        if reached >= search.goal or search.out_of_time:
            break
        box *= 1.0 if not search.pool.summed else 100.0
    return search.pool.prices[best]


def _split(search: Search, mask: Mask, groups: NDArray[np.int64]) -> tuple[int, list[NDArray[np.bool_]]]:
    """The user most torn between two options, and the two sides of a cut between them."""
    _, best, _, weights = search.pool.improve(mask, search.goal, search.box, 0)
    _, _, options = search.pool.values(mask)
    heads = mask & (groups == np.arange(mask.shape[1]))
    weights = np.tile(weights[:, None], (1, mask.shape[0])) if weights.ndim == 1 else weights
    total = weights.sum(axis=0)
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1.0), np.eye(len(weights))[best][:, None])
    most, chosen = -1.0, -1
    pair = (0, 0)
    for k in range(mask.shape[0]):
        if heads[k].sum() <= 1:
            continue
        share = np.bincount(options[:, k], weights=weights[:, k], minlength=mask.shape[1])
        first = int(share.argmax())
        rest = share.copy()
        rest[first] = -1.0
        rest[~heads[k]] = -1.0
        second = int(rest.argmax())
        torn = float(max(rest[second], 0.0)) + 1e-9 * float(heads[k].sum())
        if torn > most:
            most, chosen, pair = torn, k, (first, second)
    far = search.divide(chosen, *pair, mask, groups)
    return chosen, [far, mask[chosen] & ~far]


def dominance(problem: AllocationProblem, resources: Resources, deadline: float = np.inf) -> NDArray[np.int64]:
    """For each user and option the option that is at least as good in every term, (K, O); itself if there is none.

    After the deadline, `time.monotonic()` [s], none is looked for.
    """
    users, options = problem.users, problem.options
    head = np.tile(np.arange(options), (users, 1))
    for k in range(users):
        if time.monotonic() > deadline:
            break
        terms = np.vstack([problem.fixed_s[k], problem.branch_s[k], resources.a[:, k], resources.lo[UPLINK, k]])
        index = np.flatnonzero(resources.open[k])
        # sorted so that an option comes after every other that dominates it
        order = index[np.lexsort(terms[:, index])]
        kept: list[int] = []
        for o in order:
            for other in kept:
                if (terms[:, other] <= terms[:, o]).all():
                    head[k, o] = other
                    break
            else:
                kept.append(int(o))
    return head
