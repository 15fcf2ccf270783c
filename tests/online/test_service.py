"""Services of scenarios: their times are those of the options' programs, terms and costs."""

from __future__ import annotations

import numpy as np
import pytest

from megdt_opt import InvalidInput, Scenario, TimingProfile
from megdt_opt.online import Service, Trace, simulate
from megdt_opt.scenario.groups import Grouping
from megdt_opt.scenario.options import OptionTable


@pytest.fixture(scope="module")
def table() -> OptionTable:
    return OptionTable.build(Scenario.bundled("demo"), {"here": TimingProfile.bundled("twin-cpu")})


def test_times_are_those_of_the_best_option_on_an_idle_system(table: OptionTable) -> None:
    service, problem = Service.of(table), table.problem()
    assert service.names == tuple(user.name for user in table.scenario.users)
    for k, name in enumerate(service.options):
        o = table.index(name)
        terms, costs = table.terms(k, o), table.costs(k, o)
        assert terms is not None
        assert costs is not None
        assert table.allowed[k, o]
        assert service.edge_s[k] == terms.edge_work_s
        # what the device computes is before and after; delays and sending are apart
        assert service.before_s[k] + service.after_s[k] == pytest.approx(costs.device_s, abs=1e-12)
        alone_s = service.ready_after_s[k] + service.edge_s[k] + service.rest_s[k]
        rate_d = 60e3 / 6 * table.scenario.users[k].downlink_efficiency_bit_per_s_per_hz  # type: ignore[operator]
        down_s = terms.downlink_bit / rate_d
        assert service.downlink_s[k] <= down_s * (1 + 1e-12)  # the camera sends nothing down, so five keep the band
        assert alone_s == pytest.approx(terms.fixed_s + terms.edge_work_s + service.uplink_s[k] + service.downlink_s[k])
    local = table.index("local")
    for k in range(len(service.names)):
        allowed = table.allowed[k, local]
        assert service.local_s[k] == (problem.fixed_s[k, local] if allowed else np.inf)


def test_no_other_option_is_faster_alone(table: OptionTable) -> None:
    service, problem = Service.of(table), table.problem()
    for k, name in enumerate(service.options):
        assert not name.startswith("PEU")
        o = table.index("SEU 10 fp16")
        if table.allowed[k, o]:
            down_s = problem.downlink_bit[k, o] / problem.downlink_bit[k, table.index(name)] * service.downlink_s[k]
            up_s = problem.uplink_bit[k, o] / problem.uplink_bit[k, table.index(name)] * service.uplink_s[k]
            other_s = problem.fixed_s[k, o] + problem.edge_work_s[k, o] + down_s + up_s
            assert other_s >= service.ready_after_s[k] + service.edge_s[k] + service.rest_s[k] - 1e-9


def test_an_energy_limit_that_leaves_no_room_forbids_to_start_in_vain(table: OptionTable) -> None:
    """The phone's own picture takes 6.8 s at 5 W; what it sends beside that takes a little more."""
    energy = table.costs(5, table.index("local"))
    assert energy is not None
    assert energy.device_compute_j is not None
    users = [user.model_copy() for user in table.scenario.users]
    for limit_j, speculates in ((energy.device_compute_j * 1.0001, False), (energy.device_compute_j * 2, True)):
        users[5] = users[5].model_copy(update={"energy_max_j": limit_j})
        scenario = table.scenario.model_copy(update={"users": tuple(users)})
        service = Service.of(scenario, {"here": TimingProfile.bundled("twin-cpu")})
        assert bool(service.speculates[5]) is speculates
        assert np.isfinite(service.local_s[5])


def test_a_scenario_is_simulated_by_its_name(tmp_path: object) -> None:
    scenario = Scenario.from_yaml("""
    name: one phone
    channel: {downlink: 2 MHz, uplink: 1 MHz}
    users:
      - name: phone
        device: {profile: twin-cpu, stretch: 30}
        downlink_efficiency: 4 bit/s/Hz
        uplink_efficiency: 2 bit/s/Hz
    """)
    found = simulate(scenario, Trace.poisson([0.5], requests=200, seed=1))
    assert found.service.names == ("phone",)
    assert found.ratio is not None
    assert found.ratio <= 2


def test_what_is_planned_for_a_moment_alone_is_refused_by_name() -> None:
    here = {"here": TimingProfile.bundled("twin-cpu")}
    with pytest.raises(InvalidInput, match=r"^scenario: found 'SharedPrefixProblem'; expected one edge server"):
        Service.of("guided-tour", here)
    forming = Grouping(similarity_min=0.9, size_max=3, steps=(4,))
    open_groups = Scenario.bundled("guided-tour").model_copy(update={"groups": None, "grouping": forming})
    with pytest.raises(InvalidInput, match=r"^scenario.grouping: found 'given'; expected one edge server"):
        Service.of(open_groups, here)
    halls = Scenario.bundled("two-halls")
    with pytest.raises(InvalidInput, match=r"^scenario: found 'PlacementProblem'"):
        Service.of(halls, {n: TimingProfile.bundled("twin-cpu") for n in halls.profile_names if n == "here"} or None)
    demo = Scenario.bundled("demo")
    assert demo.edge is not None
    two = demo.model_copy(update={"edge": demo.edge.model_copy(update={"servers": 2.0})})
    with pytest.raises(InvalidInput, match=r"^edge.servers: found 2.0"):
        Service.of(two, here)
