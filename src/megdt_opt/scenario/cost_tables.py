"""The costs of every user's options that a scenario limits or weighs, as the arrays of a problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.signalling import predicted_signalling
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.program.costs import Costs
from megdt_opt.program.stages import Send, Stage
from megdt_opt.quality.curves import Quality
from megdt_opt.scenario.floors import SHORT
from megdt_opt.scenario.problems import Problem
from megdt_opt.scenario.scenario import Scenario, User

Costed = TypeVar("Costed", bound=Problem)


def cost_table(
    scenario: Scenario,
    costs: list[list[Costs | None]],
    program: Callable[[int, int], Stage],
    send_bit: Callable[[Send, int], float],
    quality: Callable[[int, int], Quality | None],
) -> NDArray[np.float64]:
    """Costs of the scenario's `costs`, (K, O, C), in SI units; 0 for options that have none.

    Parameters
    ----------
    scenario : Scenario
        With `costs`.
    costs : list of list of Costs, (K, O)
        Of every user's options; None where there are none.
    program, send_bit, quality : callable
        The stages of a user's option, the payload of a send of a user [bit], and what was measured of the pictures of
        a user's option.

    Raises
    ------
    InvalidInput
        Where the power or the rate of loading that a cost needs is not declared.
    """
    names = tuple(scenario.costs or ())
    for name in names:
        if name in SHORTFALLS and not any(asked_of(user, name) for user in scenario.users):
            expected = f"a user with a quality_target.{SHORT.get(SHORTFALLS[name], SHORTFALLS[name])}"
            raise InvalidInput(f"costs.{name}", "given", expected, "State the target, or remove the cost.")
    found = np.zeros((len(costs), len(costs[0]), len(names)))
    for k, row in enumerate(costs):
        user = scenario.users[k].name
        send_byte = partial(_send_byte, send_bit, k)
        for o, own in enumerate(row):
            if own is None:
                continue
            for c, name in enumerate(names):
                target = scenario.users[k].quality_target
                if name in SHORTFALLS:
                    asked = target is not None and asked_of(scenario.users[k], name)
                    short = target.missed(quality(k, o), SHORTFALLS[name]) if target is not None and asked else 0.0
                    found[k, o, c] = short or 0.0  # options of which it is not known are closed
                elif name == "signalling":
                    found[k, o, c] = predicted_signalling(program(k, o), user, send_byte).byte
                else:
                    found[k, o, c] = _cost(scenario, name, k, own)
    return found


SHORTFALLS = {
    "psnr_short": "psnr_db", "psnr_truth_short": "psnr_truth_db", "ssim_short": "ssim",
    "ssim_truth_short": "ssim_truth", "read_short": "read", "frechet_over": "frechet",
}  # fmt: skip
"""Costs of pictures that miss their users' targets, and the metrics that they are of."""


def asked_of(user: User, cost: str) -> bool:
    """Whether a user has a target of the metric of such a cost."""
    return user.quality_target is not None and SHORTFALLS[cost] in user.quality_target.asked


def _send_byte(send_bit: Callable[[Send, int], float], user: int, leaf: Send) -> float:
    return send_bit(leaf, user) / 8


def _cost(scenario: Scenario, name: str, k: int, own: Costs) -> float:
    """One cost of one option."""
    device, (site,) = scenario.users[k].device, scenario.sites
    if name == "edge_energy":
        return own.edge_s * _declared(site.edge.compute_power_w, "edge.compute_power", name, "a power in W")
    if name == "device_energy":
        where = f"users.{scenario.users[k].name}.device.compute_power"
        return own.device_s * _declared(device.compute_power_w, where, name, "a power in W")
    if name == "device_loading":
        where = f"users.{scenario.users[k].name}.device.load"
        return own.device_byte / _declared(device.load_byte_per_s, where, name, "a rate of loading in B/s")
    plain = {"edge_time": own.edge_s, "device_time": own.device_s, "device_memory": own.device_byte}
    return float(plain.get(name, own.messages))


def _declared(value: float | None, where: str, name: str, expected: str) -> float:
    if value is None:
        raise InvalidInput(where, None, expected, f"The cost {name} needs it.")
    return value


def with_costs(
    problem: Costed,
    scenario: Scenario,
    costs: list[list[Costs | None]],
    program: Callable[[int, int], Stage],
    send_bit: Callable[[Send, int], float],
    quality: Callable[[int, int], Quality | None],
) -> Costed:
    """The problem with the costs that the scenario states, and their weights; parameters as for `cost_table`.

    Raises
    ------
    InvalidInput
        Where the problem is of a class that takes no costs.
    """
    if scenario.costs is None:
        return problem
    if not isinstance(problem, AllocationProblem):
        expected = "programs of one chain beside one device branch where there are costs"
        raise InvalidInput("costs", type(problem).__name__, expected, "Remove the costs, or restrict the mechanisms.")
    weight = np.array([rule.weight_s_per_si or 0.0 for rule in scenario.costs.values()])
    table = cost_table(scenario, costs, program, send_bit, quality)
    return replace(problem, option_cost=table, cost_weight_s=weight if weight.any() else None)


def with_cost_limits(problem: Costed, scenario: Scenario) -> Costed:
    """The problem, which has costs, with the limits on them that the scenario states."""
    if scenario.costs is None:
        return problem
    assert isinstance(problem, AllocationProblem)
    most = np.array([np.inf if rule.max_si is None else rule.max_si for rule in scenario.costs.values()])
    return replace(problem, cost_max=most if np.isfinite(most).any() else None)
