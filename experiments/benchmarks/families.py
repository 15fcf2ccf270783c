"""Families of seeded instances, scarce and ample edge, each also with what makes its costs harder to work out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from megdt_opt import AllocationProblem, solve

FAMILIES = ("cuts", "variants", "table", "front")

EVERY = (*FAMILIES, "decades")
"""With the one that is meant for very many users."""

KINDS = ("linear", "shannon", "parallel", "deadline", "airtime", "mixture")


def draw(
    family: str,
    users: int,
    options: int,
    objective: str,
    seed: int,
    *,
    scarce: bool = True,
    capped: bool = True,
    kind: str = "linear",
) -> AllocationProblem:
    """One instance.

    "cuts": the device runs the first n denoising steps of a constant time, the edge the rest, fp16 latent or coded
    picture down. "variants": cuts times precisions times picture formats, with steps whose times vary. "table":
    independent random terms. "front": many options on a convex front, where nothing dominates. "decades": a local
    option and random terms over three decades, with budgets of which half of the users need a part; see `_decades`.

    Parameters
    ----------
    family : str
        One of `EVERY`.
    users, options : int
    objective : str
        "max" or "sum".
    seed : int
    scarce : bool
        One edge server for 16 users; else for 2.
    capped : bool
        Whether a user's chain can use one server at most.
    kind : str
        One of `KINDS`; see `harden`.
    """
    rng = np.random.default_rng([seed, users, options, EVERY.index(family), scarce])
    if family == "decades":
        return _decades(rng, (users, options), objective, capped, kind)
    shape = (users, options)
    make = {"cuts": _cuts, "variants": _variants, "table": _table, "front": _front}[family]
    fixed, down, up, work = make(rng, shape)
    problem = AllocationProblem(
        fixed_s=fixed,
        downlink_bit=down,
        uplink_bit=up,
        edge_work_s=work,
        downlink_hz=2e5 * users,
        uplink_hz=1e5 * users,
        edge_capacity=max(1.0, users / (16 if scarce else 2)),
        edge_share_max=np.ones(users) if capped else None,
        weight=rng.uniform(0.5, 2.0, users),
        downlink_efficiency=rng.uniform(1, 6, users),
        uplink_efficiency=rng.uniform(0.5, 3, users),
        objective=objective,
    )
    return harden(problem, kind, np.random.default_rng([seed, users, options, KINDS.index(kind)]))


def harden(problem: AllocationProblem, kind: str, rng: np.random.Generator) -> AllocationProblem:
    """The same instance with rates or limits that ask for more than the closed form.

    "shannon": both links by the Shannon law, with a product of signal-to-noise ratio and band of 1 to 9 whole bands.
    "parallel": a part of each option's constant time runs beside the edge instead. "deadline": hard deadlines of 1 to 3
    times the latencies that the best sum with other weights has, so that they can be kept together and some bind.
    "airtime": limits that take each option a tenth of an equal uplink share or up to the whole. "mixture": the first
    three.
    """
    users = problem.users
    if kind in ("shannon", "mixture"):
        problem = replace(
            problem,
            uplink_efficiency=None,
            downlink_efficiency=None,
            uplink_snr_hz=problem.uplink_hz * rng.uniform(1, 9, users),
            downlink_snr_hz=problem.downlink_hz * rng.uniform(1, 9, users),
        )
    if kind in ("parallel", "mixture"):
        beside = problem.fixed_s * rng.uniform(0.2, 0.9, problem.fixed_s.shape)
        problem = replace(problem, fixed_s=problem.fixed_s - beside, device_branch_s=beside)
    if kind in ("deadline", "mixture"):
        other = replace(problem, objective="sum", weight=rng.uniform(0.5, 2.0, users))
        latency_s = solve(other, method="prices", gap=1e-3, time_limit_s=20.0).latency_s
        problem = replace(problem, deadline_s=latency_s * rng.uniform(1.0, 3.0, users))
    if kind == "airtime":
        taken_s = problem.uplink_bit / problem.rate("uplink", np.full(users, problem.uplink_hz / users))[:, None]
        limit_s = taken_s / rng.uniform(0.1, 1.0, taken_s.shape)
        problem = replace(problem, uplink_airtime_max_s=np.where(taken_s > 0, limit_s, 1.0))
    return problem


ALIKE = ("edge or downlink", "local or edge")
FORMS = ("identical", "nearly", "different")


def alike(maker: str, users: int, form: str, seed: int) -> AllocationProblem:
    """Users of one kind, where a crowd at best splits in halves.

    "edge or downlink": an option takes 1 s of the edge, another 1 s of the downlink; "max", at best (K + 1) / 2 for odd
    K. "local or edge": local, or 0.3 s of the uplink, 1 s of the edge and 0.7 s of the downlink; "sum".

    Parameters
    ----------
    maker : str
        One of `ALIKE`.
    users : int
    form : str
        "identical", "nearly" (each number times 1 to 1.0001) or "different" (times 0.5 to 1.5).
    seed : int
    """
    rng = np.random.default_rng([seed, users, ALIKE.index(maker)])
    low, high = {"identical": (1.0, 1.0), "nearly": (1.0, 1.0001), "different": (0.5, 1.5)}[form]

    def of(first: float, second: float) -> np.ndarray:
        return np.array([first, second]) * rng.uniform(low, high, (users, 2))

    if maker == "edge or downlink":
        fixed, up, work, down = of(0.0, 0.0), of(0.0, 0.0), of(1.0, 0.0), of(0.0, 1.0)
    else:
        # n users at the edge take n^2 (0.3 + 1 + 0.7) s in all, so that one more takes (2 n + 1) 2 s more
        local_s = 2.0 * (users // 2 + 0.5) * 2.0
        fixed, up, work, down = of(local_s, 0.0), of(0.0, 0.3), of(0.0, 1.0), of(0.0, 0.7)
    return AllocationProblem(
        fixed_s=fixed, downlink_bit=down, uplink_bit=up, edge_work_s=work, downlink_hz=1.0, uplink_hz=1.0,
        downlink_efficiency=np.ones(users), uplink_efficiency=np.ones(users),
        objective="max" if maker == "edge or downlink" else "sum",
    )  # fmt: skip


def with_objective(problem: AllocationProblem, objective: str, seed: int) -> AllocationProblem:
    """The instance with another objective.

    "mixed" weighs the largest term as much as half of the users. "missed" has deadlines of 0.6 to 1.4 times the
    latencies of a good sum, so that some users have to be late.
    """
    if objective == "mixed":
        return replace(problem, objective=objective, max_weight=problem.users / 2)
    if objective == "missed":
        rng = np.random.default_rng([seed, problem.users])
        latency_s = solve(replace(problem, objective="sum"), method="prices", gap=1e-3, time_limit_s=20.0).latency_s
        return replace(problem, objective=objective, deadline_s=latency_s * rng.uniform(0.6, 1.4, problem.users))
    return replace(problem, objective=objective)


Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _cuts(rng: np.random.Generator, shape: tuple[int, int]) -> Parts:
    users, options = shape
    done = np.linspace(0.0, 1.0, options)[None, :]
    device = rng.uniform(1.0, 20.0, (users, 1))
    edge = rng.uniform(0.1, 0.5, (users, 1))
    fixed = device * done + rng.uniform(0.05, 0.3, (users, 1))
    remote = done < 1.0
    down = np.where(remote, 2.62e5 * rng.uniform(0.9, 1.1, (users, 1)), 0.0)
    up = np.where(remote, np.where(done > 0, 2.62e5, 5e3), 0.0) * np.ones(shape)
    return fixed, down, up, edge * (1.0 - done)


def _variants(rng: np.random.Generator, shape: tuple[int, int]) -> Parts:
    users, options = shape
    bits = np.array([5.24e5, 2.62e5, 1.31e5])[np.arange(options) % 3][None, :]
    step = rng.uniform(0.5, 1.5, (users, options)).cumsum(axis=1)
    done = step / step[:, -1:]
    device = rng.uniform(1.0, 20.0, (users, 1))
    edge = rng.uniform(0.1, 0.5, (users, 1))
    picture = np.arange(options) % 4 == 0
    down = np.where(picture, rng.uniform(3e5, 9e5, shape), bits)
    decode = np.where(picture, 0.0, rng.uniform(0.1, 0.8, (users, 1)))
    up = np.where(done > 0.1, bits, 5e3) * np.ones(shape)
    return device * done + decode, down, up, edge * (1.0 - done) + np.where(picture, 0.05, 0.0)


def _table(rng: np.random.Generator, shape: tuple[int, int]) -> Parts:
    return (
        rng.uniform(0, 2, shape),
        rng.uniform(1e4, 1e6, shape),
        rng.uniform(1e4, 5e5, shape),
        rng.uniform(0.1, 2, shape),
    )


def _front(rng: np.random.Generator, shape: tuple[int, int]) -> Parts:
    users, _options = shape
    place = np.sort(rng.uniform(0.02, 1.0, shape), axis=1)
    fixed = rng.uniform(0.5, 4.0, (users, 1)) * place
    rest = 0.05 / place
    return (
        fixed,
        3e5 * rest * rng.uniform(0.9, 1.1, (users, 1)),
        1e5 * rest * rng.uniform(0.9, 1.1, (users, 1)),
        rest * rng.uniform(0.2, 0.6, (users, 1)),
    )


_SPREAD = float(np.log(1000.0) / 4)
"""Standard deviation of the logarithms: 95 % lie within three decades."""


def _decades(
    rng: np.random.Generator, shape: tuple[int, int], objective: str, capped: bool, kind: str
) -> AllocationProblem:
    """Lognormal payloads, works and constant times; the first option is local.

    The level that half of the users reach by themselves is the optimum of "max" for linear rates without caps: the
    others' options that are cheapest at it, at prices that no mean demand dominates, use up the budgets.

    Kinds: "linear" (efficiencies 0.5 to 6), "shannon" (products of signal-to-noise ratio and band of 2e5 to 2e7 Hz),
    "parallel" (branches from 0 to the constant time).
    """
    users = shape[0]
    fixed, down, up, work = (median * rng.lognormal(0.0, _SPREAD, shape) for median in (1.0, 3e5, 1e5, 0.3))
    for demand in (down, up, work):
        demand[:, 0] = 0.0
    weight = rng.uniform(0.5, 2.0, users)
    efficiency = rng.uniform(0.5, 6.0, (2, users))
    snr_hz = np.exp(rng.uniform(np.log(2e5), np.log(2e7), (2, users)))
    branch = fixed * rng.uniform(0.0, 1.0, shape) if kind == "parallel" else None
    # what an option asks of the budgets within a time tau at prices r^2 is a_i sum_j r_j a_j / (r_i tau)
    roots = np.sqrt(np.stack([down / efficiency[0][:, None], up / efficiency[1][:, None], work]))
    price = 1.0 / roots[:, :, 1:].mean(axis=(1, 2))
    latest = float(np.median(weight * fixed[:, 0])) / weight[:, None] - fixed
    paid = np.tensordot(price, roots, 1)
    cost = np.divide(paid**2, latest, out=np.full(shape, np.inf), where=latest > 0.0)
    chosen = cost.argmin(axis=1)
    rows = np.flatnonzero(latest[:, 0] < 0.0)
    pace = paid[rows, chosen[rows]] / latest[rows, chosen[rows]]
    budgets = (roots[:, rows, chosen[rows]] * pace).sum(axis=1) / price
    problem = AllocationProblem(
        fixed_s=fixed,
        downlink_bit=down,
        uplink_bit=up,
        edge_work_s=work,
        downlink_hz=budgets[0],
        uplink_hz=budgets[1],
        edge_capacity=budgets[2],
        device_branch_s=branch,
        edge_share_max=np.ones(users) if capped else None,
        weight=weight,
        downlink_efficiency=efficiency[0],
        uplink_efficiency=efficiency[1],
        objective=objective,
    )
    if kind == "shannon":
        problem = replace(
            problem,
            downlink_efficiency=None,
            uplink_efficiency=None,
            downlink_snr_hz=snr_hz[0],
            uplink_snr_hz=snr_hz[1],
        )
    return problem
