"""Chains that are ready together, "sum": nearest points of functions, and a tree that branches on options.

With G(s) the work of the chains whose density w / g is at least s, the objective of options o is

    F(o) = sum_k C_k(o_k) + |sum_k P_k(o_k)|^2,    |P|^2 = 1/2 int G^2 ds + (sum sqrt(w a))^2,

(linear rates; the last term is the band's). For any point x, q(x) = sum_k min_o (C + 2 <x, P>) - |x|^2 is a lower
bound, and F(o) = q(x) + sum_k rc_k(o_k) + |P(o) - x|^2 with the reduced costs rc. The best x is the nearest point of
the convex hull: found from a few vertices, by solving for their weights and adding what prices them least (Wolfe 1976).
Shannon rates have no such form: there the band's price is outside, and its own costs are inside.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.tree import Branch, Leaf, Mask, Node, Prune
from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.turns import Steps, TurnCosts, densities
from megdt_opt.shares.turns import best_sum

Choice = NDArray[np.int64]

_PASSES = 60
_SWITCHES = 400
_PRICES = 40
"""Prices of the band that are tried for one part, with Shannon rates [1]."""

_EXACT = 1e-13


@dataclass
class Point:
    """A point x: the work G on the steps between densities, and the root of the band's price."""

    work: Array
    root: float


@dataclass
class Found:
    """What a part's best point says.

    Parameters
    ----------
    value : float
        q(x), the bound [s].
    point : Point
    cost : array, (K, O)
        Of the options at the point; infinite outside the part.
    atoms : array of int, (N, K)
        Vertices of which the point is made.
    weights : array, (N,)
    """

    value: float
    point: Point
    cost: Array
    atoms: Choice
    weights: Array


class AtOnce:
    """A problem whose chains are ready together.

    Parameters
    ----------
    costs : TurnCosts
    """

    def __init__(self, costs: TurnCosts) -> None:
        p = costs.problem
        self.costs, self.users = costs, p.users
        self.rows = np.arange(p.users)
        self.work = np.where(costs.turn, p.edge_work_s, 0.0)
        density = densities(costs)
        flat = np.flatnonzero(costs.turn.ravel())
        order = flat[np.argsort(density.ravel()[flat], kind="stable")]
        self.at = density.ravel()[order]
        self.width = np.diff(self.at, prepend=0.0)
        place = np.zeros(density.size, dtype=np.int64)
        place[order] = np.arange(order.size)
        self.place = place.reshape(density.shape)
        w = p.weights[:, None]
        self.own = w * (np.where(costs.turn, costs.base_s + 0.5 * self.work, 0.0) + costs.fixed)
        self.own[~costs.open] = np.inf
        self.roots = np.sqrt(w * costs.a) if costs.linear else np.zeros(density.shape)
        self.weight = w

    # ---- points and vertices

    def vertex(self, choice: Choice) -> Array:
        """Work on the steps, (J,)."""
        taken = np.zeros(self.at.size)
        turn = self.costs.turn[self.rows, choice]
        np.add.at(taken, self.place[self.rows[turn], choice[turn]], self.work[self.rows[turn], choice[turn]])
        return np.asarray(taken[::-1].cumsum()[::-1])

    def root_of(self, choice: Choice) -> float:
        """sum sqrt(w a)."""
        return float(self.roots[self.rows, choice].sum())

    def objective(self, choice: Choice) -> float:
        """F(o) [s]."""
        work = self.vertex(choice)
        value = float(self.own[self.rows, choice].sum()) + 0.5 * float(work * work @ self.width)
        if self.costs.linear:
            return value + self.root_of(choice) ** 2
        return value + self.sending_s(choice)

    def sending_s(self, choice: Choice) -> float:
        """Weighted downloads with their best shares, for Shannon rates [s]."""
        return self.band_of(choice)[1]

    def band_of(self, choice: Choice) -> tuple[float, float]:
        """The band's price for given options, and what their downloads cost with their best shares [s]."""
        weight, a = self.costs.problem.weights, self.costs.a[self.rows, choice]
        x, price = best_sum(weight, a, self.costs.gamma)
        if self.costs.linear:
            return price, price
        some = a > 0
        rate = x[some] * np.log1p(self.costs.gamma[some] / x[some])
        return price, float((weight[some] * a[some] / rate).sum())

    def point_of(self, choice: Choice) -> Point:
        """The vertex itself."""
        return Point(self.vertex(choice), float(np.sqrt(self.band_of(choice)[0])))

    def cost(self, point: Point) -> Array:
        """C + 2 <x, P>, (K, O)."""
        integral = np.cumsum(point.work * self.width)
        served = self.work * integral[self.place] if self.at.size else 0.0
        if self.costs.linear:
            return np.asarray(self.own + served + (2.0 * point.root) * self.roots)
        sending, _, _ = self.costs.sending(point.root**2)
        extra = self.own - self.weight * self.costs.fixed
        return np.asarray(sending + extra + served)

    def charge(self, point: Point) -> float:
        """|x|^2, with the band's price."""
        return 0.5 * float(point.work * point.work @ self.width) + point.root**2

    def leaf(self, point: Point) -> Leaf:
        """The prices of a leaf."""
        # of equal densities the first has the step
        first = self.width > 0
        return Leaf(Steps(self.at[first], np.maximum(point.work[first], 0.0)).prices(point.root**2))

    # ---- the best point of a part

    def best_point(self, mask: Mask, start: Point, goal: float, in_time: Callable[[], bool]) -> Found:
        """The best point of a part, or the first whose bound reaches the goal."""
        if self.costs.linear:
            return self._nearest(mask, start, goal, in_time, held=False)
        found = self._nearest(mask, start, goal, in_time, held=True)
        best, low, high = found, 0.0, np.inf
        for _ in range(_PRICES):
            if best.value >= goal or not in_time():
                break
            price = found.point.root**2
            usage = self._usage(found, price)
            if abs(usage - 1.0) < 1e-9 or (usage <= 1.0 and price == 0.0):
                break
            low, high = (price, high) if usage > 1.0 else (low, price)
            # usage falls about as one over the root of the price
            ahead = price * min(max(usage, 1e-3), 1e3) ** 2
            if not low < ahead < high:
                ahead = 0.5 * (low + high) if np.isfinite(high) else 4.0 * price + 1e-12
            if usage == 0.0:
                ahead = 0.0 if low == 0.0 and price <= 1e-12 else 0.01 * price
            if ahead == price:
                break
            found = self._nearest(mask, Point(found.point.work, float(np.sqrt(ahead))), goal, in_time, held=True)
            best = max(best, found, key=lambda one: one.value)
        return best

    def _usage(self, found: Found, price: float) -> float:
        _, x, _ = self.costs.sending(price)
        return float(sum(w * x[self.rows, atom].sum() for w, atom in zip(found.weights, found.atoms, strict=True)))

    def _nearest(self, mask: Mask, start: Point, goal: float, in_time: Callable[[], bool], *, held: bool) -> Found:
        """Wolfe's method; with `held` the band's price stays."""
        point, scale = start, np.sqrt(0.5 * self.width)
        atoms: list[Choice] = []
        vectors, constants, weights = np.zeros((0, self.at.size + 1)), np.zeros(0), np.zeros(0)
        gram = np.zeros((0, 0))
        best: tuple[float, Point, Array] | None = None
        sending = self.costs.sending(start.root**2)[0] if held else None
        for _ in range(_PASSES):
            cost = np.where(mask, self.cost(point), np.inf)
            choice = cost.argmin(axis=1)
            value = float(cost[self.rows, choice].sum()) - self.charge(point)
            if best is None or value > best[0]:
                best = value, point, cost
            if value >= goal or not in_time() or any((choice == atom).all() for atom in atoms):
                if value < goal and not atoms:
                    atoms, weights = [choice], np.ones(1)
                break
            vector = np.r_[self.vertex(choice) * scale, 0.0 if held else self.root_of(choice)]
            constant = self.own[self.rows, choice].sum() if sending is None else (
                self.own[self.rows, choice] - (self.weight[:, 0] * self.costs.fixed[self.rows, choice])
                + sending[self.rows, choice]
            ).sum()  # fmt: skip
            row = vectors @ vector
            gram = np.block([[gram, row[:, None]], [row[None, :], vector @ vector]])
            vectors, constants = np.vstack([vectors, vector]), np.r_[constants, float(constant)]
            atoms.append(choice)
            weights = _least_weights(gram, constants, np.r_[weights, 0.0 if weights.size else 1.0])
            keep = weights > 0
            if not keep.all():
                atoms = [atom for atom, kept in zip(atoms, keep, strict=True) if kept]
                vectors, constants, weights = vectors[keep], constants[keep], weights[keep]
                gram = gram[np.ix_(keep, keep)]
            mixed = weights @ vectors
            upper = float(weights @ constants) + float(mixed @ mixed) - (start.root**2 if held else 0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                work = np.where(scale > 0, mixed[:-1] / scale, 0.0)
            if (scale == 0).any():
                work = np.maximum.accumulate(work[::-1])[::-1]
            point = Point(work, start.root if held else float(mixed[-1]))
            if upper - best[0] <= _EXACT * abs(upper):
                break
        assert best is not None
        return Found(best[0], best[1], best[2], np.array(atoms).reshape(-1, self.users), weights)

    # ---- choices

    def switched(self, choice: Choice, in_time: Callable[[], bool]) -> tuple[Choice, float]:
        """A choice that no switch of a single user improves, and its objective."""
        value = self.objective(choice)
        for _ in range(_SWITCHES):
            if not in_time():
                break
            cost = self.cost(self.point_of(choice))
            now = cost[self.rows, choice][:, None]
            step = 0.5 * self.weight * np.abs(self.work - self.work[self.rows, choice][:, None])
            step = step + (self.roots - self.roots[self.rows, choice][:, None]) ** 2
            change = cost - now + step
            k, o = np.unravel_index(int(change.argmin()), change.shape)
            if not change[k, o] < -1e-14 * abs(value):
                break
            new = choice.copy()
            new[k] = o
            better = self.objective(new)
            if not better < value * (1 - 1e-15):
                break
            choice, value = new, better
        return choice, value


def _least_weights(gram: Array, constants: Array, weights: Array) -> Array:
    """Weights on the simplex of the least constants @ v + v @ gram @ v, from others whose last is new."""
    weights = weights.copy()
    alone = np.zeros_like(weights)
    alone[int((constants + gram.diagonal()).argmin())] = 1.0
    if not gram.any():
        return alone
    active = weights > 0
    active[-1] = True
    for _ in range(4 * weights.size + 4):
        index = np.flatnonzero(active)
        n = index.size
        system = np.zeros((n + 1, n + 1))
        system[:n, :n] = 2.0 * gram[np.ix_(index, index)]
        system[:n, n] = system[n, :n] = 1.0
        size = max(float(np.abs(system[:n, :n]).max()), 1e-300)
        system[:n, :n] /= size
        right = np.r_[-constants[index] / size, 1.0]
        found = np.linalg.lstsq(system, right, rcond=1e-14)[0][:n]
        if (found > -1e-15).all():
            weights[:] = 0.0
            weights[index] = np.maximum(found, 0.0)
            break
        old = weights[index]
        falling = found < old
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.where(falling & (found < 0), old / (old - found), np.inf)
        step = min(float(steps.min()), 1.0)
        moved = old + step * (found - old)
        moved[steps <= step * (1 + 1e-12)] = 0.0
        weights[:] = 0.0
        weights[index] = np.maximum(moved, 0.0)
        active = weights > 0
        if not active.any():
            active[-1] = True
            weights[-1] = 1.0
            break
    total = float(weights.sum())
    return np.asarray(weights / total) if total > 0 else alone


@dataclass
class Closed:
    """What the tree found and proved: options, their objective [s], and the tree with its counts."""

    choice: Choice
    objective: float
    tree: Node
    nodes: int


class _Search:
    def __init__(self, model: AtOnce, gap: float, deadline: float) -> None:
        self.model, self.gap, self.deadline = model, gap, deadline
        self.best, self.value = np.zeros(model.users, dtype=np.int64), np.inf
        self.tried: set[bytes] = set()
        self.nodes = 0

    def in_time(self) -> bool:
        return time.monotonic() <= self.deadline

    @property
    def target(self) -> float:
        return self.value * (1.0 - self.gap)

    def offer(self, choice: Choice) -> None:
        key = choice.tobytes()
        if key in self.tried:
            return
        self.tried.add(key)
        found, value = self.model.switched(choice, self.in_time)
        if value < self.value:
            self.best, self.value = found, value

    def grow(self) -> Node:
        model = self.model
        mask = model.costs.open
        least = model.own.argmin(axis=1)
        start = model.point_of(least)
        top: list[Node] = []
        stack: list[tuple[Mask, Point, Callable[[Node], None]]] = [(mask, start, top.append)]
        self.value = model.objective(least)
        self.best = least
        while stack:
            here, point, attach = stack.pop()
            self.nodes += 1
            found = model.best_point(here, point, self.target, self.in_time)
            if found.value < self.target and self.in_time():
                self._propose(found)
            if found.value >= self.target or not self.in_time():
                attach(model.leaf(found.point))
                continue
            gone = here & (found.cost - found.cost.min(axis=1)[:, None] >= self.target - found.value)
            if gone.any():
                node = Prune(model.leaf(found.point), np.argwhere(gone))
                attach(node)
                here, attach = here & ~gone, node.children.append
            parts = self._divided(here, found)
            if parts is None:
                attach(model.leaf(found.point))
                continue
            user, groups = parts
            branch = Branch(user, tuple(tuple(np.flatnonzero(one).tolist()) for one in groups))
            branch.children.extend([Leaf(())] * len(groups))
            attach(branch)
            for i, one in reversed(list(enumerate(groups))):
                below = here.copy()
                below[user] = one
                stack.append((below, found.point, _into(branch.children, i)))
        return top[0]

    def _propose(self, found: Found) -> None:
        self.offer(np.asarray(found.cost.argmin(axis=1), dtype=np.int64))
        if len(found.atoms):
            heavy = found.atoms[int(found.weights.argmax())]
            self.offer(heavy)
            votes = np.zeros(self.model.costs.open.shape)
            for atom, weight in zip(found.atoms, found.weights, strict=True):
                votes[self.model.rows, atom] += weight
            self.offer(votes.argmax(axis=1))

    def _divided(self, mask: Mask, found: Found) -> tuple[int, list[NDArray[np.bool_]]] | None:
        """The user whose options the point mixes most, and the halves of its options; None where one choice is left."""
        model = self.model
        free = mask.sum(axis=1) > 1
        if not free.any():
            return None
        votes = np.zeros(mask.shape)
        for atom, weight in zip(found.atoms, found.weights, strict=True):
            votes[model.rows, atom] += weight
        votes = np.where(mask, votes, 0.0)
        first = votes.argmax(axis=1)
        far = 0.5 * model.weight * np.abs(model.work - model.work[model.rows, first][:, None])
        far = far + (model.roots - model.roots[model.rows, first][:, None]) ** 2
        spread = np.where(free, (votes * far).sum(axis=1), -1.0)
        user = int(spread.argmax())
        if spread[user] <= 0.0:
            # nothing is mixed: the user with the cheapest second choice
            cost = np.where(mask, found.cost, np.inf)
            second = np.sort(cost, axis=1)[:, 1] - cost.min(axis=1)
            user = int(np.where(free, second, np.inf).argmin())
        a = int(first[user]) if mask[user, first[user]] else int(np.flatnonzero(mask[user])[0])
        rest = np.where(np.arange(mask.shape[1]) == a, -1.0, votes[user])
        b = (
            int(rest.argmax())
            if rest.max() > 0
            else int(np.where(mask[user] & (np.arange(mask.shape[1]) != a), found.cost[user], np.inf).argmin())
        )
        near = mask[user] & (self._apart(user, a) <= self._apart(user, b))
        near[a], near[b] = True, False
        return user, [near, mask[user] & ~near]

    def _apart(self, user: int, option: int) -> Array:
        model = self.model
        apart = 0.5 * model.weight[user] * np.abs(model.work[user] - model.work[user, option])
        a = model.costs.a[user]
        return np.asarray(apart + (np.sqrt(a) - np.sqrt(a[option])) ** 2 * model.weight[user])


def _into(children: list[Node], place: int) -> Callable[[Node], None]:
    def attach(node: Node) -> None:
        children[place] = node

    return attach


def close_at_once(costs: TurnCosts, gap: float, deadline: float) -> Closed:
    """Best options of chains that are ready together, and the tree that proves them.

    Parameters
    ----------
    costs : TurnCosts
    gap : float
        Relative gap to prove [1].
    deadline : float
        `time.monotonic()` after which the tree is cut short [s].
    """
    search = _Search(AtOnce(costs), gap, deadline)
    tree = search.grow()
    return Closed(search.best, search.value, tree, search.nodes)
