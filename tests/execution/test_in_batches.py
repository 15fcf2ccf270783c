"""The bundled scenario of batches: it wins, it is executed as planned, and its pictures are those of one process."""

from __future__ import annotations

import pytest

from megdt_opt import Plan, Scenario, TimingProfile, execute, plan, solve
from megdt_opt.planning.baselines import reserved_shares
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.execute import cluster_of
from megdt_opt.trials.pictures import judge_pictures

HERE = {"here": TimingProfile.bundled("twin-cpu")}
LEAST_DB = 48.0
"""Pictures of several chains in one pass and of one process differ in a value here and there, by 1 of 255 [dB]."""


@pytest.fixture(scope="module")
def made() -> Plan:
    return plan("shared-passes", HERE, time_limit_s=3.0, compare=False)


def test_batches_win_by_more_than_15_percent_over_the_proven_reserved_optimum(made: Plan) -> None:
    (reserved,) = reserved_shares(made.table)
    assert reserved.proven
    assert made.objective_s < 0.85 * reserved.objective_s


@pytest.mark.long_list(of=4)
@pytest.mark.parametrize(("band", "speed"), [(0.7, 0.7), (1.3, 0.7), (0.7, 1.3), (1.3, 1.3)])
def test_they_go_on_winning_on_other_bands_and_edges(band: float, speed: float) -> None:
    data = Scenario.bundled("shared-passes").model_dump(mode="json", exclude_none=True)
    for side in ("downlink_hz", "uplink_hz"):
        data["channel"][side] *= band
    data["edge"]["stretch"] /= speed
    table = OptionTable.build(Scenario(**data), HERE)
    found = plan(table, time_limit_s=1.0, compare=False)
    assert found.objective_s < 0.95 * solve(table.reserved().problem()).objective_s


@pytest.mark.slow
def test_it_is_executed_as_planned(made: Plan) -> None:
    with cluster_of(made.table, start_timeout_s=600.0) as cluster:
        done = execute(made, cluster=cluster, all_or_nothing=True)
    assert set(done.images) == {user.name for user in made.users}
    pictures = judge_pictures(made.table, made.users, done.images, done.faults)
    assert all(picture.psnr_db > LEAST_DB for picture in pictures)
    steps = {row.user: row.step_s for row in done.rows if row.step_s}
    assert {name: len(each) for name, each in steps.items()} == {
        user.name: len(user.batched.numbers) for user in made.users if user.batched is not None
    }
    for number, batch in enumerate(made.batches):  # each batch was one pass for all of its members
        names = [made.users[k] for k in batch]
        stamps = {steps[u.name][u.batched.numbers.index(number)] for u in names if u.batched is not None}
        assert len(stamps) == 1
