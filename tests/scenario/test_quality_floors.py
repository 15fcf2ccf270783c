"""Floors on measured quality close options, targets count in the objective; a user may name a file of his own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from megdt_opt import Infeasible, InvalidInput, Plan, Scenario, plan, register_mechanism
from megdt_opt.models.registry import find_spec
from megdt_opt.program.mechanisms import Option, program
from megdt_opt.quality.digest import weights_digest
from megdt_opt.quality.factors import Factors
from megdt_opt.quality.statistic import ONE_SIDED, Statistic
from megdt_opt.quality.table import QualityTable, Row
from megdt_opt.scenario.options import OptionTable

CUTS = (1, 2, 3)
PSNR = {1: 30.0, 2: 34.0, 3: 42.0}


def row(option: Option, psnr_db: float, read: float = 1.0) -> Row:
    factors = Factors.of(option, steps=4, scheduler="ddim")
    return Row(factors=factors, count=50, metrics={
        "psnr_db": Statistic(psnr_db, psnr_db - 3, 2.0), "read": Statistic(read, read - 0.2, 0.1),
    })  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A user's table: of int8 from the device at three cuts, from the edge at one, and of the picture of one place."""
    rows = [row(Option(mechanism="SEU-UE-first", cut=cut, precision="int8"), PSNR[cut]) for cut in CUTS]
    rows += [row(Option(mechanism="SEU", cut=2, precision="int8"), 50.0, 0.9), row(Option(mechanism="local"), 99.0)]
    rows += [row(Option(mechanism="E2U", precision="int8"), 58.0)]
    weights = weights_digest(find_spec("twin")) or ""
    QualityTable(model="twin", weights=weights, rows=tuple(rows)).save(tmp_path / "mine.json")
    return str(tmp_path / "mine.json")


def cell(file: str | None, **more: Any) -> Scenario:
    user = {
        "name": "phone", "downlink_efficiency": "4 bit/s/Hz", "uplink_efficiency": "2 bit/s/Hz",
        "device": {"profile": "twin-cpu", "stretch": 3.0}, "precisions": ["fp32", "int8"], "codecs": ["png"],
    }  # fmt: skip
    for name in ("quality_min", "quality_target", "mechanisms", "private_steps"):
        if name in more:
            user[name] = more.pop(name)
    return Scenario(
        quality=file, steps=4, cuts=CUTS, edge={"profile": "twin-cpu"}, peu_shares=(),
        channel={"downlink": "100 kHz", "uplink": "100 kHz"}, users=[user], **more,
    )  # fmt: skip


def names(table: OptionTable) -> set[str]:
    return {option.name for o, option in enumerate(table.options) if table.allowed[0, o]}


def test_a_floor_closes_what_is_below_it_and_what_was_never_measured(file: str) -> None:
    whole, kept = (OptionTable.build(cell(file, **more)) for more in ({}, {"quality_min": {"psnr": "36 dB"}}))
    closed = names(whole) - names(kept)
    assert closed == {"SEU-UE-first 1 int8", "SEU-UE-first 2 int8", "SEU 1 int8", "SEU 3 int8"}
    below = kept.closed_by(0, kept.index("SEU-UE-first 1 int8"))
    assert below == ("quality_min.psnr 36 dB: the mean of such pictures, less its error, is below it",)
    unknown = kept.closed_by(0, kept.index("SEU 1 int8"))
    assert unknown == ("quality_min.psnr 36 dB: the psnr of such pictures was never measured",)


@pytest.mark.parametrize(
    ("floor", "kept"),
    [
        ({"psnr": "36 dB", "at": "p05"}, {"SEU-UE-first 3 int8", "SEU 2 int8"}),
        ({"psnr": "40 dB", "at": "p05"}, {"SEU 2 int8"}),
        ({"read": 0.95}, {"SEU-UE-first 1 int8", "SEU-UE-first 2 int8", "SEU-UE-first 3 int8"}),
        ({"psnr": "33 dB", "read": 0.95}, {"SEU-UE-first 2 int8", "SEU-UE-first 3 int8"}),
    ],
)
def test_floors_are_of_the_mean_or_of_what_95_of_100_reach(file: str, floor: Any, kept: set[str]) -> None:
    found = names(OptionTable.build(cell(file, quality_min=floor)))
    assert {name for name in found if name.startswith("SEU") and "int8" in name} == kept
    assert {"local", "SEU 1 fp32"} <= found  # equal pictures keep every floor that one place keeps


def test_nobody_is_left_below_a_floor_without_being_told_the_limit(file: str) -> None:
    with pytest.raises(Infeasible, match="quality_min.psnr 99.5 dB"):
        plan(cell(file, quality_min={"psnr": "99.5 dB"}), compare=False)


def test_a_plan_keeps_the_floor_says_what_was_measured_and_is_read_back(file: str, tmp_path: Path) -> None:
    made = plan(cell(file, quality_min={"psnr": "40 dB"}, mechanisms=["SEU-UE-first"]), compare=False)
    quality = made.users[0].quality
    assert quality is not None
    figure = quality["psnr_db"]
    assert figure.statistic.mean - ONE_SIDED * figure.statistic.spread / figure.count**0.5 >= 40  # measured at this cut
    assert any("Quality of phone's pictures: psnr, mean:" in note for note in made.notes)
    assert made.to_frame()["quality_psnr_db"].tolist() == [figure.floor("psnr_db")]
    made.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json").users[0].option == made.users[0].option


def test_a_target_weighs_what_pictures_lack(file: str) -> None:
    asked: dict[str, Any] = {"mechanisms": ["SEU-UE-first"], "quality_target": {"psnr": "40 dB"}}
    table = OptionTable.build(cell(file, costs={"psnr_short": {"weight": "0.5 s/dB"}}, **asked))
    problem = table.problem()
    cost = problem.option_cost[0, :, 0]  # type: ignore[union-attr]
    found = {table.options[o].name: cost[o] for o in range(len(table.options)) if table.allowed[0, o]}
    doubt = ONE_SIDED * 2.0 / 50**0.5  # of the mean of 50 pictures whose spread is 2 dB
    assert found["SEU-UE-first 1 int8"] == pytest.approx(10.0 + doubt)
    assert found["SEU-UE-first 2 int8"] == pytest.approx(6.0 + doubt)
    assert found["SEU-UE-first 3 int8"] == 0.0
    assert found["SEU-UE-first 1 fp32"] == 0.0
    weighed = plan(table, compare=False)
    free = plan(cell(file, mechanisms=["SEU-UE-first"]), compare=False)
    lacking = found[weighed.users[0].option.name]
    assert weighed.objective_s == pytest.approx(weighed.users[0].latency_s + 0.5 * lacking, rel=1e-6)
    assert weighed.objective_s >= free.objective_s - 1e-9
    least = plan(cell(file, costs={"psnr_short": {"max": "0.5 dB"}}, **asked), compare=False)
    assert found[least.users[0].option.name] <= 0.5


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"quality_min": {}}, "quality_min"),
        ({"quality_min": {"psnr": 28}}, "quality_min.psnr"),
        ({"quality_min": {"psnr": "28 m"}}, "quality_min.psnr"),
        ({"quality_min": {"read": 1.5}}, "quality_min.read"),
        ({"quality_min": {"beauty": 1}}, "quality_min.beauty"),
        ({"quality_min": {"read": 0.9, "at": "p50"}}, "quality_min.at"),
    ],
)
def test_a_floor_that_cannot_be_read_is_refused_by_name(asked: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        cell(None, **asked)
    assert named in str(caught.value)


def test_a_figure_that_nobody_measured_of_the_model_is_refused(file: str) -> None:
    with pytest.raises(InvalidInput, match=r"users.phone.quality_min.ssim: found 0.9; expected a figure that was"):
        OptionTable.build(cell(file, quality_min={"ssim": 0.9}))


def test_a_cost_of_pictures_without_a_target_is_refused(file: str) -> None:
    with pytest.raises(InvalidInput, match=r"costs.psnr_short: found 'given'; expected a user with a quality_target"):
        OptionTable.build(cell(file, costs={"psnr_short": {"weight": "1 s/dB"}})).problem()


@pytest.mark.parametrize("change", [{"model": "sd15"}, {"weights": "0" * 64}, {"weights": ""}])
def test_a_file_of_another_model_or_of_other_weights_is_refused(file: str, change: dict[str, str]) -> None:
    table = QualityTable.load(file)
    fields = {"model": table.model, "weights": table.weights, "rows": table.rows, "provenance": {}, **change}
    QualityTable(**fields).save(file)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="quality: found"):
        OptionTable.build(cell(file))


def test_a_sketch_a_decoder_or_an_adapter_has_to_be_measured_and_fp32_has_not(file: str) -> None:
    table = QualityTable.load(file)
    at = {"steps": 4, "scheduler": "ddim"}
    assert not table.knows(Factors(mechanism="U2E", precision="int8", **at))
    assert not table.knows(Factors(mechanism="SEU", precision="int8", adapter=True, **at))
    assert Factors(mechanism="U2E-sketch", codec="png", **at).lossy == ("U2E-sketch",)
    assert Factors(mechanism="U2E", precision="fp32", **at).lossy == ()


def test_a_mechanism_of_a_users_own_is_not_taken_for_exact() -> None:
    """Nobody knows what its stages do to a picture, though it sends fp32."""
    built_in = Factors.of(Option(mechanism="SEU", cut=2, precision="fp32"), steps=4, scheduler="ddim")
    register_mechanism(
        "own-way", lambda option, s: program(Option(mechanism="local"), s).stages, quality="as local", replace=True
    )
    own = Factors.of(Option(mechanism="own-way"), steps=4, scheduler="ddim")
    assert (built_in.exact, own.exact) == (True, False)
