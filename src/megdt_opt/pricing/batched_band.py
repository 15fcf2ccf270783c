"""The band of a batched edge as a core problem: each user either gets nothing or its download."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.batched_blocks import BLOCKS, BlockCosts
from megdt_opt.pricing.priced import priced
from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem

NOTHING, DOWNLOAD = 0, 1
"""Options of the core problem."""


class Band:
    """Downloads alone: their priced costs, and the best shares of those who get one.

    Parameters
    ----------
    problem : BatchedEdgeProblem
    """

    def __init__(self, problem: BatchedEdgeProblem) -> None:
        self.problem = problem
        shape = (problem.users, 2)
        bit = np.zeros(shape)
        bit[:, DOWNLOAD] = problem.downlink_bit
        nothing = np.zeros(shape)
        self.core = AllocationProblem(
            fixed_s=nothing, downlink_bit=bit, uplink_bit=nothing, edge_work_s=nothing, downlink_hz=problem.downlink_hz,
            uplink_hz=0.0, downlink_efficiency=problem.downlink_efficiency, downlink_snr_hz=problem.downlink_snr_hz,
            weight=problem.weights, objective="sum",
        )  # fmt: skip
        self.resources = Resources.of(self.core)

    @property
    def used(self) -> bool:
        """Whether anything is sent."""
        return bool((self.resources.a[0] > 0).any())

    def at(self, price: float) -> tuple[Array, Array]:
        """Least of price * share + weighted seconds of each download (K,) [s], and the shares (K,) [1]."""
        found = priced(self.core, self.resources, np.array([price, 0.0, 0.0]))
        return found.cost[:, DOWNLOAD], found.x[0, :, DOWNLOAD]


class Blocks:
    """The block program of a problem, with users in the order of their weights, falling.

    Parameters
    ----------
    problem : BatchedEdgeProblem
    """

    def __init__(self, problem: BatchedEdgeProblem) -> None:
        self.problem, self.band = problem, Band(problem)
        self.order = np.argsort(-problem.weights, kind="stable")
        n, users = problem.steps, problem.users
        self.blocks = min(users, BLOCKS)
        self.open = problem.open_cuts[:, [0, n]][self.order]
        w = problem.weights[self.order]
        self.local = w * (n * problem.steps_s + problem.local_rest_s)[self.order]
        self.fixed = w * (problem.start_s + problem.rest_s)[self.order]
        self.by_users = w[:, None] * (n * problem.step_slope_s * np.arange(users + 1))
        self.by_blocks = w[:, None] * (n * problem.step_base_s * np.arange(self.blocks + 1))

    def costs(self, open_: NDArray[np.bool_], phi: Array) -> BlockCosts:
        """Costs in floats, for what is open (K, 2) in the order of the users, and priced downloads (K,).

        Parameters
        ----------
        open_ : array of bool, (K, 2)
            Whether a user may stay, and may be served.
        phi : array, (K,)
            [s]
        """
        mask = open_[self.order] & self.open
        return BlockCosts(
            stay=np.where(mask[:, 0], self.local, np.inf),
            serve=np.where(mask[:, 1], self.fixed + np.where(mask[:, 1], phi[self.order], 0.0), np.inf),
            by_users=self.by_users, by_blocks=self.by_blocks, top=np.inf,
        )  # fmt: skip


def blocks_suffice(problem: BatchedEdgeProblem) -> bool:
    """Whether some best schedule has all steps or none of each user at the edge: "sum", and each user may have both, or
    nothing in between alone.

    Between the least and the most steps allowed the objective is linear for a given order and blocks, or above what is
    linear where devices do something before they go on, so that with 0 and N at the ends nothing in between is needed.
    """
    if problem.objective != "sum":
        return False
    mask = problem.open_cuts
    n = np.arange(problem.steps + 1)
    least, most = np.where(mask, n, problem.steps).min(axis=1), np.where(mask, n, 0).max(axis=1)
    return bool(np.isin(least, (0, problem.steps)).all() and np.isin(most, (0, problem.steps)).all())
