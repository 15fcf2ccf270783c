"""Messages: what was found and what is accepted, as a reader would write it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from megdt_opt import AllocationProblem, InvalidInput, Scenario, TimingProfile, errors, plan, solve
from megdt_opt.calibration.settings import Settings
from megdt_opt.errors import shown
from megdt_opt.models.registry import find_spec
from megdt_opt.planning.claims import agrees, one_of
from megdt_opt.problem.outcome import BoundSource, Method, Status
from megdt_opt.program import stages
from megdt_opt.program.mechanisms import MECHANISMS, Option, Setting, program
from megdt_opt.program.stages import Kind, Payload, Send
from megdt_opt.timing.cells import Cell
from megdt_opt.whatif.regret import regret

NOT_FOR_READERS = ("np.", "<Method", "<Status", "<Kind", "<Payload", "<BoundSource", "dtype=", "object at")


def problem(**changes: Any) -> AllocationProblem:
    fields: dict[str, Any] = {
        "fixed_s": [[1.0]],
        "edge_work_s": [[1.0]],
        "downlink_bit": [[0.0]],
        "uplink_bit": [[0.0]],
        "downlink_hz": 1.0,
        "uplink_hz": 1.0,
    }
    return AllocationProblem(**(fields | changes))


def scenario(**changes: Any) -> Scenario:
    user = {"name": "a", "downlink_efficiency": "1 bit/s/Hz", "uplink_efficiency": "1 bit/s/Hz"}
    fields: dict[str, Any] = {"channel": {"downlink": "1 MHz", "uplink": "1 MHz"}, "users": [user]}
    return Scenario(**(fields | changes))


SETTING = Setting(
    spec=find_spec("twin"),
    scheduler="ddim",
    steps=2,
    device="a",
)

WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "method": (lambda: solve(problem(), "simplex"), "found 'simplex'; expected one of ('auto', 'prices', "),
    "method of what answers say alone": (lambda: solve(problem(), Method.BATCH), "found 'batch'"),
    "method that is a status": (lambda: solve(problem(), Status.OPTIMAL), "found 'optimal'"),
    "method for a plan": (lambda: plan(scenario(), method="magic"), "found 'magic'"),
    "objective": (lambda: problem(objective="mean"), "found 'mean'"),
    "objective that is a number": (lambda: problem(objective=np.float64(1.0)), "found 1.0"),
    "objective of a scenario": (lambda: scenario(objective="mean"), "found 'mean'"),
    "status": (lambda: one_of("status", "good", Status), "expected one of ['optimal', 'feasible', "),
    "bound source": (lambda: one_of("bound_source", None, BoundSource), "found None"),
    "figure": (lambda: agrees("gap", 0.5, np.float64(0.25)), "found 0.5; expected 0.25"),
    "mechanism": (
        lambda: program(Option(mechanism="XEU", precision="fp32", codec="raw"), SETTING),
        f"found 'XEU'; expected one of {list(MECHANISMS)}"[:-1],
    ),
    "mechanism of a user": (
        lambda: scenario(users=[{"name": "a", "distance": "9 m", "mechanisms": ["XEU"]}]),
        f"found 'XEU'; expected one of {list(MECHANISMS)}"[:-1],
    ),
    "kind": (lambda: Cell(kind="dance", batch=1, samples_s=(1.0,)), "expected one of ['encode_prompt', 'sense', "),  # type: ignore[arg-type]
    "kind to time": (
        lambda: Settings(kinds=["dance"], batches=(1,), held_out_batches=(), rows=None, held_out_rows=()).stages(
            coded=False
        ),
        "found ['dance']; expected stages out of ['encode_prompt', ",
    ),
    "precision of a payload": (
        lambda: Send(source="a", to=("b",), payload=Payload.IMAGE, tensors=(), precision="fp64"),
        "precision of image",
    ),
    "number": (lambda: problem(fixed_s=[[np.float32(-0.1)]]), "found -0.1"),
    "numbers": (lambda: problem(fixed_s=[[np.float64(1.0), np.float64(2.0)]]), "(1, 2)"),
    "gap": (lambda: solve(problem(), gap=np.float64(-1.0)), "found -1.0"),
    "spread": (lambda: regret(problem(), spread=Kind.FUSE), "found 'fuse'"),  # type: ignore[arg-type]
    "profile": (lambda: TimingProfile.bundled("nowhere"), "found 'nowhere'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_messages_show_words_and_numbers_as_they_are_written(name: str) -> None:
    call, words = WRONG[name]
    with pytest.raises(errors.MegdtError) as caught:
        call()
    assert words in str(caught.value)
    assert not [sign for sign in NOT_FOR_READERS if sign in str(caught.value)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float64(2.0), "2.0"),
        (np.float32(0.1), "0.1"),
        (np.int64(3), "3"),
        (np.bool_(True), "True"),
        (np.complex128(1j), "1j"),
        ((np.float64(0.5), np.int8(-1)), "(0.5, -1)"),
        ({"gap": [np.float64(0.5)]}, "{'gap': [0.5]}"),
        (np.array(4.0), "4.0"),
        (np.timedelta64(3, "s"), "np.timedelta64(3,'s')"),
        (Status.OPTIMAL, "'optimal'"),
        ([Method.AUTO, Kind.FUSE], "['auto', 'fuse']"),
        (10**400, "a number of 1329 bit"),
    ],
)
def test_values_as_a_message_shows_them(value: object, text: str) -> None:
    assert shown(value) == text
    assert f"found {text};" in str(InvalidInput("field", value, "another", "Give it."))


def test_words_of_fixed_lists_stay_themselves() -> None:
    for member in (*Status, *BoundSource, *Method, *Kind, *Payload):
        assert pickle.loads(pickle.dumps(member)) is member
        assert repr(member) == repr(str(member)) == repr(member.value)
        assert f"{member}" == member == member.value
    assert "'denoise'" in repr(stages.Compute(at="a", kind=Kind.DENOISE, amount=1))
