"""Every constraint of the programs of servers and of groups, at a point that keeps it and at points that break it.

The points are physical (hertz, seconds), computed here and not by the formulations, so that units are tested too.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from megdt_opt import PlacementProblem, SharedPrefixProblem
from megdt_opt.formulations import edge_placement, shared_prefix
from megdt_opt.solving.highs import Rows

Array = NDArray[np.float64]

OFF = 1.02
"""How far the broken points are beyond a limit."""

RESOURCES = ("downlink", "uplink", "edge")


@dataclass(frozen=True, kw_only=True)
class Point:
    """What is decided and how long it takes; shares and seconds by (what, resource), what being a user or a trunk."""

    problem: Any
    option: tuple[int, ...]
    also: tuple[tuple[int, int], ...] = ()  # further (user, option) that are taken
    without: tuple[int, ...] = ()  # users who take none
    placed: Array | None = None
    trunks: tuple[int, ...] = ()
    cast: tuple[int, ...] = ()
    share: dict[tuple[str, int, str], float] = field(default_factory=dict)  # [Hz, Hz, 1]
    stage_s: dict[tuple[str, int, str], float] = field(default_factory=dict)
    reserved: tuple[float, ...] = ()  # edge share of each group
    waited_s: tuple[float, ...] = ()
    latency_s: tuple[float, ...] = ()
    largest_s: float = 0.0

    def changed(self, name: str, key: Any, factor: float) -> Point:
        """The same with one number times a factor."""
        value = getattr(self, name)
        if isinstance(value, dict):
            return replace(self, **{name: {**value, key: value[key] * factor}})
        return replace(self, **{name: tuple(v * factor if n == key else v for n, v in enumerate(value))})


def constraints(module: Any) -> list[Callable[..., Rows]]:
    """Functions of a formulation that yield rows."""
    found = [f for _, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == module.__name__]
    return [f for f in found if inspect.signature(f).return_annotation == "Rows"]


# ---- servers


def _servers(objective: str, plain: bool = False) -> PlacementProblem:
    """Two users who may both run at server 0, or at server 1, or on their devices."""
    tables = {
        "fixed_s": [[0.1, 0.2, 9.0], [0.2, 0.1, 9.0]], "downlink_bit": [[4e6, 1e6, 0.0], [2e6, 3e6, 0.0]],
        "uplink_bit": [[3e5, 1e5, 0.0], [2e5, 4e5, 0.0]], "edge_work_s": [[0.5, 0.2, 0.0], [0.7, 0.3, 0.0]],
        "option_server": [[0, 1, -1], [0, 1, -1]], "downlink_hz": [4e6, 2e6], "uplink_hz": [1e6, 5e5],
        "edge_capacity": [2.0, 1.0], "downlink_efficiency": [2.0, 3.0], "uplink_efficiency": [1.5, 2.5],
        "weight": [1.0, 2.0], "user_model": [0, 1], "model_byte": [2e9, 3e9], "memory_byte": [5e9, 3e9],
    }  # fmt: skip
    limits = {
        "edge_share_max": [0.92, 0.95], "deadline_s": [9.5, 9.5], "device_branch_s": [[1.0, 0.0, 0.0], [3.0, 1.0, 0.0]],
        "uplink_airtime_max_s": np.where(np.array(tables["uplink_bit"]) > 0, 1.0, np.inf),
    }  # fmt: skip
    return PlacementProblem(**tables, **({} if plain else limits), objective=objective)


def _at_server_0(problem: PlacementProblem, part: float = 0.45) -> Point:
    """Both users at server 0, with the same part of each of its budgets."""
    budgets = {"downlink": problem.downlink_hz[0], "uplink": problem.uplink_hz[0], "edge": problem.capacities[0]}
    share, stage_s, latency_s = {}, {}, []
    for k in range(2):
        for name in RESOURCES:
            share["user", k, name] = part * float(budgets[name])
            amount = (problem.edge_work_s if name == "edge" else getattr(problem, f"{name}_bit"))[k, 0]
            law = 1.0 if name == "edge" else getattr(problem, f"{name}_efficiency")[k]
            stage_s["user", k, name] = float(amount / (law * share["user", k, name]))
        path_s = sum(stage_s["user", k, name] for name in RESOURCES)
        latency_s.append(float(problem.fixed_s[k, 0] + max(problem.branch_s[k, 0], path_s)))
    return Point(
        problem=problem, option=(0, 0), placed=np.array([[1.0, 1.0], [0.0, 0.0]]), share=share, stage_s=stage_s,
        latency_s=tuple(latency_s), largest_s=float((problem.weights * latency_s).max()),
    )  # fmt: skip


def _column_of_servers(m: Any, p: Point) -> Array:
    """The point as the program's columns."""
    problem, v = p.problem, np.zeros(m.at["end"])
    for j, (k, o) in enumerate(zip(m.user.tolist(), m.option.tolist(), strict=True)):
        v[j] = float((k not in p.without and p.option[k] == o) or (k, o) in p.also)
        if not m.roots and p.option[k] == o:
            v[m.at["v"] + j] = p.latency_s[k] / m.unit
    v[m.at["u"] : m.at["x"]] = np.zeros(0) if p.placed is None else p.placed.ravel()
    totals = np.zeros(3 * problem.servers)
    for g in range(m.a.size):
        k, o = int(m.user[m.pair[g]]), int(m.option[m.pair[g]])
        i, e = divmod(int(m.budget[g]), problem.servers)
        if p.option[k] != o:
            continue
        key = ("user", k, RESOURCES[i])
        totals[m.budget[g]] += np.sqrt(problem.weights[k] * p.stage_s[key] * p.share[key] / problem.budgets[i, e])
        if not m.roots:
            v[m.at["x"] + g], v[m.at["t"] + g] = p.share[key] / problem.budgets[i, e], p.stage_s[key] / m.unit
    v[m.at["h"]] = p.largest_s / m.unit
    if m.roots:
        v[m.at["z"] :] = totals**2 / m.unit
    return v


def _rows_of_servers(constraint: Callable[..., Rows], m: Any, v: Array) -> Rows:
    name = constraint.__name__
    if name == "stage_time":
        g = np.flatnonzero(v[m.at["x"] : m.at["t"]])
        return constraint(m, g, v[m.at["x"] + g])
    if name == "root":
        # the tangents at the users' roots on the shares that are best for them
        b = np.flatnonzero(v[m.at["z"] :])
        taken = np.flatnonzero(v[m.pair])
        total = np.bincount(m.budget[taken], np.sqrt(m.w[m.pair[taken]] * m.a[taken]), minlength=len(v) - m.at["z"])
        return constraint(m, b, total[b])
    return constraint(m)


def _broken_servers(name: str) -> Iterator[Point]:
    objective = "sum" if name == "root" else "max"
    good = _at_server_0(_servers(objective, plain=name == "root"))
    problem = good.problem
    assert good.placed is not None
    match name:
        case "one_option":
            yield replace(good, also=((0, 1),))
            yield replace(good, without=(1,))
        case "held":
            yield replace(good, placed=np.array([[1.0, 0.0], [1.0, 1.0]]))
            yield replace(good, placed=np.array([[0.0, 1.0], [1.0, 0.0]]))
        case "memory":
            yield replace(good, placed=np.array([[1.0, 1.0], [1.0, 1.0]]))
            yield replace(good, problem=replace(problem, memory_byte=np.array([4.9e9, 3e9])))
        case "budget":
            for resource in RESOURCES:
                yield good.changed("share", ("user", 1, resource), OFF * 0.55 / 0.45)
        case "share_limit":
            yield good.changed("share", ("user", 0, "edge"), OFF * 0.92 / 0.9)
            yield replace(good, without=(0,))
        case "stage_time":
            for k in range(2):
                for resource in RESOURCES:
                    yield good.changed("stage_s", ("user", k, resource), 1 / OFF)
        case "latency":
            yield good.changed("latency_s", 0, 1 / OFF)
            yield good.changed("latency_s", 1, 1 / OFF)  # whose device branch decides
            assert good.latency_s[1] == pytest.approx(3.2)
        case "deadline":
            for k, limit_s in enumerate(good.latency_s):
                late = np.where(np.arange(2) == k, limit_s / OFF, 9.5)
                yield replace(good, problem=replace(problem, deadline_s=late))
        case "airtime":
            for k in range(2):
                sends = problem.uplink_airtime_max_s.copy()
                sends[k, 0] = good.stage_s["user", k, "uplink"] / OFF
                yield replace(good, problem=replace(problem, uplink_airtime_max_s=sends))
        case "largest":
            yield replace(good, largest_s=good.largest_s / OFF)
        case "root":
            for resource in RESOURCES:
                once = good.changed("stage_s", ("user", 0, resource), 1 / OFF)
                yield once.changed("stage_s", ("user", 1, resource), 1 / OFF)
        case _:
            raise AssertionError(f"add points that break {name}")


# ---- groups


def _groups() -> SharedPrefixProblem:
    """Users 0 and 1 of one group with two trunks, user 2 of none; options: alone, waits, waits and listens."""
    tables = {
        "fixed_s": [[0.1, 0.2, 0.3]] * 3, "uplink_bit": [[3e5, 1e5, 1e5]] * 3, "edge_work_s": [[0.9, 0.4, 0.3]] * 3,
        "downlink_bit": [[4e6, 2e6, 1e6]] * 3, "rides": [[0, 1, 2]] * 3, "group": [0, 0, -1], "trunk_group": [0, 0],
        "trunk_fixed_s": [0.2, 0.4], "trunk_uplink_bit": [1e5, 2e5], "trunk_edge_work_s": [0.6, 0.8],
        "multicast_bit": [1e6, 5e5], "downlink_hz": 4e6, "uplink_hz": 1e6, "edge_capacity": 2.0,
        "weight": [1.0, 2.0, 1.0], "downlink_efficiency": [2.0, 3.0, 2.5], "uplink_efficiency": [1.5, 2.5, 2.0],
        "multicast_efficiency": [2.0, 2.0], "trunk_uplink_efficiency": [1.5, 1.5],
        "edge_share_max": [0.9, 0.95, 0.9], "trunk_edge_share_max": [1.2, 1.2],
        "trunk_uplink_airtime_max_s": [0.5, 2.0],
    }  # fmt: skip
    compatible = np.zeros((3, 3, 2), dtype=bool)
    compatible[:2] = True
    compatible[0, 2, 1] = False
    return SharedPrefixProblem(compatible=compatible, **tables, objective="max")


def _shared(problem: SharedPrefixProblem) -> Point:
    """Trunk 0 runs; user 0 waits for it, user 1 for its multicast too, user 2 is alone."""
    option, share, stage_s = (1, 2, 0), {}, {}
    given = {"downlink": 0.25 * 4e6, "uplink": 0.2 * 1e6}
    for k, o in enumerate(option):
        for name in RESOURCES:
            share["user", k, name] = given.get(name, 0.8 if k == 2 else 0.5)
            amount = (problem.edge_work_s if name == "edge" else getattr(problem, f"{name}_bit"))[k, o]
            law = 1.0 if name == "edge" else getattr(problem, f"{name}_efficiency")[k]
            stage_s["user", k, name] = float(amount / (law * share["user", k, name]))
    share |= {("trunk", 0, "uplink"): 0.3 * 1e6, ("trunk", 0, "edge"): 1.0, ("cast", 0, "downlink"): 0.2 * 4e6}
    stage_s["trunk", 0, "uplink"] = 1e5 / (1.5 * 3e5)
    stage_s["trunk", 0, "edge"] = 0.6 / 1.0
    stage_s["cast", 0, "downlink"] = 1e6 / (2.0 * 8e5)
    ahead = 0.2 + stage_s["trunk", 0, "uplink"] + stage_s["trunk", 0, "edge"]
    waited_s = (ahead, ahead + stage_s["cast", 0, "downlink"], 0.0)
    latency_s = [
        float(problem.fixed_s[k, o]) + waited_s[k] + sum(stage_s["user", k, name] for name in RESOURCES)
        for k, o in enumerate(option)
    ]
    return Point(
        problem=problem, option=option, trunks=(0,), cast=(0,), share=share, stage_s=stage_s, reserved=(1.0,),
        waited_s=waited_s, latency_s=tuple(latency_s),
        largest_s=float((problem.weights * latency_s).max()),
    )  # fmt: skip


def _column_of_groups(m: Any, p: Point) -> Array:
    """The point as the program's columns."""
    at, problem = m.at, p.problem
    v = np.zeros(at["end"])
    for j, (k, o) in enumerate(zip(m.user.tolist(), m.option.tolist(), strict=True)):
        v[j] = float((k not in p.without and p.option[k] == o) or (k, o) in p.also)
    v[[at["u"] + q for q in p.trunks]] = 1.0
    v[[at["m"] + q for q in p.cast]] = 1.0
    budgets = (problem.downlink_hz, problem.uplink_hz, problem.edge_capacity)
    for s in range(m.a.size):
        column, i = int(m.taken[s]), int(m.resource[s])
        if column >= at["m"]:
            key = ("cast", column - at["m"], RESOURCES[i])
        elif column >= at["u"]:
            key = ("trunk", column - at["u"], RESOURCES[i])
        else:
            k, o = int(m.user[column]), int(m.option[column])
            key = ("user", k, RESOURCES[i]) if p.option[k] == o else ("", 0, "")
        if key in p.share:
            v[at["x"] + s], v[at["t"] + s] = p.share[key] / budgets[i], p.stage_s[key] / m.unit
    v[at["f"] : at["r"]] = np.array(p.reserved) / problem.edge_capacity
    v[at["r"] : at["v"]] = np.array(p.waited_s) / m.unit
    v[at["v"] : at["h"]] = np.array(p.latency_s) / m.unit
    v[at["h"]] = p.largest_s / m.unit
    return v


def _rows_of_groups(constraint: Callable[..., Rows], m: Any, v: Array) -> Rows:
    if constraint.__name__ == "stage_time":
        s = np.flatnonzero(v[m.at["x"] : m.at["t"]])
        return constraint(m, s, v[m.at["x"] + s])
    return constraint(m)


def _broken_groups(name: str) -> Iterator[Point]:
    good = _shared(_groups())
    problem = good.problem
    match name:
        case "one_option":
            yield replace(good, also=((1, 1),))
            yield replace(good, without=(1,))
        case "one_trunk":
            yield replace(good, trunks=(0, 1))
        case "beside":
            yield replace(good, option=(2, 2, 0), trunks=(1,))
            fits = problem.compatible.copy()
            fits[1, 2, 0] = False
            yield replace(good, problem=replace(problem, compatible=fits))
        case "ridden":
            yield replace(good, trunks=())
        case "cast":
            yield replace(good, cast=())
            yield replace(good, cast=(1,))
        case "budget":
            drawn = (("user", 0, "downlink"), ("cast", 0, "downlink"), ("user", 2, "uplink"), ("trunk", 0, "uplink"))
            for key in drawn:
                yield good.changed("share", key, 3.0)
            yield good.changed("reserved", 0, OFF * 1.2)
        case "inside":
            yield good.changed("reserved", 0, 1 / OFF)
            yield good.changed("share", ("user", 0, "edge"), 2.0)
            yield good.changed("share", ("trunk", 0, "edge"), OFF)
        case "share_limit":
            yield good.changed("share", ("user", 2, "edge"), OFF * 0.9 / 0.8)
            yield good.changed("share", ("trunk", 0, "edge"), OFF * 1.2)
            yield replace(good, without=(2,))
            yield replace(good, problem=replace(problem, trunk_uplink_airtime_max_s=np.array([0.22 / OFF, 2.0])))
        case "stage_time":
            for key in good.stage_s:
                yield good.changed("stage_s", key, 1 / OFF)
        case "waited":
            for k in (0, 1):
                yield good.changed("waited_s", k, 1 / OFF)
        case "latency":
            for k in range(3):
                yield good.changed("latency_s", k, 1 / OFF)
        case "largest":
            yield replace(good, largest_s=good.largest_s / OFF)
        case _:
            raise AssertionError(f"add points that break {name}")


# ---- both

PROGRAMS: dict[str, tuple[Any, Any, Any, Any]] = {
    "edge_placement": (edge_placement, _column_of_servers, _rows_of_servers, _broken_servers),
    "shared_prefix": (shared_prefix, _column_of_groups, _rows_of_groups, _broken_groups),
}


def good_point(program: str, name: str) -> Point:
    """A point that keeps everything."""
    if program == "shared_prefix":
        return _shared(_groups())
    if name == "root":
        return _at_server_0(_servers("sum", plain=True), 0.5)
    return _at_server_0(_servers("max"))


@pytest.mark.parametrize(
    ("program", "name"), [(p, f.__name__) for p, (module, *_) in PROGRAMS.items() for f in constraints(module)]
)
def test_truth(program: str, name: str) -> None:
    module, column, rows, broken = PROGRAMS[program]
    constraint = getattr(module, name)

    def violation(p: Point) -> float:
        m = module.make_model(p.problem)
        v = column(m, p)
        return rows(constraint, m, v).violation(v)

    assert violation(good_point(program, name)) <= 1e-9
    points = list(broken(name))
    assert points
    for p in points:
        assert violation(p) > 1e-5


def test_the_good_points_keep_the_problems() -> None:
    servers = _at_server_0(_servers("max"))
    shares = {
        f"{name}_{'share' if name == 'edge' else 'hz'}": [servers.share["user", k, name] for k in range(2)]
        for name in RESOURCES
    }
    answer = types.SimpleNamespace(option=[0, 0], placed=[[1, 1], [0, 0]], **shares)
    found = servers.problem.evaluate(answer)
    assert (found.violation, found.objective_s) == (0.0, pytest.approx(servers.largest_s, rel=1e-14))
    assert found.latency_s == pytest.approx(servers.latency_s, rel=1e-14)
    groups = _shared(_groups())
    shares = {
        f"{name}_{'share' if name == 'edge' else 'hz'}": [groups.share["user", k, name] for k in range(3)]
        for name in RESOURCES
    }
    answer = types.SimpleNamespace(
        option=[1, 2, 0], trunk=[0], trunk_uplink_hz=[3e5], trunk_edge_share=[1.0], multicast_hz=[8e5], **shares
    )
    found = groups.problem.evaluate(answer)
    assert (found.violation, found.objective_s) == (0.0, pytest.approx(groups.largest_s, rel=1e-14))
    assert found.latency_s == pytest.approx(groups.latency_s, rel=1e-14)


def test_a_new_constraint_without_truth_test_is_caught() -> None:
    for *_, broken in PROGRAMS.values():
        with pytest.raises(AssertionError, match="novelty"):
            list(broken("novelty"))
