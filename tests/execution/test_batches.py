"""Steps of several chains in one pass at an edge: real processes, the bundled model, and what is refused."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from run_builder import make_run

from megdt_opt.errors import ExecutionError, InvalidInput
from megdt_opt.execution import Cluster, ExecutionOptions, Run
from megdt_opt.execution.batch_schedule import BatchSchedule
from megdt_opt.execution.batch_steps import BatchSteps, Member, together
from megdt_opt.execution.clock import Turns
from megdt_opt.execution.stage_work import StageWork
from megdt_opt.models.registry import load_model
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.schedule import StageTime
from megdt_opt.program.stages import Compute, Kind, is_edge, leaves

STEPS = 6
ROUNDING = 5e-6
"""Largest difference of latents between a chain in batches and alone [1]."""

JOINING = (("a",), ("a", "b"), ("a", "b"), ("a", "b", "c"), ("b", "c"), ("b",), ("b",))
"""a makes 4 steps at the edge, b 6 and c 2."""

OPTIONS = {"a": Option(mechanism="SEU", cut=4, precision="fp32"), "b": Option(mechanism="E2U", cut=6, precision="fp32"),
           "c": Option(mechanism="SEU", cut=2, precision="fp32")}  # fmt: skip
DEVICES = {"a": "u1", "b": "u2", "c": "u3"}


@pytest.fixture(scope="module")
def twins() -> Iterator[Cluster]:
    with Cluster(["edge", *DEVICES.values()]) as started:
        yield started


def schedule(batches: tuple[tuple[str, ...], ...] = JOINING, **more: Any) -> BatchSchedule:
    return BatchSchedule(
        **{"edge": "edge", "start_s": 0.5, "slope_s": 0.04, "base_s": 0.06, "batches": batches, **more}
    )


def runs(planned: BatchSchedule, scheduler: str = "ddim") -> list[Run]:
    """The runs of the chains; the edge's steps are predicted to be where they were planned."""
    model = load_model("twin")
    made = []
    for number, (name, option) in enumerate(OPTIONS.items()):
        run = make_run(
            option, name=name, device=DEVICES[name], spec=model.spec, scheduler=scheduler, steps=STEPS, step_s=0.1,
            edge_share=1 / 3, seed=number,
        )  # fmt: skip
        times = [planned.times_s[n] for n in planned.numbers(name)]
        predicted, now_s = [], 0.0
        for leaf, time_ in zip(leaves(run.program), run.predicted, strict=True):
            begin_s, end_s = now_s, now_s + time_.duration_s
            if isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE and is_edge(leaf.at):
                begin_s, end_s = times[0][0], times[-1][1]
            predicted.append(StageTime(start_s=begin_s, duration_s=end_s - begin_s))
            now_s = end_s
        made.append(replace(run, predicted=tuple(predicted)))
    return made


def alone(run: Run) -> np.ndarray:
    """The final latent of a chain that runs by itself."""
    model, (chain,) = load_model("twin"), run.chains
    how: dict[str, Any] = {"scheduler": run.scheduler, "steps": run.steps}
    conditioning = model.encode_prompt({n: torch.from_numpy(v.copy()) for n, v in chain.request.items()})
    state = model.denoise(model.start(chain.seed, **how), conditioning, first=0, count=run.steps, **how)
    return state["latent"].numpy()


@pytest.mark.parametrize("scheduler", ["ddim", "dpmpp"])
def test_batches_run_as_planned_and_end_in_the_latents_of_chains_alone(
    twins: Cluster, single_thread: None, scheduler: str
) -> None:
    planned = schedule()
    wanted = runs(planned, scheduler)
    done = twins.run(wanted, batches=planned)
    for run in wanted:
        assert np.abs(done.latents[run.name] - alone(run)).max() < ROUNDING
        assert done.images[run.name].shape == (1, 64, 64, 3)
        (row,) = [r for r in done.rows if r.user == run.name and r.actor == "edge" and r.kind == "denoise"]
        numbers = planned.numbers(run.name)
        assert len(row.step_s) == len(numbers)
        assert row.step_s[0][0] == row.start_s
        for (begin_s, end_s), number in zip(row.step_s, numbers, strict=True):
            # never before its time; how late depends on the machine
            assert begin_s >= planned.times_s[number][0] - 1e-3
            assert end_s >= planned.times_s[number][1] - 1e-3
    by = {row.user: dict(zip(planned.numbers(row.user), row.step_s, strict=True)) for row in done.rows if row.step_s}
    for number, batch in enumerate(planned.batches):  # one pass for all of its members
        assert len({by[name][number] for name in batch}) == 1
    again = type(done).from_dict(done.to_dict())
    assert [row.step_s for row in again.rows] == [row.step_s for row in done.rows]


def test_raw_batches_wait_for_their_members(twins: Cluster) -> None:
    planned = schedule(start_s=0.0)
    done = twins.run(runs(planned), ExecutionOptions(mode="raw"), batches=planned)
    rows = {row.user: row for row in done.rows if row.step_s}
    ready_s = {
        row.user: row.end_s for row in done.rows if row.actor == "edge" and row.kind == "encode_prompt"
    }  # fmt: skip
    for name, row in rows.items():
        assert row.start_s >= ready_s[name]
    starts = [min(begin for row in rows.values() for begin, _ in row.step_s), rows["c"].step_s[0][0]]
    assert starts[1] > starts[0]
    assert sum(row.busy_s for row in rows.values()) < sum(end - begin for r in rows.values() for begin, end in r.step_s)


def test_who_is_lost_is_left_out_of_the_batches(twins: Cluster) -> None:
    planned = schedule(start_s=1.5)
    wanted = runs(planned)
    wanted[2] = replace(wanted[2], pace=tuple(p / 500 if p > 1 else p for p in wanted[2].pace))  # its request is slow

    def end_process() -> None:
        while twins.start_s is None:
            time.sleep(0.01)
        time.sleep(max(0.0, twins.start_s + 0.2 - time.monotonic()))
        os.kill(twins.pids["u3"], signal.SIGKILL)

    killer = threading.Thread(target=end_process)
    killer.start()
    done = twins.run(wanted, fallbacks={}, batches=planned)
    killer.join()
    assert [fault.user for fault in done.faults] == ["c"]
    assert set(done.latents) >= {"a", "b"}
    for run in wanted[:2]:
        assert np.abs(done.latents[run.name] - alone(run)).max() < ROUNDING


@pytest.mark.parametrize("broken", [("b",), ("a", "c"), ("a", "b", "c")], ids="+".join)
@pytest.mark.parametrize("fault", ["no number", "no conditioning"])
def test_a_chain_that_fails_in_a_batch_fails_alone(single_thread: None, broken: tuple[str, ...], fault: str) -> None:
    model = load_model("twin")
    planned = schedule((("a", "b", "c"),), start_s=0.0)
    steps = BatchSteps(planned, together(model), ExecutionOptions(mode="raw"), Turns())
    steps.start(time.monotonic())
    members, wanted = {}, {}
    for run in runs(schedule()):
        (leaf,) = (
            x for x in leaves(run.program) if isinstance(x, Compute) and x.kind is Kind.DENOISE and is_edge(x.at)
        )
        (chain,) = run.chains
        store: dict[str, Any] = {
            "conditioning": model.encode_prompt({n: torch.from_numpy(v.copy()) for n, v in chain.request.items()}),
            leaf.item: model.start(chain.seed, scheduler=run.scheduler, steps=run.steps),
        }
        how: dict[str, Any] = {"scheduler": run.scheduler, "steps": run.steps, "first": 0, "count": 1}
        wanted[run.name] = model.denoise(store[leaf.item], store["conditioning"], **how)["latent"]
        if run.name in broken and fault == "no number":
            store[leaf.item]["latent"][0, 0, 0, 0] = float("nan")
        elif run.name in broken:
            del store["conditioning"]
        members[run.name] = (Member(StageWork(model, run, chain, store), leaf, 0, time.monotonic()), store, leaf.item)

    def step(name: str) -> str:
        try:
            steps.make(0, name, members[name][0], threading.Event())
        except ExecutionError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(len(members)) as pool:
        said = dict(zip(members, pool.map(step, members), strict=True))
    assert {name for name, text in said.items() if text} == set(broken)
    assert all(said[name].startswith("batch 0: ") for name in broken)
    for name, (_, store, item) in members.items():
        if name not in broken:
            assert (store[item]["latent"] - wanted[name]).abs().max() < ROUNDING


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        (JOINING[1:], "batches with chain a: found 3; expected 4 batches, as many as the chain makes steps at edge"),
        ((*JOINING, ("c",)), "batches with chain c: found 3; expected 2 batches"),
        ((*JOINING, ("d",)), r"batches: found \['d'\]; expected names of chains"),
    ],
    ids=["a step too few", "a step too many", "a stranger"],
)
def test_batches_that_are_not_the_steps_of_the_chains_are_refused(
    batches: tuple[tuple[str, ...], ...], said: str
) -> None:
    planned = schedule()
    with pytest.raises(InvalidInput, match=said):
        schedule(batches).check(runs(planned))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"slope_s": -0.1}, "batches.slope_s: found -0.1; expected finite and at least 0 s"),
        ({"base_s": float("nan")}, "batches.base_s: found nan"),
        ({"start_s": float("inf")}, "batches.start_s: found inf"),
        ({"slope_s": 0.0, "base_s": 0.0}, "batches.slope_s: found 0.0; expected above 0 s"),
        ({"batches": (("a",), ())}, r"batches \(batch 1\): found \[\]"),
        ({"batches": (("a", "a"),)}, r"batches \(batch 0\): found \['a', 'a'\]"),
    ],
)
def test_schedules_that_cannot_be_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        schedule(**changed)


def test_chains_of_different_samplers_share_no_pass() -> None:
    planned = schedule()
    wanted = runs(planned)
    wanted[0] = replace(wanted[0], scheduler="dpmpp")
    with pytest.raises(InvalidInput, match="one sampler with one number of steps"):
        planned.check(wanted)


def test_a_model_without_such_passes_is_refused_by_name(cluster: Cluster) -> None:
    planned = schedule()
    with pytest.raises(ExecutionError, match=r"model: found 'StandIn'; expected one with `denoise_together`"):
        cluster.run(runs(planned), batches=planned)
