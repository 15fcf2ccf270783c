"""Explanations: each change that is named helps, and a little less of it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from megdt_opt import AllocationProblem, Change, Explanation, Infeasible, explain, solve


def make(**more: object) -> AllocationProblem:
    """Three users; each runs 2 s on its device, or 0.5 s of work at the edge and 1e5 bit over each link."""
    fields: dict[str, object] = {
        "fixed_s": [[2.0, 0.1]] * 3,
        "downlink_bit": [[0.0, 1e5]] * 3,
        "uplink_bit": [[0.0, 1e4]] * 3,
        "edge_work_s": [[0.0, 0.5]] * 3,
        "downlink_hz": 1e6,
        "uplink_hz": 1e5,
        "downlink_efficiency": [1.0] * 3,
        "uplink_efficiency": [1.0] * 3,
        "objective": "sum",
    }
    return AllocationProblem(**(fields | more))  # type: ignore[arg-type]


def feasible(problem: AllocationProblem) -> bool:
    try:
        solve(problem, method="enumerate")
    except Infeasible:
        return False
    return True


def changed(problem: AllocationProblem, change: Change, factor: float) -> AllocationProblem:
    """The problem with a change of which only a part is made (or more of it)."""
    value = change.needed * factor
    if change.field in ("downlink_hz", "uplink_hz", "edge_capacity"):
        return replace(problem, **{change.field: value})
    entries = np.array(getattr(problem, change.field))
    if change.unit == "times":
        return replace(problem, **{change.field: entries * value})
    entries[list(change.users)] = value
    return replace(problem, **{change.field: entries})


def check(problem: AllocationProblem, found: Explanation) -> dict[str, list[Change]]:
    """Every change helps, and two thousandths less do not; by field."""
    assert not found.feasible
    assert not feasible(problem)
    fields: dict[str, list[Change]] = {}
    for change in found.changes:
        fields.setdefault(change.field, []).append(change)
        if change.field == "allowed":
            allowed = problem.allowed_mask.copy()
            allowed[list(change.users), list(change.options)] = True
            assert feasible(replace(problem, allowed=allowed))
            continue
        assert change.proven
        assert feasible(changed(problem, change, 1.0)), change
        assert not feasible(changed(problem, change, 1 - 2e-3)), change
    return fields


def test_a_feasible_problem_says_so() -> None:
    found = explain(make())
    assert found.feasible
    assert str(found) == "It is feasible: every user has an option within its limits."
    assert found.changes == ()
    limited = make(deadline_s=[4.0, 4.0, 4.0])
    found = explain(limited)
    assert found.feasible
    assert found.stretch is not None
    assert found.stretch < 1
    assert feasible(replace(limited, deadline_s=np.full(3, 4.0 * found.stretch * 1.001)))
    assert not feasible(replace(limited, deadline_s=np.full(3, 4.0 * found.stretch * 0.999)))


def test_deadlines_that_clash() -> None:
    # users 0 and 1 are wanted at the edge, user 2 has time enough on its device; with half of each budget a user
    # takes 0.1 s fixed, 0.02 s up, 1 s of work and 0.2 s down, so a downlink of 2.5 times the band is enough
    problem = make(deadline_s=[1.2, 1.2, 9.0], uplink_hz=1e6)
    found = explain(problem)
    assert found.users == (0, 1)
    fields = check(problem, found)
    assert fields["downlink_hz"][0].needed == pytest.approx(2.5e6, rel=1.1e-3)
    assert {c.users for c in fields["deadline_s"]} == {(0, 1, 2), (0,), (1,)}
    assert set(fields) >= {"edge_capacity", "downlink_hz", "deadline_s"}
    single = next(c for c in fields["deadline_s"] if c.users == (0,))
    # 2 s on its own device frees the edge for user 1, unless sharing it is enough sooner
    assert 1.2 < single.needed <= 2.0 * 1.001
    text = str(found)
    assert "user 0: deadline" in text
    assert "longer)" in text
    assert "edge servers:" in text
    assert "in place of 1 MHz" in text
    assert found.stretch == pytest.approx(next(c for c in fields["deadline_s"] if c.unit == "times").needed)


def test_what_cannot_help_is_not_named() -> None:
    # the work alone takes 0.6 s on a whole server: neither band helps
    one = {
        "fixed_s": [[0.1]],
        "downlink_bit": [[1e4]],
        "uplink_bit": [[1e3]],
        "edge_work_s": [[0.5]],
        "downlink_efficiency": [1.0],
        "uplink_efficiency": [1.0],
    }
    problem = make(**one, deadline_s=[0.55])
    found = explain(problem)
    fields = check(problem, found)
    assert set(fields) == {"deadline_s", "edge_capacity"}
    # 0.01 s on each link, 0.1 s fixed: 0.62 s are needed, or 0.5 / 0.43 servers
    assert fields["deadline_s"][0].needed * 0.55 == pytest.approx(0.62, rel=1.1e-3)
    assert fields["edge_capacity"][0].needed == pytest.approx(0.5 / 0.43, rel=1.1e-3)
    # with a cap on its share, more servers do not help either
    capped = explain(make(**one, deadline_s=[0.55], edge_share_max=[1.0]))
    fields = check(make(**one, deadline_s=[0.55], edge_share_max=[1.0]), capped)
    assert set(fields) == {"deadline_s"}
    hopeless = explain(make(**one, deadline_s=[0.55], edge_share_max=[0.5]))
    assert "edge_share_max" not in {c.field for c in hopeless.changes}


def test_caps() -> None:
    one = {
        "fixed_s": [[0.1]],
        "downlink_bit": [[0.0]],
        "uplink_bit": [[0.0]],
        "edge_work_s": [[0.5]],
        "downlink_efficiency": [1.0],
        "uplink_efficiency": [1.0],
    }
    problem = make(**one, deadline_s=[1.0], edge_share_max=[0.5])
    found = explain(problem)
    fields = check(problem, found)
    # a share of 0.5 / 0.9
    assert fields["edge_share_max"][0].needed == pytest.approx(0.5 / 0.9 / 0.5, rel=1.1e-3)
    assert "edge_capacity" not in fields
    assert "edge share caps" in str(found)
    assert "times as large" in str(found)


def test_no_band() -> None:
    only_edge = np.array([[False, True]] * 3)
    found = explain(make(allowed=only_edge, downlink_hz=0.0))
    assert found.users == (0, 1, 2)
    assert {c.field for c in found.changes} == {"downlink_hz", "allowed"}
    band = next(c for c in found.changes if c.field == "downlink_hz")
    assert band.needed == 0.0  # any will do
    assert "any downlink band above 0" in str(found)
    # with deadlines a certain band is needed
    problem = make(allowed=only_edge, downlink_hz=0.0, deadline_s=[5.0, 5.0, 5.0])
    fields = check(problem, explain(problem))
    assert fields["downlink_hz"][0].needed > 1e4
    assert "deadline_s" not in fields


def test_airtime() -> None:
    only_edge = np.array([[False, True]] * 3)
    # 0.1 s of airtime with the whole band; three users at 0.25 s need 1.2 of it
    problem = make(allowed=only_edge, uplink_airtime_max_s=np.full((3, 2), 0.25))
    found = explain(problem)
    fields = check(problem, found)
    assert fields["uplink_hz"][0].needed == pytest.approx(1.2e5, rel=1.1e-3)
    assert fields["uplink_airtime_max_s"][0].needed == pytest.approx(1.2, rel=1.1e-3)
    assert set(fields) == {"uplink_hz", "uplink_airtime_max_s", "allowed"}
    assert len(found.users) == 3
    # together with deadlines that hold on their own
    assert set(
        check(replace(problem, deadline_s=np.full(3, 9.0)), explain(replace(problem, deadline_s=np.full(3, 9.0))))
    ) == set(fields)


def test_shannon() -> None:
    problem = make(
        deadline_s=[0.6, 0.6, 0.6],
        downlink_efficiency=None,
        uplink_efficiency=None,
        downlink_snr_hz=[2e6] * 3,
        uplink_snr_hz=[1e6] * 3,
        allowed=[[False, True]] * 3,
        edge_capacity=4.0,
    )
    fields = check(problem, explain(problem))
    assert "deadline_s" in fields
    # the rate never exceeds snr / ln 2, so a band helps only if that is enough
    slow = explain(replace(problem, downlink_snr_hz=[5e4] * 3))
    assert "downlink_hz" not in {c.field for c in slow.changes}


def test_nothing_helps() -> None:
    problem = make(allowed=[[False, True]] * 3, downlink_efficiency=[0.0, 1.0, 1.0])
    found = explain(problem)
    assert found.users == (0,)
    assert [c.field for c in found.changes] == ["allowed"]
    assert "efficiency = 0" in str(found)
    closed = AllocationProblem(
        fixed_s=[[0.0]],
        downlink_bit=[[1.0]],
        uplink_bit=[[0.0]],
        edge_work_s=[[0.0]],
        downlink_hz=1.0,
        uplink_hz=1.0,
        downlink_efficiency=[0.0],
    )
    assert "No change of a single limit helps" in str(explain(closed))


def test_time_is_over() -> None:
    found = explain(make(deadline_s=[1.2, 1.2, 9.0]), time_limit_s=0.0)
    assert found.changes == ()
    assert set(found.untried) == {"deadline_s", "downlink_hz", "uplink_hz", "edge_capacity"}
    assert "Not tried" in str(found)


def test_the_error_of_solve_names_the_same_users() -> None:
    problem = make(deadline_s=[1.2, 1.2, 9.0])
    with pytest.raises(Infeasible) as caught:
        solve(problem)
    found = explain(problem)
    assert (caught.value.users, caught.value.limits) == (found.users, found.limits)


def test_a_conflict_among_many_users_is_smallest() -> None:
    users = 12
    deadline = np.full(users, 9.0)
    deadline[[2, 7, 11]] = 1.3
    wide = {
        name: np.tile(np.array(value), (users, 1))
        for name, value in (
            ("fixed_s", [2.0, 0.1]),
            ("downlink_bit", [0.0, 1e4]),
            ("uplink_bit", [0.0, 1e3]),
            ("edge_work_s", [0.0, 0.5]),
        )
    }
    problem = make(**wide, downlink_efficiency=[1.0] * users, uplink_efficiency=[1.0] * users, deadline_s=deadline)
    with pytest.raises(Infeasible) as caught:
        solve(problem, method="prices")
    core = list(caught.value.users)
    assert set(core) <= {2, 7, 11}
    rows = {
        n: np.asarray(getattr(problem, n))
        for n in (
            "fixed_s",
            "downlink_bit",
            "uplink_bit",
            "edge_work_s",
            "downlink_efficiency",
            "uplink_efficiency",
            "deadline_s",
        )
    }
    assert not feasible(replace(problem, **{n: v[core] for n, v in rows.items()}))
    for k in core:
        rest = [other for other in core if other != k]
        assert not rest or feasible(replace(problem, **{n: v[rest] for n, v in rows.items()}))
