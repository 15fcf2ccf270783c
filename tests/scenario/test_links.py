"""Links as people know them: right values by hand, and figures that do not go together."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from megdt_opt import InvalidInput, Scenario, plan, sweep
from megdt_opt.cli.app import app
from megdt_opt.units import parse_density

BANDS = {"downlink": "20 MHz", "uplink": "10 MHz"}


def one(user: dict[str, Any], **channel: Any) -> Scenario:
    return Scenario(channel={**BANDS, **channel}, users=[{"name": "phone", **user}], cuts=(10,))


def both(scenario: Scenario) -> tuple[float, float]:
    down, up = scenario.efficiencies()
    return float(down[0]), float(up[0])


@pytest.mark.parametrize(
    ("user", "channel", "down", "up"),
    [
        # 50 Mbit/s over 20 MHz, 5 Mbit/s over 10 MHz
        ({"downlink_rate": "50 Mbit/s", "uplink_rate": "5 Mbit/s"}, {}, 2.5, 0.5),
        ({"downlink_rate": "0 bit/s", "uplink_rate_bit_per_s": 1e7}, {}, 0.0, 1.0),
        # log2(1 + 10^1.7) = log2(51.1187), log2(1 + 1)
        ({"downlink_snr": "17 dB", "uplink_snr": "0 dB"}, {}, 5.675779, 1.0),
        # log2(1 + 10^3) = 9.967 is beyond 256-QAM, log2(1 + 0.1)
        ({"downlink_snr": "30 dB", "uplink_snr": "-10 dB"}, {"efficiency_max": "7.4 bit/s/Hz"}, 7.4, 0.13750352),
        ({"downlink_cqi": 15, "uplink_cqi": 7}, {}, 6 * 948 / 1024, 4 * 378 / 1024),
        ({"downlink_cqi": 15, "uplink_mcs": 27}, {"index_table": "qam256"}, 8 * 948 / 1024, 8 * 948 / 1024),
        ({"downlink_mcs": 0, "uplink_cqi": 1}, {"index_table": "qam64LowSE"}, 60 / 1024, 60 / 1024),
        # one way for each side
        ({"downlink_efficiency": "3 bit/s/Hz", "uplink_rate": "20 Mbit/s"}, {}, 3.0, 2.0),
        ({"downlink_mcs": 28, "uplink_snr": "3 dB"}, {}, 6 * 948 / 1024, math.log2(1 + 10**0.3)),
    ],
)  # fmt: skip
def test_an_efficiency_follows_from_what_is_stated(
    user: dict[str, Any], channel: dict[str, Any], down: float, up: float
) -> None:
    assert both(one(user, **channel)) == pytest.approx((down, up), rel=1e-6)


def test_a_distance_with_a_reference_loss_and_a_noise_density() -> None:
    """By hand: 30 dBm - (40 + 30 log10 100) dB = -70 dBm; over 20 MHz -174 + 73.0103 = -100.9897 dBm; SNR 30.9897 dB.

    The uplink: 23 dBm - 100 dB = -77 dBm over 10 MHz (-104 dBm): 27 dB.
    """
    found = one({"distance": "100 m"}, reference_loss="40 dB", noise_density="-174 dBm/Hz")
    assert both(found) == pytest.approx((math.log2(1 + 10**3.09897), math.log2(1 + 10**2.7)), rel=1e-6)
    capped = one(
        {"distance": "100 m"}, reference_loss="40 dB", noise_density="-174 dBm/Hz", efficiency_max="7.4 bit/s/Hz"
    )
    assert both(capped) == (7.4, 7.4)


def test_near_the_mast_256_qam_is_the_end() -> None:
    """At 10 m the link budget alone gives more than any modulation carries."""
    assert both(one({"distance": "10 m"}))[0] > 16
    assert both(one({"distance": "10 m"}, efficiency_max="7.4 bit/s/Hz"))[0] == 7.4


@pytest.mark.parametrize("snr_db", [-5.0, 10.0, 25.0])
def test_an_snr_serves_the_shannon_law_too(snr_db: float) -> None:
    """On the whole band the rate is B log2(1 + SNR), whichever law; on half of it Shannon's noise is half as well."""
    scenario = one({"downlink_snr": f"{snr_db} dB", "uplink_snr": f"{snr_db} dB"}, law="shannon")
    down_g, up_g = scenario.snr_products_hz()
    assert (down_g[0], up_g[0]) == pytest.approx((20e6 * 10 ** (snr_db / 10), 10e6 * 10 ** (snr_db / 10)))
    assert both(scenario)[0] == pytest.approx(math.log2(1 + 10 ** (snr_db / 10)))
    made = plan(scenario, compare=False)
    assert made.status == "optimal"


def test_figures_by_edge() -> None:
    edges = [{"name": "a", **BANDS}, {"name": "b", "downlink": "5 MHz", "uplink": "5 MHz"}]
    user = {"name": "phone", "downlink_rate": {"a": "20 Mbit/s", "b": "20 Mbit/s"}, "uplink_cqi": {"a": 1, "b": 15}}
    down, up = Scenario(channel={}, edges=edges, users=[user]).efficiencies()
    assert down.tolist() == [[1.0, 4.0]]
    assert up[0].tolist() == pytest.approx([156 / 1024, 6 * 948 / 1024])
    with pytest.raises(InvalidInput, match="the same edges"):
        Scenario(channel={}, edges=edges, users=[{**user, "uplink_cqi": {"a": 1}}])
    with pytest.raises(InvalidInput, match=r"uplink_cqi\.c"):
        Scenario(channel={}, edges=edges, users=[{**user, "uplink_cqi": {"a": 1, "c": 15}}])


@pytest.mark.parametrize(
    ("user", "channel", "names"),
    [
        ({"downlink_rate": "5 Mbit/s"}, {}, "no figure for the uplink"),
        ({"downlink_rate": "5 Mbit/s", "uplink_rate": "1 Mbit/s", "distance": "50 m"}, {}, "either two"),
        ({}, {}, "either two"),
        ({"downlink_rate": "5 Mbit/s", "downlink_cqi": 3, "uplink_cqi": 3}, {}, "rate.*cqi.*one figure"),
        ({"downlink_snr": "17", "uplink_snr": "17 dB"}, {}, "downlink_snr"),
        ({"downlink_snr": "17 dBm", "uplink_snr": "17 dB"}, {}, "downlink_snr"),
        ({"downlink_rate": "5 MHz", "uplink_rate": "5 Mbit/s"}, {}, "downlink_rate"),
        ({"downlink_rate": "-5 Mbit/s", "uplink_rate": "5 Mbit/s"}, {}, "downlink_rate"),
        ({"downlink_cqi": 16, "uplink_cqi": 3}, {}, "from 0 to 15 in the table qam64"),
        ({"downlink_mcs": 28, "uplink_mcs": 3}, {"index_table": "qam256"}, "from 0 to 27 in the table qam256"),
        ({"downlink_cqi": 3.5, "uplink_cqi": 3}, {}, "downlink_cqi"),
        ({"downlink_cqi": "7", "uplink_cqi": 3}, {}, "downlink_cqi"),
        ({"downlink_cqi": 3, "uplink_cqi": 3}, {"law": "shannon"}, "Shannon law needs"),
        ({"downlink_snr": "3 dB", "uplink_rate": "1 Mbit/s"}, {"law": "shannon"}, "Shannon law needs"),
        ({"downlink_snr": "3 dB", "uplink_snr": "3 dB"}, {"law": "shannon", "efficiency_max": "7 bit/s/Hz"}, "no cap"),
        ({"downlink_cqi": 15, "uplink_cqi": 3}, {"efficiency_max": "5 bit/s/Hz"}, "at most 5 bit/s/Hz"),
        ({"downlink_rate": "200 Mbit/s", "uplink_cqi": 3}, {"efficiency_max": "7.4 bit/s/Hz"}, "at most 7.4 bit/s/Hz"),
        ({"downlink_cqi": 3, "uplink_cqi": 3}, {"efficiency_max": "7.4 bit/s/Hz"}, "without a user with an SNR"),
        ({"downlink_snr": "3 dB", "uplink_snr": "3 dB"}, {"index_table": "qam256"}, "without a user with a CQI"),
        ({"downlink_cqi": 3, "uplink_cqi": 3}, {"noise_density": "-174 dBm/Hz"}, "noise_density.*nothing without"),
        ({"distance": "50 m"}, {"noise_density": "-174 dBm/Hz", "noise_figure": "5 dB"}, "either noise_density or"),
        ({"distance": "50 m"}, {"reference_loss": "40 dB", "carrier": "2 GHz"}, "either reference_loss or carrier"),
        ({"distance": "50 m"}, {"noise_density": "-174 dBm"}, "noise_density.*dBm/Hz"),
    ],
)  # fmt: skip
def test_figures_that_do_not_go_together_are_refused_by_name(
    user: dict[str, Any], channel: dict[str, Any], names: str
) -> None:
    with pytest.raises(InvalidInput, match=names):
        one(user, **channel)


@pytest.mark.parametrize(
    ("text", "value"), [("-174 dBm/Hz", 3.98107e-21), ("4e-21 W/Hz", 4e-21), ("-204 dBW/Hz", 3.98107e-21)]
)
def test_noise_densities_have_units(text: str, value: float) -> None:
    assert parse_density(text) == pytest.approx(value, rel=1e-5)


# ---- a measured trace


RATES = ["12 Mbit/s", "40 Mbit/s", "12 Mbit/s", "3 Mbit/s"]


def test_a_trace_is_swept_row_by_row_and_a_value_may_come_twice(tmp_path: Path) -> None:
    start = one({"downlink_rate": "1 Mbit/s", "uplink_rate": "1 Mbit/s"})
    rows = [{"users.phone.downlink_rate": rate, "users.phone.uplink_rate": "2 Mbit/s"} for rate in RATES]
    found = sweep(start, {"rows": rows}, compare=False)
    assert found["row"].tolist() == [0, 1, 2, 3]
    assert found["users.phone.downlink_rate_bit_per_s"].tolist() == [12e6, 40e6, 12e6, 3e6]
    assert found["objective_s"].iloc[0] == found["objective_s"].iloc[2]
    alone = [plan(one({"downlink_rate": r, "uplink_rate": "2 Mbit/s"}), compare=False).objective_s for r in RATES]
    assert found["objective_s"].tolist() == pytest.approx(alone)
    table = tmp_path / "trace.csv"
    head = ",".join(rows[0])
    table.write_text("\n".join([head, *(",".join(row.values()) for row in rows)]) + "\n", encoding="utf-8")
    again = sweep(start, {"rows": table}, compare=False)
    assert again["objective_s"].tolist() == found["objective_s"].tolist()


def test_the_command_sweeps_a_trace(tmp_path: Path) -> None:
    cell = tmp_path / "cell.yaml"
    cell.write_text(
        "channel: {downlink: 20 MHz, uplink: 10 MHz}\ncuts: [10]\n"
        "users: [{name: phone, downlink_rate: 1 Mbit/s, uplink_rate: 1 Mbit/s}]\n", encoding="utf-8"
    )  # fmt: skip
    trace = tmp_path / "trace.csv"
    trace.write_text("users.phone.downlink_rate\n" + "\n".join(RATES) + "\n", encoding="utf-8")
    out = tmp_path / "out"
    words = ["sweep", str(cell), "--over", f"rows={trace}", "--out", str(out), "--no-baselines"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert (out / "sweep.csv").read_text().count("\n") == 5
    assert (out / "latency-row.png").is_file()
    told = CliRunner().invoke(app, [*words, "--figures", "pdf,svg"])
    assert told.exit_code == 0, told.output
    assert sorted(path.name for path in out.glob("latency-row.*")) == ["latency-row.pdf", "latency-row.svg"]
    assert CliRunner().invoke(app, [*words, "--figures", "bmp"]).exit_code == 2


@pytest.mark.parametrize(
    "rows",
    [[], "", {"a": 1}, [{}], [{"steps": 2}, {"cuts": [1]}], [1], 3],
)
def test_a_trace_that_is_none_is_refused(rows: Any) -> None:
    with pytest.raises(InvalidInput, match=r"rows|trace file"):
        sweep(one({"downlink_rate": "1 Mbit/s", "uplink_rate": "1 Mbit/s"}), {"rows": rows})
