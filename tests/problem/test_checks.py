"""What counts as a number of a problem: anything that would lose its meaning on the way into an array is refused."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from random_placements import draw_placement
from random_prefixes import random_prefixes

from megdt_opt import (
    AllocationProblem,
    AlphaFairProblem,
    BatchProblem,
    GenerationSplitProblem,
    InvalidInput,
    bounds,
    evaluate,
    replan,
    solve,
    solve_batch,
)
from megdt_opt.problem.checks import LARGEST, SMALLEST


class Quantity:
    """Numbers with a unit, as packages for quantities hold them: NumPy drops the unit in silence."""

    def __init__(self, values: Any, units: str) -> None:
        self.m, self.units = values, units

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.m, dtype=dtype)

    def __float__(self) -> float:
        return float(self.m)

    def to_numpy(self) -> np.ndarray:
        return np.asarray(self.m)


class Subclass(np.ndarray):
    """An array whose indices or sums may mean something else."""


class UnitArray(np.ndarray):
    """The same as a kind of array."""

    unit = "ms"


def core(**changes: Any) -> dict[str, Any]:
    return {
        "fixed_s": [[0.1, 1.0], [0.2, 2.0]],
        "downlink_bit": [[1e4, 0.0], [2e4, 0.0]],
        "uplink_bit": [[1e3, 0.0], [1e3, 0.0]],
        "edge_work_s": [[0.5, 0.0], [0.5, 0.0]],
        "downlink_hz": 1e4,
        "uplink_hz": 1e4,
        "downlink_efficiency": [2.0, 4.0],
        "uplink_efficiency": [1.0, 1.0],
        **changes,
    }


def batch(**changes: Any) -> BatchProblem:
    """Two scenarios; what is changed is changed in both."""

    def twice(value: Any) -> Any:
        if isinstance(value, np.ma.MaskedArray):
            return np.ma.stack([value, value])
        if isinstance(value, list):
            return [value, value]
        return np.stack([np.asarray(value)] * 2)

    fields = {name: twice(value) if np.ndim(value) else value for name, value in core().items()}
    return BatchProblem(**fields | {name: twice(value) for name, value in changes.items()})


MASKED = np.ma.array([[0.1, 0.05], [0.2, 2.0]], mask=[[False, True], [False, False]])
TIMES: dict[str, Any] = {
    "masked array": MASKED,
    "list of masked rows": [MASKED[0], MASKED[1]],
    "masked constant in a list": [[0.1, np.ma.masked], [0.2, 2.0]],
    "durations in ms": np.array([[100, 1000], [200, 2000]], dtype="timedelta64[ms]"),
    "list of durations": [[np.timedelta64(100, "ms"), 1.0], [0.2, 2.0]],
    "duration of Python": [[datetime.timedelta(milliseconds=100), 1.0], [0.2, 2.0]],
    "duration of pandas": [[pd.Timedelta("100 ms"), 1.0], [0.2, 2.0]],
    "durations of pandas": pd.DataFrame(
        {"a": pd.to_timedelta(["100 ms", "200 ms"]), "b": pd.to_timedelta(["1 s"] * 2)}
    ),
    "dates": np.array([["2026-01-01"] * 2] * 2, dtype="datetime64[s]"),
    "missing of pandas": [[pd.NA, 1.0], [0.2, 2.0]],
    "missing in a table": pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [1.0, 2.0]}),
    "complex": np.array([[0.1 + 5j, 1.0], [0.2, 2.0]]),
    "complex in a list": [[0.1 + 5j, 1.0], [0.2, 2.0]],
    "unit in an object": Quantity([[100.0, 1000.0], [200.0, 2000.0]], "ms"),
    "unit in a list": [[Quantity(100.0, "ms"), 1.0], [0.2, 2.0]],
    "unit in a kind of array": np.array([[100.0, 1000.0], [200.0, 2000.0]]).view(UnitArray),
    "truth values": np.array([[True, False], [True, True]]),
    "truth value in a list": [[True, 1.0], [0.2, 2.0]],
    "text": np.array([["0.1", "1"], ["0.2", "2"]]),
    "text in a list": [["0.1", 1.0], [0.2, 2.0]],
    "objects": np.array([[0.1, 1.0], [0.2, 2.0]], dtype=object),
    "structured": np.zeros((2, 2), dtype=[("low", float), ("high", float)]),
    "kind of array": np.array([[0.1, 1.0], [0.2, 2.0]]).view(Subclass),
    "mapping": {0: [0.1, 1.0], 1: [0.2, 2.0]},
    "set": {0.1, 0.2},
    "rows of different lengths": [[0.1], [0.2, 2.0]],
}


@pytest.mark.parametrize("value", TIMES.values(), ids=TIMES.keys())
@pytest.mark.parametrize("field", ["fixed_s", "edge_work_s"])
def test_what_is_no_plain_number_is_refused_by_name(value: Any, field: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^{field}.*\[s\]"):
        AllocationProblem(**core(**{field: value}))


@pytest.mark.parametrize("kind", ["masked array", "durations in ms", "complex", "truth values", "text in a list"])
def test_a_batch_refuses_the_same(kind: str) -> None:
    with pytest.raises(InvalidInput, match=r"^fixed_s"):
        batch(fixed_s=TIMES[kind])
    with pytest.raises(InvalidInput, match=r"^edge_work_s"):
        batch(edge_work_s=TIMES[kind])


SINGLE: dict[str, Any] = {
    "duration": np.timedelta64(200, "ms"),
    "duration of pandas": pd.Timedelta("200 ms"),
    "complex": 1.0 + 5j,
    "complex of NumPy": np.complex128(1.0 + 5j),
    "truth value": True,
    "text": "1",
    "missing": pd.NA,
    "masked": np.ma.masked,
    "unit": Quantity(1.0, "MHz"),
    "list": [1.0],
}


def _plain() -> AllocationProblem:
    return AllocationProblem(**core(objective="sum"))


def _split(**changes: Any) -> GenerationSplitProblem:
    fields: dict[str, Any] = {
        "edge_s": 1.0, "device_s_at_1_w": 8.0, "exponent": 0.5, "payload_bit": 1e6, "rate_bit_per_s": 1e6,
        "energy_max_j": 1.0, "power_max_w": 4.0,
    }  # fmt: skip
    return GenerationSplitProblem(**fields | changes)


DOORS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "budget": ("downlink_hz", lambda v: AllocationProblem(**core(downlink_hz=v))),
    "budget of a batch": ("edge_capacity", lambda v: batch() and replace(batch(), edge_capacity=v)),
    "max_weight": ("max_weight", lambda v: AllocationProblem(**core(objective="mixed", max_weight=v))),
    "alpha": ("alpha", lambda v: AlphaFairProblem(allocation=_plain(), alpha=v)),
    "split": ("edge_s", lambda v: _split(edge_s=v)),
    "gap": ("gap", lambda v: solve(_plain(), gap=v)),
    "time limit": ("time_limit_s", lambda v: solve(_plain(), time_limit_s=v)),
    "gap of a batch": ("gap", lambda v: solve_batch([_plain()], gap=v)),
    "bound": ("rate_bit_per_s", lambda v: bounds.download_threshold_hz(v, efficiency=2.0)),
    "law of a bound": ("snr_hz", lambda v: bounds.download_threshold_hz(1.0, snr_hz=v)),
}


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("door", DOORS)
def test_single_numbers_are_read_the_same_way_everywhere(door: str, kind: str) -> None:
    field, call = DOORS[door]
    with pytest.raises(InvalidInput, match=f"^{field}"):
        call(SINGLE[kind])


@pytest.mark.parametrize("value", [np.array(["max", "sum"]), np.array(["max"]), ["max"], None, 1])
def test_a_word_is_text(value: Any) -> None:
    problems = (AllocationProblem(**core()), batch(), draw_placement(0), random_prefixes(0, (2,)))
    for problem in problems:
        with pytest.raises(InvalidInput, match="^objective: found .*one of"):
            replace(problem, objective=value)
    with pytest.raises(InvalidInput, match="^reserve: found .*one of"):
        replace(problems[-1], reserve=value)
    with pytest.raises(InvalidInput, match="^objective: found"):
        bounds.reserving_ratio_bound(2, objective=value)


@pytest.mark.parametrize("kind", ["duration", "complex", "truth value", "masked", "unit"])
def test_vectors_of_other_arguments(kind: str) -> None:
    value = [SINGLE[kind], 1.0]
    problem = _plain()
    for name, call in {
        "edge_share": lambda: evaluate(problem, [0, 1], [1e4, 0.0], [1e4, 0.0], value),
        "option": lambda: evaluate(problem, [SINGLE[kind], 1], [1e4, 0.0], [1e4, 0.0], [1.0, 0.0]),
        "work_s": lambda: bounds.sequencing_sum(value),
        "weight": lambda: bounds.sequencing_sum([1.0, 2.0], weight=value),
        "prices_s": lambda: bounds.price_bound_s(problem, [1.0, *value]),
        "energy_max_j": lambda: bounds.energy_delay_front(_split(), value),
        "switch_cost_s": lambda: replan(problem, [0, 1], switch_cost_s=value),
        "allowed": lambda: AllocationProblem(
            **core(allowed=[[SINGLE[kind] if kind != "truth value" else "yes", 1]] * 2)
        ),
    }.items():
        with pytest.raises(InvalidInput, match=f"^{name}"):
            call()


def test_masked_flags_and_options_are_refused() -> None:
    flags = np.ma.array([[True, True], [True, True]], mask=[[False, True], [False, False]])
    with pytest.raises(InvalidInput, match="^allowed.*masked"):
        AllocationProblem(**core(allowed=flags))
    with pytest.raises(InvalidInput, match="^allowed"):
        AllocationProblem(**core(allowed=pd.DataFrame({"a": pd.array([True, None], dtype="boolean"), "b": [True] * 2})))
    with pytest.raises(InvalidInput, match="^option.*masked"):
        evaluate(_plain(), np.ma.array([0, 1], mask=[True, False]), [1e4, 0.0], [1e4, 0.0], [1.0, 0.0])


def test_a_masked_option_can_be_closed() -> None:
    """The right way to say that an option was never measured."""
    times = np.ma.array([[5.0, 0.1], [6.0, 6.0]], mask=[[False, True], [False, False]])
    problem = AllocationProblem(**core(fixed_s=times.filled(0.0), allowed=~np.ma.getmaskarray(times)))
    assert solve(problem).option[0] == 0


@pytest.mark.parametrize(
    "value",
    [
        np.array([[1, 2], [3, 4]]),
        np.array([[1, 2], [3, 4]], dtype=np.uint8),
        np.array([[1, 2], [3, 4]], dtype=np.float16),
        np.array([[1, 3], [2, 4]]).T,
        np.ma.array([[1.0, 2.0], [3.0, 4.0]]),
        [np.array([1.0, 2.0]), (3, np.float32(4))],
        [[Fraction(1), 2], range(3, 5)],
        pd.DataFrame({"a": [1.0, 3.0], "b": [2, 4]}),
        [pd.Series([1.0, 2.0]), [3, 4]],
        [memoryview(np.array([1.0, 2.0])), [3, 4]],
    ],
)
def test_plain_numbers_of_any_kind_are_taken(value: Any) -> None:
    assert AllocationProblem(**core(fixed_s=value)).fixed_s.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def nullable(*kinds: str) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.array(column, dtype=kind) for name, column, kind in zip("ab", ([1, 3], [2, 4]), kinds, strict=True)}
    )


@pytest.mark.parametrize("kinds", [("Int64", "Int64"), ("Float64", "Float64"), ("UInt8", "Float32"), ("Int64", float)])
def test_tables_whose_columns_may_lack_values_are_taken_where_none_is_missing(kinds: Any) -> None:
    """pandas gives such a table to NumPy as an array of objects."""
    whole = nullable(*kinds)
    for given in (whole, [whole.iloc[0], whole.iloc[1]]):
        assert AllocationProblem(**core(fixed_s=given)).fixed_s.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    problem = AllocationProblem(**core(weight=whole["b"], downlink_efficiency=whole["a"].array))
    assert problem.weights.tolist() == [2.0, 4.0]
    assert evaluate(_plain(), pd.Series([0, 1], dtype="Int64"), [1e4, 0.0], [1e4, 0.0], [1.0, 0.0]).violation == 0.0


def test_flags_of_such_tables() -> None:
    for kind in ("boolean", "Int64", "Float64", object):
        flags = pd.DataFrame({"a": pd.array([True, True], dtype=kind), "b": pd.array([False, True], dtype=kind)})
        assert AllocationProblem(**core(allowed=flags)).allowed_mask.tolist() == [[True, False], [True, True]]
    with pytest.raises(InvalidInput, match="truth values"):
        AllocationProblem(**core(fixed_s=pd.DataFrame({"a": pd.array([True, True], dtype="boolean"), "b": [1, 2]})))


@pytest.mark.parametrize("kind", ["Int64", "Float64", "boolean"])
@pytest.mark.parametrize("field", ["fixed_s", "edge_work_s", "allowed"])
def test_what_is_missing_in_a_table_is_refused_by_its_place(kind: str, field: str) -> None:
    other = pd.array([True, True] if kind == "boolean" and field == "allowed" else [1, 1], dtype=kind)
    table = pd.DataFrame({"a": other, "b": pd.array([1, None], dtype=kind)})
    if kind == "boolean" and field != "allowed":
        table["a"] = [1.0, 2.0]
        table.loc[0, "b"] = pd.NA
    place = r"\(0, 1\)" if kind == "boolean" and field != "allowed" else r"\(1, 1\)"
    with pytest.raises(InvalidInput, match=f"^{field}: found 'a missing value at {place}'.*Fill in"):
        AllocationProblem(**core(**{field: table}))
    with pytest.raises(InvalidInput, match=rf"^{field}: found 'a missing value at \(1, 0\)'.*Fill in"):
        AllocationProblem(**core(**{field: [[1, 1], [pd.NA, 1]]}))
    with pytest.raises(InvalidInput, match=rf"^{field}: found 'a missing value at \(0, 1\)'.*Fill in"):
        AllocationProblem(**core(**{field: [[1, None], [1, 1]]}))


@pytest.mark.parametrize("large", [10**400, -(10**400), Fraction(10**400)], ids=["large", "far below 0", "fraction"])
def test_integers_that_no_float_holds_are_refused_by_their_size(large: Any) -> None:
    in_range = "finite number at least 0 .*(range|`allowed`)"
    for value in ([[1.0, large], [1.0, 1.0]], [[1, large], [1, 1]], [[large, large]] * 2):
        with pytest.raises(
            InvalidInput, match=rf"^fixed_s \(user 0, option [01]\): found -?inf; expected a {in_range}"
        ):
            AllocationProblem(**core(fixed_s=value))
    with pytest.raises(InvalidInput, match="^downlink_hz: found -?inf; expected a finite number .*Give a number in"):
        AllocationProblem(**core(downlink_hz=large))
    for field, call in (DOORS["gap"], DOORS["alpha"], DOORS["split"]):
        with pytest.raises(InvalidInput, match=f"^{field}: found .*expected a finite number"):
            call(large)
    with pytest.raises(InvalidInput, match="^option: found .*integers from 0 to 1"):
        evaluate(_plain(), [0, large], [1e4, 0.0], [1e4, 0.0], [1.0, 0.0])


def test_an_array_of_another_package_is_taken() -> None:
    torch = pytest.importorskip("torch")
    assert AllocationProblem(**core(fixed_s=torch.ones(2, 2))).fixed_s.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    with pytest.raises(InvalidInput, match="^fixed_s"):
        AllocationProblem(**core(fixed_s=torch.ones(2, 2, requires_grad=True)))


def test_what_is_given_is_copied_and_closed() -> None:
    given = np.ones((2, 2))
    problem = AllocationProblem(**core(fixed_s=given))
    given[0, 0] = 9.0
    assert problem.fixed_s[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        problem.fixed_s[0, 0] = 2.0


@pytest.mark.parametrize("size", [LARGEST * 1.01, SMALLEST * 0.99, 1e50, 1e-50, 1e200])
@pytest.mark.parametrize(
    "change",
    [
        {"fixed_s": [[1.0, 1.0], [1.0, 1.0]]},
        {"downlink_hz": 1.0},
        {"weight": [1.0, 1.0]},
        {"downlink_efficiency": [1.0, 1.0]},
        {"objective": "mixed", "max_weight": 1.0},
    ],
)
def test_magnitudes_beyond_the_stated_range_are_refused(size: float, change: dict[str, Any]) -> None:
    *_, (field, ones) = change.items()
    scaled = (np.asarray(ones) * size).tolist()
    with pytest.raises(InvalidInput, match=f"^{field}.*between {SMALLEST:g} and"):
        AllocationProblem(**core(**change | {field: scaled}))
    if field in ("fixed_s", "weight", "downlink_efficiency"):
        with pytest.raises(InvalidInput, match=f"^{field}.*scenario 0.*between {SMALLEST:g} and"):
            batch(**{field: scaled})
