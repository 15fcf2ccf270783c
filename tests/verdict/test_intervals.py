"""Intervals cover what they say, on series that drift too; their file is the user's, whole, and not taken on trust."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from honest import honest, made_plan
from hypothesis import given
from hypothesis import strategies as st

from megdt_opt.errors import InvalidInput
from megdt_opt.verdict.checking import with_intervals
from megdt_opt.verdict.deadlines import deadlines_at_level
from megdt_opt.verdict.evidence import Cause, ratio_figure
from megdt_opt.verdict.intervals import LEAST, RollingIntervals, interval_words
from megdt_opt.verdict.store import LatencyStore, default_path, key_of
from megdt_opt.verdict.verdict import Verdict


def series(rng, kind, count):
    """Errors that are the same throughout, wander, jump, widen, or come in waves."""
    noise = rng.normal(0, 0.05, count)
    at = np.arange(count)
    return {
        "steady": noise,
        "heavy tails": 0.04 * rng.standard_t(3, count),
        "drifting": noise + np.cumsum(rng.normal(0, 0.006, count)),
        "jumping": noise + np.where(at < count // 2, 0.0, 0.2),
        "widening": noise * (1 + 2 * at / count),
        "waves": noise + 0.08 * np.sin(at / 15),
    }[kind]


def coverage(errors, users=1):
    """Part of the latencies that lie in the interval stated before their run."""
    rolling, hits = RollingIntervals(), []
    for run in errors.reshape(-1, users):
        found = rolling.interval()
        if found is not None:
            hits += [found.low <= e <= found.high for e in run]
        rolling.add(list(run))
    return float(np.mean(hits))


@given(st.integers(0, 10_000), st.sampled_from(["steady", "heavy tails", "drifting", "jumping", "widening", "waves"]))
def test_intervals_cover_what_they_say_however_errors_drift(seed, kind):
    found = coverage(series(np.random.default_rng(seed), kind, 640))
    assert 0.86 <= found <= 0.945, (kind, found)


@pytest.mark.parametrize("users", [2, 4])
def test_users_of_one_run_vary_together(users):
    rng = np.random.default_rng(users)
    common = np.repeat(rng.normal(0, 0.05, 400), users)
    assert 0.85 <= coverage(common + rng.normal(0, 0.02, 400 * users), users) <= 0.95


def test_before_enough_latencies_there_is_no_interval():
    rolling = RollingIntervals()
    for number in range(LEAST - 1):
        rolling.add([0.01 * (number % 5)])
    assert rolling.interval() is None
    assert interval_words(rolling) == f"no interval yet ({LEAST - 1} of {LEAST} earlier latencies)"
    rolling.add([0.0])
    assert "90 % interval" in interval_words(rolling)


def test_drift_is_seen_where_it_is_and_not_where_it_is_not():
    rng = np.random.default_rng(1)
    rolling = RollingIntervals()
    for error in rng.normal(0, 0.03, 300):
        rolling.add([float(error)])
        assert not rolling.drift
    for error in rng.normal(0.3, 0.03, 12):
        rolling.add([float(error)])
    assert rolling.drift


def test_errors_are_kept_by_machine_mode_and_model(tmp_path):
    path = tmp_path / "deep" / "latencies.json"
    key = key_of("paced", "twin", "planned")
    store = LatencyStore(path)
    store.add(key, [[0.01, 0.02]] * 30)
    store.add(key_of("raw", "twin", "planned"), [[0.5]])
    again = LatencyStore(path)
    assert again.rolling(key).latencies == 60
    assert again.rolling(key).interval().high == pytest.approx(0.02)
    assert again.rolling("another").latencies == 0
    assert [p.name for p in path.parent.iterdir()] == ["latencies.json"]


def test_the_file_lies_where_state_of_users_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "megdt-opt" / "latencies.json"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": "other", "runs": {}}', '{"format": "megdt-opt latencies 1"}',
             '{"format": "megdt-opt latencies 1", "runs": {"a": [["x"]]}}',
             '{"format": "megdt-opt latencies 1", "runs": {"a": [[NaN]]}}']
)  # fmt: skip
def test_what_is_no_such_file_is_refused_and_left(tmp_path, text):
    path = tmp_path / "latencies.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput):
        LatencyStore(path)
    assert path.read_text(encoding="utf-8") == text


def test_a_file_that_everybody_may_write_is_refused(tmp_path):
    path = tmp_path / "latencies.json"
    path.write_text(json.dumps({"format": "megdt-opt latencies 1", "runs": {}}), encoding="utf-8")
    path.chmod(0o666)
    with pytest.raises(InvalidInput, match="everybody"):
        LatencyStore(path)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(tmp_path):
    path = tmp_path / "latencies.json"
    path.write_text(json.dumps({"format": "megdt-opt latencies 1", "runs": {}}), encoding="utf-8")
    os.chown(path, 12345, 12345)
    with pytest.raises(InvalidInput, match="a file of yours"):
        LatencyStore(path)


def test_deadlines_at_a_level_are_refused_before_and_tightened_after():
    scenario = made_plan().scenario.model_copy(
        update={"users": tuple(u.model_copy(update={"deadline_s": 2.0}) for u in made_plan().scenario.users)}
    )
    rolling = RollingIntervals()
    with pytest.raises(InvalidInput, match="deadlines at a level"):
        deadlines_at_level(scenario, rolling)
    for number in range(60):
        rolling.add([0.1 if number % 2 else -0.1])
    assert [u.deadline_s for u in deadlines_at_level(scenario, rolling).users] == pytest.approx([2.0 / 1.1] * 2)
    with pytest.raises(InvalidInput, match="level of deadlines"):
        deadlines_at_level(scenario, rolling, 0.95)


def test_a_verdict_states_each_users_interval_and_keeps_runs_whose_inputs_hold(tmp_path):
    made, path = made_plan(), tmp_path / "latencies.json"
    good = Verdict(mode="paced", runs=5, figures=(), unjudged=())
    first = with_intervals(good, made, [honest()] * 20, path)
    assert first.words[-1].startswith("Latencies: no interval yet (0 of 40")
    second = with_intervals(good, made, [honest()], path)
    assert set(second.intervals.users) == {"a", "b"}
    assert second.to_dict()["intervals"]["recalibrate"] is False
    wrong = ratio_figure(Cause.LINK, "x", 1.0, 2.0, "bit/s", limit=1.1)
    with_intervals(Verdict(mode="paced", runs=5, figures=(wrong,), unjudged=()), made, [honest()] * 9, path)
    assert LatencyStore(path).rolling(key_of("paced", made.table.spec.name, "planned")).latencies == 42
