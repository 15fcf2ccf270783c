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
from megdt_opt.scenario.problems import Problem
from megdt_opt.scenario.scenario import Scenario

Costed = TypeVar("Costed", bound=Problem)


def cost_table(
    scenario: Scenario,
    costs: list[list[Costs | None]],
    program: Callable[[int, int], Stage],
    send_bit: Callable[[Send, int], float],
) -> NDArray[np.float64]:
    """Costs of the scenario's `costs`, (K, O, C), in SI units; 0 for options that have none.

    Parameters
    ----------
    scenario : Scenario
        With `costs`.
    costs : list of list of Costs, (K, O)
        Of every user's options; None where there are none.
    program, send_bit : callable
        The stages of a user's option, and the payload of a send of a user [bit].

    Raises
    ------
    InvalidInput
        Where the power or the rate of loading that a cost needs is not declared.
    """
    names = tuple(scenario.costs or ())
    found = np.zeros((len(costs), len(costs[0]), len(names)))
    for k, row in enumerate(costs):
        user = scenario.users[k].name
        send_byte = partial(_send_byte, send_bit, k)
        for o, own in enumerate(row):
            if own is None:
                continue
            for c, name in enumerate(names):
                if name == "signalling":
                    found[k, o, c] = predicted_signalling(program(k, o), user, send_byte).byte
                else:
                    found[k, o, c] = _cost(scenario, name, k, own)
    return found


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
    table = cost_table(scenario, costs, program, send_bit)
    return replace(problem, option_cost=table, cost_weight_s=weight if weight.any() else None)


def with_cost_limits(problem: Costed, scenario: Scenario) -> Costed:
    """The problem, which has costs, with the limits on them that the scenario states."""
    if scenario.costs is None:
        return problem
    assert isinstance(problem, AllocationProblem)
    most = np.array([np.inf if rule.max_si is None else rule.max_si for rule in scenario.costs.values()])
    return replace(problem, cost_max=most if np.isfinite(most).any() else None)
