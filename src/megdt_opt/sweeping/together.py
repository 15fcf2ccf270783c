"""Cells that share one table of options, solved in one batch; their figures are worked out for all of them at once.

Nothing is built, checked or scheduled anew for a cell: what its options take and cost is read from the table that they
share, and rates, times and totals are arrays over the cells. What the batch leaves open is planned alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.planning.costs import UserCosts, edge_parts, user_costs
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.arrays import TABLES
from megdt_opt.problem.batch_problem import OBJECTIVES, BatchProblem
from megdt_opt.problem.outcome import Method, Status
from megdt_opt.program.schedule import schedule
from megdt_opt.program.stages import Parallel, Send, Series, Stage, actors, is_edge, leaves
from megdt_opt.radio.rates import linear_rate, shannon_rate
from megdt_opt.scenario.measured import quality_columns
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.problems import law_of
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.solving.batch.allocation import BatchAllocation
from megdt_opt.solving.batch.door import solve_batch
from megdt_opt.sweeping.cell import TOTALS, Settings, all_columns, mechanisms_of

Floats = NDArray[np.float64]

LEAST = 16
"""Cells of one table from which on they are solved as a batch [1]."""


def together(table: OptionTable, settings: Settings) -> bool:
    """Whether cells of a table can be solved in one batch: of the core problem's plain form, by the price method."""
    scenario = table.scenario
    if settings.compare or settings.method != "auto" or scenario.objective not in OBJECTIVES:
        return False
    problem = table.problem()
    if not isinstance(problem, AllocationProblem):
        return False
    return problem.samples is None and problem.option_cost is None and problem.deviation_budget is None


def compute_together(
    table: OptionTable, scenarios: Sequence[Scenario], settings: Settings, threads: int | None = None
) -> list[dict[str, Any] | None]:
    """What `cell.compute` gives of scenarios that differ from a table's in what `varies` alone; None for those that the
    batch leaves open.

    Parameters
    ----------
    table : OptionTable
        For which `together` is true.
    scenarios : sequence of Scenario
    settings : Settings
    threads : int, optional
        As `solve_batch` takes it.
    """
    kept, allowed = _needed(table)
    batch = _batch(table, scenarios, kept, allowed)
    found = solve_batch(batch, settings.gap, threads=threads, time_limit_s=settings.time_limit_s)
    done = np.flatnonzero((found.status == Status.OPTIMAL) | (found.status == Status.FEASIBLE))
    results: list[dict[str, Any] | None] = [None] * len(scenarios)
    if done.size:
        for s, result in zip(done, _Rows(table, batch, found, done, kept).results(), strict=True):
            results[s] = result
    return results


def _needed(table: OptionTable) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Options that some user may need, and which of these each one may (K, kept).

    An option that takes at least as much of everything as another open one is in no scenario better, whatever the
    budgets and rates, so it is left out once for all of them; of equal ones the first stays.
    """
    problem = table.problem()
    assert isinstance(problem, AllocationProblem)
    used = np.stack([
        array if name != "uplink_airtime_max_s" else -array
        for name in TABLES
        if (array := getattr(problem, name)) is not None
    ])  # fmt: skip
    allowed = np.ones(used.shape[1:], dtype=bool) if problem.allowed is None else problem.allowed.copy()
    earlier = np.tri(problem.options, k=-1, dtype=bool)
    for k, mine in enumerate(allowed):
        rows = used[:, k]
        most = (rows[:, None, :] <= rows[:, :, None]).all(axis=0)  # [o, p]: p takes at most what o does
        beaten = most & mine & (~most.T | earlier)
        allowed[k] = mine & ~beaten.any(axis=1)
    kept = np.flatnonzero(allowed.any(axis=0))
    return kept, allowed[:, kept]


def _batch(
    table: OptionTable, scenarios: Sequence[Scenario], kept: NDArray[np.intp], allowed: NDArray[np.bool_]
) -> BatchProblem:
    """The problems of the scenarios: the table's arrays for the options kept, with each one's budgets, rates and
    weights."""
    problem = table.problem()
    assert isinstance(problem, AllocationProblem)
    count = len(scenarios)

    def each(value: Any) -> Any:
        return None if value is None else np.broadcast_to(value, (count, *np.shape(value)))

    def columns(value: Any) -> Any:
        return None if value is None else np.ascontiguousarray(value[:, kept])

    arrays: dict[str, Any] = {name: each(columns(getattr(problem, name))) for name in TABLES}
    arrays |= {name: each(getattr(problem, name)) for name in ("deadline_s", "edge_share_max")}
    arrays["allowed"] = each(allowed)
    kind = "efficiency" if problem.linear else "snr_hz"
    laws = _laws(scenarios)
    arrays |= {f"{side}_{kind}": laws[:, i] for i, side in enumerate(("downlink", "uplink"))}
    return BatchProblem(
        **arrays,
        weight=np.array([s.weights for s in scenarios]),
        downlink_hz=np.array([s.channel.downlink_hz for s in scenarios], dtype=np.float64),
        uplink_hz=np.array([s.channel.uplink_hz for s in scenarios], dtype=np.float64),
        edge_capacity=np.array([s.edge.servers for s in scenarios if s.edge is not None], dtype=np.float64),
        objective=problem.objective,
    )


def _laws(scenarios: Sequence[Scenario]) -> Floats:
    """Efficiencies or SNR-bandwidth products of downlink and uplink, (S, 2, K); worked out once where they agree."""
    known: dict[Any, Floats] = {}
    moves: dict[int, bool] = {}
    found = []
    for s in scenarios:
        of = id(s.users)
        if of not in moves:
            moves[of] = any(
                user.is_computed or "rate" in (user.way("downlink"), user.way("uplink")) for user in s.users
            )
        key: Any = (of, s.channel.shadowing_seed)
        if moves[of]:
            key = (*key, s.channel.downlink_hz, s.channel.uplink_hz)
        if key not in known:
            known[key] = np.stack([law[:, 0] for law in law_of(s)])
        found.append(known[key])
    return np.array(found)


@dataclass(frozen=True)
class _Pick:
    """What does not depend on shares, of one option of one user."""

    columns: dict[str, Any]
    costs: UserCosts
    program: Stage
    amounts: tuple[float, ...]
    """Bits of each send, and seconds of each compute at full speed, of the leaves [bit, s]."""
    parts: int
    """Parts of the model that the edge holds for it, as bits of a number."""
    transmit_w: float | None
    """Power of the device's radio; None where its energy is not counted [W]."""
    quality: dict[str, float | None]
    """What can be relied on of the figures that the user asks for."""


class _Rows:
    """Results of the cells of a batch that were solved, worked out column by column."""

    def __init__(
        self,
        table: OptionTable,
        batch: BatchProblem,
        found: BatchAllocation,
        done: NDArray[np.intp],
        kept: NDArray[np.intp],
    ) -> None:
        self.table, self.batch, self.found, self.done = table, batch, found, done
        self.option = kept[found.option[done]]
        self.parts: dict[str, tuple[int, int]] = {}

    @cached_property
    def mechanisms(self) -> tuple[str, ...]:
        return mechanisms_of([self.table.scenario])

    def results(self) -> list[dict[str, Any]]:
        """One a cell, in their order."""
        count, users = self.option.shape
        rows: list[list[dict[str, Any]]] = [[{}] * users for _ in range(count)]
        sums: dict[str, list[Any]] = {name: [0] * count for name in TOTALS}
        held = [0] * count
        for k in range(users):
            for o in np.unique(self.option[:, k]):
                at = np.flatnonzero(self.option[:, k] == o)
                pick = self._pick(k, int(o))
                for s, row in zip(at.tolist(), self._users(k, pick, self.done[at]), strict=True):
                    rows[s][k] = row
                    held[s] |= pick.parts
        for s, users_of in enumerate(rows):
            for name in TOTALS:
                values = [user[name] for user in users_of]
                sums[name][s] = None if None in values else sum(values)
        sizes = dict(self.parts.values())
        byte = {mask: sum(size for bit, size in sizes.items() if mask & bit) for mask in set(held)}
        cells = self._cells([byte[mask] for mask in held], sums)
        return [{"cell": cell, "users": own} for cell, own in zip(cells, rows, strict=True)]

    def _cells(self, edge_byte: list[int], sums: dict[str, list[Any]]) -> list[dict[str, Any]]:
        names = [option.mechanism for option in self.table.options]
        empty: dict[str, Any] = dict.fromkeys(all_columns(self.mechanisms))
        empty |= {"objective": self.table.scenario.objective, "options": len(names), "cost_part_s": 0.0}
        empty |= {"method": str(Method.BATCH), "build_s": self.found.build_s / len(self.found)}
        empty |= {"solve_s": self.found.solve_s / len(self.found)} | {f"users_{m}": 0 for m in self.mechanisms}
        columns: dict[str, list[Any]] = {
            "status": [str(status) for status in self.found.status[self.done]],
            "objective_s": self.found.objective_s[self.done].tolist(),
            "lower_bound_s": self.found.lower_bound_s[self.done].tolist(),
            "gap": self.found.gap[self.done].tolist(),
            "edge_byte": edge_byte,
            **sums,
        }
        for mechanism in set(names):
            chosen = np.isin(self.option, [o for o, name in enumerate(names) if name == mechanism])
            columns[f"users_{mechanism}"] = chosen.sum(axis=1).tolist()
        values = zip(*columns.values(), strict=True)
        return [empty | dict(zip(columns, row, strict=True)) for row in values]

    def _pick(self, k: int, o: int) -> _Pick:
        table, option = self.table, self.table.options[o]
        program = table.program(k, o)
        scenario = table.scenario
        own = list(leaves(program))
        amounts = tuple(table.send_bit(x, k) if isinstance(x, Send) else table.machines.compute_s(x, k) for x in own)
        costs = user_costs(table, k, o, program, schedule(program, [0.0] * len(own)))
        mask = 0
        for part, byte in edge_parts(table, [program])[str(table.sites[0].name)].items():
            mask |= self.parts.setdefault(part, (1 << len(self.parts), byte))[0]
        columns = {
            "user": scenario.users[k].name,
            "edge": str(next(filter(is_edge, actors(program)), "")),
            "mechanism": option.mechanism,
            "protocol": option.protocol,
            "cut": option.cut,
            "share_at_edge": option.share,
            "precision": option.precision,
            "codec": option.codec,
        }
        device = scenario.users[k].device
        power = None if device.compute_power_w is None else device.transmit_power_w
        quality = quality_columns(scenario.users[k], table.quality(k, o))
        return _Pick(columns, costs, program, amounts, mask, power, quality)

    def _users(self, k: int, pick: _Pick, at: NDArray[np.intp]) -> Iterable[dict[str, Any]]:
        """Rows of one user in the cells `at` of the batch, in which it takes the same option."""
        found, propagation_s = self.found, self.table.scenario.channel.propagation_s
        down_hz, up_hz, share = found.downlink_hz[at, k], found.uplink_hz[at, k], found.edge_share[at, k]
        rates = {"downlink": self._rate("downlink", k, at, down_hz), "uplink": self._rate("uplink", k, at, up_hz)}
        busy = {name: np.zeros(at.size) for name in ("device", "uplink", "edge share", "downlink")}
        durations: list[Floats] = []
        airtime_s: Any = 0
        for leaf, amount in zip(leaves(pick.program), pick.amounts, strict=True):
            if isinstance(leaf, Send):
                seconds = amount / (1.0 * rates["downlink" if is_edge(leaf.source) else "uplink"]) + propagation_s
                busy[leaf.direction] += 1.0 * (seconds - propagation_s)
                if not is_edge(leaf.source):
                    airtime_s = airtime_s + (seconds - propagation_s)
            else:
                seconds = amount / (1.0 * share) if is_edge(leaf.at) else np.full(at.size, amount)
                busy["edge share" if is_edge(leaf.at) else "device"] += seconds
            durations.append(seconds)
        table = np.stack(list(busy.values()))
        worst = table.argmax(axis=0)
        names = list(busy)
        radio = [None] * at.size
        if pick.transmit_w is not None:
            radio = np.broadcast_to(pick.transmit_w * airtime_s, at.size).tolist()
        columns: dict[str, list[Any]] = {
            "downlink_hz": down_hz.tolist(), "uplink_hz": up_hz.tolist(), "edge_share": share.tolist(),
            "latency_s": _end(pick.program, iter(durations).__next__, np.zeros(at.size)).tolist(),
            "refresh_hz": (1.0 / table[worst, np.arange(at.size)]).tolist(),
            "bottleneck": [names[i] for i in worst.tolist()],
        }  # fmt: skip
        costs = {f.name: getattr(pick.costs, f.name) for f in fields(UserCosts)}
        kept = ("edge_s", "edge_byte", "device_byte", "edge_compute_j", "device_compute_j")
        fixed = {name: costs[name] for name in kept}
        rest = {name: costs[name] for name in ("device_load_s", "messages", "signalling_byte")} | pick.quality
        for values in zip(*columns.values(), radio, strict=True):
            row = pick.columns | dict(zip(columns, values[:-1], strict=True)) | fixed
            row["device_radio_j"] = values[-1]
            yield row | rest

    def _rate(self, side: str, k: int, at: NDArray[np.intp], band_hz: Floats) -> Floats:
        efficiency, snr_hz = getattr(self.batch, f"{side}_efficiency"), getattr(self.batch, f"{side}_snr_hz")
        if efficiency is not None:
            return linear_rate(band_hz, efficiency[at, k])
        return shannon_rate(band_hz, snr_hz[at, k])


def _end(stage: Stage, duration_s: Callable[[], Floats], start_s: Floats) -> Floats:
    """When a program ends that starts at some time [s], for arrays of durations; as `schedule` has it."""
    match stage:
        case Series(stages):
            for part in stages:
                start_s = _end(part, duration_s, start_s)
            return start_s
        case Parallel(branches):
            ends = [_end(branch, duration_s, start_s) for branch in branches]
            return np.maximum.reduce(ends) if ends else start_s
        case _:
            return start_s + duration_s()
