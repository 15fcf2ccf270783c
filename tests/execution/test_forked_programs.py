"""Programs that fork more than once, executed: what runs at once keeps its part of a link, and pictures are exact."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "planning"))  # where the mechanisms are

from forked_programs import register

from megdt_opt import ProgramProblem, Scenario, execute, plan
from megdt_opt.report import write_report
from megdt_opt.trials.pictures import judge_pictures


@pytest.mark.slow
def test_forked_programs_run_as_planned(tmp_path: Path) -> None:
    register()
    phone = {
        "device": {"profile": "twin-cpu", "stretch": 12}, "downlink_efficiency": "4 bit/s/Hz",
        "uplink_efficiency": "2 bit/s/Hz", "precisions": ["fp32"], "codecs": ["png"],
    }  # fmt: skip
    scenario = Scenario(
        steps=4, objective="sum", edge={"profile": "twin-cpu", "stretch": 4},
        channel={"downlink": "200 kHz", "uplink": "100 kHz", "propagation": "2 ms"},
        users=[
            {"name": "u0", "scene": 0, **phone, "mechanisms": ["ahead"]},
            {"name": "u1", "scene": 1, **phone, "mechanisms": ["both-up"], "senses": True},
        ],
    )  # fmt: skip
    made = plan(scenario, compare=False)
    assert isinstance(made.problem, ProgramProblem)
    done = execute(made)
    pictures = judge_pictures(made.table, made.users, done.images)
    # fp32 hand-overs change no bit; what is made from a camera's frame may be off by rounding, as U2E is
    assert pictures[0].identical
    assert pictures[1].psnr_db > 60
    frame = done.compare()
    assert len(frame) == sum(len(user.stages) for user in made.users)
    for user in made.users:
        assert done.measured_s[user.name] >= 0.9 * user.latency_s
    # the two uploads of u1 were under way at the same time
    rows = {row.index: row for row in done.rows if row.user == "u1"}
    first, second = (rows[n] for n, part in enumerate(made.users[1].parts) if part < 1)
    assert max(first.start_s, second.start_s) < min(first.end_s, second.end_s)
    written = write_report(tmp_path / "report", made, done, None, pictures)
    assert "may run at once divide its share" in written["page"].read_text("utf-8")
