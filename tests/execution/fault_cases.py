"""Seeded runs of several users, and the faults that are put into them."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from group_builder import make_group, member
from run_builder import make_run
from standin_model import FAULTY_SPEC, StandIn

from megdt_opt.errors import ExecutionError
from megdt_opt.execution import Cluster, Run
from megdt_opt.execution.graph import graph
from megdt_opt.execution.rpc import Peer
from megdt_opt.execution.serial import pack
from megdt_opt.execution.stage_work import first_items
from megdt_opt.program.groups import COOPERATIVE, SHARED_DEVICE, SHARED_EDGE
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.stages import Compute, EdgeServer, Parallel, Payload, Send, Series, leaves

STEPS = 6
EDGES = ("edge", "edge-2")
GROUP = ("u1", "u2", "u3")
OTHERS = ("u4", "u5")
ACTORS = (*EDGES, *GROUP, *OTHERS)

KINDS = (
    "killed member",
    "killed host",
    "killed lead",
    "stopped edge",
    "killed edge",
    "second edge lost",
    "truncated message",
    "repeated message",
    "frozen process",
    "failing stage",
)
"""Four seeds of each make forty cases."""


@dataclass(frozen=True)
class Case:
    """Runs, what each user's device would run alone, and the pictures that are due."""

    kind: str
    seed: int
    runs: tuple[Run, ...]
    target: str
    """Actor that is hit."""
    after_s: float

    @property
    def users(self):
        return tuple(chain for run in self.runs for chain in run.chains if chain.name not in run.shared)

    @property
    def fallbacks(self):
        return {user.name: alone(user) for user in self.users}


def alone(user, step_s=0.02):
    """The local program of a user."""
    made = make_run(Option(mechanism="local"), device=user.device, spec=FAULTY_SPEC, step_s=step_s)
    return replace(made, name=user.name, chains=(replace(user, goes_on_from=""),), chain=(user.name,) * 3)


def at(edge, stage):
    """A program with its edge server replaced by another."""

    def there(actor):
        return EdgeServer(edge) if actor == "edge" else actor

    match stage:
        case Series(stages):
            return Series(tuple(at(edge, s) for s in stages))
        case Parallel(branches):
            return Parallel(tuple(at(edge, s) for s in branches))
        case Send():
            return replace(stage, source=there(stage.source), to=tuple(there(a) for a in stage.to))
    return replace(stage, at=there(stage.at))


def single(rng, device, edge, step_s, scheduler="ddim"):
    """A user with a mechanism of its own at an edge."""
    cut = int(rng.integers(1, STEPS))
    option = (
        Option(mechanism="E2U", cut=STEPS, precision="fp32"),
        Option(mechanism="SEU", cut=cut, precision="fp32"),
        Option(mechanism="SEU-UE-first", cut=cut, precision="fp32"),
        Option(mechanism="centralised", cut=STEPS, codec="png"),
    )[int(rng.integers(4))]
    share = float(rng.uniform(0.2, 0.35))
    rate = float(10 ** rng.uniform(5.3, 6.5))
    how = {"spec": FAULTY_SPEC, "step_s": step_s, "edge_share": share, "rate": rate, "scheduler": scheduler}
    run = make_run(option, name=f"user {device}", device=device, seed=int(rng.integers(100)), **how)
    return replace(run, program=at(edge, run.program))


def case(kind, seed):
    """Case number `seed` of a kind: a group of two or three, a user at each edge, and one alone."""
    rng = np.random.default_rng([sum(map(ord, kind)), seed])
    step_s = float(rng.uniform(0.04, 0.07))
    hosted = kind == "killed host" or (kind != "killed lead" and rng.random() < 0.3)
    common = int(rng.integers(2, STEPS + 1))
    devices = GROUP[: int(rng.integers(2, 4))]
    members = [member(d, content=int(rng.integers(3)), seed=int(rng.integers(3)), spec=FAULTY_SPEC) for d in devices]

    def option(lead):
        if hosted:
            return Option(mechanism=COOPERATIVE, cut=common, precision="fp32")
        if not lead and rng.random() < 0.6:
            return Option(mechanism=SHARED_DEVICE, cut=common, precision="fp32")
        return Option(mechanism=SHARED_EDGE, cut=common, codec="png")

    how = {"step_s": step_s, "rate": float(10 ** rng.uniform(5.5, 6.5)), "share": 0.6, "spec": FAULTY_SPEC}
    options = [option(m is members[0]) for m in members]
    group = make_group(options, members, common=common, hosted=hosted, **how)
    local = make_run(Option(mechanism="local"), name="user u6", device="u5", step_s=step_s, spec=FAULTY_SPEC)
    failing = "failing" if kind == "failing stage" else "ddim"
    others = [single(rng, "u4", "edge", step_s, failing), single(rng, "u5", "edge-2", step_s)]
    targets = {
        "killed member": devices[-1],
        "killed host": devices[0],
        "killed lead": devices[0],
        "stopped edge": "edge",
        "killed edge": "edge",
        "second edge lost": "edge-2",
        "frozen process": str(rng.choice(["edge", "edge-2", devices[0], devices[-1], "u4"])),
    }
    runs = (group, *others, local)
    ends_s = [max(t.start_s + t.duration_s for t in run.predicted) for run in runs]
    after_s = 0.1 + float(rng.uniform(0.05, 0.8)) * min(ends_s[:3])
    if kind == "repeated message" and seed % 2:
        after_s = 0.0  # the copy races with the message itself
    made = Case(kind, seed, runs, targets.get(kind, ""), after_s)
    if kind == "truncated message":
        run, index = truncated(made)
        made = replace(made, after_s=0.5 * run.predicted[index].start_s)
    return made


def needed_by(run, name):
    """A user's stages, and those that they go on from: an account of its own."""
    nodes = graph(run.program)
    wanted = {n.index for n in nodes if run.chain[n.index] == name}
    while True:
        more = wanted.union(*(nodes[i].before for i in wanted))
        if more == wanted:
            return wanted
        wanted = more


def domain(run, name):
    """Actors that these stages touch."""
    nodes, wanted = graph(run.program), needed_by(run, name)
    own = {a for n in nodes if run.chain[n.index] == name and isinstance(n.leaf, Send) for a in n.leaf.to}
    return own | {nodes[i].actor for i in wanted}


@torch.no_grad()
def picture(user, lead=None, common=0):
    """A picture made by one process; its first steps follow the lead's request and seed."""
    model, how = StandIn.load(), {"scheduler": "ddim", "steps": STEPS}

    def conditioning(of):
        return model.encode_prompt({name: torch.from_numpy(a) for name, a in of.request.items()})

    state = model.start((lead or user).seed, **how)
    state = model.denoise(state, conditioning(lead or user), first=0, count=common, **how)
    if common < STEPS:
        state = model.denoise(state, conditioning(user), first=common, count=STEPS - common, **how)
    return model.decode(state["latent"]).numpy()


def planned_picture(run, user):
    """The picture that a user's own program makes."""
    if not user.goes_on_from:
        return picture(user)
    common = next(c for c in run.chains if c.name == user.goes_on_from)
    steps = sum(s.amount for s in run.stages_of(common.name) if isinstance(s, Compute) and s.kind == "denoise")
    return picture(user, common, steps)


def inject(cluster: Cluster, run: Run, index: int, data: bytes, size: int) -> ExecutionError | None:
    """Send bytes to a receiver of a stage, as its source would."""
    leaf = list(leaves(run.program))[index]
    assert isinstance(leaf, Send)
    to = str(leaf.to[-1])
    peer = Peer(to, cluster.address(to), cluster.identity(leaf.source))
    envelope = {"run": cluster.current_run, "user": run.name, "index": index}
    try:
        peer.open(envelope, 5.0).send({"size": size, "due_s": time.monotonic()}, iter((data,)), threading.Event())
    except ExecutionError as error:
        return error
    finally:
        peer.close()
    return None


def strike(cluster: Cluster, made: Case) -> list[ExecutionError | None]:
    """Put the fault into the run in progress; the answers to what was sent."""
    if made.kind == "truncated message":
        run, index = truncated(made)
        return [inject(cluster, run, index, bytes(100), 4096)]
    if made.kind == "repeated message":
        run, index = requesting(made)[0]
        leaf = list(leaves(run.program))[index]
        chain = next(c for c in run.chains if c.name == run.chain[index])
        data = pack(first_items(chain, chain.device), leaf.tensors, leaf.precision)
        return [inject(cluster, run, index, data, len(data)) for _ in range(2)]
    if made.target:
        how = {"stopped edge": signal.SIGTERM, "frozen process": signal.SIGSTOP}.get(made.kind, signal.SIGKILL)
        os.kill(cluster.pids[made.target], how)
    return []


def truncated(made: Case) -> tuple[Run, int]:
    """A run, and the last of its stages that send."""
    run = made.runs[made.seed % 3]
    return run, [n for n, leaf in enumerate(leaves(run.program)) if isinstance(leaf, Send)][-1]


def waiting_for(made: Case) -> set[str]:
    """Users who need the stage whose message is truncated."""
    run, index = truncated(made)
    return {user for user in {chain.name for chain in run.chains} - run.shared if index in needed_by(run, user)}


def requesting(made: Case) -> list[tuple[Run, int]]:
    """Runs that send a request, and the stages that do."""
    each = ((run, n, leaf) for run in made.runs for n, leaf in enumerate(leaves(run.program)))
    return [(run, n) for run, n, leaf in each if isinstance(leaf, Send) and leaf.payload is Payload.REQUEST]


LEAVES_S = 0.02
"""The last bytes of a send may have left a process this long before its slot ends [s]."""


def must_be_cut_off(made: Case) -> set[str]:
    """Users who need a stage of the lost actor that has not ended when it is hit: paced slots end no earlier."""
    found = {"user u4"} if made.kind == "failing stage" else set()
    for run in made.runs:
        for user in {chain.name for chain in run.chains} - run.shared:
            for index in needed_by(run, user):
                time, stage = run.predicted[index], graph(run.program)[index]
                needed_s = time.start_s + time.duration_s - (LEAVES_S if isinstance(stage.leaf, Send) else 0.0)
                if stage.actor == made.target and needed_s > made.after_s:
                    found.add(user)
    return found


def may_be_cut_off(made: Case) -> set[str]:
    """Users whom the fault may concern."""
    found = set()
    for run in made.runs:
        for user in run.chains:
            if user.name in run.shared:
                continue
            touched = domain(run, user.name) | {user.device}
            if made.target in touched or (made.kind == "failing stage" and user.device == "u4"):
                found.add(user.name)
    return found
