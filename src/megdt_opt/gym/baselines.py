"""Policies that learned ones are set beside, and the score of a policy against what is proven of each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gymnasium
import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.gym.environment import Action, AllocationEnv, Observation
from megdt_opt.problem import checks
from megdt_opt.si import percent

Env = gymnasium.Env[Observation, Action]
Act = Callable[[AllocationEnv, Observation], Action]
"""A policy: from the environment and what it shows to an action. Learned ones read the observation alone."""


def random(env: AllocationEnv, observation: Observation) -> Action:
    """Any option, each as likely."""
    return np.asarray(env.action_space.sample(), dtype=np.int64)


def greedy(env: AllocationEnv, observation: Observation) -> Action:
    """Each user the option that is fastest if everybody gets the same part of each budget."""
    problem = env.now
    part = 1.0 / problem.users
    down, up = (problem.rate(side, np.full(problem.users, part * getattr(problem, f"{side}_hz"))) for side in _SIDES)
    with np.errstate(divide="ignore", invalid="ignore"):
        sent_s = [
            np.where(bits > 0, bits / rate[:, None], 0.0)
            for bits, rate in ((problem.downlink_bit, down), (problem.uplink_bit, up))
        ]
    share = np.minimum(part * problem.edge_capacity, problem.share_caps)[:, None]
    latency_s = problem.fixed_s + np.maximum(problem.branch_s, sum(sent_s) + problem.edge_work_s / share)
    return _best(env, latency_s)


def all_edge(env: AllocationEnv, observation: Observation) -> Action:
    """Each user the option with the most work at the edge, of several the one that sends least."""
    sent = env.problem.downlink_bit + env.problem.uplink_bit
    return _best(env, -env.problem.edge_work_s, sent)


def all_local(env: AllocationEnv, observation: Observation) -> Action:
    """Each user the option with the least work at the edge, of several the one with the least time of its own."""
    return _best(env, env.problem.edge_work_s, env.problem.fixed_s)


_SIDES = ("downlink", "uplink")

BASELINES: dict[str, Act] = {"random": random, "greedy": greedy, "all-edge": all_edge, "all-local": all_local}
"""The baselines by name."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a policy is worth.

    Parameters
    ----------
    steps : int
        Slots that were served [1].
    objective_s, bound_s : float
        Mean objective, and mean of what no choice can beat [s].
    regret : float
        Mean over the slots of objective / bound - 1 [1].
    regret_worst : float
        The largest of them [1].
    broken : float
        Part of the slots in which a limit was broken [1].
    """

    steps: int
    objective_s: float
    bound_s: float
    regret: float
    regret_worst: float
    broken: float

    def __str__(self) -> str:
        means = f"{self.objective_s:.4g} s where {self.bound_s:.4g} s is the bound"
        lost, worst = (percent(100 * part, signed=False) for part in (self.regret, self.regret_worst))
        return f"regret {lost} (worst {worst}), {means}"


def score(env: Env, policy: str | Act, *, episodes: int = 10, seed: int = 0) -> Score:
    """Let a policy act for some episodes.

    Parameters
    ----------
    env : gymnasium.Env
        An `AllocationEnv`, wrapped or not.
    policy : str or callable
        A name in `BASELINES`, or a function of the environment and the observation.
    episodes : int
        How many [1]; number i is drawn by seed + i.
    seed : int
        Of the first episode, and of what the action space samples.

    Returns
    -------
    Score

    Raises
    ------
    InvalidInput
        Where there is no such baseline, or the environment is another.

    Examples
    --------
    >>> import gymnasium
    >>> from megdt_opt.gym import score
    >>> env = gymnasium.make("megdt_opt/Demo-v0", slots=5)
    >>> score(env, "greedy", episodes=2).regret < score(env, "random", episodes=2).regret
    True
    """
    inner = env.unwrapped
    if not isinstance(inner, AllocationEnv):
        raise InvalidInput("env", type(inner).__name__, "an AllocationEnv", 'Make one: "megdt_opt/Demo-v0".')
    if isinstance(policy, str) and policy not in BASELINES:
        raise InvalidInput("policy", policy, f"one of {tuple(BASELINES)}", "Choose one of them, or give a function.")
    act = BASELINES[policy] if isinstance(policy, str) else policy
    if not inner.prove:
        raise InvalidInput("prove", False, "an environment that proves each slot", "Make it without prove=False.")
    checks.count("episodes", episodes, 1, "Ask for one at least.")
    inner.action_space.seed(seed)
    rows: list[tuple[float, float, float, bool]] = []
    for number in range(episodes):
        observation, _ = env.reset(seed=seed + number)
        over = False
        while not over:
            observation, _, terminated, truncated, info = env.step(act(inner, observation))
            over = terminated or truncated
            rows.append((info["objective_s"], info["bound_s"], info["regret"], info["kept"]))
    objective, bound, regret, kept = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return Score(
        steps=len(rows),
        objective_s=float(objective.mean()),
        bound_s=float(bound.mean()),
        regret=float(regret.mean()),
        regret_worst=float(regret.max()),
        broken=float(1 - kept.mean()),
    )


def _best(env: AllocationEnv, *costs: NDArray[np.float64]) -> Action:
    """The choice of each user that costs least, ties broken by the costs after the first."""
    found = [own[np.lexsort([cost[k, own] for cost in reversed(costs)])[0]] for k, own in enumerate(env.choices)]
    return env.action_of(np.array(found))
