"""How much worse a plan is than the best one would have been, when its timings were off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.pricing.placement import ServerCosts
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.shares.placement import server_shares
from megdt_opt.si import percent
from megdt_opt.solving.allocation import Allocation
from megdt_opt.solving.asked import check_asked
from megdt_opt.solving.door import solve, solve_again
from megdt_opt.solving.placement import Placement
from megdt_opt.tolerances import SOLVER
from megdt_opt.values import entries, real
from megdt_opt.whatif.said import Said
from megdt_opt.whatif.shares_at import checked_options, require_time, value_of

TIMINGS = ("fixed_s", "device_branch_s", "edge_work_s")
"""Fields that a calibration fills and that may be off."""

WORDS = {"fixed_s": "fixed times", "device_branch_s": "device times beside the edge", "edge_work_s": "edge times"}
"""What the fields are called in an answer."""

SPREADS = ("machine", "user", "entry")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Regret(Said):
    """Relative loss of a plan against the best one for the true timings, over samples of those.

    Parameters
    ----------
    percent : float
        Largest error of a timing, either way [%].
    perturb : tuple of str
        Timings that were off.
    spread : str
        Which timings share an error: "machine", "user" or "entry".
    option_regret : array, (S,)
        With the plan's options and new shares [1]; not a number where its limits cannot be kept, or nothing can
        keep them.
    share_regret : array, (S,)
        With the plan's options and its shares [1]; not a number as above.
    option_breaks, share_breaks : int
        Samples in which the plan cannot keep a limit that another plan keeps.
    infeasible : int
        Samples in which no plan keeps the limits.
    switched : float
        Share of the other samples whose best plan has other options [1].
    gap : float
        Largest proven gap of the re-solves [1]: the regret is at most this much larger.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, regret
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> regret(problem, percent=20.0, samples=5).percent
    20.0
    """

    percent: float
    perturb: tuple[str, ...]
    spread: str
    option_regret: NDArray[np.float64]
    share_regret: NDArray[np.float64]
    option_breaks: int
    share_breaks: int
    infeasible: int
    switched: float
    gap: float

    @property
    def samples(self) -> int:
        """S."""
        return len(self.option_regret)

    @property
    def option_median(self) -> float:
        """Median over the samples that keep the limits, options kept [1]."""
        return _over(self.option_regret, np.median)

    @property
    def option_worst(self) -> float:
        """Worst over the samples that keep the limits, options kept [1]."""
        return _over(self.option_regret, np.max)

    def option_quantile(self, part: float) -> float:
        """Regret that a part of the samples that keep the limits does not exceed, options kept [1].

        Raises
        ------
        InvalidInput
            Where the part is not from 0 to 1.
        """
        return _over(self.option_regret, _quantile(part))

    def share_quantile(self, part: float) -> float:
        """The same with options and shares kept [1]."""
        return _over(self.share_regret, _quantile(part))

    @property
    def share_median(self) -> float:
        """Median over the samples that keep the limits, options and shares kept [1]."""
        return _over(self.share_regret, np.median)

    @property
    def share_worst(self) -> float:
        """Worst over the samples that keep the limits, options and shares kept [1]."""
        return _over(self.share_regret, np.max)

    def __str__(self) -> str:
        shared = {"machine": "one error a machine", "user": "one error a user", "entry": "one error an entry"}
        lines = [
            f"{', '.join(WORDS[name] for name in self.perturb)} off by up to {self.percent:g} % "
            f"({shared[self.spread]}), {self.samples} samples; objective above the best by",
            f"  options kept, new shares:    median {_part(self.option_median)}, 95 % of the samples at most "
            f"{_part(self.option_quantile(0.95))}, worst {_part(self.option_worst)}",
            f"  options and shares kept:     median {_part(self.share_median)}, 95 % of the samples at most "
            f"{_part(self.share_quantile(0.95))}, worst {_part(self.share_worst)}",
            f"  other options are best in {_part(self.switched, 0)} of the samples",
        ]
        if self.option_breaks or self.share_breaks:
            lines.append(
                f"  a limit is broken in {self.option_breaks} samples with the options kept, "
                f"in {self.share_breaks} with the shares kept too (left out above)"
            )
        if self.infeasible:
            lines.append(f"  no plan keeps the limits in {self.infeasible} samples (left out above)")
        return "\n".join(lines)


def regret(
    problem: AllocationProblem | PlacementProblem,
    perturb: Sequence[str] = TIMINGS,
    percent: float = 10.0,
    samples: int = 50,
    seed: int = 0,
    *,
    allocation: Allocation | Placement | None = None,
    spread: str = "machine",
    gap: float = 1e-6,
    time_limit_s: float | None = None,
) -> Regret:
    """Plan with the problem's timings, then meet others: the loss against having known them.

    In each sample every timing is multiplied by 1 + e, with e uniform in [-percent, percent] / 100.

    Parameters
    ----------
    problem : AllocationProblem or PlacementProblem
        With objective "max", "sum" or "mixed".
    perturb : sequence of str
        Timings that are off, of "fixed_s", "device_branch_s" and "edge_work_s".
    percent : float
        Largest error, in [0, 100) [%].
    samples : int
        Number of samples, at least 1.
    seed : int
        Of the errors; the same seed draws the same ones.
    allocation : Allocation or Placement, optional
        The plan; without it the problem is solved.
    spread : str
        Which timings share an error: "machine" (each edge has one, each user's device has one), "user" (one for each
        user and field) or "entry" (one for each user, option and field).
    gap, time_limit_s
        As for `solve`, for each sample [1, s].

    Returns
    -------
    Regret
        The loss of the kept plan and of its kept options with new shares, sample by sample.

    Raises
    ------
    InvalidInput
        For an argument out of range, the objective "missed", or an allocation that is not of this problem.
    Infeasible
        Where the problem itself has no allocation.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, regret
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> found = regret(problem, percent=0.0, samples=2)
    >>> bool((found.option_regret <= found.gap).all())  # nothing is off, nothing is lost
    True
    """
    if not isinstance(problem, PlacementProblem):
        require_time(problem, "regret")
    _require_plain(problem)
    check_asked(gap, time_limit_s)
    names = entries(perturb)
    if not names or not all(isinstance(name, str) and name in TIMINGS for name in names):
        raise InvalidInput("perturb", perturb, f"some of {TIMINGS}", 'Name the timings that are off: ["fixed_s"].')
    perturb = tuple(map(str, names))
    most = real(percent)
    if most is None or not 0 <= most < 100:
        raise InvalidInput("percent", percent, "a number in [0, 100) [%]", "Use 10 for ten percent.")
    percent = most
    samples = checks.count("samples", samples, 1, "Use the default 50.")
    seed = checks.count("seed", seed, 0, "Use the default 0.")
    if spread not in SPREADS:
        raise InvalidInput("spread", spread, f"one of {SPREADS}", "Choose one of them.")
    kind = Placement if isinstance(problem, PlacementProblem) else Allocation
    if allocation is None:
        allocation = solve(problem, gap=gap, time_limit_s=time_limit_s)
    elif not isinstance(allocation, kind):
        expected = f"{kind.__name__}, as `solve` returns it for {type(problem).__name__}"
        raise InvalidInput("allocation", type(allocation).__name__, expected, "Solve the problem, or leave it out.")
    option = checked_options(problem, allocation.option)
    by_option, by_share = np.full(samples, np.nan), np.full(samples, np.nan)
    broken_options = broken_shares = infeasible = switched = 0
    worst_gap = 0.0
    for i, true in enumerate(_perturbed(problem, perturb, percent / 100, samples, seed, spread)):
        try:
            best = _best(true, allocation, gap, time_limit_s)
        except Infeasible:
            infeasible += 1
            continue
        same = bool((best.option == option).all())
        kept = best.objective_s if same else _kept_s(true, option)
        stay = true.evaluate(allocation)
        # within the gap the kept options can be better than the found ones
        least = min(best.objective_s, kept)
        worst_gap = max(worst_gap, best.gap)
        switched += bool(not same and best.objective_s < kept * (1 - max(gap, SOLVER)))
        if np.isfinite(kept):
            by_option[i] = _above(kept, least)
        else:
            broken_options += 1
        if stay.violation <= SOLVER:
            by_share[i] = _above(stay.objective_s, least)
        else:
            broken_shares += 1
    return Regret(
        percent=float(percent),
        perturb=perturb,
        spread=spread,
        option_regret=by_option,
        share_regret=by_share,
        option_breaks=broken_options,
        share_breaks=broken_shares,
        infeasible=infeasible,
        switched=switched / max(samples - infeasible, 1),
        gap=worst_gap,
    )


def _require_plain(problem: AllocationProblem | PlacementProblem) -> None:
    """Refuse what says by itself what may be off."""
    for name in ("deviation_budget", "samples_kept"):
        value = getattr(problem, name, None)
        if value is not None:
            raise InvalidInput(name, value, "left out, as it says by itself what may be off", "Leave it out.")


def _best(
    problem: AllocationProblem | PlacementProblem, plan: Allocation | Placement, gap: float, time_limit_s: float | None
) -> Allocation | Placement:
    """The best plan for the true timings; what begins with the plan where that is of use."""
    if isinstance(problem, PlacementProblem) or isinstance(plan, Placement):
        found: Allocation | Placement = solve(problem, gap=gap, time_limit_s=time_limit_s)
        return found
    return solve_again(problem, plan, gap, time_limit_s).allocation


def _kept_s(problem: AllocationProblem | PlacementProblem, option: NDArray[np.int64]) -> float:
    """Objective of options with new shares; infinite where no shares keep the limits [s]."""
    if isinstance(problem, PlacementProblem):
        return server_shares(ServerCosts(problem), option).objective
    return value_of(problem, option).objective_s


def _perturbed(
    problem: AllocationProblem | PlacementProblem, perturb: tuple[str, ...], most: float, samples: int, seed: int,
    spread: str,
) -> Iterator[AllocationProblem | PlacementProblem]:  # fmt: skip
    rng = np.random.default_rng(seed)
    users, options = problem.users, problem.options
    server: NDArray[np.int64] = np.zeros((1, 1), dtype=np.int64)
    if isinstance(problem, PlacementProblem):
        server = np.maximum(problem.option_server, 0)  # without a server there is no work that could be off
    for _ in range(samples):
        # all errors are drawn, whatever is perturbed, so that choices of `perturb` compare sample by sample
        if spread == "machine":
            device = rng.uniform(-most, most, (users, 1))
            edges = rng.uniform(-most, most, int(server.max()) + 1)
            errors = {"fixed_s": device, "device_branch_s": device, "edge_work_s": edges[server]}
        else:
            shape = (users, 1 if spread == "user" else options)
            errors = {name: rng.uniform(-most, most, shape) for name in TIMINGS}
        changed = {n: getattr(problem, n) * (1 + errors[n]) for n in perturb if getattr(problem, n) is not None}
        yield replace(problem, **changed)


def _above(value: float, least: float) -> float:
    return max(value / least - 1.0, 0.0) if least > 0 else 0.0


def _over(values: NDArray[np.float64], rule: object) -> float:
    kept = values[np.isfinite(values)]
    if kept.size == 0:
        return float("nan")
    return float(rule(kept))  # type: ignore[operator]


def _quantile(part: float) -> object:
    found = real(part)
    if found is None or not 0 <= found <= 1:
        raise InvalidInput("part", part, "a number from 0 to 1 [1]", "Use 0.95 for 95 % of the samples.")
    return lambda values: np.quantile(values, found)


def _part(part: float, decimals: int = 3) -> str:
    return percent(100 * part, decimals, signed=False)
