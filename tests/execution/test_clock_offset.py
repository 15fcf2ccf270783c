"""Clock offsets by four time stamps, and what a probe of a link makes of its transfers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdt_opt.errors import ExecutionError, InvalidInput
from megdt_opt.execution.clock_offset import ClockOffset, within
from megdt_opt.execution.link_probe import LinkMeasured

delay = st.floats(1e-6, 0.5)


@given(st.floats(-1e5, 1e5), st.lists(st.tuples(delay, delay, st.floats(0, 0.1)), min_size=1, max_size=20))
def test_the_true_offset_lies_in_the_interval_whatever_the_ways_take(offset_s, ways):
    exchanges, now = [], 100.0
    for there, back, rests in ways:
        exchanges.append((now, now + there + offset_s, now + there + rests + offset_s, now + there + rests + back))
        now += 1.0
    found = within(exchanges)
    assert found.low_s - 1e-6 <= offset_s <= found.high_s + 1e-6
    shortest = min(there + back for there, back, _ in ways)
    assert 2 * found.uncertainty_s <= shortest + 1e-6


def test_the_narrowest_exchange_decides():
    found = within([(0.0, 5.4, 5.5, 1.0), (2.0, 7.01, 7.01, 2.02)])
    assert (found.low_s, found.high_s) == (pytest.approx(4.99), pytest.approx(5.01))
    assert found.offset_s == pytest.approx(5.0)


def test_a_drift_is_within_what_is_joined():
    assert ClockOffset(1.0, 1.2).joined(ClockOffset(1.1, 1.4)) == ClockOffset(1.0, 1.4)


@pytest.mark.parametrize(
    "exchanges",
    [
        [(1.0, 5.0, 5.0, 0.9)],  # the caller's clock was set back
        [(0.0, 5.0, 4.9, 1.0)],  # the other's was
        [(0.0, 5.0, 5.0, 0.01), (1.0, 9.0, 9.0, 1.01)],  # it was moved between two exchanges
    ],
)
def test_a_clock_that_is_set_meanwhile_is_refused(exchanges):
    with pytest.raises(ExecutionError, match="clock"):
        within(exchanges)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"rate_bit_per_s": 0.0}, "rate_bit_per_s"),
        ({"rate_bit_per_s": math.nan}, "rate_bit_per_s"),
        ({"fastest_bit_per_s": math.inf}, "fastest_bit_per_s"),
        ({"fastest_bit_per_s": 1e13}, "fastest_bit_per_s"),
        ({"slowest_bit_per_s": -1.0}, "slowest_bit_per_s"),
        ({"slowest_bit_per_s": 2e6}, "rate_bit_per_s"),
        ({"slowest_bit_per_s": 1e5, "fastest_bit_per_s": 4e5, "rate_bit_per_s": 2e5}, "rate"),
        ({"round_trip_s": 0.0}, "round_trip_s"),
        ({"round_trip_s": -0.01}, "round_trip_s"),
        ({"round_trip_s": 61.0}, "round_trip_s"),
        ({"round_trip_s": "soon"}, "probe"),
    ],
)
def test_what_no_link_can_be_is_refused(changes, name):
    good = {
        "rate_bit_per_s": 1e6,
        "slowest_bit_per_s": 9e5,
        "fastest_bit_per_s": 1.1e6,
        "round_trip_s": 0.01,
        "byte": 1,
    }
    assert LinkMeasured.from_dict(good).to_dict() == good
    with pytest.raises(InvalidInput, match=name):
        LinkMeasured.from_dict({**good, **changes})
