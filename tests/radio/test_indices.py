"""CQI and MCS indices: figures of 3GPP TS 38.214."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.radio.indices import TABLES, cqi_efficiency, mcs_efficiency

CQI = {
    "qam64": "0.1523 0.2344 0.3770 0.6016 0.8770 1.1758 1.4766 1.9141 2.4063 2.7305 3.3223 3.9023 4.5234 5.1152 5.5547",
    "qam256": "0.1523 0.3770 0.8770 1.4766 1.9141 2.4063 2.7305 3.3223 3.9023 4.5234 5.1152 5.5547 6.2266 6.9141 "
    "7.4063",
    "qam64LowSE": "0.0586 0.0977 0.1523 0.2344 0.3770 0.6016 0.8770 1.1758 1.4766 1.9141 2.4063 2.7305 3.3223 3.9023 "
    "4.5234",
}
MCS = {
    "qam64": "0.2344 0.3066 0.3770 0.4902 0.6016 0.7402 0.8770 1.0273 1.1758 1.3262 1.3281 1.4766 1.6953 1.9141 2.1602 "
    "2.4063 2.5703 2.5664 2.7305 3.0293 3.3223 3.6094 3.9023 4.2129 4.5234 4.8164 5.1152 5.3320 5.5547",
    "qam256": "0.2344 0.3770 0.6016 0.8770 1.1758 1.4766 1.6953 1.9141 2.1602 2.4063 2.5703 2.7305 3.0293 3.3223 "
    "3.6094 3.9023 4.2129 4.5234 4.8164 5.1152 5.3320 5.5547 5.8906 6.2266 6.5703 6.9141 7.1602 7.4063",
}


@pytest.mark.parametrize("table", TABLES)
def test_the_efficiencies_of_cqi_are_those_that_the_tables_print(table: str) -> None:
    figures = [float(n) for n in CQI[table].split()]
    assert [cqi_efficiency(i, table) for i in range(1, 16)] == pytest.approx(figures, abs=5.1e-5)
    assert cqi_efficiency(0, table) == 0.0


@pytest.mark.parametrize("table", list(MCS))
def test_the_efficiencies_of_mcs_are_those_that_the_tables_print(table: str) -> None:
    figures = [float(n) for n in MCS[table].split()]
    assert [mcs_efficiency(i, table) for i in range(len(figures))] == pytest.approx(figures, abs=5.1e-5)


@pytest.mark.parametrize("table", TABLES)
def test_a_higher_index_is_never_slower_but_where_the_modulation_changes(table: str) -> None:
    """MCS 17 of the first table is 64-QAM at a rate that carries 0.4 % less than MCS 16, as printed."""
    last = 28 if table != "qam256" else 27
    falls = [i for i, (a, b) in enumerate(pairwise(mcs_efficiency(n, table) for n in range(last + 1))) if b < a]
    assert falls == {"qam64": [16], "qam256": [], "qam64LowSE": []}[table]
    assert all(a < b for a, b in pairwise(cqi_efficiency(n, table) for n in range(16)))


@pytest.mark.parametrize("index", [-1, 16, 3.0, True, "7", None])
def test_indices_that_a_table_does_not_have_are_refused(index: Any) -> None:
    with pytest.raises(InvalidInput, match="from 0 to 15"):
        cqi_efficiency(index)


@pytest.mark.parametrize(("table", "index"), [("qam64", 29), ("qam256", 28), ("qam64LowSE", 31)])
def test_reserved_schemes_are_refused(table: str, index: int) -> None:
    with pytest.raises(InvalidInput, match=f"from 0 to {27 if table == 'qam256' else 28}"):
        mcs_efficiency(index, table)
    with pytest.raises(InvalidInput, match="qam64LowSE"):
        mcs_efficiency(0, "qam1024")
