"""Compiled: numbers written into rows and tables, and the sum of a row.

Of `row[:] = values` and `row.sum()` numba compiles a page each, with the words of its refusals.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner

Row = NDArray[Any]


@inner
def fill(row: Row, number: float) -> None:
    """The number everywhere, in an array of one dimension."""
    for n in range(row.shape[0]):
        row[n] = number


@inner
def fill_table(table: Row, number: float) -> None:
    """The number everywhere, in an array of two dimensions."""
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            table[i, j] = number


@inner
def put(row: Row, values: Row) -> None:
    """Values of one dimension, in as long an array."""
    for n in range(row.shape[0]):
        row[n] = values[n]


@inner
def put_table(table: Row, values: Row) -> None:
    """Values of two dimensions, in as large an array."""
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            table[i, j] = values[i, j]


@inner
def total_of(row: Row) -> float:
    """Sum of a row, in its order."""
    total = 0.0
    for n in range(row.shape[0]):
        total += row[n]
    return total
