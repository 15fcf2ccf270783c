"""Each wrong input is noticed and named; an honest run raises no alarm; what cannot be judged is said with a remedy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from honest import IMAGE, changed, honest, made_plan, picture, probes, profile, stated

from megdt_opt.errors import ProfileError
from megdt_opt.report.page import page_text
from megdt_opt.report.result import result_text
from megdt_opt.report.run_grids import input_grid
from megdt_opt.timing.profile import Cell, TimingProfile
from megdt_opt.timing.reference import Reference
from megdt_opt.verdict import limits
from megdt_opt.verdict.checking import _retimed
from megdt_opt.verdict.evidence import Cause
from megdt_opt.verdict.limits import PSNR_DB
from megdt_opt.verdict.verdict import judge_inputs

SEND = "send"


def judge(*runs, speed=1.0, **more):
    """The verdict on five runs: the given ones last, honest ones before."""
    listed = [honest(runs[-1].mode)] * (5 - len(runs)) + list(runs)
    given = {"pictures": [picture("a"), picture("b")], "probes": probes()} | more
    given["retimed"] = [retimed_of(run, speed) for run in listed]
    return judge_inputs(stated(), listed, **given)


def retimed_of(run, speed=1.0):
    """Stages as they would be timed beside a reference kernel where a run's rows say what they take, on a machine on
    which that kernel takes `speed` times as long as in the calibration."""
    rows = {(r.user, r.index): r for r in run.rows}
    pairs = [(s, rows[key]) for key, s in stated().stages.items() if key in rows and s.kind in ("denoise", "decode")]
    return {(s.actor, s.kind, s.rows): row.cpu_s / s.amount / speed for s, row in pairs}


@pytest.mark.parametrize("mode", ["paced", "raw"])
def test_an_honest_run_raises_no_alarm(mode):
    run = honest(mode)
    if mode == "raw":  # in a raw run a stage lasts its own computing over its share
        run = changed(
            run,
            lambda r: {"end_s": r.start_s + r.busy_s / stated().stages[r.user, r.index].pace},
            lambda r: not r.kind.startswith(SEND),
        )
    found = judge(*[run] * 5)
    assert found.ok, found.words
    assert {"plan", "payload", "model", "link", "profile"} <= set(found.judged)
    assert found.headline.startswith("The inputs hold")


def altered(run):
    """The edge executed another program for a user."""
    name = next(iter(stated().programs))
    return replace(run, programs={**run.programs, "edge": {**stated().programs, name: "0" * 64}})


WRONG = {
    "plan: another program at the edge": (Cause.PLAN, lambda: judge(altered(honest()))),
    "plan: a program that nobody planned": (
        Cause.PLAN,
        lambda: judge(replace(honest(), programs={"a": {**stated().programs, "c": "1"}})),
    ),
    "plan: a program that was left out": (Cause.PLAN, lambda: judge(replace(honest(), programs={"a": {}}))),
    "payload: 30 % larger": (
        Cause.PAYLOAD,
        lambda: judge(
            changed(honest(), lambda r: {"payload_byte": round(1.3 * r.payload_byte)}, lambda r: SEND in r.kind)
        ),
    ),
    "payload: 3 % smaller": (
        Cause.PAYLOAD,
        lambda: judge(
            changed(honest(), lambda r: {"payload_byte": round(0.97 * r.payload_byte)}, lambda r: SEND in r.kind)
        ),
    ),
    "model: far from the unsplit picture": (Cause.MODEL, lambda: judge(honest(), pictures=[picture("a", 12.0)])),
    "model: another picture than the planned split makes": (
        Cause.MODEL,
        lambda: judge(honest(), pictures=[picture("b", 40.0, replayed_db=55.0)]),
    ),
    "model: later runs make another picture": (
        Cause.MODEL,
        lambda: judge(replace(honest(), images={"a": IMAGE + 9, "b": IMAGE})),
    ),
    "link: probe 30 % slow": (Cause.LINK, lambda: judge(honest(), probes=probes(a_edge=1 / 1.3))),
    "link: probe a third too fast": (Cause.LINK, lambda: judge(honest(), probes=probes(edge_b=1.33))),
    "share: blocks last 30 % longer": (
        Cause.SHARE,
        lambda: judge(
            *[
                changed(
                    honest(),
                    lambda r: {"end_s": r.start_s + 1.3 * (r.end_s - r.start_s)},
                    lambda r: r.actor == "edge" and SEND not in r.kind,
                )
            ]
            * 3
        ),
    ),
    "profile: 30 % more processor seconds": (
        Cause.PROFILE,
        lambda: judge(*[changed(honest(), lambda r: {"cpu_s": 1.3 * r.cpu_s}, lambda r: r.actor == "edge")] * 3),
    ),
    "profile: 30 % fewer": (
        Cause.PROFILE,
        lambda: judge(*[changed(honest(), lambda r: {"cpu_s": r.cpu_s / 1.3}, lambda r: r.actor == "a")] * 3),
    ),
    "profile: as many on a machine that is faster now": (Cause.PROFILE, lambda: judge(honest(), speed=1 / 1.3)),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_input_is_noticed_and_named(kind):
    cause, make = WRONG[kind]
    found = make()
    assert not found.ok
    assert found.cause is cause, found.words
    assert found.headline.startswith(f"Wrong input: {cause} (")


def test_a_link_that_was_not_probed_is_judged_by_long_sends_alone():
    found = judge(honest(), probes=())
    assert found.ok
    assert Cause.LINK in {one.cause for one in found.unjudged}
    rows = changed(honest(), lambda r: {"payload_byte": round(2 * stated().stages[r.user, r.index].pace / 8)})
    late = changed(rows, lambda r: {"end_s": r.start_s + 2.6}, lambda r: SEND in r.kind)
    assert Cause.LINK in {figure.cause for figure in judge(late, probes=()).alarms}


def test_exact_comparisons_go_before_what_may_follow_from_them():
    slow = judge(altered(honest()), pictures=[picture("a", 10.0)], probes=probes(a_edge=0.2))
    assert slow.cause is Cause.PLAN
    assert {figure.cause for figure in slow.alarms} == {Cause.PLAN, Cause.MODEL, Cause.LINK}


def test_a_machine_that_is_slower_now_is_no_wrong_profile():
    slower = changed(honest(), lambda r: {"cpu_s": 1.3 * r.cpu_s, "busy_s": 1.3 * r.busy_s})
    assert judge(*[slower] * 5, speed=1.3).ok


def test_one_slow_run_of_five_is_no_wrong_profile():
    assert judge(changed(honest(), lambda r: {"cpu_s": 1.5 * r.cpu_s})).ok


def test_computing_beyond_its_slot_is_blamed_on_the_profile_and_not_on_the_share():
    """Slots that are too short for what is computed end late, whoever keeps the share."""

    def longer(r):
        took_s = 1.4 * (r.end_s - r.start_s)
        return {"end_s": r.start_s + took_s, "busy_s": took_s, "cpu_s": 1.4 * r.cpu_s, "late_steps": 1}

    run = changed(honest(), longer, lambda r: SEND not in r.kind)
    assert judge(*[run] * 5).cause is Cause.PROFILE


def test_short_stages_say_nothing_about_a_share():
    run = changed(
        honest(), lambda r: {"end_s": r.start_s + 3 * (r.end_s - r.start_s)}, lambda r: r.end_s - r.start_s < 0.05
    )
    assert Cause.SHARE not in {figure.cause for figure in judge(*[run] * 5).alarms}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reference": None}, "no reference kernel"),
        ({"reference": Reference(weight_byte=1, samples_s=(0.01,), kernel=1)}, "another one than today's"),
        ({"elsewhere": True}, "it was measured on"),
        ({"runs": 2}, "2 of 5 runs"),
    ],
)
def test_what_cannot_be_judged_is_said_with_a_remedy(changes, reason):
    known = stated()
    machines = {}
    for actor, machine in known.machines.items():
        own = machine.profile
        if "reference" in changes:
            own = replace(own, reference=changes["reference"])
        if "elsewhere" in changes:
            hardware = {**own.provenance.hardware, "processor": "another one"}
            own = replace(own, provenance=replace(own.provenance, hardware=hardware))
        machines[actor] = replace(machine, profile=own)
    runs = [honest()] * changes.get("runs", 5)
    found = judge_inputs(
        replace(known, machines=machines),
        runs,
        retimed=[retimed_of(run) for run in runs],
    )
    (first, *_) = [one for one in found.unjudged if one.cause is Cause.PROFILE]
    assert reason in first.reason
    assert first.remedy
    assert "profile" in found.headline.partition("Not judged:")[2]


def test_a_coded_picture_may_vary_as_those_of_the_calibration():
    from megdt_opt.verdict.stated import _spread

    assert 1.05 < _spread(profile(), "png") < 2.0


def test_the_verdict_stands_first_in_page_terminal_and_result():
    found = judge(honest(), probes=probes(a_edge=1 / 1.3))
    page = page_text(made_plan(), honest(), verdict=found)
    assert page.index("Wrong input: link") < page.index("with 2 mechanisms")
    assert '"cause": "link"' in result_text(made_plan(), honest(), verdict=found)
    grid = input_grid(found)
    assert grid.rows[0][0] == "link"
    assert grid.rows[0][-1] == "off"


def test_a_profile_keeps_its_reference(tmp_path):
    made = profile()
    made.save(tmp_path / "p.json")
    again = TimingProfile.load(tmp_path / "p.json")
    assert again.reference == made.reference
    assert again.stretched(3, "x").reference == made.reference
    assert TimingProfile.bundled("twin-cpu").reference is None


def test_a_file_that_does_not_name_its_kernel_has_the_first():
    assert Reference.from_dict({"weight_byte": 1, "samples_s": [1.0]}).kernel == 1
    again = Reference(weight_byte=1, samples_s=(1.0,))
    assert Reference.from_dict(again.to_dict()) == again
    assert again.kernel > 1


def test_the_reference_counts_around_a_stages_own_samples(tmp_path):
    """Samples of 4, 6 and 10 ms beside 2, 3 and 4 ms are 2, 2 and 2.5 times the kernel: it took 6/2 ms meanwhile."""
    made = profile()
    cell = Cell(kind="decode", batch=1, samples_s=(4e-3, 6e-3, 10e-3), reference_s=(2e-3, 3e-3, 4e-3))
    own = replace(made, cells=(cell, *(c for c in made.cells if c.key != cell.key)))
    own.save(tmp_path / "p.json")
    for one in (own, TimingProfile.load(tmp_path / "p.json"), own.stretched(3, "x")):
        assert np.isclose(one.reference_s("decode"), 3e-3)
        assert one.reference_s("denoise") == 0.01  # no samples of its own: that of all runs
    assert replace(own, reference=None).reference_s("decode") is None


@pytest.mark.parametrize("reference_s", [(2e-3,), (2e-3, 0.0, 1e-3), (2e-3, float("nan"), 1e-3)])
def test_times_of_the_kernel_that_fit_no_samples_are_refused(reference_s):
    with pytest.raises(ProfileError, match="reference_s"):
        Cell(kind="decode", batch=1, samples_s=(4e-3, 6e-3, 10e-3), reference_s=reference_s)


class Processes:
    """Actors whose stages take so much longer than calibrated in each round."""

    def __init__(self, *factors):
        self.left, self.rounds = list(factors), 0

    def measure_beside(self, actor, probe, weight_byte, samples):
        if (actor, probe.kind) == ("edge", "denoise"):
            self.rounds += 1
        factor = self.left[min(self.rounds, len(self.left)) - 1]
        cell_s = next(
            s.slot_s / stated().machines[s.actor].stretch / s.amount
            for s in stated().stages.values()
            if (s.actor, s.kind) == (actor, probe.kind)
        )
        return [(factor * cell_s, 0.01)] * samples


@pytest.mark.parametrize(
    ("factors", "rounds", "cause"),
    [
        ((1.03,), 5, None),
        ((1.3,), 5, Cause.PROFILE),
        ((1 / 1.3,), 5, Cause.PROFILE),
        ((1.16,), 15, Cause.PROFILE),
        ((*[1.16] * 5, *[1.0] * 10), 10, None),
    ],
    ids=["honest", "30 % slower", "30 % faster", "close to the limit for long", "close for a moment"],
)
def test_a_profile_close_to_its_limit_is_looked_at_again(factors, rounds, cause, monkeypatch):
    monkeypatch.setattr(limits, "CLOSER_REST_S", 0.0)
    processes, runs = Processes(*factors), [honest()] * 5
    retimed = _retimed(stated(), runs, processes)
    assert processes.rounds == len(retimed) == rounds
    assert judge_inputs(stated(), runs, retimed=retimed).cause is cause


@pytest.mark.parametrize(
    "data",
    [{}, {"weight_byte": 1}, {"weight_byte": 0, "samples_s": [1.0]}, {"weight_byte": 1, "samples_s": []},
     {"weight_byte": 1, "samples_s": [0.0]}, {"weight_byte": 1, "samples_s": [float("nan")]},
     {"weight_byte": 1, "samples_s": [1.0], "kernel": 0}, {"weight_byte": 1, "samples_s": [1.0], "more": 1}, [1], "x"],
)  # fmt: skip
def test_a_reference_that_is_none_is_refused(data):
    with pytest.raises(ProfileError, match="reference"):
        Reference.from_dict(data)


def test_quota_blocks_follow_the_law_of_the_bucket():
    """With a period of 20 ms at share 0.25, 0.1 s (20 quotas) last 0.1 / 0.25 - 0.02 (0.75 + 0.75^2 / 2) s."""
    law_s = 0.4 - 0.015 - 0.005625
    base = honest("kernel")
    row = next(r for r in base.rows if r.actor == "edge" and SEND not in r.kind)
    world = {"actors": {"edge": {"share": 0.25, "period_s": 0.02}}}
    for factor, alarm in ((1.0, False), (1.3, True), (1 / 1.3, True)):
        block = replace(row, cpu_s=0.1, start_s=1.0, end_s=1.0 + factor * law_s)
        found = judge_inputs(stated(), [replace(base, rows=(block,), world=world)])
        assert [f.alarm for f in found.figures if f.cause is Cause.SHARE] == [alarm]
    assert np.isclose(law_s, found.figures[-1].stated)


@pytest.mark.parametrize(
    ("precision", "psnr_db", "alarm"),
    [("int8", 34.0, False), ("fp16", 58.3, False), ("int8", 23.6, True), ("fp16", 23.6, True), ("jpeg", 12.0, True)],
    ids=["int8, least of 100", "fp16, least of 100", "int8, another scene", "fp16, another scene", "jpeg, noise"],
)
def test_pictures_are_judged_by_what_a_precision_does_to_them(precision, psnr_db, alarm):
    """Least figures of experiments/twin/hand_over.md hold, and the picture of another scene does not."""
    one = replace(stated(), least_psnr_db={"a": PSNR_DB[precision]})
    found = judge_inputs(one, [honest()], pictures=[picture("a", psnr_db)])
    assert [f.alarm for f in found.figures if f.cause is Cause.MODEL] == [alarm]


def test_every_least_figure_of_hand_overs_holds():
    rows = (
        (Path(__file__).parents[2] / "experiments" / "twin" / "hand_over.md").read_text(encoding="utf-8").splitlines()
    )
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows if row.startswith("| ")][1:]
    least = {name.split()[0]: float("inf") for name, *_ in cells if " at " in name}
    for name, lowest, *_ in cells[:-1]:
        least[name.split()[0]] = min(least[name.split()[0]], float(lowest))
    assert set(least) == {"fp16", "int8"}
    for precision, psnr_db in least.items():
        assert psnr_db > PSNR_DB[precision] + 3 > float(cells[-1][-1]) + 6
