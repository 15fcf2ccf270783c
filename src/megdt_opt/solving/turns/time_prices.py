"""Prices of the server's time, by column generation (Dantzig and Wolfe 1960).

The time is cut into pieces. A linear program mixes turns that have been priced (a user, an option, an end) so that the
pieces and the band are used as little as possible; its multipliers are prices of the pieces and of the band, at which
every user's cheapest turn is looked for. For "max" the level that prices prove is raised between what is proven and
what a mixture keeps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.tree import Leaf
from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.turns import Steps, TimeTable, TurnCosts, least_total, need, time_costs
from megdt_opt.solving.highs import Optimum, minimum
from megdt_opt.solving.turns.local import Moves, Plan
from megdt_opt.solving.turns.schedule import Choice

_FEWEST, _MANY, _MOST = 48, 66, 200
"""Pieces of the time; where there are more than the second, a part of them comes first [1]."""

_COARSE = 0.01
"""How near to each other what is proven and what is kept come with a part of the pieces [1]."""

_ROUNDS = 150
_EACH = 3
"""Options of a user that are added at a time [1]."""

_CLOSE = 0.05
"""Part of the gap that is left between mixture and prices of "sum" at the end [1]."""

_PARTS, _POLISHED = (0.5, 0.3, 0.7, 0.15, 0.85, 0.4, 0.6), 3
"""Parts of the users' mixtures at which plans are made, and how many of these are improved by moves [1]."""

_PATIENCE = 8
"""Programs after which a turn that none took is dropped [1]."""

_NARROW = 1.03
"""How near a level that a mixture keeps is to what is proven, where a plan is made of it [1]."""

_STAYS = 0.6
"""Part of the best prices so far in those that are tried next (Wentges 1997) [1]."""

_LEVELS, _TURNS = 16, 3
_NEW = 1e-9


@dataclass
class _Columns:
    """Turns that have been priced: user, option, end, share of the band, and how many programs in a row took none;
    prefixes are users K + g, with the option -1."""

    user: Choice
    option: Choice
    end: Array
    x: Array
    unused: Choice

    def where(self, keep: NDArray[np.bool_]) -> _Columns:
        """Some of them."""
        return _Columns(*(getattr(self, name)[keep] for name in _NAMES))


_NAMES = ("user", "option", "end", "x", "unused")


def priced_time(costs: TurnCosts, plan: Plan, gap: float, deadline: float) -> tuple[Plan, Leaf, float]:
    """A plan, and prices that prove a bound; the last is the bound that they are to prove [s].

    Parameters
    ----------
    costs : TurnCosts
    plan : Plan
        To begin with.
    gap : float
        Relative gap to prove [1].
    deadline : float
        `time.monotonic()` at which to end [s].
    """
    search = _Pricing(costs, plan, gap, deadline)
    (search.levels if costs.problem.objective == "max" else search.sums)()
    return search.plan, Leaf(search.best.prices(search.price)), search.bound


class _Pricing:
    def __init__(self, costs: TurnCosts, plan: Plan, gap: float, deadline: float) -> None:
        self.costs, self.plan, self.gap, self.deadline = costs, plan, gap, deadline
        p = costs.problem
        ends = plan.schedule.start_s + p.edge_work_s[np.arange(p.users), plan.option]
        last = float(np.nanmax(np.r_[ends, plan.schedule.prefix_start_s + p.prefix_works, 0.0]))
        span = last if p.objective == "sum" else plan.objective / float(p.weights.min())
        horizon = max(min(1.25 * last, span), last) or 1.0
        pieces = int(np.clip(1.3 * p.users, _FEWEST, _MOST))
        self.fine = -(-pieces // _MANY) if p.objective == "max" else 1
        pieces = -(-pieces // self.fine)
        self.at = np.linspace(0.0, horizon, pieces + 1)[1:]
        self.width = np.diff(self.at, prepend=0.0)
        self.best, self.price, self.bound = Steps(self.at, np.zeros(pieces)), 0.0, 0.0
        self.columns = self._of_plan(plan)
        self.mixture: tuple[Array, _Columns] | None = None

    def in_time(self) -> bool:
        return time.monotonic() <= self.deadline

    # ---- columns

    def _of_plan(self, plan: Plan) -> _Columns:
        p, rows = self.costs.problem, np.arange(self.costs.problem.users)
        turn = self.costs.turn[rows, plan.option]
        end = np.where(turn, plan.schedule.start_s + p.edge_work_s[rows, plan.option], 0.0)
        x = plan.schedule.downlink_hz / p.downlink_hz if p.downlink_hz > 0 else np.zeros(p.users)
        g = np.flatnonzero(~np.isnan(plan.schedule.prefix_start_s))
        return _Columns(
            np.r_[rows, p.users + g], np.r_[plan.option, np.full(g.size, -1)],
            np.r_[end, (plan.schedule.prefix_start_s + p.prefix_works)[g]], np.r_[x, np.zeros(g.size)],
            np.zeros(p.users + g.size, dtype=np.int64),
        )  # fmt: skip

    def _add(self, table: TimeTable) -> bool:
        """The cheapest turn of each user at some prices; whether any is new."""
        p, rows = self.costs.problem, np.arange(self.costs.problem.users)
        masks = [np.ones_like(self.costs.open)] + ([~self.costs.turn] if p.groups else [])
        users, options = [], []
        for mask in masks:
            cost = np.where(mask, table.cost, np.inf)
            for choice in np.argsort(cost, axis=1)[:, :_EACH].T:
                some = np.isfinite(cost[rows, choice])
                users.append(rows[some])
                options.append(choice[some])
        k, o = np.concatenate(users), np.concatenate(options)
        g = np.flatnonzero(np.isfinite(table.prefix))
        new = _Columns(
            np.r_[k, p.users + g], np.r_[o, np.full(g.size, -1)], np.r_[table.end[k, o], table.prefix_end[g]],
            np.r_[table.x[k, o], np.zeros(g.size)], np.zeros(k.size + g.size, dtype=np.int64),
        )  # fmt: skip
        known = {self._key(self.columns, i) for i in range(self.columns.user.size)}
        keep = np.array([self._key(new, i) not in known for i in range(new.user.size)], dtype=bool)
        new, old = new.where(keep), self.columns.where(self.columns.unused <= _PATIENCE)
        self.columns = _Columns(*(np.r_[getattr(old, n), getattr(new, n)] for n in _NAMES))
        return bool(keep.any())

    def _note(self, which: NDArray[np.intp], v: Array) -> None:
        """Note which turns a mixture took."""
        self.columns.unused[which] = np.where(v > 1e-9, 0, self.columns.unused[which] + 1)

    def _key(self, columns: _Columns, i: int) -> tuple[int, int, float, float]:
        x = round(float(columns.x[i]), 9) if self.costs.problem.objective == "sum" else 0.0
        return int(columns.user[i]), int(columns.option[i]), round(float(columns.end[i]) / _NEW), x

    def _usage(self, columns: _Columns) -> Array:
        """Seconds of each piece that turns take, (pieces, N)."""
        p = self.costs.problem
        own = columns.user < p.users
        work = np.zeros(columns.user.size)
        work[own] = np.where(
            self.costs.turn[columns.user[own], columns.option[own]],
            p.edge_work_s[columns.user[own], columns.option[own]], 0.0,
        )  # fmt: skip
        work[~own] = p.prefix_works[columns.user[~own] - p.users]
        start, left = columns.end - work, self.at - self.width
        upto = np.minimum(columns.end, self.at[:, None])
        return np.asarray(np.maximum(upto - np.maximum(start, left[:, None]), 0.0))

    def _rows(self, columns: _Columns, extra: int) -> tuple[Array, Array]:
        """Rows matrix v <= right that say what users take, beside `extra` columns at the end."""
        p, n = self.costs.problem, columns.user.size
        one = np.zeros((p.users, n + extra))
        own = np.flatnonzero(columns.user < p.users)
        one[columns.user[own], own] = -1.0
        linked = []
        for k in np.flatnonzero(p.group_of >= 0):
            if p.prefix_works[p.group_of[k]] == 0:
                continue
            mine = own[columns.user[own] == k]
            row = np.zeros(n + extra)
            row[mine[self.costs.turn[k, columns.option[mine]]]] = 1.0
            row[np.flatnonzero(columns.user == p.users + p.group_of[k])] = -1.0
            linked.append(row)
        rows = np.vstack([one, *linked]) if linked else one
        return rows, np.r_[np.full(p.users, -1.0), np.zeros(len(linked))]

    # ---- "sum"

    def sums(self) -> None:
        """Raise the bound of "sum"."""
        p = self.costs.problem
        self._try(Steps(self.at, np.zeros(self.at.size)), self.plan.price)
        centre: tuple[Array, float] | None = None
        for _ in range(_ROUNDS):
            if not self.in_time() or self.bound >= self.plan.objective * (1.0 - self.gap):
                break
            c, n = self.columns, self.columns.user.size
            rows, right = self._rows(c, 0)
            usage = self._usage(c) / self.width[:, None]
            matrix = np.vstack([usage, c.x[None], rows])
            cost = np.zeros(n)
            own = c.user < p.users
            k, o = c.user[own], c.option[own]
            moving = self.costs.turn[k, o]
            sending = np.where(self.costs.a[k, o] > 0, _seconds(self.costs, k, o, c.x[own]), 0.0)
            cost[own] = p.weights[k] * (np.where(moving, c.end[own], 0.0) + self.costs.fixed[k, o] + sending)
            cost[~own] = p.prefix_weights[c.user[~own] - p.users] * c.end[~own]
            found = _least(cost, matrix, np.r_[np.ones(self.at.size + 1), right])
            if found is None:
                break
            self._note(np.arange(n), found.v)
            lam, price = found.multipliers[: self.at.size] / self.width, float(found.multipliers[self.at.size])
            ends = found.value - self.bound <= _CLOSE * self.gap * self.plan.objective
            before = self.bound
            for part in (_STAYS, 0.0) if centre is not None else (0.0,):
                if centre is None:
                    steps, own_price = lam, price
                else:
                    steps, own_price = part * centre[0] + (1 - part) * lam, part * centre[1] + (1 - part) * price
                added = self._try(Steps(self.at, steps), own_price)
                if added:
                    break
            if self.bound > before:
                centre = self.best.height, self.price
            if not added or ends:
                self._round(found.v, c, polish=True)
                break

    def _try(self, lam: Steps, price: float) -> bool:
        """What prices of "sum" prove; whether they asked for a new turn."""
        table = time_costs(self.costs, price, lam, None)
        value = self._total(table) - price - lam.total
        if value > self.bound:
            self.best, self.price, self.bound = lam, price, value
        return self._add(table)

    def _total(self, table: TimeTable) -> float:
        return float(least_total(self.costs, table.cost, table.prefix, self.costs.open))

    # ---- "max"

    def levels(self) -> None:
        """Raise the level that is proven."""
        self.bound = self._least_level()
        high = np.inf
        if self.fine > 1:
            # few pieces first, which tell where to look
            high = self._raise(high, _COARSE) * _NARROW
            self.at = np.linspace(0.0, self.at[-1], self.at.size * self.fine + 1)[1:]
            self.width = np.diff(self.at, prepend=0.0)
            self.best = Steps(self.at, np.repeat(self.best.height, self.fine))
        for _ in range(_TURNS):
            self._raise(high, 0.25 * self.gap)
            high = np.inf
            before = self.plan
            if self.bound >= self.goal or self.mixture is None or not self.in_time():
                break
            self._round(*self.mixture, polish=True)
            if self.plan is before:
                break

    @property
    def goal(self) -> float:
        """What is to be proven [s]."""
        return self.plan.objective * (1.0 - self.gap)

    def _raise(self, high: float, near: float) -> float:
        """Between what is proven and what a mixture keeps, until they are near; what it keeps [s]."""
        for _ in range(_LEVELS):
            high, low = min(high, self.plan.objective), self.bound
            if not self.in_time() or low >= self.goal or high - low <= near * high:
                break
            level = 0.5 * (low + high)
            # the goal itself, where that is about half way or nothing contradicts it yet
            if level >= self.goal or (high >= self.plan.objective and self.goal - level <= 2.0 * self.gap * high):
                level = self.goal
            if self._refuted(level):
                self.bound = level
            else:
                high = level
        return high

    def _least_level(self) -> float:
        """What is proven without prices: the best that each user can do alone."""
        p = self.costs.problem
        alone = self.costs.a
        if not self.costs.linear:
            alone = np.where(alone > 0, alone / np.log1p(self.costs.gamma)[:, None], 0.0)
        end = np.where(self.costs.turn, self.costs.ready + p.edge_work_s, 0.0)
        own = p.weights[:, None] * (self.costs.fixed + end + alone)
        return float(np.where(self.costs.open, own, np.inf).min(axis=1).max()) * (1.0 - 1e-9)

    def _refuted(self, level: float) -> bool:
        """Whether prices are found that prove a level out of reach; they are kept."""
        flat = Steps(self.at, np.full(self.at.size, 1.0 / self.at[-1]))
        steps, price = (self.best, self.price) if self.best.total + self.price > 0 else (flat, 0.0)
        centre, best = (steps.height, price), 0.0
        for _ in range(_ROUNDS):
            table = time_costs(self.costs, price, steps, level)
            charge = price + steps.total
            value = self._total(table) / charge
            if value > 1.0 + 1e-11:
                self.best, self.price = steps, price
                return True
            if value > best:
                best, centre = value, (steps.height / charge, price / charge)
            added = self._add(table)
            if not self.in_time():
                return False
            which, x = self._kept(level)
            c = replace(self.columns.where(which), x=x[which])
            rows, right = self._rows(c, 1)
            n = c.user.size
            usage = np.vstack([self._usage(c) / self.width[:, None], c.x[None]])
            matrix = np.vstack([np.hstack([usage, -np.ones((usage.shape[0], 1))]), rows])
            cost = np.r_[np.zeros(n), 1.0]
            found = _least(cost, matrix, np.r_[np.zeros(usage.shape[0]), right])
            if found is None:
                return False
            self._note(np.flatnonzero(which), found.v[:-1])
            if found.value <= 1.0 or (not added and found.value <= best + 1e-9):
                # a mixture keeps the level: no prices refute it
                if level <= _NARROW * self.bound:
                    self.mixture = found.v[:-1], c
                    self._round(*self.mixture)
                return False
            lam, new = found.multipliers[: self.at.size] / self.width, float(found.multipliers[self.at.size])
            stays = _STAYS if added else 0.0
            steps = Steps(self.at, stays * centre[0] + (1 - stays) * lam)
            price = stays * centre[1] + (1 - stays) * new
        return False

    def _kept(self, level: float) -> tuple[NDArray[np.bool_], Array]:
        """Which turns keep a level, and the shares that it takes."""
        p, c = self.costs.problem, self.columns
        own = c.user < p.users
        k, o = np.where(own, c.user, 0), np.where(own, c.option, 0)
        end = np.where(self.costs.turn[k, o], c.end, 0.0)
        seconds = level / p.weights[k] - self.costs.fixed[k, o] - end
        x = np.where(own, need(seconds, self.costs.a[k, o], self.costs.gamma[k])[0], 0.0)
        return np.asarray(x <= 1.0 + 1e-9), x

    # ---- plans from mixtures

    def _round(self, v: Array, columns: _Columns, polish: bool = False) -> None:
        """Plans of a mixture: of each user's turns by their ends the one at which a part of the user is served."""
        users, moves = self.costs.problem.users, Moves(self.costs, self.deadline, self.bound)
        own = np.flatnonzero(columns.user < users)
        who, what = columns.user[own], columns.option[own]
        end = np.where(self.costs.turn[who, what], columns.end[own], np.inf)
        own, end = own[order := np.lexsort((end, who))], end[order]
        begin = np.searchsorted(columns.user[own], np.arange(users))
        total = np.cumsum(v[own])
        before = np.r_[0.0, total][begin]
        size = np.diff(np.r_[before, total[-1]])
        plans: dict[float, Plan] = {}
        for part in _PARTS if polish else _PARTS[:2]:
            at = np.minimum(np.searchsorted(total, before + part * size), np.r_[begin[1:], own.size] - 1)
            option = columns.option[own[at]]
            plan = moves.reoptioned(moves.plan(option, np.argsort(end[at], kind="stable")))
            plans[plan.objective] = plan
        for objective in sorted(plans)[:_POLISHED]:
            plan = moves.polished(plans[objective], self.bound / (1.0 - self.gap)) if polish else plans[objective]
            if plan.objective < self.plan.objective:
                self.plan = plan


def _least(cost: Array, matrix: Array, right: Array) -> Optimum | None:
    """The least cost @ v over v >= 0 with matrix v <= right; most entries are 0."""
    from scipy.sparse import csr_array

    return minimum(cost, csr_array(matrix), right, np.zeros(cost.size), np.full(cost.size, np.inf))


def _seconds(costs: TurnCosts, k: Choice, o: Choice, x: Array) -> Array:
    """Downloads with shares x [s]."""
    share = np.maximum(x, 1e-300)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rate = share if costs.linear else share * np.log1p(costs.gamma[k] / share)
        return np.asarray(costs.a[k, o] / rate)
