"""Groups that `shared_prefix` forms: what stands in the program for each that might be, and the rows that make one.

c is the group whose first user is c. Each has its own copy q of every trunk, and every pair j of a user and an option
stands once without a group, where it does not wait, and once for each c <= k(j). With d(q) the lead of q's trunk:

    two           sum_{j in c} y >= 2 sum_{q of c} u      a group that runs a trunk has two members at least,
    first         sum_{q of c} u <= sum_{j of c in c} y   its first user among them,
    size          sum_{j in c} y <= size                  and at most so many
    alike         sum_{j of k, l in c} y <= 1             for users k, l that are not similar enough
    alike_enough  sum_{j of k, l in c} y + u_q <= 2       for users k, l that are not similar enough for q
    led           u_q <= sum_{j of d(q) in c(q)} y        who leads is a member
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.solving.highs import Rows, at_least, at_most

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def sets(p: SharedPrefixProblem) -> tuple[Ints, Ints, Ints, Ints, Ints, int]:
    """Users, options and groups of the pairs, -1 = none; the problem's trunk and the group of each q; and how many
    groups there may be."""
    user, option = np.nonzero(p.open_options)
    if p.group is not None:
        assert p.trunk_group is not None
        return user, option, p.group[user], np.arange(p.trunks), p.trunk_group, p.groups
    c = np.arange(-1, p.users)
    j, n = np.nonzero((c <= user[:, None]) & ((c >= 0) | (p.rides[user, option] == 0)[:, None]))
    trunk, of = np.tile(np.arange(p.trunks), p.users), np.repeat(np.arange(p.users), p.trunks)
    return user[j], option[j], c[n], trunk, of, p.users


def formed(
    p: SharedPrefixProblem, user: Ints, group: Ints, trunk: Ints, trunk_group: Ints, at: dict[str, int]
) -> list[Rows]:
    """The rows of the header.

    Parameters
    ----------
    p : SharedPrefixProblem
    user, group : array of int, (J,)
        Of the pairs.
    trunk, trunk_group : array of int, (Q,)
        The problem's trunk, and the group, of each q.
    at : dict of str to int
        First columns of "y" and "u", and "end".
    """
    assert p.similarity is not None
    assert p.similarity_min is not None
    assert p.group_size_max is not None
    u, q, j = at["u"], np.arange(trunk.size), np.flatnonzero(group >= 0)

    def rows(entries: list[tuple[Ints, Ints, float]], count: int) -> csr_array:
        row, column = (np.concatenate([entry[n] for entry in entries]) for n in range(2))
        value = np.concatenate([np.full(entry[0].size, entry[2]) for entry in entries])
        return csr_array(coo_array((value, (row, column)), shape=(count, at["end"])))

    def members(one: Ints, other: Ints, of: Ints) -> tuple[Ints, Ints, float]:
        """sum y of two users (n,) in groups (n,), a row each."""
        row, pair = np.nonzero(((user == one[:, None]) | (user == other[:, None])) & (group == of[:, None]))
        return row, pair, 1.0

    own, inside = np.flatnonzero(user == group), (group[j], j, 1.0)
    found = [
        at_least(rows([inside, (trunk_group, u + q, -2.0)], p.users), 0.0),
        at_most(rows([(trunk_group, u + q, 1.0), (group[own], own, -1.0)], p.users), 0.0),
        at_most(rows([inside], p.users), float(p.group_size_max)),
    ]
    least = np.full(p.trunks, -np.inf) if p.trunk_similarity_min is None else p.trunk_similarity_min
    one, other = np.triu_indices(p.users, 1)
    apart = p.similarity[one, other] < p.similarity_min
    pair, of = (each.ravel() for each in np.meshgrid(np.flatnonzero(apart), np.arange(p.users), indexing="ij"))
    found.append(at_most(rows([members(one[pair], other[pair], of)], pair.size), 1.0))
    pair, n = np.nonzero(~apart[:, None] & (p.similarity[one, other][:, None] < least[trunk]))
    enough = [members(one[pair], other[pair], trunk_group[n]), (np.arange(pair.size), u + n, 1.0)]
    found.append(at_most(rows(enough, pair.size), 2.0))
    if p.trunk_lead is not None:
        n = np.flatnonzero(p.trunk_lead[trunk] >= 0)
        row, pair = np.nonzero((user == p.trunk_lead[trunk[n]][:, None]) & (group == trunk_group[n][:, None]))
        led = [(np.arange(n.size), u + n, 1.0), (row, pair, -1.0)]
        found.append(at_most(rows(led, n.size), 0.0))
    return found
