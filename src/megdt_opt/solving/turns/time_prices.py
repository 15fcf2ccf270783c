"""Prices of the server's time, by column generation (Dantzig and Wolfe 1960).

The time is cut into pieces. A linear program mixes turns that have been priced (a user, an option, an end) so that the
pieces and the band are used as little as possible; its multipliers are prices of the pieces and of the band, at which
every user's cheapest turn is looked for. For "max" the level that prices prove is raised between what is proven and
what a mixture keeps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from megdt_opt.certificate.tree import Leaf
from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.turns import Steps, TimeTable, TurnCosts, least_total, need, time_costs
from megdt_opt.solving.highs import minimum
from megdt_opt.solving.turns.local import Moves, Plan, good_plan
from megdt_opt.solving.turns.schedule import Choice

_FEWEST, _MOST = 48, 200
_ROUNDS = 40
_LEVELS = 12
_NEW = 1e-9


@dataclass
class _Columns:
    """Turns that have been priced: user, option, end, and share of the band; prefixes are users K + g, option -1."""

    user: Choice
    option: Choice
    end: Array
    x: Array


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
        self.at = np.linspace(0.0, horizon, pieces + 1)[1:]
        self.width = np.diff(self.at, prepend=0.0)
        self.best, self.price, self.bound = Steps(self.at, np.zeros(pieces)), 0.0, 0.0
        self.columns = self._of_plan(plan)

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
        )  # fmt: skip

    def _add(self, table: TimeTable) -> bool:
        """The cheapest turn of each user at some prices; whether any is new."""
        p, rows = self.costs.problem, np.arange(self.costs.problem.users)
        masks = [np.ones_like(self.costs.open)]
        if p.groups:
            masks.append(~self.costs.turn)
        users, options = [], []
        for mask in masks:
            cost = np.where(mask, table.cost, np.inf)
            choice = cost.argmin(axis=1)
            some = np.isfinite(cost[rows, choice])
            users.append(rows[some])
            options.append(choice[some])
        k, o = np.concatenate(users), np.concatenate(options)
        g = np.flatnonzero(np.isfinite(table.prefix))
        new = _Columns(
            np.r_[k, p.users + g], np.r_[o, np.full(g.size, -1)], np.r_[table.end[k, o], table.prefix_end[g]],
            np.r_[table.x[k, o], np.zeros(g.size)],
        )  # fmt: skip
        known = {self._key(self.columns, i) for i in range(self.columns.user.size)}
        keep = np.array([self._key(new, i) not in known for i in range(new.user.size)], dtype=bool)
        names = ("user", "option", "end", "x")
        self.columns = _Columns(*(np.r_[getattr(self.columns, n), getattr(new, n)[keep]] for n in names))
        return bool(keep.any())

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
        for turn in range(_ROUNDS):
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
            found = minimum(cost, matrix, np.r_[np.ones(self.at.size + 1), right], np.zeros(n), np.full(n, np.inf))
            if found is None:
                break
            lam, price = found.multipliers[: self.at.size] / self.width, float(found.multipliers[self.at.size])
            if turn == 0 or turn % 4 == 3:
                self._round(found.v)
            before = self.bound
            for part in (0.4, 0.0) if centre is not None else (0.0,):
                if centre is None:
                    steps, own_price = lam, price
                else:
                    steps, own_price = part * centre[0] + (1 - part) * lam, part * centre[1] + (1 - part) * price
                added = self._try(Steps(self.at, steps), own_price)
                if added:
                    break
            if self.bound > before:
                centre = self.best.height, self.price
            if not added or found.value - self.bound <= 0.05 * self.gap * self.plan.objective:
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
        low, high = self._least_level(), self.plan.objective
        self.bound = low
        first = True
        for _ in range(_LEVELS):
            goal = self.plan.objective * (1.0 - self.gap)
            high = min(high, self.plan.objective)
            if not self.in_time() or low >= goal or high - low <= 0.25 * self.gap * high:
                break
            level = goal if first or (goal < high * (1 - 1e-12) and high >= self.plan.objective) else 0.5 * (low + high)
            level = level if low < level else 0.5 * (low + high)
            first = False
            if self._refuted(level):
                low = self.bound = level
            else:
                high = level

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
        base = self.best if self.best.total + self.price > 0 else flat
        steps, price = base, self.price
        for turn in range(_ROUNDS):
            table = time_costs(self.costs, price, steps, level)
            value = self._total(table) - price - steps.total
            if value > 1e-11 * (price + steps.total):
                self.best, self.price = steps, price
                return True
            added = self._add(table)
            if not self.in_time() or (turn > 0 and not added):
                return False
            c = self._kept(level)
            rows, right = self._rows(c, 1)
            n = c.user.size
            usage = np.vstack([self._usage(c) / self.width[:, None], c.x[None]])
            matrix = np.vstack([np.hstack([usage, -np.ones((usage.shape[0], 1))]), rows])
            cost = np.r_[np.zeros(n), 1.0]
            found = minimum(
                cost, matrix, np.r_[np.zeros(usage.shape[0]), right], np.zeros(n + 1), np.full(n + 1, np.inf)
            )
            if found is None:
                return False
            if turn % 6 == 2:
                self._round(found.v[:-1], c)
            if found.value <= 1.0:
                # a mixture keeps the level: no prices refute it
                self._round(found.v[:-1], c)
                return False
            lam, new = found.multipliers[: self.at.size] / self.width, float(found.multipliers[self.at.size])
            mix = 0.3 if turn > 1 else 0.0
            total = steps.total + price
            steps = Steps(self.at, mix * steps.height / total + (1 - mix) * lam)
            price = mix * price / total + (1 - mix) * new
        return False

    def _kept(self, level: float) -> _Columns:
        """The turns that keep a level, with the shares that it takes."""
        p, c = self.costs.problem, self.columns
        own = c.user < p.users
        k, o = np.where(own, c.user, 0), np.where(own, c.option, 0)
        end = np.where(self.costs.turn[k, o], c.end, 0.0)
        seconds = level / p.weights[k] - self.costs.fixed[k, o] - end
        x = np.where(own, need(seconds, self.costs.a[k, o], self.costs.gamma[k])[0], 0.0)
        good = x <= 1.0 + 1e-9
        return _Columns(c.user[good], c.option[good], c.end[good], x[good])

    # ---- plans from mixtures

    def _round(self, v: Array, columns: _Columns | None = None) -> None:
        """A plan of the turns that the mixture takes most of, in the order of their mean places."""
        p, c = self.costs.problem, self.columns if columns is None else columns
        users = p.users
        votes, places = np.zeros((users, p.options)), np.zeros(users)
        own = np.flatnonzero(c.user < users)
        np.add.at(votes, (c.user[own], c.option[own]), v[own])
        option = votes.argmax(axis=1)
        same = own[c.option[own] == option[c.user[own]]]
        np.add.at(places, c.user[same], v[same] * c.end[same])
        places = places / np.maximum(votes[np.arange(users), option], 1e-12)
        moves = Moves(self.costs, self.deadline)
        plan = moves.plan(option, np.argsort(places, kind="stable"))
        if users <= 60 or plan.objective < 1.02 * self.plan.objective:
            plan = good_plan(self.costs, self.deadline, [plan], 1)
        if plan.objective < self.plan.objective:
            self.plan = plan


def _seconds(costs: TurnCosts, k: Choice, o: Choice, x: Array) -> Array:
    """Downloads with shares x [s]."""
    share = np.maximum(x, 1e-300)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rate = share if costs.linear else share * np.log1p(costs.gamma[k] / share)
        return np.asarray(costs.a[k, o] / rate)
