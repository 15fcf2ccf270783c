"""What is said where servers' memories or limits of users or trunks leave no answer: users, sizes and limits."""

from __future__ import annotations

import numpy as np

from megdt_opt.errors import Conflict, Infeasible
from megdt_opt.problem.checks import NO_AIRTIME_LIMIT_S
from megdt_opt.problem.placement_problem import NO_SERVER, PlacementProblem
from megdt_opt.problem.program_problem import ProgramProblem
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.radio.rates import shannon_band
from megdt_opt.si import show


def models_too_large(problem: PlacementProblem) -> Infeasible:
    """The error for models that the memories cannot hold together.

    Names the users who have no option on their devices, with their models, and the servers' memories.
    """
    assert problem.model_byte is not None
    assert problem.memory_byte is not None
    bound = ~(problem.open_options & (problem.option_server == NO_SERVER)).any(axis=1)
    users = np.flatnonzero(bound).tolist()
    sizes = [
        Conflict(k, f"model{'s' * (len(m) > 1)} {' + '.join(map(str, m))}", size, "B", "{limit} of {value}")
        for k in users
        for m, size in [_smallest_need(problem, k)]
    ]
    memories = [
        Conflict(None, f"server {e}", float(size), "B", "{limit} has a memory of {value}")
        for e, size in enumerate(problem.memory_byte)
    ]
    return Infeasible(
        "the servers' memories cannot hold together the models of the users who have no option on their devices",
        [*sizes, *memories],
        users,
        hint="Raise memory_byte, or give some of these users an option with option_server -1.",
    )


def _smallest_need(problem: PlacementProblem, k: int) -> tuple[list[int], float]:
    """The models that the open option of a user that needs the least memory needs, and their size [byte]."""
    assert problem.model_byte is not None
    options = np.flatnonzero(problem.open_options[k])
    needs = problem.needs(np.full(options.size, k), options)
    sizes = needs @ problem.model_byte
    n = int(sizes.argmin())
    return np.flatnonzero(needs[n]).tolist(), float(sizes[n])


def limits_not_kept(problem: PlacementProblem, users: list[int]) -> Infeasible:
    """The error for limits of these users that cannot be kept together."""
    return Infeasible(
        "these limits cannot be kept together at the servers",
        [one for k in users for one in limits_of(problem, k)],
        users,
        hint="Loosen them, or give the servers more band or capacity.",
    )


def limits_of(problem: PlacementProblem, k: int) -> list[Conflict]:
    """The limits of a user that what it shares keeps or breaks."""
    found = []
    if np.isfinite(problem.hard_deadline_s[k]):
        found.append(Conflict(k, "deadline", float(problem.hard_deadline_s[k]), "s"))
    if problem.uplink_airtime_max_s is not None:
        limits = problem.uplink_airtime_max_s[k][problem.open_options[k] & (problem.uplink_bit[k] > 0)]
        limits = limits[limits < NO_AIRTIME_LIMIT_S]
        if limits.size:
            found.append(Conflict(k, "uplink airtime", float(limits.max()), "s", "{limit} at most {value}"))
    return found


def nothing_open(problem: ProgramProblem) -> Infeasible:
    """The error for users whose allowed options all ask for a resource that carries nothing."""
    users = np.flatnonzero(~problem.open_options.any(axis=1)).tolist()
    fields = (("downlink_hz", "Hz"), ("uplink_hz", "Hz"), ("edge_capacity", ""))
    conflicts = []
    for k in users:
        allowed = problem.allowed_mask[k]
        if not allowed.any():
            conflicts.append(Conflict(k, "allowed", 0.0, "options", "every option is forbidden by `{limit}`"))
        for i, (field, unit) in enumerate(fields):
            needs = int((problem.demands[i, k] & allowed).sum())
            if not needs or problem.reached[i, k]:
                continue
            if problem.budgets[i] > 0:
                side = field.removesuffix("_hz")
                linear = getattr(problem, f"{side}_efficiency") is not None
                field, unit = (f"{side}_efficiency", "bit/s/Hz") if linear else (f"{side}_snr_hz", "Hz")
            conflicts.append(Conflict(k, field, 0.0, unit, f"{{limit}} = {{value}}, which {needs} options need"))
    return Infeasible("no option is left", conflicts, users)


def airtime_too_short(problem: SharedPrefixProblem) -> Infeasible:
    """The error for trunks that groups must run, but whose limits on airtime the uplink cannot keep together.

    Names the users who have no option without a trunk, with the limit of the trunk that takes the least of the uplink.
    """
    users = np.flatnonzero(~(problem.open_options & (problem.rides == 0)).any(axis=1)).tolist()
    return Infeasible(
        "the trunks that groups must run cannot keep their limits on airtime together on "
        f"{show(problem.uplink_hz, 'Hz')} uplink",
        [conflict for k in users for conflict in _airtime(problem, k)],
        users,
        hint="Raise uplink_hz or trunk_uplink_airtime_max_s, or allow options that do not ride.",
    )


def _airtime(problem: SharedPrefixProblem, k: int) -> list[Conflict]:
    """The limit of the trunk of a user's group that takes the least band; none where one is not limited."""
    if problem.trunk_uplink_airtime_max_s is None or problem.group is None or problem.trunk_group is None:
        return []
    q = np.flatnonzero((problem.trunk_group == problem.group[k]) & problem.open_trunks)
    rate = problem.trunk_uplink_bit[q] / problem.trunk_uplink_airtime_max_s[q]
    if not q.size or not rate.all():
        return []
    if problem.trunk_uplink_snr_hz is not None:
        band_hz = shannon_band(rate, problem.trunk_uplink_snr_hz[q])
    else:
        assert problem.trunk_uplink_efficiency is not None
        band_hz = rate / problem.trunk_uplink_efficiency[q]
    n = int(np.argmin(band_hz))
    words = f"trunk {q[n]} takes {show(float(band_hz[n]), 'Hz')} for {{limit}} of at most {{value}}"
    return [Conflict(k, "uplink airtime", float(problem.trunk_uplink_airtime_max_s[q[n]]), "s", words)]
