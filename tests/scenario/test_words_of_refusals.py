"""Refusals of a scenario's values speak of the fields as they were written, and say what to do."""

from __future__ import annotations

from typing import Any

import pytest

from megdt_opt import InvalidInput, Scenario

USER = {"name": "a", "downlink_efficiency": "2 bit/s/Hz", "uplink_efficiency": "1 bit/s/Hz"}
PAIR = {"members": ["a", "b"], "psnr_min": "30 dB"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"edges": {"a": 1}}, r"edges: found .*; expected a list of edges, each with a name\. Write"),
        ({"edges": "hall"}, "edges: found 'hall'; expected a list of edges"),
        ({"users": "a"}, "users: found 'a'; expected a list of users"),
        ({"groups": {"members": ["a", "b"]}}, "groups: found .*; expected a list of groups of users"),
        ({"groups": [{**PAIR, "members": "guide"}]}, "groups.0.members: found 'guide'; expected a list of values"),
        ({"name": 3}, r"name: found 3; expected text\. Write it in quotes"),
        ({"edge": {"stretch": 0}}, r"edge.stretch: found 0.*; expected a number (of at least|above)"),
        ({"edge": {"stretch": float("nan")}}, "edge.stretch: found nan; expected a finite number"),
        ({"steps": 0}, "steps: found 0; expected a number of at least 1"),
        ({"objective": "summ"}, r"objective: found 'summ'; expected one of .*Did you mean 'sum'\?"),
        ({"edge": 3}, "edge: found 3; expected a mapping of fields"),
        ({"edge": {"memory": "0 B"}}, "edge.memory: found '0 B'; expected a number above 0 .byte."),
        ({"groups": [{**PAIR, "psnr_min": "-5 dB"}]}, "groups.0.psnr_min: found '-5 dB'; expected a number"),
        ({"channel": {"downlink": "-1 MHz", "uplink": "1 MHz"}}, "channel.downlink: found '-1 MHz'; expected a number"),
        ({"edges": [{"name": "one", "stretchh": 2}]}, "edges.0.stretchh: .*only the fields of an edge.*'stretch'"),
        ({"groups": [{**PAIR, "stepz": [2]}]}, "groups.0.stepz: .*only the fields of a group.*'steps'"),
        ({"chanel": 1}, "chanel: .*only the fields of a scenario.*'channel'"),
    ],
)
def test_a_wrong_value_is_refused_in_plain_words(more: dict[str, Any], words: str) -> None:
    users = [USER, {**USER, "name": "b"}]
    with pytest.raises(InvalidInput, match=words) as refused:
        Scenario(**{"channel": {"downlink": "1 MHz", "uplink": "1 MHz"}, "users": users, **more})
    assert "Input should be" not in str(refused.value)
    assert "Give such a value" not in str(refused.value)


@pytest.mark.parametrize("field", ["downlink_efficiency", "uplink_efficiency", "distance"])
def test_figures_by_edge_without_edges_name_what_is_missing(field: str) -> None:
    figures = {"distance": {"hall": "20 m"}} if field == "distance" else {**USER, field: {"hall": "2 bit/s/Hz"}}
    with pytest.raises(InvalidInput, match=f"edges: found None; expected a list of edges, .*'hall'.*users.0.{field}"):
        Scenario(channel={"downlink": "1 MHz", "uplink": "1 MHz"}, users=[{"name": "a", **figures}])


@pytest.mark.parametrize("text", ["edges:", "groups: null", "edges: ~"])
def test_a_list_that_says_nothing_is_refused_by_its_line(text: str) -> None:
    key = text.partition(":")[0]
    with pytest.raises(InvalidInput, match=f"line 2: {key}: found None; expected a list of {key}. Name them"):
        Scenario.from_yaml(f"name: cell\n{text}\nchannel: {{downlink: 1 MHz, uplink: 1 MHz}}\n")
