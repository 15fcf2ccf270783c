"""Traces: what is drawn, read and refused; links that fade."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdt_opt import InvalidInput
from megdt_opt.online import Service, Trace
from megdt_opt.online.links import Links


def test_arrivals_are_those_of_poisson_processes() -> None:
    trace = Trace.poisson([1.0, 3.0], requests=40_000, seed=1)
    gaps = np.diff(trace.arrival_s)
    assert gaps.mean() == pytest.approx(0.25, rel=0.02)
    assert gaps.std() == pytest.approx(0.25, rel=0.03)
    assert (trace.user == 1).mean() == pytest.approx(0.75, abs=0.01)
    assert len(trace) == 40_000


def test_fading_has_the_spread_and_the_memory_that_were_asked_for() -> None:
    trace = Trace.poisson([1.0, 1.0], requests=20_000, seed=2, slot_s=0.5, fading_db=4.0, fading_memory=0.8)
    assert trace.link_factor is not None
    decibel = 10 * np.log10(trace.link_factor)
    assert decibel.std() == pytest.approx(4.0, rel=0.05)
    assert np.corrcoef(decibel[:-1, 0], decibel[1:, 0])[0, 1] == pytest.approx(0.8, abs=0.03)
    assert np.corrcoef(decibel[:, 0], decibel[:, 1])[0, 1] == pytest.approx(0.0, abs=0.05)
    assert len(trace.link_factor) * 0.5 >= trace.arrival_s[-1]


def test_the_same_seed_gives_the_same_trace() -> None:
    drawn = [Trace.poisson([1.0], requests=50, seed=s, slot_s=1.0, fading_db=2.0) for s in (1, 1, 2)]
    assert (drawn[0].arrival_s == drawn[1].arrival_s).all()
    assert (drawn[0].link_factor == drawn[1].link_factor).all()  # type: ignore[union-attr]
    assert (drawn[0].arrival_s != drawn[2].arrival_s).any()


def test_arrays_of_a_trace_are_its_own() -> None:
    times = np.array([0.0, 1.0])
    trace = Trace(arrival_s=times, user=[0, 0], users=1)
    times[0] = 0.5
    assert trace.arrival_s[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        trace.arrival_s[0] = 1.0


@given(st.integers(0, 10**6), st.floats(0, 12), st.floats(0, 5))
def test_a_payload_ends_when_its_nominal_seconds_have_gone_by(seed: int, start_s: float, nominal_s: float) -> None:
    factor = np.random.default_rng(seed).lognormal(0, 1, (10, 1))
    links = Links(Trace(arrival_s=[9.0], user=[0], users=1, slot_s=1.0, link_factor=factor))
    end = links.end(0, start_s, nominal_s)
    fine = np.linspace(start_s, end, 20_001)
    middle = (fine[1:] + fine[:-1]) / 2
    gone = (factor[np.minimum(middle.astype(int), 9), 0] * np.diff(fine)).sum()
    assert gone == pytest.approx(nominal_s, rel=2e-3, abs=2e-3)
    assert links.ends(0, np.array([start_s]), nominal_s)[0] == pytest.approx(end, rel=1e-12)
    back = links.latest_start(np.array([0]), np.array([end]), np.array([nominal_s]))[0]
    assert back == pytest.approx(start_s, rel=1e-9, abs=1e-9)


GOOD: dict[str, Any] = {"arrival_s": [0.0, 1.0, 2.0], "user": [0, 1, 0], "users": 2}
SLOTS: dict[str, Any] = {"slot_s": 1.0, "link_factor": [[1.0, 1.0], [0.5, 2.0], [1.0, 1.0]]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"arrival_s": [-0.5, 1.0, 2.0]},
            r"^arrival_s \(request 0\): found -0.5; expected a time of at least 0 \[s\]. Beg",
        ),
        ({"arrival_s": [0.0, -1e-9, 2.0]}, r"^arrival_s \(request 1\): found -1e-09"),
        ({"arrival_s": [0.0, np.nan, 2.0]}, r"^arrival_s \(request 1\): found nan"),
        ({"arrival_s": [0.0, np.inf, 2.0]}, r"^arrival_s \(request 1\): found inf"),
        ({"arrival_s": [0.0, 2.0, 1.0]}, r"^arrival_s \(request 2\): found 1.0; .* \[s\]. Sort"),
        ({"arrival_s": [0.0, None, 2.0]}, r"^arrival_s: found 'a missing value at \(1,\)'"),
        ({"user": [0, 1, 2]}, r"^user: found"),
        ({"user": [0, 1]}, r"^user: found"),
        ({"users": 0}, r"^users: found 0"),
        ({"slot_s": 1.0}, r"^slot_s: found 1.0; expected the length of a slot \[s\] and the factors"),
        (
            {**SLOTS, "link_factor": [[1.0, 1.0], [np.nan, 1.0]]},
            r"^link_factor \(slot 1, user 0\): found nan; .*missing. F",
        ),
        ({**SLOTS, "link_factor": [[1.0, 1.0], [1.0, 0.0]]}, r"^link_factor \(slot 1, user 1\): found 0.0"),
        ({**SLOTS, "link_factor": [[1.0, 1.0]]}, r"^link_factor: found '1 slots up to 1 s'; .*2 s. Add the slots"),
        ({**SLOTS, "link_factor": [[1.0], [1.0], [1.0]]}, r"^link_factor: found \(3, 1\)"),
        ({**SLOTS, "slot_s": 0.0}, r"^slot_s: found 0.0; expected a finite number above 0 \[s\]"),
    ],
)
def test_wrong_traces_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Trace(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rate_per_s": [0.0, 0.0]}, "rate_per_s"),
        ({"rate_per_s": [1.0, -1.0]}, "rate_per_s"),
        ({"requests": 0}, "requests"),
        ({"requests": 10**9}, "requests"),
        ({"seed": -1}, "seed"),
        ({"fading_db": 3.0}, "slot_s"),
        ({"slot_s": 1.0, "fading_memory": 1.0}, "fading_memory"),
        ({"slot_s": 1.0, "fading_db": np.nan}, "fading_db"),
    ],
)
def test_wrong_numbers_to_draw_are_refused_by_name(change: dict[str, Any], field: str) -> None:
    given_: dict[str, Any] = {"rate_per_s": [1.0, 1.0], "requests": 5, **change}
    with pytest.raises(InvalidInput, match=f"^{field}"):
        Trace.poisson(given_.pop("rate_per_s"), **given_)


def test_a_trace_is_read_from_tables(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("request,arrival_s,user\n0,0.5,phone\n1,1.25,panel\n")
    (tmp_path / "links.csv").write_text("slot,panel,phone\n0,1,0.5\n1,2,1\n")
    trace = Trace.load(tmp_path / "trace.csv", ["phone", "panel"], slot_s=1.0, links=tmp_path / "links.csv")
    assert trace.arrival_s.tolist() == [0.5, 1.25]
    assert trace.user.tolist() == [0, 1]
    assert trace.link_factor is not None
    assert trace.link_factor.tolist() == [[0.5, 1.0], [1.0, 2.0]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,0.5,phone\n2,1.0,phone\n", r"line 3: request: found 'another number'; expected 1: .* without a gap"),
        ("0,0.5,phone\n1,,phone\n", r"line 3: arrival_s: found 'no finite number'"),
        ("0,nan,phone\n", r"line 2: arrival_s"),
        ("0,0.5,tablet\n", r"line 2: user"),
        ("0,0.5\n", r"line 2: found 'another number of cells'"),
    ],
)
def test_a_table_with_a_gap_is_refused_by_file_and_line(rows: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("request,arrival_s,user\n" + rows)
    with pytest.raises(InvalidInput, match=message):
        Trace.load(path, ["phone"])


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("time,user\n0.5,phone\n")
    with pytest.raises(InvalidInput, match="a CSV with the columns"):
        Trace.load(path, ["phone"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edge_s": [1.0, np.nan]}, r"^edge_s \(user 1\): found nan"),
        ({"edge_s": [1.0, -1.0]}, r"^edge_s \(user 1\): found -1.0"),
        ({"local_s": [1.0]}, r"^local_s: found \(1,\)"),
        ({"local_s": [1.0, np.inf], "edge_s": [1.0, np.inf]}, r"^local_s \(user 1\): found inf; .*\[s\]. Give one"),
        ({"downlink_s": [0.0, np.inf]}, r"^downlink_s \(user 1\)"),
        ({"weight": [1.0, 0.0]}, r"^weight \(user 1\)"),
        ({"deadline_s": [1.0, np.nan]}, r"^deadline_s \(user 1\)"),
        ({"compute_w": [1.0, -1.0]}, r"^compute_w \(user 1\)"),
        ({"edge_w": -1.0}, r"^edge_w"),
        ({"names": ("a",)}, r"^names"),
        ({"speculates": [1, 2]}, r"^speculates"),
    ],
)
def test_wrong_services_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Service(**{"local_s": [1.0, 1.0], "edge_s": [1.0, 1.0], **change})
