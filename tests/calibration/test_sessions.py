"""Repeated sessions of a calibration, and intervals that say where a later one lies. No time is asserted."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import spread

from megdt_opt.calibration import calibrate, environment
from megdt_opt.calibration.environment import OtherLoad, wait_until_idle
from megdt_opt.errors import InvalidInput, ProfileError
from megdt_opt.models import reference
from megdt_opt.models.diffusers.model import DiffusersModel
from megdt_opt.program.stages import Kind
from megdt_opt.report.profile_grids import profile_grid
from megdt_opt.timing.fit import later_interval
from megdt_opt.timing.profile import Cell, TimingProfile

pytestmark = pytest.mark.alone  # times of the machine

RESULTS = Path(__file__).parents[2] / "experiments" / "calibration" / "results"


@pytest.fixture(scope="module")
def profile(model: DiffusersModel) -> TimingProfile:
    kinds = ["denoise", "decode"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "BLOCK_S", 0.001)
        return calibrate(
            model, kinds=kinds, batches=(1, 2), held_out_batches=(), samples=3, warmup=1, sessions=3, pause_s=0.01
        )


def test_every_session_is_kept_with_its_samples_and_moments(profile: TimingProfile, tmp_path: Path) -> None:
    for cell in profile.cells:
        assert cell.sessions == (3, 3, 3)
        assert len(cell.samples_s) == len(cell.at_s) == 9
        assert list(cell.at_s[::3]) == sorted(cell.at_s[::3])
        assert cell.session(2).samples_s == cell.samples_s[6:]
        assert len(cell.reference_s) == 9
        assert cell.session(2).reference_s == cell.reference_s[6:]
    assert len(profile.provenance.texts) in (0, 3)
    profile.save(tmp_path / "three.json")
    assert TimingProfile.load(tmp_path / "three.json") == profile


@pytest.mark.parametrize("asked", [{}, {"batch": 2}, {"batch": 5}, {"rows": 4}, {"rows": 4, "batch": 2}, {"rows": 3}])
@pytest.mark.parametrize("spread", [0.02, 0.5, 1.5], ids=["calm", "shared", "wild"])
def test_an_interval_of_several_sessions_holds_its_time_and_grows_with_its_level(
    spread: float, asked: dict[str, int], profile: TimingProfile
) -> None:
    """Also where sessions are so unlike that a fit through one of them alone would be below zero."""
    rng = np.random.default_rng(3)
    speeds = np.exp(spread * rng.standard_normal(3))
    means = {(1, None): 0.1, (2, None): 0.15, (1, 2): 0.04, (1, 4): 0.06}
    cells = []
    for (batch, rows), mean_s in means.items():
        samples = [mean_s * f * s for f in speeds for s in rng.uniform(1 - spread / 4, 1 + spread / 4, 5)]
        more = {} if rows is None else {"rows": rows, "rows_total": 8}
        cells.append(Cell(kind="denoise", batch=batch, samples_s=tuple(samples), sessions=(5, 5, 5), **more))
    made = replace(profile, cells=tuple(cells), held_out=())
    time_s = made.stage_s(Kind.DENOISE, **asked)
    narrow = made.stage_interval_s(Kind.DENOISE, **asked, level=0.5)
    wide = made.stage_interval_s(Kind.DENOISE, **asked)
    assert narrow is not None
    assert wide is not None
    assert wide[0] <= narrow[0] <= time_s <= narrow[1] <= wide[1]
    assert any("where a later session's lies, by 3 sessions" in note for note in profile_grid(profile).notes)


def test_the_interval_of_a_later_session_is_students() -> None:
    """By hand: logarithms 0, 0.1, 0.2; mean 0.1, deviation 0.1, t of 2 degrees at 95 % 4.302653, sqrt(4/3)."""
    low, high = later_interval([1.0, math.exp(0.1), math.exp(0.2)])
    half = 4.302652729749464 * 0.1 * math.sqrt(4 / 3)
    assert (low, high) == pytest.approx((math.exp(0.1 - half), math.exp(0.1 + half)), rel=1e-9)
    assert later_interval([2.0, 2.0], 0.9) == pytest.approx((2.0, 2.0))


@pytest.mark.parametrize("sessions", [2, 3, 5, 8])
def test_of_later_sessions_as_many_lie_inside_as_is_said(sessions: int) -> None:
    """Machines that are 10 % faster or slower in each session, and samples with 2 % of noise: 90 % of the medians."""
    rng, inside = np.random.default_rng(sessions), 0
    for _ in range(1000):
        speed = np.exp(0.1 * rng.standard_normal(sessions + 1))
        medians = [float(np.median(s * np.exp(0.02 * rng.standard_normal(9)))) for s in speed]
        low, high = later_interval(medians[:-1], 0.9)
        inside += low <= medians[-1] <= high
    assert 0.87 <= inside / 1000 <= 0.93


def test_one_session_does_not_cover_what_a_machine_does_later() -> None:
    """Why sessions are repeated: the interval of one session misses most of the later medians."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(200):
        now, later = (s * np.exp(0.02 * rng.standard_normal(20)) for s in np.exp(0.1 * rng.standard_normal(2)))
        low, high = Cell(kind="decode", batch=1, samples_s=now).interval_s
        inside += low <= float(np.median(later)) <= high
    assert inside / 200 < 0.5


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"sessions": 0}, "sessions"),
        ({"sessions": 2.0}, "sessions"),
        ({"sessions": 2, "pause_s": -1}, "pause_s"),
        ({"sessions": 2, "pause_s": math.nan}, "pause_s"),
        ({"wait_s": math.inf}, "wait_s"),
        ({"wait_s": "10 s"}, "wait_s"),
        ({"pause_s": 60.0}, "pause_s"),
    ],
)
def test_sessions_that_cannot_be_held_are_refused(
    model: DiffusersModel, arguments: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput, match=field):
        calibrate(model, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("sessions", [(2, 2), (3, 1), (0, 3), (3.5,), "abc"])
def test_counts_that_are_not_those_of_the_samples_are_refused(sessions: object) -> None:
    with pytest.raises(ProfileError, match="sessions of decode"):
        Cell(kind="decode", batch=1, samples_s=(0.1, 0.2, 0.3), sessions=sessions)  # type: ignore[arg-type]


def test_stages_of_unlike_sessions_have_the_interval_of_one(profile: TimingProfile) -> None:
    first, *others = [cell for cell in profile.cells if cell.kind is Kind.DECODE]
    mixed = replace(profile, cells=(replace(first, sessions=()), *others))
    found = mixed.stage_interval_s(Kind.DECODE)
    assert found is not None
    assert found[1] == first.interval_s[1]


# ---- a busy machine


@pytest.mark.parametrize(("busy", "looks"), [([1.84, 1.9, 0.0], 3), ([0.0], 1), ([1.5, 0.2], 2)])
def test_a_calibration_waits_for_a_busy_machine_and_says_so(
    busy: list[float], looks: int, model: DiffusersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([*busy, *[0.0] * 100])
    seen: list[float] = []

    def cores(_: OtherLoad) -> float:
        seen.append(next(found))
        return seen[-1]

    monkeypatch.setattr(OtherLoad, "cores", cores)
    monkeypatch.setattr(environment, "cores", lambda: 2)
    monkeypatch.setattr(environment, "_LOOK_S", 0.001)
    told: list[str] = []
    made = calibrate(
        model, kinds=["decode"], batches=(1,), held_out_batches=(), samples=2, warmup=1, wait_s=60.0,
        on_progress=lambda done, total, what: told.append(what),
    )  # fmt: skip
    assert seen[:looks] == busy
    waits = [what for what in told if what.startswith("waiting: other processes leave")]
    assert len(waits) == looks - 1
    assert made.provenance.idle_share == 1.0


def test_the_wait_ends_where_the_machine_stays_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OtherLoad, "cores", lambda _: 2.0)
    monkeypatch.setattr(environment, "cores", lambda: 2)
    monkeypatch.setattr(environment, "_LOOK_S", 0.01)
    told: list[float] = []
    wait_until_idle(1, 0.05, told.append)
    assert told
    assert set(told) == {0.05}


def test_the_least_idle_session_counts(model: DiffusersModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three sessions, of which the second had 60 % of a core."""
    shares = iter([1.0, 0.6, 1.0])
    monkeypatch.setattr(OtherLoad, "idle_share", lambda *_: next(shares))
    made = calibrate(
        model, kinds=["decode"], batches=(1,), held_out_batches=(), samples=2, warmup=1, sessions=3, threads=1
    )
    assert made.provenance.idle_share == 0.6
    found = made.stage_interval_s(Kind.DECODE)
    medians = [made.cells[0].session(number).median_s for number in range(3)]
    low, high = later_interval(medians)
    assert found == pytest.approx((min(low, made.stage_s(Kind.DECODE) * 0.6), max(high, made.stage_s(Kind.DECODE))))


# ---- what was measured


@pytest.mark.parametrize(
    "name", [path.stem.removeprefix("profile_") for path in sorted(RESULTS.glob("profile_*.json"))]
)
def test_as_many_medians_of_later_sessions_lie_inside_as_is_said(name: str) -> None:
    """Kept runs of held_out.py and spread.py: of later medians 80 to 97 % are in the stated 90 % interval."""
    made = TimingProfile.load(RESULTS / f"profile_{name}.json")
    kept = json.loads((RESULTS / f"held_out_{name}.json").read_text(encoding="utf-8"))
    later = [cell for session in kept["sessions"] for cell in session["cells"]]
    inside = 0
    for cell in later:
        asked = {key: cell[key] for key in ("kind", "batch", "rows", "codec")}
        low, high = made.stage_interval_s(**asked, level=0.9) or (math.nan, math.nan)
        inside += low <= statistics.median(cell["samples_s"]) <= high
    assert len(kept["sessions"]) >= 5
    assert min(session.get("after_calibration_s", session["age_s"]) for session in kept["sessions"]) >= 600.0
    assert inside / len(later) == pytest.approx(kept["coverage"]["inside"]["share"])
    assert 0.80 <= inside / len(later) <= 0.97


def test_sessions_spread_over_an_evening_lie_inside_as_often_as_is_said() -> None:
    """Judged anew from the kept sessions; the page and the summary have these figures."""
    found = spread.judge_all()
    assert found == json.loads(spread.SUMMARY.read_text(encoding="utf-8"))
    page = (RESULTS.parent / "README.md").read_text(encoding="utf-8")
    for load in found["loads"].values():
        inside = load["coverage"]["inside"]
        assert len(load["after_calibration_s"]) >= 5
        assert min(load["after_calibration_s"]) >= 600.0
        assert f"{inside['share']:.1%}".replace("%", " %").replace(".0 ", " ") in page
        assert ", ".join(map(str, inside["by_session"])) in page
    assert sum(0.80 <= load["coverage"]["inside"]["share"] <= 0.97 for load in found["loads"].values()) >= 2
    assert 0.80 <= found["together"]["share"] <= 0.97
