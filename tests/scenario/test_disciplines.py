"""Edges in turns: what a scenario may state, what is refused and closed, and the problem that it becomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from megdt_opt import Infeasible, InvalidInput, Scenario, SequencedEdgeProblem
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, Option, Setting, program
from megdt_opt.program.option import Mechanism
from megdt_opt.program.stages import Compute, Send, Stage, is_edge, leaves
from megdt_opt.program.turns import TWICE
from megdt_opt.scenario.options import OptionTable

FIELDS: dict[str, Any] = {
    "steps": 6,
    "edge": {"profile": "twin-cpu", "discipline": "in_turns"},
    "channel": {"downlink": "60 kHz", "uplink": "40 kHz", "propagation": "5 ms"},
    "users": [
        {
            "name": name,
            "device": {"profile": "twin-cpu", "stretch": stretch, "compute_power": "4 W"},
            "downlink_efficiency": "2 bit/s/Hz",
            "uplink_efficiency": "1.5 bit/s/Hz",
        }
        for name, stretch in (("tablet", 8), ("phone", 14))
    ],
}


def cell(**changes: Any) -> Scenario:
    """The scenario with other fields; those of the edge and of the users are merged."""
    fields = {**FIELDS, **{n: v for n, v in changes.items() if n not in ("edge", "user")}}
    fields["edge"] = {**FIELDS["edge"], **changes.get("edge", {})}
    first, *others = fields["users"]
    return Scenario(**{**fields, "users": [{**first, **changes.get("user", {})}, *others]})


NAMED = [{"name": "hall-1", "profile": "twin-cpu"}, {"name": "hall-2", "profile": "twin-cpu", "discipline": "in_turns"}]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"edge": {"discipline": "in_turn"}}, "edge.discipline", "'in_turns'"),
        ({"edge": {"servers": 2.0}}, "edge.servers", "1 server"),
        ({"edge": {"servers": 0.5, "discipline": "batched"}}, "edge.servers", "1 server"),
        ({"objective": "mixed", "max_weight": 1.0}, "objective", "('max', 'sum')"),
        ({"objective": "mean_cvar", "cvar_level": 0.5, "cvar_weight": 1.0}, "objective", "('max', 'sum')"),
        ({"groups": [{"members": ["tablet", "phone"], "psnr_min": "30 dB"}]}, "groups", "nothing where"),
        ({"costs": {"device_time": {"max": "9 s"}}}, "costs", "nothing where"),
        ({"edge": {"discipline": "reserved"}, "user": {"mechanisms": [TWICE]}}, "users.tablet.mechanisms", "in_turns"),
        ({"edge": {"discipline": "batched"}, "user": {"mechanisms": [TWICE]}}, "users.tablet.mechanisms", "in_turns"),
    ],
)
def test_what_does_not_go_with_a_discipline_is_refused(changes: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        cell(**changes)
    assert caught.value.field == field
    assert words in str(caught.value)


def test_several_edges_reserve_their_shares() -> None:
    fields = {name: value for name, value in FIELDS.items() if name != "edge"}
    with pytest.raises(InvalidInput, match="several edge servers, here 2") as caught:
        Scenario(**fields, edges=NAMED)
    assert caught.value.field == "edges.1.discipline"
    # one edge with a name may serve in turns
    assert Scenario(**fields, edges=NAMED[1:]).discipline == "in_turns"


def test_the_problem_has_the_releases_turns_and_downloads_of_the_stages() -> None:
    table = OptionTable.build(cell())
    problem = table.problem()
    assert isinstance(problem, SequencedEdgeProblem)
    rate = 40e3 / 2 * 1.5
    for k, o in np.argwhere(problem.allowed_mask).tolist():
        own = {"before": 0.0, "turn": 0.0, "after": 0.0, "down": 0.0}
        stages = list(leaves(table.program(k, o)))
        served = [n for n, leaf in enumerate(stages) if isinstance(leaf, Compute) and is_edge(leaf.at)]
        for n, leaf in enumerate(stages):
            when = "before" if not served or n < served[0] else "turn" if n in served else "after"
            if isinstance(leaf, Compute):
                own[when] += table.seconds(leaf)
            elif is_edge(leaf.source):
                own["down"] += table.send_bit(leaf, k)
                own[when] += 5e-3
            else:
                own[when] += table.send_bit(leaf, k) / rate + 5e-3
        found = [getattr(problem, n)[k, o] for n in ("release_s", "edge_work_s", "after_s", "downlink_bit")]
        assert found == pytest.approx(list(own.values()), rel=1e-12)


def test_a_user_who_cannot_send_leaves_its_part_of_the_uplink_to_the_others() -> None:
    table, alone = OptionTable.build(cell()), OptionTable.build(cell(user={"mechanisms": ["local"]}))
    k, o = 1, table.index("SEU-UE-first 3 fp16")
    mine, theirs = alone.problem().release_s[k, alone.index("SEU-UE-first 3 fp16")], table.problem().release_s[k, o]
    sent = next(leaf for leaf in leaves(table.program(k, o)) if isinstance(leaf, Send))
    assert theirs - mine == pytest.approx(table.send_bit(sent, k) / 1.5 * (2 / 40e3 - 1 / 40e3))
    assert alone.serving is not None
    assert table.serving is not None
    assert "1 of 2 users may send, so each has 40 kHz" in alone.serving.notes()[0]
    assert "2 of 2 users may send, so each has 20 kHz" in table.serving.notes()[0]


def test_energy_of_work_before_and_after_the_turn_counts_with_that_of_sending() -> None:
    table = OptionTable.build(cell())
    o = table.index(f"{TWICE} 2-4 fp16")
    costs = table.costs(0, o)
    assert costs is not None
    assert costs.device_compute_j is not None
    on_device = [leaf for leaf in leaves(table.program(0, o)) if isinstance(leaf, Compute) and not is_edge(leaf.at)]
    assert costs.device_compute_j == pytest.approx(4.0 * sum(table.seconds(leaf) for leaf in on_device))
    sent = next(leaf for leaf in leaves(table.program(0, o)) if isinstance(leaf, Send))
    power_w = table.scenario.users[0].device.transmit_power_w
    needed_j = costs.device_compute_j + power_w * table.send_bit(sent, 0) / (20e3 * 1.5)
    for factor, open_ in ((1 + 1e-9, True), (1 - 1e-9, False)):
        limited = OptionTable.build(cell(user={"energy_max": f"{needed_j * factor!r} J"}))
        assert limited.allowed[0, o] == open_


def test_programs_without_one_turn_are_closed_and_say_so() -> None:
    table = OptionTable.build(cell())
    for o, option in enumerate(table.options):
        assert table.allowed[0, o] == (option.mechanism not in ("PEU", "U2E"))
    (words,) = table.closed_by(0, table.index("PEU 0.50 fp16"))
    assert words.startswith("not planned in turns: stage 'send request (fp32) tablet to edge': stages side by side")


def test_a_cycle_of_hand_overs_is_refused_by_its_stage() -> None:
    def stages(option: Option, s: Setting) -> tuple[Stage, ...]:
        whole = list(program(Option(mechanism="SEU-UE-first", cut=2, precision="fp16"), s).stages)
        return (*program(Option(mechanism="SEU", cut=1, precision="fp16"), s).stages[:-2], *whole[1:])

    MECHANISM_REGISTRY.add("back-and-forth", Mechanism(name="back-and-forth", stages=stages))
    try:
        with pytest.raises(Infeasible, match="a chain that comes back to the edge after its turn") as caught:
            OptionTable.build(cell(user={"mechanisms": ["back-and-forth"]})).problem()
        assert "user 'tablet'" in str(caught.value) or "tablet" in str(caught.value)
    finally:
        del MECHANISM_REGISTRY._own["back-and-forth"]


def test_a_chain_that_no_order_can_finish_in_time_is_refused_by_name_value_and_unit() -> None:
    table = OptionTable.build(cell(user={"deadline": "1 ms"}))
    with pytest.raises(Infeasible, match=r"deadline 1 ms: no order can finish it in time, alone it takes") as caught:
        table.problem()
    assert "tablet" in str(caught.value)


def test_a_link_that_carries_nothing_closes_what_needs_it() -> None:
    table = OptionTable.build(cell(user={"uplink_efficiency": "0 bit/s/Hz"}))
    chosen = [option.name for o, option in enumerate(table.options) if table.allowed[0, o]]
    assert chosen == ["local"]


def test_two_hand_overs_are_offered_in_turns_alone() -> None:
    reserved = OptionTable.build(cell(edge={"discipline": "reserved"}))
    assert not [option for option in reserved.options if option.mechanism == TWICE]
    made = [option for option in OptionTable.build(cell()).options if option.mechanism == TWICE]
    assert {(o.cut, o.back) for o in made} == {(i, j) for i in range(1, 6) for j in range(i + 1, 6)}
    setting = OptionTable.build(cell()).setting(0)
    for cut, back in ((0, 3), (3, 3), (2, 6)):
        with pytest.raises(InvalidInput, match="1 <= cut < back <= 5"):
            program(Option(mechanism=TWICE, cut=cut, back=back, precision="fp16"), setting)
