"""An enumeration of shared prefixes that shares nothing with the package.

Every way to run trunks and to choose options is tried, with a convex program for its shares: a barrier method on
minimise c.L(x) or D, where L = constant + A t(x), t_j = a_j / R_j(x_j), and the shares x keep B x <= b.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq, linprog


class Task(NamedTuple):
    """A share that is to be chosen: its amount, law, least value, and whose latencies it adds to."""

    amount: float
    snr: float  # infinite: the rate is the share itself
    least: float
    users: tuple[int, ...]


def optimum(problem: Any) -> tuple[float, tuple[int, ...], tuple[int, ...]]:
    """Objective, options and trunks of the best answer."""
    best: tuple[float, tuple[int, ...], tuple[int, ...]] = (np.inf, (), ())
    ways = [[-1, *np.flatnonzero(problem.trunk_group == g)] for g in range(problem.groups)]
    cases = []
    for trunk in product(*ways):
        choices = [fitting(problem, k, trunk) for k in range(problem.users)]
        for option in product(*choices):
            ridden = {int(problem.group[k]) for k, o in enumerate(option) if problem.rides[k, o] > 0}
            if ridden == {g for g, q in enumerate(trunk) if q >= 0}:
                floor = least_value(problem, option, trunk)
                if np.isfinite(floor):
                    cases.append((floor, option, trunk))
    for floor, option, trunk in sorted(cases, key=lambda case: case[0]):
        if floor < best[0]:
            value = best_shares(problem, option, trunk, best[0])
            if value < best[0]:
                best = (value, tuple(int(o) for o in option), tuple(int(q) for q in trunk))
    return best


def fitting(problem: Any, k: int, trunk: tuple[int, ...]) -> list[int]:
    g = int(problem.group[k])
    q = trunk[g] if g >= 0 else -1
    found = []
    for o in range(problem.options):
        if problem.allowed is not None and not problem.allowed[k, o]:
            continue
        if problem.compatible[k, o, q] if q >= 0 else problem.rides[k, o] == 0:
            found.append(o)
    return found


def tasks(problem: Any, option: tuple[int, ...], trunk: tuple[int, ...]) -> dict[str, list[Task]]:
    """What shares the uplink, the downlink, the edge, and per group the edge share within its own."""
    found: dict[str, list[Task]] = {"uplink": [], "downlink": [], "edge": []}

    def add(where: str, amount: float, law: str, row: int, users: tuple[int, ...], limit: float = np.inf) -> None:
        if amount <= 0:
            return
        if law == "edge":
            found.setdefault(where, []).append(Task(amount, np.inf, 0.0, users))
            return
        efficiency, snr = getattr(problem, f"{law}_efficiency"), getattr(problem, f"{law}_snr_hz")
        budget = problem.uplink_hz if "uplink" in law else problem.downlink_hz
        if efficiency is not None:
            a = amount / (efficiency[row] * budget) if efficiency[row] > 0 and budget > 0 else np.inf
            found[where].append(Task(a, np.inf, a / limit, users))
            return
        if not budget * snr[row] > 0:
            found[where].append(Task(np.inf, np.inf, 0.0, users))
            return
        a, gamma = amount * np.log(2) / budget, snr[row] / budget
        least = 0.0
        if np.isfinite(limit):
            over = lambda x: a / (x * np.log1p(gamma / x)) - limit  # noqa: E731
            least = brentq(over, 1e-12, 1.0, xtol=1e-15) if over(1.0) <= 0 else 2.0
        found[where].append(Task(a, gamma, least, users))

    for g, q in enumerate(trunk):
        if q < 0:
            continue
        riders = [k for k, o in enumerate(option) if problem.group[k] == g and problem.rides[k, o] > 0]
        both = tuple(k for k in riders if problem.rides[k, option[k]] == 2)
        airtime = problem.trunk_uplink_airtime_max_s
        limit = np.inf if airtime is None or airtime[q] >= 1e29 else airtime[q]
        add("uplink", problem.trunk_uplink_bit[q], "trunk_uplink", q, tuple(riders), limit)
        if both:
            add("downlink", problem.multicast_bit[q], "multicast", q, both)
        add(f"trunk {g} {q}", _edge_s(problem, problem.trunk_edge_work_s[q]), "edge", q, tuple(riders))
    for k, o in enumerate(option):
        add("uplink", problem.uplink_bit[k, o], "uplink", k, (k,))
        add("downlink", problem.downlink_bit[k, o], "downlink", k, (k,))
        inside = problem.reserve == "phased" and problem.rides[k, o] > 0
        where = f"within {problem.group[k]}" if inside else "edge"
        add(where, _edge_s(problem, problem.edge_work_s[k, o]), "edge", k, (k,))
    return found


def _edge_s(problem: Any, work_s: float) -> float:
    if work_s == 0:
        return 0.0
    return work_s / problem.edge_capacity if problem.edge_capacity > 0 else np.inf


def _constant(problem: Any, option: tuple[int, ...], trunk: tuple[int, ...]) -> np.ndarray:
    fixed = np.array([problem.fixed_s[k, o] for k, o in enumerate(option)])
    for k, o in enumerate(option):
        if problem.rides[k, o] > 0:
            fixed[k] += problem.trunk_fixed_s[trunk[problem.group[k]]]
    return fixed


def least_value(problem: Any, option: tuple[int, ...], trunk: tuple[int, ...]) -> float:
    """The objective if every stage had its whole budget: less than with any shares; infinite where one cannot run."""
    late = _constant(problem, option, trunk)
    for parts in tasks(problem, option, trunk).values():
        for task in parts:
            rate = 1.0 if np.isinf(task.snr) else np.log1p(task.snr)
            if task.least > 1 or not np.isfinite(task.amount) or rate <= 0:
                return np.inf
            late[list(task.users)] += task.amount / rate
    weight = np.ones(problem.users) if problem.weight is None else problem.weight
    return float((weight * late).max() if problem.objective == "max" else (weight * late).sum())


def best_shares(problem: Any, option: tuple[int, ...], trunk: tuple[int, ...], worse: float = np.inf) -> float:
    """The least objective of given options and trunks; infinite as soon as it is proven to be above `worse`."""
    found = tasks(problem, option, trunk)
    flat = [(where, task) for where, parts in found.items() for task in parts]
    groups = sorted({int(where.split()[1]) for where, _ in flat if where.startswith(("trunk", "within"))})
    size = len(flat) + len(groups)
    weight = np.ones(problem.users) if problem.weight is None else np.asarray(problem.weight)
    constant = _constant(problem, option, trunk)
    if not flat:
        return float((weight * constant).max() if problem.objective == "max" else (weight * constant).sum())
    incidence = np.zeros((problem.users, size))
    amount, snr = np.zeros(size), np.full(size, np.inf)
    rows, limits = [], []

    def row(places: list[int], limit: float, sign: float = 1.0, minus: int = -1) -> None:
        line = np.zeros(size)
        line[places] = sign
        if minus >= 0:
            line[minus] = -1.0
        rows.append(line)
        limits.append(limit)

    use: dict[str, list[int]] = {"uplink": [], "downlink": [], "edge": []}
    caps = np.full(problem.users, np.inf) if problem.edge_share_max is None else problem.edge_share_max
    for j, (where, task) in enumerate(flat):
        incidence[list(task.users), j] = 1.0
        amount[j], snr[j] = task.amount, task.snr
        row([j], -task.least * (1 - 1e-13), -1.0)
        if where in use:
            use[where].append(j)
        if where == "edge" or where.startswith("within"):
            row([j], min(caps[task.users[0]] / problem.edge_capacity, 1.0))
        if where.startswith("trunk") and problem.trunk_edge_share_max is not None:
            row([j], min(problem.trunk_edge_share_max[int(where.split()[2])] / problem.edge_capacity, 1.0))
    for i, g in enumerate(groups):
        f = len(flat) + i
        use["edge"].append(f)
        inside = [j for j, (where, _) in enumerate(flat) if where == f"within {g}"]
        on = [j for j, (where, _) in enumerate(flat) if where.startswith(f"trunk {g} ")]
        row([f], 0.0, -1.0)
        for places in (inside, on):
            if places:
                row(places, 0.0, 1.0, f)
    for places in use.values():
        if places:
            row(places, 1.0)
    return _barrier(
        incidence, amount, snr, np.array(rows), np.array(limits), constant, weight, problem.objective == "max", worse
    )


def _times(x: np.ndarray, amount: np.ndarray, snr: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """t = a / R(x), and its two derivatives."""
    curved = np.isfinite(snr)
    r, r1, r2 = x.copy(), np.ones_like(x), np.zeros_like(x)
    g, xs = snr[curved], x[curved]
    r[curved] = xs * np.log1p(g / xs)
    r1[curved] = np.log1p(g / xs) - g / (xs + g)
    r2[curved] = -(g**2) / (xs * (xs + g) ** 2)
    t = amount / r
    return t, -amount * r1 / r**2, amount * (2 * r1**2 / r**3 - r2 / r**2)


def _barrier(
    incidence: np.ndarray, amount: np.ndarray, snr: np.ndarray, rows: np.ndarray, limits: np.ndarray,
    constant: np.ndarray, weight: np.ndarray, worst: bool, worse: float,
) -> float:  # fmt: skip
    """Path following with dense Newton steps."""
    size = len(amount)
    x = _inside(rows, limits)
    if x is None:
        return np.inf
    busy = incidence.any(axis=1)

    def late(x: np.ndarray) -> np.ndarray:
        return constant + incidence @ _times(x, amount, snr)[0]

    def goal(x: np.ndarray) -> float:
        return float((weight * late(x)).max() if worst else (weight * late(x)).sum())

    level = 1.1 * goal(x)
    count = len(limits) + busy.sum() + 2
    t = count / level

    def merit(x: np.ndarray, level: float) -> float:
        slack = limits - rows @ x
        if not (slack > 0).all():
            return np.inf
        left = level - weight * late(x) if worst else np.ones(1)
        if not (left > 0).all():
            return np.inf
        return float(t * (level if worst else goal(x)) - np.log(slack).sum() - np.log(left).sum())

    for _ in range(40):
        for _ in range(60):
            slack = limits - rows @ x
            _, first, second = _times(x, amount, snr)
            jacobian = weight[:, None] * incidence * first
            gradient = rows.T @ (1 / slack)
            hessian = (rows.T / slack**2) @ rows
            if worst:
                left = level - weight * late(x)
                gradient = np.r_[gradient + jacobian.T @ (1 / left), t - (1 / left).sum()]
                hessian += (jacobian.T / left**2) @ jacobian + np.diag(((weight / left) @ incidence) * second)
                edge = -jacobian.T @ (1 / left**2)
                hessian = np.block([[hessian, edge[:, None]], [edge[None], np.array([[(1 / left**2).sum()]])]])
            else:
                gradient = gradient + t * jacobian.sum(axis=0)
                hessian += np.diag(t * (weight @ incidence) * second)
            scale = 1 / np.sqrt(np.diag(hessian))
            step = -scale * np.linalg.solve(hessian * np.outer(scale, scale), scale * gradient)
            decrement = -float(gradient @ step)
            length, before = 1.0, merit(x, level)
            move, rise = step[:size], float(step[-1]) if worst else 0.0
            while length > 1e-12 and not merit(x + length * move, level + length * rise) <= before + 1e-12 * abs(
                before
            ):
                length /= 2
            if length <= 1e-12:
                break
            x, level = x + length * move, level + length * rise
            if decrement < 1e-4:
                break
        value = goal(x)
        if (level if worst else value) - 2 * count / t > worse:
            return np.inf
        if count / t < 1e-11 * value:
            break
        t *= 8
    return value


def _inside(rows: np.ndarray, limits: np.ndarray) -> np.ndarray | None:
    """The point with the largest least slack, relative to the size of each row's limit."""
    scale = np.where(limits != 0, np.abs(limits), 1e-3)
    table = np.column_stack([rows, scale])
    found = linprog(
        np.r_[np.zeros(rows.shape[1]), -1.0], table, limits, bounds=[(0, None)] * rows.shape[1] + [(None, 1)]
    )
    return found.x[:-1] if found.status == 0 and found.x[-1] > 1e-12 else None
