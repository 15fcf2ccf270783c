"""The problem of the least lateness: how far deadlines must be stretched to be kept together."""

from __future__ import annotations

import numpy as np

from megdt_opt.pricing.scaled import UPLINK, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem


def lateness_problem(problem: AllocationProblem, users: list[int] | None = None) -> AllocationProblem:
    """The problem of the least max of L / deadline, for all or for some of the users."""
    users = list(range(problem.users)) if users is None else users

    def cut(value: np.ndarray | None) -> np.ndarray | None:
        return None if value is None else value[users]

    return AllocationProblem(
        fixed_s=problem.fixed_s[users],
        downlink_bit=problem.downlink_bit[users],
        uplink_bit=problem.uplink_bit[users],
        edge_work_s=problem.edge_work_s[users],
        downlink_hz=problem.downlink_hz,
        uplink_hz=problem.uplink_hz,
        edge_capacity=problem.edge_capacity,
        device_branch_s=cut(problem.device_branch_s),
        allowed=problem.allowed_mask[users],
        edge_share_max=cut(problem.edge_share_max),
        downlink_efficiency=cut(problem.downlink_efficiency),
        uplink_efficiency=cut(problem.uplink_efficiency),
        downlink_snr_hz=cut(problem.downlink_snr_hz),
        uplink_snr_hz=cut(problem.uplink_snr_hz),
        uplink_airtime_max_s=cut(problem.uplink_airtime_max_s),
        weight=_urgency(problem)[users],
        objective="max",
    )


def _urgency(problem: AllocationProblem) -> np.ndarray:
    """1 / deadline; next to nothing for users without one, (K,) [1/s]."""
    limits = problem.hard_deadline_s
    finite = limits[np.isfinite(limits)]
    far = 1e9 * (float(finite.max()) if finite.size else 1.0)
    return 1.0 / np.where(np.isfinite(limits), limits, far)


def can_start(resources: Resources) -> bool:
    """Whether every user has an open option and the least uplink shares fit together: no deadline is looked at."""
    if not resources.open.any(axis=1).all():
        return False
    least = np.where(resources.open, resources.lo[UPLINK], np.inf).min(axis=1)
    return bool(least.sum() <= 1.0 + 1e-12)
