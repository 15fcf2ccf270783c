"""Spectral efficiencies of channel quality and of modulation and coding schemes, as 5G names them by an index.

3GPP TS 38.214, release 17: CQI tables 5.2.2.1-2 (qam64), 5.2.2.1-3 (qam256) and 5.2.2.1-4 (qam64LowSE); MCS tables
5.1.3.1-1, -2 and -3, which hold for the downlink and, without transform precoding, for the uplink (section 6.1.4.1).
The tables go by the names of TS 38.331. An efficiency is bits of a symbol times code rate: information bits for each
second and hertz of the data channel, with no overhead (control, reference signals, cyclic prefix) taken off.
"""

from __future__ import annotations

from collections.abc import Mapping

from megdt_opt.errors import InvalidInput
from megdt_opt.values import integer

TABLES = ("qam64", "qam256", "qam64LowSE")
"""Names of the tables, as the network's configuration calls them."""

_Rows = tuple[tuple[int, float], ...]
"""Bits of a symbol, and 1024 times the code rate."""


def _rows(*groups: tuple[int, tuple[float, ...]]) -> _Rows:
    return tuple((bits, rate) for bits, rates in groups for rate in rates)


_CQI: Mapping[str, _Rows] = {
    "qam64": _rows((2, (78, 120, 193, 308, 449, 602)), (4, (378, 490, 616)), (6, (466, 567, 666, 772, 873, 948))),
    "qam256": _rows(
        (2, (78, 193, 449)), (4, (378, 490, 616)), (6, (466, 567, 666, 772, 873)), (8, (711, 797, 885, 948))
    ),
    "qam64LowSE": _rows(
        (2, (30, 50, 78, 120, 193, 308, 449, 602)), (4, (378, 490, 616)), (6, (466, 567, 666, 772))
    ),
}  # fmt: skip
_MCS: Mapping[str, _Rows] = {
    "qam64": _rows(
        (2, (120, 157, 193, 251, 308, 379, 449, 526, 602, 679)),
        (4, (340, 378, 434, 490, 553, 616, 658)),
        (6, (438, 466, 517, 567, 616, 666, 719, 772, 822, 873, 910, 948)),
    ),
    "qam256": _rows(
        (2, (120, 193, 308, 449, 602)),
        (4, (378, 434, 490, 553, 616, 658)),
        (6, (466, 517, 567, 616, 666, 719, 772, 822, 873)),
        (8, (682.5, 711, 754, 797, 841, 885, 916.5, 948)),
    ),
    "qam64LowSE": _rows(
        (2, (30, 40, 50, 64, 78, 99, 120, 157, 193, 251, 308, 379, 449, 526, 602)),
        (4, (340, 378, 434, 490, 553, 616)),
        (6, (438, 466, 517, 567, 616, 666, 719, 772)),
    ),
}


def cqi_efficiency(index: int, table: str = "qam64") -> float:
    """Spectral efficiency of a channel quality indicator from 1 to 15 [bit/s/Hz]; of 0, out of range, 0.

    Raises
    ------
    InvalidInput
        Where there is no such index or table.

    Examples
    --------
    >>> from megdt_opt.radio.indices import cqi_efficiency
    >>> cqi_efficiency(15, "qam256")
    7.40625
    """
    rows = _table(_CQI, table)
    number = _index("cqi", index, len(rows))
    return 0.0 if number == 0 else _efficiency(rows[number - 1])


def mcs_efficiency(index: int, table: str = "qam64") -> float:
    """Spectral efficiency of a modulation and coding scheme [bit/s/Hz]; the last one is 28, of qam256 27.

    Raises
    ------
    InvalidInput
        Where there is no such index or table.

    Examples
    --------
    >>> from megdt_opt.radio.indices import mcs_efficiency
    >>> mcs_efficiency(28)
    5.5546875
    """
    rows = _table(_MCS, table)
    return _efficiency(rows[_index("mcs", index, len(rows) - 1)])


def _efficiency(row: tuple[int, float]) -> float:
    bits, rate = row
    return bits * rate / 1024.0


def _table(tables: Mapping[str, _Rows], name: str) -> _Rows:
    if name not in tables:
        raise InvalidInput("table", name, f"one of {TABLES}", "Name the table that the network is configured with.")
    return tables[name]


def _index(field: str, value: object, most: int) -> int:
    number = integer(value)
    if number is None or not 0 <= number <= most:
        raise InvalidInput(field, value, f"a whole number from 0 to {most}", "Take an index of the table.")
    return number
