"""Four families of seeded instances, scarce and ample edge."""

from __future__ import annotations

import numpy as np

from megdt_opt import AllocationProblem

FAMILIES = ("cuts", "variants", "table", "front")


def draw(
    family: str, users: int, options: int, objective: str, seed: int, *, scarce: bool = True, capped: bool = True
) -> AllocationProblem:
    """One instance.

    "cuts": the device runs the first n denoising steps of a constant time, the edge the rest, fp16 latent or coded
    picture down. "variants": cuts times precisions times picture formats, with steps whose times vary. "table":
    independent random terms. "front": many options on a convex front, where nothing dominates.

    Parameters
    ----------
    family : str
        One of `FAMILIES`.
    users, options : int
    objective : str
        "max" or "sum".
    seed : int
    scarce : bool
        One edge server for 16 users; else for 2.
    capped : bool
        Whether a user's chain can use one server at most.
    """
    rng = np.random.default_rng([seed, users, options, FAMILIES.index(family), scarce])
    shape = (users, options)
    make = {"cuts": _cuts, "variants": _variants, "table": _table, "front": _front}[family]
    fixed, down, up, work = make(rng, shape)
    return AllocationProblem(
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
