"""Compiled: closes the weighted sum of latencies for one small scenario, linear rates and sequential options.

With p = sqrt(w a) of an option's demands and P = the users' sum of p, an option set costs C + |P|^2, C = sum w fixed
(square-root rule). For any x >= 0, the square roots of prices, and q(x) = sum_k min_o (w fixed + 2 x.p) - |x|^2,

    C + |P|^2 = q(x) + sum_k rc_k + |P - x|^2,      rc >= 0 the options' costs above their user's cheapest.

So q(x) is a bound. An option whose rc alone closes the gap falls: it is a leaf with the prices x^2. A depth-first
search over the rest adds up rc and the distance of x from the box of the P that are still possible: a box point x + d
nearest to x says the same as a leaf with the prices (x + d)^2. No square root is taken after the start.

A cap f on the edge share (scaled) changes the cost of an option with p1 > f x1 to w fixed + 2 (x0 p0 + x2 p2) +
p1^2 / f + f x1^2, which is larger by (p1 / sqrt(f) - sqrt(f) x1)^2; so every bound without caps stays one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from megdt_opt.solving.batch.small import (
    ATOMS,
    Corral,
    F,
    I,
    Int,
    drop,
    enter,
    fair_start,
    holds,
    longest_step,
    most_options_first,
    move_option,
    newton_direction,
    pick,
)
from megdt_opt.solving.compiled.jit import inner
from megdt_opt.solving.compiled.kernels import goal_of
from megdt_opt.solving.compiled.laws import HUGE

CLOSED, HARD = 0, 1
"""How a scenario ends: every leaf is proven; or it is left to the search for large problems."""

_SUM = 0
_WARM_PASSES = 2
_PASSES = 40
_NODES = 20_000
_FILLINGS = 64


C, P0, P1, P2, RC, COST = range(6)
"""Rows of the room's tables."""


class SumRoom(NamedTuple):
    """Room for one scenario. Options are at places 0 to left[k] - 1 of row k.

    `t` (6, K, O): weighted fixed latency, roots of the weighted demands, reduced costs with and without caps; `ids`
    (K, O) the options' numbers; `cap` (K,) the largest edge share; `best` and `trial` (4, K) c and p of sets,
    `best_ids` the best set's options; `place` (K,) those of a pass; `work` (3, 5) for vectors.
    """

    t: F
    ids: Int
    left: I
    cap: F
    best: F
    best_ids: Int
    trial: F
    place: Int
    work: F


def sum_room(users: int, options: int) -> SumRoom:
    """Empty room for scenarios of one shape."""
    return SumRoom(
        np.empty((6, users, options)), np.empty((users, options), np.int32), np.zeros(users, np.int64), np.ones(users),
        np.zeros((4, users)), np.zeros(users, np.int32), np.zeros((4, users)), np.zeros(users, np.int32),
        np.zeros((3, 5)),
    )  # fmt: skip


class Path(NamedTuple):
    """The depth-first search: users in their `order` (K,), the next option `at` each depth, and what `sum_depth_first`
    says of `suffix` and `sums`."""

    order: I
    at: I
    suffix: F
    sums: F


def new_path(users: int) -> Path:
    """Room for a search."""
    return Path(
        np.zeros(users, np.int64), np.zeros(users + 1, np.int64), np.zeros((users + 1, 8)), np.zeros((users + 1, 8))
    )


@inner
def copy_set(one: F, other: F) -> None:
    """Copy c and p of a set, (4, K)."""
    for i in range(4):
        for k in range(one.shape[1]):
            other[i, k] = one[i, k]


@inner
def sum_pass(m: SumRoom, x: F, capped: bool) -> float:
    """Sum of the users' least costs at x, less |x|^2; `place` gets the options."""
    x0, x1, x2 = 2.0 * x[0], 2.0 * x[1], 2.0 * x[2]
    total = 0.0
    for k in range(m.left.shape[0]):
        least, place = HUGE, 0
        if capped:
            q = np.sqrt(m.cap[k])
            r, edge = 1.0 / q, x[1] * q
            for j in range(m.left[k]):
                over = max(m.t[P1, k, j] * r - edge, 0.0)
                cost = m.t[C, k, j] + x0 * m.t[P0, k, j] + x1 * m.t[P1, k, j] + x2 * m.t[P2, k, j] + over * over
                if cost < least:
                    least, place = cost, j
        else:
            for j in range(m.left[k]):
                cost = m.t[C, k, j] + x0 * m.t[P0, k, j] + x1 * m.t[P1, k, j] + x2 * m.t[P2, k, j]
                if cost < least:
                    least, place = cost, j
        total += least
        m.place[k] = place
    return total - x[0] * x[0] - x[1] * x[1] - x[2] * x[2]


@inner
def set_value(m: SumRoom, s: F, capped: bool) -> tuple[float, float]:
    """Objective of an option set, `s` (4, K) its c and p: the square-root rule, with users at their caps set apart.

    HUGE where the filling of the caps does not settle. And the root of the edge's price: who has p1 of at most that
    times its cap takes p1 over it, the others have their caps; 0 where all have.
    """
    users = m.left.shape[0]
    c, e0, e1, e2 = 0.0, 0.0, 0.0, 0.0
    for k in range(users):
        c += s[0, k]
        e0 += s[1, k]
        e1 += s[2, k]
        e2 += s[3, k]
    base = c + e0 * e0 + e2 * e2
    if not capped:
        return base + e1 * e1, e1
    x1 = e1
    for _ in range(_FILLINGS):
        # a user is at its cap where p1 > cap x1; x1 only falls as users go there, so a few rounds do
        free, held, paid = 0.0, 0.0, 0.0
        for k in range(users):
            if s[2, k] > m.cap[k] * x1:
                held += m.cap[k]
                paid += s[2, k] * s[2, k] / m.cap[k]
            else:
                free += s[2, k]
        if free == 0.0:
            return (base + paid if held <= 1.0 + 1e-12 else HUGE), 0.0
        if held >= 1.0:
            return HUGE, x1
        new = free / (1.0 - held)
        if abs(new - x1) <= 1e-13 * x1:
            return base + paid + free * new, new
        x1 = new
    return HUGE, x1


@inner
def set_shares(m: SumRoom, s: F, capped: bool, shares: F) -> None:
    """Shares (3, K) of an option set by the square-root rule."""
    x1 = set_value(m, s, capped)[1]
    for i in range(3):
        total = 0.0
        for k in range(m.left.shape[0]):
            total += s[i + 1, k]
        root = x1 if i == 1 else total
        for k in range(m.left.shape[0]):
            p = s[i + 1, k]
            if p == 0.0:
                shares[i, k] = 0.0
            elif capped and i == 1 and p > m.cap[k] * root:
                shares[i, k] = m.cap[k]
            else:
                shares[i, k] = p / root


@inner
def keep_best(m: SumRoom, places: Int) -> None:
    """Make the set at given places, already in `trial`, the best."""
    copy_set(m.trial, m.best)
    for k in range(m.left.shape[0]):
        m.best_ids[k] = m.ids[k, places[k]]


@inner
def atom(m: SumRoom, places: Int, x1: float, capped: bool, out: F) -> None:
    """C, P0, P1, P2 and A of an option set at an edge price x1^2: it costs C + 2 x.P + A x1^2 nearby."""
    c, e0, e1, e2, held = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(m.left.shape[0]):
        j = places[k]
        c += m.t[C, k, j]
        e0 += m.t[P0, k, j]
        e2 += m.t[P2, k, j]
        if capped and m.t[P1, k, j] > m.cap[k] * x1:
            c += m.t[P1, k, j] * m.t[P1, k, j] / m.cap[k]
            held += m.cap[k]
        else:
            e1 += m.t[P1, k, j]
    out[0], out[1], out[2], out[3], out[4] = c, e0, e1, e2, held


@inner
def corral_point(q: Corral, atoms: int, x: F) -> tuple[float, float]:
    """x of the corral's weights, the corral's value, and 1 - A."""
    c, held = 0.0, 0.0
    x[0] = x[1] = x[2] = 0.0
    for n in range(atoms):
        c += q.weight[n] * q.atoms[n, 0]
        for i in range(3):
            x[i] += q.weight[n] * q.atoms[n, i + 1]
        held += q.weight[n] * q.atoms[n, 4]
    rest = max(1.0 - held, 1e-3)
    x[1] /= rest
    return c + x[0] * x[0] + x[1] * x[1] * rest + x[2] * x[2], rest


@inner
def corral_move(q: Corral, atoms: int, x: F) -> int:
    """Newton steps of the corral until no atom leaves; returns how many atoms are left, `x` is their point."""
    for _ in range(2 * ATOMS):
        _, rest = corral_point(q, atoms, x)
        if atoms == 1:
            return 1
        b = q.atoms
        for i in range(1, atoms):
            d0, d1, d2, held = b[i, 1] - b[0, 1], b[i, 2] - b[0, 2], b[i, 3] - b[0, 3], b[i, 4] - b[0, 4]
            q.slope[i - 1] = b[i, 0] - b[0, 0] + 2.0 * (x[0] * d0 + x[1] * d1 + x[2] * d2) + held * x[1] * x[1]
            d1 += x[1] * held
            for j in range(1, i + 1):
                e1 = b[j, 2] - b[0, 2] + x[1] * (b[j, 4] - b[0, 4])
                h = 2.0 * (d0 * (b[j, 1] - b[0, 1]) + d1 * e1 / rest + d2 * (b[j, 3] - b[0, 3]))
                q.hessian[i - 1, j - 1] = q.hessian[j - 1, i - 1] = h
        if not newton_direction(q, atoms):
            return atoms
        length, leaves = longest_step(q, atoms)
        for n in range(atoms):
            q.weight[n] = max(q.weight[n] + length * q.move[n], 0.0)
        if leaves < 0:
            break
        atoms = drop(q, atoms, leaves)
    corral_point(q, atoms, x)
    return atoms


@inner
def sum_prune(m: SumRoom, x: F, capped: bool, goal: float) -> float:
    """Take out options that x proves to be part of nothing better than the goal; q(x). `rc` and `cost` are filled."""
    total = sum_pass(m, x, capped)
    x0, x1, x2 = 2.0 * x[0], 2.0 * x[1], 2.0 * x[2]
    slack = goal - total
    for k in range(m.left.shape[0]):
        q = np.sqrt(m.cap[k])
        r, edge = 1.0 / q, x[1] * q
        least, n = HUGE, 0
        for j in range(m.left[k]):
            plain = m.t[C, k, j] + x0 * m.t[P0, k, j] + x1 * m.t[P1, k, j] + x2 * m.t[P2, k, j]
            over = max(m.t[P1, k, j] * r - edge, 0.0) if capped else 0.0
            m.t[COST, k, j] = plain
            m.t[RC, k, j] = plain + over * over
            least = min(least, m.t[RC, k, j])
        for j in range(m.left[k]):
            if m.t[RC, k, j] - least < slack:
                move_option(m.t, m.ids, k, j, n)
                n += 1
        m.left[k] = n
    return total


@inner
def sum_switch(m: SumRoom, best: float, capped: bool) -> float:
    """Change one user's option of the best set as long as it helps; the best objective."""
    users = m.left.shape[0]
    copy_set(m.best, m.trial)
    for _ in range(4):
        better = False
        for k in range(users):
            e0, e1, e2, c = 0.0, 0.0, 0.0, 0.0
            for i in range(users):
                if i != k:
                    c += m.trial[0, i]
                    e0 += m.trial[1, i]
                    e1 += m.trial[2, i]
                    e2 += m.trial[3, i]
            for j in range(m.left[k]):
                f0, f1, f2 = e0 + m.t[P0, k, j], e1 + m.t[P1, k, j], e2 + m.t[P2, k, j]
                # with caps this is a lower bound
                value = c + m.t[C, k, j] + f0 * f0 + f1 * f1 + f2 * f2
                if value < best * (1.0 - 1e-13):
                    m.trial[0, k], m.trial[1, k] = m.t[C, k, j], m.t[P0, k, j]
                    m.trial[2, k], m.trial[3, k] = m.t[P1, k, j], m.t[P2, k, j]
                    if capped:
                        value = set_value(m, m.trial, capped)[0]
                    if value < best:
                        best, better = value, True
                        copy_set(m.trial, m.best)
                        m.best_ids[k] = m.ids[k, j]
            copy_set(m.best, m.trial)
        if not better:
            break
    return best


@inner
def beyond(x: float, low: float, high: float) -> float:
    """Squared distance of x from an interval."""
    d = low - x if x < low else (x - high if x > high else 0.0)
    return d * d


# long: one descent whose every step changes the same running sums
@inner
def sum_depth_first(m: SumRoom, path: Path, x: F, capped: bool, best: float, gap: float) -> tuple[float, int, bool]:
    """Every set of the options left: proven not to beat the goal, or tried. Best objective, nodes, and whether whole.

    `suffix` (K + 1, 8): least rc and cost, and least and largest p, of the users from a depth on; `path` (K + 1, 6):
    rc, cost, p and c so far.
    """
    users = m.left.shape[0]
    square = x[0] * x[0] + x[1] * x[1] + x[2] * x[2]
    for k in range(users):
        # the cheapest first
        for j in range(1, m.left[k]):
            i = j
            while i > 0 and m.t[RC, k, i - 1] > m.t[RC, k, i]:
                for r in range(6):
                    m.t[r, k, i], m.t[r, k, i - 1] = m.t[r, k, i - 1], m.t[r, k, i]
                m.ids[k, i], m.ids[k, i - 1] = m.ids[k, i - 1], m.ids[k, i]
                i -= 1
    most_options_first(m.left, path.order)
    s = path.suffix
    for i in range(8):
        s[users, i] = 0.0
    for depth in range(users - 1, -1, -1):
        k = path.order[depth]
        n = m.left[k]
        low, high = np.inf, np.inf
        a0, a1, a2, b0, b1, b2 = np.inf, np.inf, np.inf, 0.0, 0.0, 0.0
        for j in range(n):
            low, high = min(low, m.t[RC, k, j]), min(high, m.t[COST, k, j])
            a0, a1, a2 = min(a0, m.t[P0, k, j]), min(a1, m.t[P1, k, j]), min(a2, m.t[P2, k, j])
            b0, b1, b2 = max(b0, m.t[P0, k, j]), max(b1, m.t[P1, k, j]), max(b2, m.t[P2, k, j])
        t = s[depth + 1]
        s[depth, 0], s[depth, 1] = t[0] + low, t[1] + high
        s[depth, 2], s[depth, 3], s[depth, 4] = t[2] + a0, t[3] + a1, t[4] + a2
        s[depth, 5], s[depth, 6], s[depth, 7] = t[5] + b0, t[6] + b1, t[7] + b2
    goal = goal_of(_SUM, best * (1.0 - gap))
    for i in range(6):
        path.sums[0, i] = 0.0
    path.at[0] = 0
    depth, nodes = 0, 0
    while depth >= 0:
        k = path.order[depth]
        j = path.at[depth]
        if j == m.left[k]:
            depth -= 1
            continue
        path.at[depth] = j + 1
        nodes += 1
        if nodes > _NODES:
            return best, nodes, False
        old, new, rest = path.sums[depth], path.sums[depth + 1], s[depth + 1]
        rc = old[0] + m.t[RC, k, j]
        if rc + rest[0] - square >= goal:
            path.at[depth] = m.left[k]  # the others cost more
            continue
        e0, e1, e2 = old[2] + m.t[P0, k, j], old[3] + m.t[P1, k, j], old[4] + m.t[P2, k, j]
        side = beyond(x[0], e0 + rest[2], e0 + rest[5]) + beyond(x[2], e2 + rest[4], e2 + rest[7])
        if rc + rest[0] - square + side >= goal:
            continue
        cost = old[1] + m.t[COST, k, j]
        if cost + rest[1] - square + side + beyond(x[1], e1 + rest[3], e1 + rest[6]) >= goal:
            continue
        m.place[k] = j
        if depth < users - 1:
            new[0], new[1], new[2], new[3], new[4], new[5] = rc, cost, e0, e1, e2, old[5] + m.t[C, k, j]
            depth += 1
            path.at[depth] = 0
            continue
        pick(m.t, m.place, m.trial)
        value = set_value(m, m.trial, capped)[0]
        if value >= HUGE:
            return best, nodes, False
        if value < best:
            best = value
            keep_best(m, m.place)
            goal = goal_of(_SUM, best * (1.0 - gap))
    return best, nodes, True


# long: one loop of bounds, sets and pruning on numbers that all of its steps change
@inner
def close_sum(m: SumRoom, corral: Corral, path: Path, capped: bool, gap: float) -> tuple[float, int, int, int]:
    """Close the scenario in the room: best objective, how it ended, passes and nodes."""
    x, best_x, one = m.work[0], m.work[1], m.work[2]
    fair_start(m.t, m.left, m.place)
    pick(m.t, m.place, m.trial)
    best = set_value(m, m.trial, capped)[0]
    keep_best(m, m.place)
    if best >= HUGE:
        return best, HARD, 0, 0
    bound, passes = -HUGE, 0
    for _ in range(_WARM_PASSES):
        atom(m, m.place, HUGE, capped, one)
        x[0], x[1], x[2] = one[1], one[2], one[3]
        q = sum_pass(m, x, capped)
        passes += 1
        if q > bound:
            bound = q
            best_x[0], best_x[1], best_x[2] = x[0], x[1], x[2]
        pick(m.t, m.place, m.trial)
        value = set_value(m, m.trial, capped)[0]
        if value < best:
            best = value
            keep_best(m, m.place)
        if bound >= goal_of(_SUM, best * (1.0 - gap)):
            return best, CLOSED, passes, 0
    best = sum_switch(m, best, capped)
    sum_prune(m, best_x, capped, goal_of(_SUM, best * (1.0 - gap)))
    passes += 1
    atoms = 0
    x[0], x[1], x[2] = best_x[0], best_x[1], best_x[2]
    for _ in range(_PASSES):
        q = sum_pass(m, x, capped)
        passes += 1
        if q > bound:
            bound = q
            best_x[0], best_x[1], best_x[2] = x[0], x[1], x[2]
        pick(m.t, m.place, m.trial)
        value = set_value(m, m.trial, capped)[0]
        if value < best:
            best = value
            keep_best(m, m.place)
        goal = goal_of(_SUM, best * (1.0 - gap))
        if bound >= goal:
            return best, CLOSED, passes, 0
        if capped:
            for n in range(atoms):
                atom(m, corral.chosen[n], x[1], capped, corral.atoms[n])
        if holds(corral, atoms, m.place):
            if not capped:
                break
        else:
            atoms = enter(corral, atoms, m.place)
            atom(m, m.place, x[1], capped, corral.atoms[atoms - 1])
        atoms = corral_move(corral, atoms, x)
        model, _ = corral_point(corral, atoms, x)
        # no prices can prove more than the corral's value
        if model - bound <= 0.03 * (goal - bound):
            break
    best = sum_switch(m, best, capped)
    goal = goal_of(_SUM, best * (1.0 - gap))
    sum_prune(m, best_x, capped, goal)
    passes += 1
    best, nodes, whole = sum_depth_first(m, path, best_x, capped, best, gap)
    return best, (CLOSED if whole else HARD), passes, nodes
