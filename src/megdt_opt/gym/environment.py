"""One scenario over slots in which its links fade, as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.online.trace import fading_factors
from megdt_opt.pricing.scaled import Resources, in_units
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate_shares
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.shares.best import best_shares
from megdt_opt.solving import solve
from megdt_opt.solving.allocation import Allocation
from megdt_opt.timing.finding import Profiles
from megdt_opt.timing.profile import TimingProfile

Observation = NDArray[np.float32]
Action = NDArray[np.int64]

FARTHEST = 10.0
"""Largest size of an entry of an observation: 100 dB of fading [1]."""

_LINKS = ("downlink_efficiency", "uplink_efficiency", "downlink_snr_hz", "uplink_snr_hz")


class AllocationEnv(gymnasium.Env[Observation, Action]):
    """Choose every user's option in every slot; the best shares for these options follow from them.

    Observation, `Box(-10, 10, (K + 1,), float32)`: of each user the factor by which fading multiplies the rates of its
    links in this slot, in 10 dB; last the part of the episode that is over. Everything else stays as the scenario says.

    Action, `MultiDiscrete(n_1, ..., n_K)`: for each user the number of one of its options in `choices`: those that its
    limits leave open and that no other beats in every term.

    Reward: minus the scenario's objective of the slot's pictures [s], for shares that are the best for the chosen
    options. Where no shares keep the limits, it is minus `penalty` times the proven optimum; in a slot in which no
    choice keeps them, that of the slot without them.

    `info` of a step: "objective_s"; "optimum_s" and "bound_s", the objective of a solution that is proven within `gap`,
    and what no choice can beat, of the same slot; "regret", objective / bound - 1; "optimal_action", the solution's
    options as an action; "kept", whether the limits are; "options", the names of what was chosen. A step's choice does
    not change later slots, so the sum of the optima is the optimum of the episode.

    Parameters
    ----------
    scenario : Scenario, OptionTable, str or Path
        One edge server, no groups, and the objective "max", "sum" or "mixed".
    slots : int
        Steps of an episode [1].
    fading_db, fading_memory : float
        Standard deviation of the factors [dB], and correlation of neighbouring slots [1].
    gap : float
        Relative gap to which each slot is solved [1].
    prove : bool
        Whether each slot is solved, so that `info` has optimum, bound, regret and optimal action; without that a step
        takes a third of the time or less, as one may want for training.
    penalty : float
        Above 1: what choices cost that break deadlines, in optima [1].
    profiles : mapping of str to TimingProfile or path, optional
        As `plan` takes them.

    Raises
    ------
    InvalidInput
        Where the scenario is of another class or objective, or a number is out of its range.
    Infeasible
        Where a user has no option, or the limits cannot be kept together on links that do not fade.

    Examples
    --------
    >>> import gymnasium, megdt_opt.gym
    >>> env = gymnasium.make("megdt_opt/Demo-v0", slots=3)
    >>> observation, _ = env.reset(seed=1)
    >>> _, reward, _, _, info = env.step(env.action_space.sample())
    >>> info["bound_s"] <= info["optimum_s"] <= -reward * (1 + 1e-9)
    True
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(  # wide: the settings of an environment are keywords of gymnasium.make
        self,
        scenario: Scenario | OptionTable | str | Path,
        *,
        slots: int = 20,
        fading_db: float = 4.0,
        fading_memory: float = 0.9,
        gap: float = 1e-4,
        prove: bool = True,
        penalty: float = 10.0,
        profiles: Profiles | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None:
            raise InvalidInput("render_mode", render_mode, "None: there is nothing to draw", "Leave it out.")
        self.table = scenario if isinstance(scenario, OptionTable) else OptionTable.build(scenario, profiles)
        self.slots = checks.count("slots", slots, 1, "Give an episode one step at least.")
        self.fading_db = checks.number("fading_db", fading_db, "dB")
        self.fading_memory = checks.number("fading_memory", fading_memory, "1")
        if self.fading_memory >= 1:
            raise InvalidInput("fading_memory", fading_memory, "a correlation below 1 [1]", "Lower it.")
        self.gap = checks.number("gap", gap, "1")
        self.prove = bool(prove)
        self.penalty = checks.number("penalty", penalty, "1")
        if self.penalty <= 1:
            raise InvalidInput("penalty", penalty, "more than 1 optimum [1]", "Broken limits must cost more: raise it.")
        self.problem = _worth_choosing(_checked(self.table))
        solve(self.problem, gap=self.gap)  # limits that cannot be kept on links that do not fade are named here
        self.choices = tuple(np.flatnonzero(row) for row in self.problem.open_options)
        self.now = self.problem
        self._slot = 0
        self._factors = np.ones((self.slots, self.problem.users))
        self.observation_space = gymnasium.spaces.Box(-FARTHEST, FARTHEST, (self.problem.users + 1,), dtype=np.float32)
        self.action_space = gymnasium.spaces.MultiDiscrete([len(options) for options in self.choices])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw the fading of a new episode; the same seed draws the same."""
        super().reset(seed=seed)
        if options:
            raise InvalidInput("options", sorted(options), "none", "Leave them out: an episode is drawn by its seed.")
        shape = self.slots, self.problem.users
        self._factors = fading_factors(self.np_random, *shape, self.fading_db, self.fading_memory)
        self._slot = 0
        self._enter()
        return self._observation(), {}

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Serve a slot with these options, and go on to the next."""
        if self._slot >= self.slots:
            raise InvalidInput("step", self._slot, f"at most {self.slots} steps", "Begin a new episode by reset.")
        option = self.options_of(action)
        paid_s = self.objective_s(option)
        kept = bool(np.isfinite(paid_s))
        info: dict[str, Any] = {"kept": kept, "options": tuple(self.table.options[int(o)].name for o in option)}
        if self.prove or not kept:
            best, possible = self._best()
            paid_s = paid_s if kept else self.penalty * best.objective_s
            least_s = (1.0 if possible else self.penalty) * best.lower_bound_s
            info |= {
                "optimum_s": best.objective_s if possible else paid_s,
                "bound_s": least_s,
                "regret": paid_s / least_s - 1 if least_s > 0 else 0.0,
                "optimal_action": self.action_of(best.option),
            }
        info["objective_s"] = paid_s
        self._slot += 1
        if self._slot < self.slots:
            self._enter()
        return self._observation(), -paid_s, False, self._slot >= self.slots, info

    # ---- what policies may read

    def options_of(self, action: Action) -> NDArray[np.int64]:
        """Options of the problem, (K,), of an action."""
        numbers = checks.plain("action", action, f"{self.problem.users} numbers of choices")
        sizes = np.array([len(options) for options in self.choices])
        if (
            numbers.shape != sizes.shape
            or numbers.dtype.kind not in "iu"
            or (numbers < 0).any()
            or (numbers >= sizes).any()
        ):
            expected = f"for each user an integer below {sizes.tolist()}"
            raise InvalidInput("action", action, expected, "Take numbers of `choices`.")
        return np.array([options[n] for options, n in zip(self.choices, numbers, strict=True)])

    def action_of(self, option: NDArray[np.int64]) -> Action:
        """The action of options that are open, (K,)."""
        return np.array([int(np.searchsorted(own, o)) for own, o in zip(self.choices, option, strict=True)])

    def objective_s(self, option: NDArray[np.int64]) -> float:
        """Objective in this slot of options with their best shares [s]; infinite where none keep the limits."""
        found = best_shares(self.now, Resources.of(self.now), option[None])
        if not np.isfinite(found.objective[0]):
            return float("inf")
        shares, _ = in_units(self.now, found.x[0])
        return float(evaluate_shares(self.now, option, shares).objective_s)

    # ---- slots

    def _best(self) -> tuple[Allocation, bool]:
        """The solution of this slot, and whether limits can be kept in it; where they cannot, the one without them."""
        try:
            return solve(self.now, gap=self.gap), True
        except Infeasible:
            free = replace(self.now, deadline_s=None, uplink_airtime_max_s=None)
            return solve(free, gap=self.gap), False

    def _enter(self) -> None:
        """The problem of the slot that begins."""
        factor = self._factors[self._slot]
        known = {name: getattr(self.problem, name) for name in _LINKS}
        self.now = replace(self.problem, **{name: law * factor for name, law in known.items() if law is not None})

    def _observation(self) -> Observation:
        factor = self._factors[min(self._slot, self.slots - 1)]
        told = np.append(np.log10(factor), self._slot / self.slots)
        found: Observation = np.clip(told, -FARTHEST, FARTHEST).astype(np.float32)
        return found


def demo(**settings: Any) -> AllocationEnv:
    """The bundled factory cell, whose open machine is the one that the bundled profile was measured on."""
    profiles: Mapping[str, Any] = {"here": TimingProfile.bundled("twin-cpu")}
    return AllocationEnv("demo", **{"profiles": profiles, **settings})


def _checked(table: OptionTable) -> AllocationProblem:
    problem = table.problem()
    if type(problem) is not AllocationProblem:
        remedy = "Take a scenario with one edge server and without groups."
        raise InvalidInput("scenario", type(problem).__name__, "one edge server, reserved shares, no groups", remedy)
    if problem.objective == "missed":
        remedy = "Choose one of them, and state deadlines as limits."
        raise InvalidInput("objective", problem.objective, "'max', 'sum' or 'mixed'", remedy)
    return problem


def _worth_choosing(problem: AllocationProblem) -> AllocationProblem:
    """The problem without options that another one of the user beats in every term, whatever the links do."""
    terms = np.stack(
        [problem.fixed_s, problem.branch_s, problem.downlink_bit, problem.uplink_bit, problem.edge_work_s], axis=-1
    )
    worth = problem.open_options.copy()
    if problem.uplink_airtime_max_s is None and problem.option_cost is None:
        for k in range(problem.users):
            own = np.flatnonzero(worth[k])
            of = terms[k, own]
            no_worse = (of[:, None] <= of[None]).all(axis=-1)  # row beats column
            better = no_worse & (~no_worse.T | (own[:, None] < own))
            worth[k, own] = ~better.any(axis=0)
    return replace(problem, allowed=worth)
