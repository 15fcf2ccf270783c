"""Scenarios as Gymnasium environments: the checker, what is shown and paid, and the proofs in `info`."""

from __future__ import annotations

import doctest
import inspect
import itertools
import subprocess
import sys
import warnings
from dataclasses import asdict, replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from megdt_opt import Infeasible, InvalidInput, Scenario, TimingProfile, solve
from megdt_opt import gym as environments
from megdt_opt.gym import BASELINES, AllocationEnv, score
from megdt_opt.problem.allocation_problem import evaluate
from megdt_opt.scenario.options import OptionTable

CELL = """
objective: {objective}
steps: 4
channel: {{downlink: 60 kHz, uplink: 60 kHz}}
users:
  - {{name: a, device: {{stretch: 8}}, downlink_efficiency: 2 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz{more}}}
  - {{name: b, device: {{stretch: 20}}, downlink_efficiency: 1 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz}}
  - {{name: c, device: {{stretch: 30}}, downlink_efficiency: 3 bit/s/Hz, uplink_efficiency: 1 bit/s/Hz}}
"""


def cell(objective: str = "sum", more: str = "", **settings: Any) -> AllocationEnv:
    scenario = Scenario.from_yaml(CELL.format(objective=objective, more=more))
    return AllocationEnv(scenario, **{"slots": 4, **settings})


def test_gymnasiums_checker_passes() -> None:
    for env in (gymnasium.make("megdt_opt/Demo-v0", slots=4), cell()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message=".*render modes.*")
            check_env(env.unwrapped, skip_render_check=True)


def test_registered_names_make_environments() -> None:
    demo = gymnasium.make("megdt_opt/Demo-v0")
    assert isinstance(demo.unwrapped, AllocationEnv)
    assert demo.unwrapped.problem.users == 6
    scenario = Scenario.from_yaml(CELL.format(objective="max", more=""))
    other = gymnasium.make("megdt_opt/Scenario-v0", scenario=scenario, slots=2)
    assert other.observation_space.shape == (4,)


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_what_is_said_of_a_slot_is_true(objective: str) -> None:
    """Reward, optimum and bound against a problem made by hand from the factors that the observation shows."""
    env = cell(objective, fading_db=6.0)
    seen, _ = env.reset(seed=5)
    base = env.table.problem()
    for step in range(4):
        assert seen[-1] == np.float32(step / 4)
        factor = 10.0 ** seen[:3].astype(float)
        action = env.action_space.sample()
        option = env.options_of(action)
        slot = env.now
        assert slot.downlink_efficiency == pytest.approx(base.downlink_efficiency * factor, rel=1e-5)
        assert slot.uplink_efficiency == pytest.approx(base.uplink_efficiency * factor, rel=1e-5)
        # no even split of the budgets does better than the shares that are paid for
        even = evaluate(slot, option, *(np.full(3, b / 3) for b in (60e3, 60e3, 1.0)))
        best = solve(slot)
        seen, reward, terminated, truncated, info = env.step(action)
        assert -reward == info["objective_s"] <= even.objective_s * (1 + 1e-9)
        assert info["bound_s"] <= best.objective_s * (1 + 1e-9)
        assert info["optimum_s"] == pytest.approx(best.objective_s, rel=1e-4)
        assert info["regret"] == pytest.approx(info["objective_s"] / info["bound_s"] - 1)
        assert info["kept"]
        again = replace(slot, allowed=np.arange(slot.options) == env.options_of(info["optimal_action"])[:, None])
        assert solve(again).objective_s == pytest.approx(info["optimum_s"], rel=1e-6)
        assert not terminated
        assert truncated == (step == 3)
        assert info["options"] == tuple(env.table.options[int(o)].name for o in option)


def test_the_optimum_of_a_slot_is_that_of_all_actions() -> None:
    env = cell()
    env.reset(seed=1)
    env.choices = tuple(own[:4] for own in env.choices)  # few enough to try all
    allowed = np.zeros(env.problem.fixed_s.shape, bool)
    for k, own in enumerate(env.choices):
        allowed[k, own] = True
    found = [
        env.objective_s(env.options_of(np.array(a))) for a in itertools.product(*(range(len(c)) for c in env.choices))
    ]
    best = solve(replace(env.now, allowed=allowed), gap=1e-9)
    assert min(found) == pytest.approx(best.objective_s, rel=1e-8)


def test_acting_as_the_proof_says_leaves_no_regret() -> None:
    env = cell("max", gap=1e-6)

    def oracle(inner: AllocationEnv, observation: Any) -> Any:
        return inner.action_of(solve(inner.now, gap=1e-6).option)

    found = score(env, oracle, episodes=3)
    assert found.steps == 12
    assert 0 <= found.regret <= found.regret_worst <= 2e-6
    assert found.broken == 0


def test_options_left_out_are_never_better() -> None:
    env = cell()
    whole = env.table.problem()
    assert sum(map(len, env.choices)) < whole.open_options.sum()
    for seed in range(3):
        env.reset(seed=seed)
        factor = env._factors[0]
        slot = replace(
            whole, downlink_efficiency=whole.downlink_efficiency * factor,  # type: ignore[operator]
            uplink_efficiency=whole.uplink_efficiency * factor,  # type: ignore[operator]
        )  # fmt: skip
        assert solve(env.now, gap=1e-9).objective_s == pytest.approx(solve(slot, gap=1e-9).objective_s, rel=1e-8)


def test_the_same_seed_gives_the_same_episode_and_baselines_are_ordered() -> None:
    env = gymnasium.make("megdt_opt/Demo-v0", slots=6)
    found = {name: score(env, name, episodes=3, seed=7) for name in BASELINES}
    for name, one in found.items():
        # but for the last digits: either engine may have solved it
        assert asdict(score(env, name, episodes=3, seed=7)) == pytest.approx(asdict(one), rel=1e-5, abs=1e-6)
    assert all(one.regret >= 0 for one in found.values())
    assert found["greedy"].regret < found["random"].regret
    bounds_s = [one.bound_s for one in found.values()]
    assert bounds_s == pytest.approx([bounds_s[0]] * len(bounds_s), rel=2e-6)  # all see the same slots
    assert "regret" in str(found["greedy"])


def limits(deadline: str) -> AllocationEnv:
    return cell("sum", f", deadline: {deadline}", penalty=5.0, fading_db=6.0, slots=40)


def test_choices_that_break_a_deadline_cost_the_penalty() -> None:
    env = limits("0.6 s")
    env.reset(seed=0)
    env.action_space.seed(0)
    paid = set()
    for _ in range(40):
        action, slot = env.action_space.sample(), env.now
        alone_s = env.objective_s(env.options_of(action))
        try:
            least_s = solve(slot, gap=1e-4).objective_s
        except Infeasible:
            continue
        _, reward, _, _, info = env.step(action)
        assert info["kept"] == np.isfinite(alone_s)
        assert -reward == pytest.approx(alone_s if info["kept"] else 5 * least_s)
        paid.add(info["kept"])
    assert paid == {True, False}


def test_where_no_choice_keeps_a_deadline_all_cost_the_same_and_nobody_is_blamed() -> None:
    env = limits("0.3 s")
    env.reset(seed=0)
    faded = env.now.downlink_efficiency
    assert faded is not None
    env.now = replace(env.now, downlink_efficiency=faded * 1e-4, uplink_efficiency=faded * 1e-4)
    _, reward, _, _, info = env.step(env.action_space.sample())
    assert not info["kept"]
    assert -reward == info["optimum_s"] >= info["bound_s"]
    assert info["regret"] <= 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slots": 0}, "^slots: found 0"),
        ({"fading_db": -1.0}, "^fading_db: found -1.0"),
        ({"fading_db": float("nan")}, "^fading_db: found nan"),
        ({"fading_memory": 1.0}, "^fading_memory: found 1.0"),
        ({"penalty": 1.0}, "^penalty: found 1.0"),
        ({"gap": -1.0}, "^gap: found -1.0"),
        ({"render_mode": "human"}, "^render_mode: found 'human'"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        cell(**settings)


@pytest.mark.parametrize("action", [[0, 0], [0, 0, 10**6], [-1, 0, 0], [0.0, 0.0, 0.0], "abc", [0, None, 0]])
def test_wrong_actions_are_refused_and_the_episode_goes_on(action: Any) -> None:
    env = cell()
    env.reset(seed=1)
    with pytest.raises(InvalidInput, match="^action"):
        env.step(action)
    env.step(env.action_space.sample())


def test_a_step_after_the_end_is_refused() -> None:
    env = cell(slots=1)
    env.reset(seed=1)
    env.step(env.action_space.sample())
    with pytest.raises(InvalidInput, match="^step: found 1"):
        env.step(env.action_space.sample())
    with pytest.raises(InvalidInput, match="^options"):
        env.reset(options={"slot": 3})


def test_scenarios_of_other_classes_are_refused_by_name() -> None:
    here = {"here": TimingProfile.bundled("twin-cpu")}
    with pytest.raises(InvalidInput, match="^scenario: found 'SharedPrefixProblem'"):
        AllocationEnv("guided-tour", profiles=here)
    with pytest.raises(InvalidInput, match="^objective: found 'missed'"):
        cell("missed", ", deadline: 2 s")
    with pytest.raises(InvalidInput, match="^policy: found 'best'"):
        score(cell(), "best")
    with pytest.raises(InvalidInput, match="^env: found 'CartPoleEnv'"):
        score(gymnasium.make("CartPole-v1"), "random")  # type: ignore[arg-type]
    stuck = OptionTable.build(Scenario.from_yaml(CELL.format(objective="sum", more=", mechanisms: [E2U]")))
    assert isinstance(AllocationEnv(stuck).problem.users, int)
    with pytest.raises(Infeasible):
        cell("sum", ", deadline: 1 ms")


def test_without_proofs_the_same_is_paid() -> None:
    paid = []
    for prove in (True, False):
        env = cell(prove=prove)
        env.reset(seed=2)
        env.action_space.seed(2)
        paid.append([env.step(env.action_space.sample())[1] for _ in range(4)])
    assert paid[0] == paid[1]
    with pytest.raises(InvalidInput, match="^prove: found False"):
        score(cell(prove=False), "random")


def test_where_gymnasium_is_missing_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['gymnasium'] = None\n"
        "import megdt_opt\n"
        "try: import megdt_opt.gym\n"
        "except megdt_opt.MegdtError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True)
    assert "install it with pip install 'megdt-opt[gym]'" in done.stdout


@pytest.mark.parametrize("name", ["AllocationEnv", "score"])
def test_the_example_runs_and_prints_what_it_says(name: str) -> None:
    text = inspect.getdoc(getattr(environments, name)) or ""
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert example.examples
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert not said, "".join(said)
