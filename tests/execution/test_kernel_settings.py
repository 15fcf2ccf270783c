"""What a kernel's world is set to, what is refused, and what the composed laws predict."""

from dataclasses import replace

import pytest
from run_builder import make_run

from megdt_opt.errors import InvalidInput
from megdt_opt.execution import ExecutionOptions
from megdt_opt.execution.kernel.prediction import predicted
from megdt_opt.execution.kernel.settings import edge_actor, paired, settings_of, slowed
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.stages import EDGE, Compute, EdgeServer, Series, actors, leaves
from megdt_opt.timing.shaped import quota_wall_s

E2U = Option(mechanism="E2U", cut=6, precision="fp32")
FOR_U1 = edge_actor(EDGE, "a", None)


def options(**stretch):
    """Of kernel mode."""
    return ExecutionOptions(mode="kernel", stretch=stretch)


def test_each_pair_has_a_process_of_its_own_and_turns_share_one():
    assert actors(paired(make_run(E2U, name="a")).program) == {"u1", FOR_U1}
    assert actors(paired(make_run(E2U, name="a", turn=0)).program) == {"u1", "edge"}


def test_shares_and_rates_are_those_of_the_allocation():
    run = paired(make_run(E2U, name="a", edge_share=0.5, rate=3e5))
    found = settings_of([run], options(**{FOR_U1: 1.25, "u1": 4.0}))
    assert found.share == pytest.approx({FOR_U1: 0.4, "u1": 0.25})
    assert found.rate_bit_per_s == {("u1", "uplink"): 3e5, ("u1", "downlink"): 3e5}


def test_a_plan_that_needs_more_than_the_cores_is_stretched_by_one_factor():
    run = paired(make_run(E2U, name="a", edge_share=1.0, rate=8e5, propagation_s=0.01))
    slow, how, factor = slowed([run], options())
    found = settings_of(slow, how)
    assert factor == pytest.approx(1.25)
    assert found.share == pytest.approx({FOR_U1: 0.8, "u1": 0.8})
    assert found.rate_bit_per_s["u1", "uplink"] == pytest.approx(8e5 / 1.25)
    assert slow[0].propagation_s == pytest.approx(0.0125)
    slower, _, least = slowed([run], options(), 2.0)  # beside a set that needs more
    assert least == 2.0
    assert slower[0].pace[0] == pytest.approx(run.pace[0] / (2.0 if run.pace[0] > 1 else 1.0))
    with pytest.raises(InvalidInput, match="shares of the edges"):
        settings_of([run], options())


def test_shares_that_no_quota_holds_are_refused():
    with pytest.raises(InvalidInput, match="share of u1"):
        settings_of([paired(make_run(E2U, name="a"))], options(u1=40.0, **{FOR_U1: 1.25}))


def test_rates_of_a_device_that_differ_are_refused():
    runs = [paired(make_run(E2U, name="a", rate=rate)) for rate in (3e5, 4e5)]
    with pytest.raises(InvalidInput, match="one rate of the uplink"):
        settings_of(runs, options(**{FOR_U1: 1.25, "u1": 4.0}))


@pytest.mark.parametrize("names", [("edge", "far"), ("far", "near"), ("edge", "near")])
def test_a_program_at_two_edges_is_refused_before_a_process_starts(names):
    run = make_run(E2U, name="a")
    work = next(leaf for leaf in leaves(run.program) if isinstance(leaf, Compute))
    both = Series(tuple(replace(work, at=EdgeServer(name)) for name in names))
    with pytest.raises(InvalidInput, match=f"at {' and '.join(sorted(names))}.*one edge for each user"):
        paired(
            replace(
                run, program=both, pace=(1.0, 1.0), predicted=run.predicted[:2], slot_s=(1.0, 1.0), chain=run.chain[:2]
            )
        )


def test_a_whole_chain_is_predicted_by_hand():
    run = paired(make_run(Option(mechanism="local"), name="a"))
    found = settings_of([run], options(u1=4.0))
    times = predicted([run], found, lambda run, node: 0.01, lambda run, node: 0.0, draws=512)["a"]
    total_s = 0.01 * len(times)
    end_s = times[-1].start_s + times[-1].duration_s
    assert end_s == pytest.approx(quota_wall_s(total_s, 0.25, 0.02), abs=1e-3)
