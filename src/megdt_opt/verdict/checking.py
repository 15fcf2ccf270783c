"""Verifying the inputs of a plan on running processes: probes of its links, the reference kernel, and the verdict."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megdt_opt.execution.job import Probe, Run
from megdt_opt.execution.kernel.prediction import SECURE
from megdt_opt.execution.record import Execution
from megdt_opt.logs import logger_of
from megdt_opt.planning.plan import Plan
from megdt_opt.program.kinds import DENOISING, Kind
from megdt_opt.timing.shaped import burst_byte
from megdt_opt.trials.pictures import Picture
from megdt_opt.verdict import limits
from megdt_opt.verdict.deadlines import latency_intervals
from megdt_opt.verdict.figures import LinkProbe, Timed, profile_figures
from megdt_opt.verdict.stated import Stated, stated_of
from megdt_opt.verdict.store import LatencyStore, key_of
from megdt_opt.verdict.verdict import Verdict, judge_inputs

if TYPE_CHECKING:
    from megdt_opt.execution.cluster import Cluster

_log = logger_of(__name__)

PROBES = 2
"""Probes of each link, of which the best counts [1]."""


def check_inputs(
    plan: Plan,
    runs: Sequence[Execution],
    cluster: Cluster,
    pictures: Sequence[Picture] = (),
    *,
    executed: Sequence[Run] | None = None,
) -> Verdict:
    """Probe what the runs do not show, and judge.

    Parameters
    ----------
    plan : Plan
        What was executed.
    runs : sequence of Execution
        Its executions on this cluster, at least one; a profile is judged from five on.
    cluster : Cluster
        The processes, now at rest and without quotas.
    pictures : sequence of Picture
        Of the first run (`trials.pictures.judge_pictures`).
    executed : sequence of Run, optional
        The plan's runs as they were executed, where that is otherwise than planned (`trials.kernel.held_runs`).
    """
    stated = stated_of(plan, executed)
    probes = _probes_of(stated, runs[-1]) if runs[-1].mode == "kernel" else probe_links(stated, cluster)
    how: dict[str, Any] = {"pictures": pictures, "probes": probes}
    return judge_inputs(stated, runs, retimed=_retimed(stated, runs, cluster), **how)


def with_intervals(verdict: Verdict, plan: Plan, runs: Sequence[Execution], path: Path | None = None) -> Verdict:
    """The verdict with the intervals that earlier runs give; runs whose inputs hold are kept for later ones.

    Parameters
    ----------
    verdict : Verdict
    plan : Plan
    runs : sequence of Execution
        What was judged; one with users who were cut off is not kept. In kernel mode those that were rehearsed are kept
        by both predictions, and the intervals are of the rehearsed one.
    path : Path, optional
        The file (`store.LatencyStore`).
    """
    (_log.info if verdict.ok else _log.warning)("%s", verdict.headline)
    store = LatencyStore(path)
    found = None
    for kind in ("planned", "rehearsed"):
        known = [(run, p) for run, p in ((run, _predicted_s(plan, run, kind)) for run in runs) if p]
        if not known:
            continue
        key = key_of(verdict.mode, plan.table.spec.name, kind)
        found = latency_intervals(known[0][1], store.rolling(key))
        if verdict.ok:
            errors = [[run.measured_s[u] / s - 1 for u, s in p.items()] for run, p in known if not run.faults]
            store.add(key, errors)
        found = replace(found, drift=store.rolling(key).drift)
    return replace(verdict, intervals=found)


def _predicted_s(plan: Plan, run: Execution, kind: str) -> Mapping[str, float]:
    """Latencies that were predicted of a run [s]; empty where they were not, or not in this way."""
    if run.mode == "kernel":
        predictions: Mapping[str, Mapping[str, float]] = run.world["prediction"]
        return predictions.get(kind, {}) if "rehearsed" in predictions else {}
    return {user.name: user.latency_s for user in plan.users} if kind == "planned" else {}


def probe_links(stated: Stated, cluster: Cluster) -> list[LinkProbe]:
    """Send a payload over every link that the plan uses, at its allocated rate, while nothing computes."""
    from megdt_opt.execution.link_check import check_link

    found = []
    links = {(stage.actor, stage.to[0], stage.pace): stage for stage in stated.stages.values() if stage.to}
    for (source, to, rate), stage in links.items():
        size = max(limits.PROBE_BYTE, round(limits.PROBE_S * rate / 8))
        (check,) = check_link(cluster, source, to, [(size, rate)], samples=PROBES, propagation_s=stage.propagation_s)
        delay_s = stage.propagation_s
        found.append(
            LinkProbe(
                source=source, to=to, rate_bit_per_s=rate, expected_s=check.expected_s - delay_s,
                measured_s=min(check.measured_s) - delay_s,
            )
        )  # fmt: skip
    return found


def _probes_of(stated: Stated, run: Execution) -> list[LinkProbe]:
    """Probes that the world of a run has made by itself, against the rates that the plan allocates: what the kernel
    says of a link is no measure of it, as it may have been set otherwise since."""
    rates = {(stage.actor, stage.to[0]): stage.pace for stage in stated.stages.values() if stage.to}
    found = []
    for link in run.world.get("links", ()):
        rate = rates.get((link.get("source"), link.get("to")))
        if rate is not None and "measured_s" in link:
            expected_s = SECURE.seconds(link["byte"], rate, burst_byte(rate))
            names = {name: link[name] for name in ("source", "to", "measured_s")}
            found.append(LinkProbe(rate_bit_per_s=rate, expected_s=expected_s, **names))
    return found


def _retimed(stated: Stated, runs: Sequence[Execution], cluster: Cluster) -> list[Mapping[Timed, float]]:
    """Stages timed anew, in rounds over all actors; again after a rest while a side is close to its limit."""
    rounds = min(len(runs), limits.PROFILE_RUNS)
    found: list[Mapping[Timed, float]] = []
    for look in range(1 + limits.CLOSER_LOOKS):
        if look:
            time.sleep(limits.CLOSER_REST_S)
        found += [time_stages(stated, cluster) for _ in range(rounds)]
        figures, _ = profile_figures(stated, runs[-1], found)
        if not any(abs(figure.distance - 1) < limits.CLOSE for figure in figures):
            break
    return found


def time_stages(stated: Stated, cluster: Cluster) -> dict[Timed, float]:
    """Processor seconds of every stage of denoising and decoding in its actor's process, at the speed that the
    reference kernel had when that stage was calibrated: both are timed by turns, then as now [s]."""
    found: dict[Timed, float] = {}
    for stage in stated.stages.values():
        key = (stage.actor, stage.kind, stage.rows)
        profile = stated.machines[stage.actor].profile if stage.actor in stated.machines else None
        if profile is None or profile.reference is None or key in found:
            continue
        if stage.kind in (*DENOISING, Kind.DECODE):
            probe = Probe(kind=stage.kind, rows=stage.rows, scheduler=stated.scheduler, steps=stated.steps)
            pairs = cluster.measure_beside(stage.actor, probe, profile.reference.weight_byte, limits.RETIMED_SAMPLES)
            rows = None if stage.rows is None else stage.rows[1] - stage.rows[0]
            then_s = profile.reference_s(stage.kind, rows=rows)
            assert then_s is not None  # it has a reference
            found[key] = then_s * statistics.median(used / reference for used, reference in pairs)
    return found
