"""Compiled: small matrices, and the corral of Wolfe's method that both objectives use.

A corral holds up to five atoms with weights that sum to one. Its function is smooth and convex in the weights; a new
atom enters with weight zero, Newton steps follow, and an atom whose weight would fall below zero leaves (P. Wolfe,
"Finding the nearest point in a polytope", Mathematical Programming 11, 1976).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner
from megdt_opt.solving.compiled.kernels import solve_four

F = NDArray[np.float64]
I = NDArray[np.int64]  # noqa: E741
Int = NDArray[np.int32]

ATOMS = 5


class Corral(NamedTuple):
    """Atoms with their weights (5,), the options that they choose (5, K), and room for a Newton step.

    `hessian` (4, 4) and `slope` (4,) are those of moving weight from atom 0 to n + 1; `move` (5,) is the step.
    """

    atoms: F
    weight: F
    chosen: Int
    hessian: F
    slope: F
    move: F
    matrix: F
    right: F


def new_corral(users: int) -> Corral:
    """Room for the atoms of one scenario."""
    return Corral(
        np.zeros((ATOMS, 6)), np.zeros(ATOMS), np.zeros((ATOMS, users), np.int32), np.zeros((4, 4)), np.zeros(4),
        np.zeros(ATOMS), np.zeros((4, 4)), np.zeros(4),
    )  # fmt: skip


@inner
def newton_direction(q: Corral, atoms: int) -> bool:
    """Newton's step of the weights, their sum kept, into `move`; False where there is none."""
    most = 0.0
    for i in range(atoms - 1):
        most = max(most, q.hessian[i, i])
    # atoms that depend on each other make it singular: a step far out, which the weights' bounds cut short
    extra = 1e-11 * most if most > 0.0 else 1.0
    for i in range(4):
        for j in range(4):
            q.matrix[i, j] = q.hessian[i, j] if i < atoms - 1 and j < atoms - 1 else 0.0
        q.matrix[i, i] += extra if i < atoms - 1 else 1.0
        q.right[i] = -q.slope[i] if i < atoms - 1 else 0.0
    if not solve_four(q.matrix, q.right):
        return False
    q.move[0] = 0.0
    for i in range(1, ATOMS):
        q.move[i] = q.right[i - 1] if i < atoms else 0.0
        q.move[0] -= q.move[i]
    return bool(np.isfinite(q.move[0]))


@inner
def longest_step(q: Corral, atoms: int) -> tuple[float, int]:
    """Length of the step up to 1 that keeps the weights, and the atom that leaves; -1 where none does."""
    length, leaves = 1.0, -1
    for n in range(atoms):
        if q.move[n] < 0.0 and q.weight[n] + length * q.move[n] <= 0.0:
            length, leaves = -q.weight[n] / q.move[n], n
    return length, leaves


@inner
def drop(q: Corral, atoms: int, n: int) -> int:
    """Take an atom out; the others' weights sum to one again. Returns how many are left."""
    last = atoms - 1
    for i in range(q.atoms.shape[1]):
        q.atoms[n, i] = q.atoms[last, i]
    for k in range(q.chosen.shape[1]):
        q.chosen[n, k] = q.chosen[last, k]
    q.weight[n] = q.weight[last]
    total = 0.0
    for i in range(last):
        total += q.weight[i]
    for i in range(last):
        q.weight[i] = q.weight[i] / total if total > 0.0 else 1.0 / last
    return last


@inner
def holds(q: Corral, atoms: int, place: Int) -> bool:
    """Whether an option set is an atom already."""
    for n in range(atoms):
        same = True
        for k in range(place.shape[0]):
            same = same and q.chosen[n, k] == place[k]
        if same:
            return True
    return False


@inner
def enter(q: Corral, atoms: int, place: Int) -> int:
    """Put an option set in, with weight zero unless it is alone; where all is full the least weight leaves."""
    if atoms == ATOMS:
        least = 0
        for n in range(1, ATOMS):
            if q.weight[n] < q.weight[least]:
                least = n
        atoms = drop(q, atoms, least)
    for k in range(place.shape[0]):
        q.chosen[atoms, k] = place[k]
    q.weight[atoms] = 1.0 if atoms == 0 else 0.0
    return atoms + 1


@inner
def fair_start(t: F, left: I, place: Int) -> None:
    """Each user's best option at an equal split, by rows 0 to 3 of a table: fixed latency and roots of the demands."""
    users = left.shape[0]
    for k in range(users):
        least, place[k] = np.inf, 0
        for j in range(left[k]):
            split = t[0, k, j] + users * (t[1, k, j] ** 2 + t[2, k, j] ** 2 + t[3, k, j] ** 2)
            if split < least:
                least, place[k] = split, j


@inner
def pick(t: F, places: Int, s: F) -> None:
    """Copy the first rows of the options at given places into `s`, as many as it has."""
    for k in range(places.shape[0]):
        for i in range(s.shape[0]):
            s[i, k] = t[i, k, places[k]]


@inner
def move_option(t: F, ids: Int, k: int, j: int, n: int) -> None:
    """Put a user's option from place j to place n."""
    if n != j:
        for i in range(t.shape[0]):
            t[i, k, n] = t[i, k, j]
        ids[k, n] = ids[k, j]


@inner
def most_options_first(left: I, order: I) -> None:
    """Users by how many options they have left."""
    for k in range(left.shape[0]):
        i = k
        while i > 0 and left[order[i - 1]] < left[k]:
            order[i] = order[i - 1]
            i -= 1
        order[i] = k


@inner
def largest_eigenvalue(form: F, m: F, v: F, vector: F) -> float:
    """Largest eigenvalue of a symmetric matrix, given as 00, 11, 22, 01, 02, 12, by Jacobi's rotations.

    `m` (3, 3) keeps all values on its diagonal, `v` (3, 3) the vectors in its columns. `vector` (3,) gets the largest
    one's, at least 0, as that of a matrix without negative entries can be (Perron and Frobenius).
    """
    m[0, 0], m[1, 1], m[2, 2] = form[0], form[1], form[2]
    m[0, 1] = m[1, 0] = form[3]
    m[0, 2] = m[2, 0] = form[4]
    m[1, 2] = m[2, 1] = form[5]
    for i in range(3):
        for j in range(3):
            v[i, j] = 1.0 if i == j else 0.0
    for turn in range(36):
        if turn % 3 == 0:
            off = abs(m[0, 1]) + abs(m[0, 2]) + abs(m[1, 2])
            if off <= 1e-18 * (abs(m[0, 0]) + abs(m[1, 1]) + abs(m[2, 2])):
                break
        # makes m[p, q] zero
        r = 2 - turn % 3
        p, q = (1 if r == 0 else 0), (1 if r == 2 else 2)
        if m[p, q] == 0.0:
            continue
        theta = (m[q, q] - m[p, p]) / (2.0 * m[p, q])
        tangent = 1.0 / (abs(theta) + np.sqrt(theta * theta + 1.0))
        if theta < 0.0:
            tangent = -tangent
        c = 1.0 / np.sqrt(tangent * tangent + 1.0)
        s = tangent * c
        mpr, mqr = m[p, r], m[q, r]
        m[p, p] -= tangent * m[p, q]
        m[q, q] += tangent * m[p, q]
        m[p, q] = m[q, p] = 0.0
        m[p, r] = m[r, p] = c * mpr - s * mqr
        m[q, r] = m[r, q] = s * mpr + c * mqr
        for i in range(3):
            one, two = v[i, p], v[i, q]
            v[i, p] = c * one - s * two
            v[i, q] = s * one + c * two
    top = 0
    for i in range(1, 3):
        if m[i, i] > m[top, top]:
            top = i
    for i in range(3):
        v[i, top] = abs(v[i, top])
        vector[i] = v[i, top]
    return m[top, top]
