"""Groups as scenarios state them: what is refused, by name, value, unit and remedy."""

from __future__ import annotations

from typing import Any

import pytest

from megdt_opt import InvalidInput, Scenario


def cell(*groups: dict[str, Any], host: dict[str, Any] | None = None, **more: Any) -> Scenario:
    users = [
        {"name": name, "downlink_efficiency": "2 bit/s/Hz", "uplink_efficiency": "1 bit/s/Hz", **(host or {})}
        if name == "a"
        else {"name": name, "downlink_efficiency": "2 bit/s/Hz", "uplink_efficiency": "1 bit/s/Hz"}
        for name in "abcd"
    ]
    return Scenario(
        **{"channel": {"downlink": "1 MHz", "uplink": "1 MHz"}, "users": users, "groups": list(groups), **more}
    )


PAIR = {"members": ["a", "b"], "psnr_min": "30 dB"}
HOSTED = {**PAIR, "host": "a", "d2d_rate": "1 Mbit/s"}
MAINS = {"device": {"powered": "mains"}}
BATTERY = {"device": {"compute_power": "3 W"}, "energy_max": "5 J"}


def test_groups_read_their_units() -> None:
    (group,) = cell({**HOSTED, "steps": [5]}, host=MAINS).groups or ()
    assert (group.psnr_min_db, group.d2d_rate_bit_per_s, group.reserve) == (30.0, 1e6, "phased")
    assert cell(HOSTED, host=BATTERY).groups is not None
    (group,) = cell({**PAIR, "host": "a", "d2d_efficiency": "3 bit/s/Hz"}, host=MAINS).groups or ()
    assert group.d2d_efficiency_bit_per_s_per_hz == 3.0


@pytest.mark.parametrize(
    ("groups", "more", "words"),
    [
        ([], {}, "groups: found .*at least one group"),
        ([{**PAIR, "members": ["a"]}], {}, r"groups.0.members: found \['a'\]; expected at least two different users"),
        ([{**PAIR, "members": ["a", "a"]}], {}, "groups.0.members: .*at least two different users"),
        ([{**PAIR, "members": ["a", "z"]}], {}, "groups.0.members: found 'z'; expected users of the scenario"),
        ([PAIR, {**PAIR, "members": ["b", "c"]}], {}, "groups.1.members: found 'b'.*it is in groups.0 already"),
        ([{"members": ["a", "b"]}], {}, "groups.0.psnr_min: .*a floor on the quality"),
        ([{**PAIR, "steps": [0]}], {}, r"groups.0.steps: found 0; expected 1\.\.20 common steps"),
        ([{**PAIR, "steps": [21]}], {}, r"groups.0.steps: found 21"),
        ([{**PAIR, "similarity": 1.5}], {}, r"groups.0.similarity: found 1.5; expected a number from 0 to 1"),
        ([{**PAIR, "similarity": -0.1}], {}, "groups.0.similarity: found -0.1"),
        ([{**PAIR, "similarity": "high"}], {}, "groups.0.similarity: found 'high'; expected a number"),
        (
            [{"members": ["a", "b"], "steps": [3], "similarity": 0.5}],
            {},
            "similarity: .*without a floor on the quality",
        ),
        ([{**HOSTED, "host": "c"}], {}, "groups.0.host: found 'c'; expected a member of the group"),
        ([HOSTED], {}, r"groups.0.host: found 'a'; expected a host with an energy limit \[J\] or.*powered: mains"),
        ([{**PAIR, "host": "a"}], {"host": MAINS}, "groups.0.d2d_rate: .*one of d2d_rate .*and d2d_efficiency"),
        ([{**HOSTED, "d2d_efficiency": "3 bit/s/Hz"}], {"host": MAINS}, "groups.0.d2d_rate: found 1000000"),
        ([{**PAIR, "d2d_rate": "1 Mbit/s"}], {}, "groups.0.d2d_rate: .*nothing without a host"),
        (
            [{**PAIR, "host": "a", "d2d_efficiency": "3 bit/s/Hz"}],
            {"host": BATTERY},
            "groups.0.d2d_efficiency: found 3.0; expected d2d_rate .* for a host with an energy limit",
        ),
        (
            [PAIR, {**PAIR, "members": ["c", "d"], "reserve": "separate"}],
            {},
            "groups.1.reserve: found 'separate'; expected 'phased'",
        ),
        ([{**PAIR, "members": ["a", "b", "c"], "reserve": "shared"}], {}, "groups.0.reserve"),
        ([PAIR], {"objective": "mixed", "max_weight": 1.0}, "objective: found 'mixed'.*where there are groups"),
        ([PAIR], {"host": {"deadline": "3 s"}}, "users.a.deadline: found 3.0; expected no deadline"),
        ([PAIR], {"host": MAINS}, "users.a.device.powered: found 'mains'; expected nothing without a group"),
    ],
)
def test_what_does_not_fit_is_refused(groups: list[dict[str, Any]], more: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        cell(*groups, **more)


def test_groups_at_several_edges_are_refused() -> None:
    edges = [{"name": "one"}, {"name": "two"}]
    with pytest.raises(InvalidInput, match="edges: found 2; expected one edge server where there are groups"):
        cell(PAIR, edges=edges)
