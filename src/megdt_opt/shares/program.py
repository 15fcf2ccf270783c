"""The best shares of given options of a `ProgramProblem`, and how tasks that run at once divide them.

One convex program in the logarithms of shares, as `pricing.program_costs` has it for one option at prices: here all
users' options together, with the budgets in place of their prices, whose multipliers are the prices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.convex_terms import Program, Terms, solved
from megdt_opt.pricing.flow_programs import Layout
from megdt_opt.pricing.program_costs import ProgramCosts
from megdt_opt.pricing.program_paths import Array, Path
from megdt_opt.radio.rates import speed


class ProgramShares(NamedTuple):
    """Best shares of given options.

    Parameters
    ----------
    objective : float
        [s]
    prices : array, (3,)
        That prove it.
    x : array, (3, K)
        Parts of the budgets [1].
    part : array, (K, N)
        Parts of the users' shares that tasks get [1].
    """

    objective: float
    prices: Array
    x: Array
    part: Array


def program_shares(costs: ProgramCosts, option: NDArray[np.int64]) -> ProgramShares:
    """Optimal shares for open options (K,)."""
    problem, users = costs.problem, costs.problem.users
    x, part = np.zeros((3, users)), np.ones((users, problem.tasks))
    asking = [k for k in range(users) if problem.demands[:, k, option[k]].any()]
    own = problem.weights * costs.device_s[np.arange(users), option]
    resting = [k for k in range(users) if k not in asking]
    latest = float(own[resting].max(initial=0.0))
    if not asking:
        total = latest if problem.objective == "max" else float(own.sum())
        return ProgramShares(total, np.zeros(3), x, part)
    paths = [costs.path(k, int(option[k])) for k in asking]
    joint = _Joint(costs, paths, latest)
    z, multiplier = solved(joint.program, joint.start)
    for path, layout, at in zip(paths, joint.layouts, joint.offsets, strict=True):
        x[:, path.user] = np.where(layout.used[:3], np.exp(z[0, at : at + 3]), 0.0)
        for node, variable in layout.part.items():
            part[path.user, path.graph.shared[node - 1]] = np.exp(z[0, at + variable])
    # nothing is left over of a budget, and of a crowd's share
    x /= np.maximum(x.sum(axis=1, keepdims=True), 1e-300)
    x = np.minimum(x, costs.scaled.hi)
    for path in paths:
        for crowd in path.graph.crowds:
            tasks = [path.graph.shared[node - 1] for node in crowd.nodes]
            sums = [part[path.user, [path.graph.shared[n - 1] for n in one]].sum() for one in crowd.sets]
            part[path.user, tasks] /= max(sums)
    late = np.array([_latency(costs, path, x, part) for path in paths])
    weighted = problem.weights[asking] * late
    if problem.objective == "max":
        objective = max(float(weighted.max()), latest)
    else:
        objective = float(weighted.sum()) + float(own[resting].sum())
    return ProgramShares(objective, np.where(costs.used, multiplier[0, joint.budget_rows] * joint.unit, 0.0), x, part)


def _latency(costs: ProgramCosts, path: Path, x: Array, part: Array) -> float:
    """The longest path of an option with shares and parts [s]."""
    k, tasks = path.user, list(path.graph.shared)
    resources = np.array(path.graph.resources, dtype=np.int64)
    rate = speed(x[:, k], np.where(x[:, k] > 0, costs.scaled.gamma[:, k], np.inf))[resources] * part[k, tasks]
    with np.errstate(divide="ignore"):
        return path.at(path.a / rate)


class _Joint:
    """The options of several users as one convex program; for "max" with one variable more, the objective.

    Parameters
    ----------
    costs : ProgramCosts
    paths : list of Path
        Options of different users.
    latest : float
        For "max" the objective of the users who ask for nothing [s].
    """

    def __init__(self, costs: ProgramCosts, paths: list[Path], latest: float) -> None:
        leveled = costs.problem.objective == "max"
        weight = costs.problem.weights[[path.user for path in paths]]
        self.layouts = [Layout(path, costs.scaled) for path in paths]
        # from here on times are in units of the largest option's, and weights of the largest weight
        scale_s = max(path.longest_s + float(path.a.sum()) for path in paths)
        self.unit = scale_s * float(weight.max())
        weight, latest = weight / weight.max(), latest / self.unit
        used = [i for i in range(3) if any(layout.used[i] for layout in self.layouts)]
        self.offsets = np.cumsum([0, *(layout.variables for layout in self.layouts)])[:-1].tolist()
        n = sum(layout.variables for layout in self.layouts) + leveled
        rows = sum(len(layout.rows) for layout in self.layouts)
        terms = sum(len(layout.terms) for layout in self.layouts)
        m = rows + 3 + leveled * (len(paths) + 1)
        first, second = np.full((1, terms), n), np.full((1, terms), n)
        sign, gamma = np.ones((1, terms)), np.full((1, terms), np.inf)
        matrix, linear, constant = np.zeros((m, terms)), np.zeros((m, n)), np.full(m, -1.0)
        slope, there = np.zeros(n), np.ones(n, bool)
        start = np.zeros(n)
        row = term = 0
        self.budget_rows = list(range(rows, rows + 3))
        sharing = np.array([max(sum(bool(layout.used[i]) for layout in self.layouts), 1) for i in range(3)])
        for b, (layout, at) in enumerate(zip(self.layouts, self.offsets, strict=True)):
            own_rows, own = slice(row, row + len(layout.rows)), slice(at, at + layout.variables)
            own_terms = slice(term, term + len(layout.terms))
            ends = np.full((1, len(layout.terms)), -1), np.full((1, len(layout.terms)), -1)
            layout.write(0, *ends, sign[:, own_terms], gamma[:, own_terms], -1)
            for table, end in zip((first, second), ends, strict=True):
                table[:, own_terms] = np.where(end < 0, n, end + at)
            layout.limits(matrix[own_rows, own_terms], linear[own_rows, own], constant[own_rows], scale_s)
            there[own] = layout.used
            for i, t in layout.price_terms.items():
                matrix[rows + i, term + t] = 1.0
            # as if a user had its part of each budget alone
            start[own] = layout.begin_with(0.9 * np.minimum(layout.hi, 1.0) / sharing, scale_s)
            if leveled:
                linear[rows + 3 + b, at + 3], linear[rows + 3 + b, n - 1] = weight[b], -1.0
                constant[rows + 3 + b] = 0.0
                start[n - 1] = max(start[n - 1], weight[b] * start[at + 3] * 1.05)
            else:
                slope[at + 3] = weight[b]
            row, term = row + len(layout.rows), term + len(layout.terms)
        if leveled:
            slope[n - 1], linear[m - 1, n - 1], constant[m - 1] = 1.0, -1.0, latest
            start[n - 1] = max(start[n - 1], 1.05 * latest + 1e-3)
        for i in range(3):
            if i not in used:
                matrix[rows + i] = 0.0
        self.start = start[None]
        self.program = Program(
            Terms(first, second, sign, gamma, n), np.zeros((1, terms)), slope[None], matrix[None], linear[None],
            constant[None], there[None],
        )  # fmt: skip
