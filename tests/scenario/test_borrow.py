"""Profiles completed in a scenario: stages borrowed one by one, said wherever they are used."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from megdt_opt import Infeasible, InvalidInput, Plan, ProfileError, Scenario, TimingProfile, plan, sweep
from megdt_opt.models.registry import find_spec
from megdt_opt.program.stages import Kind
from megdt_opt.report.profile_grids import provenance_grid
from megdt_opt.report.timeline import timeline_figure
from megdt_opt.scenario.machines import advice
from megdt_opt.scenario.options import OptionTable
from megdt_opt.timing.borrow import read_borrowed, with_borrowed
from megdt_opt.timing.cells import Cell
from megdt_opt.timing.finding import find_profile
from megdt_opt.timing.published import PublishedTimings, published_profile
from megdt_opt.timing.trust import PUBLISHED_MODELS

A100 = "published: A100 (compiled) / SD1.5"
PHONE = "published: Samsung Galaxy S25 / SD1.5"
LENT = {"encode_prompt": "Samsung Galaxy S25 / SD1.5 x 0.5", "decode": "V100 / SD1.5 x 0.4"}


def cell(edge: dict[str, Any], model: str = "sd15", device: str = PHONE, **user: Any) -> Scenario:
    one = {"name": "phone", "downlink_efficiency": "3 bit/s/Hz", "uplink_efficiency": "2 bit/s/Hz", **user}
    return Scenario(
        model=model, unmeasured_quality="accept", steps=20, cuts=(10,), edge=edge,
        channel={"downlink": "20 MHz", "uplink": "20 MHz"},
        users=[{**one, "device": {"profile": device}}],
    )  # fmt: skip


def test_an_a100_and_a_phone_are_planned_with_what_is_borrowed() -> None:
    """By hand: the phone encodes in 1.759 ms, of which half; the V100 decodes in its published time, of which 0.4."""
    table = OptionTable.build(cell({"profile": A100, "borrow": LENT}))
    edge = table.machines.edges["edge"]
    phone, v100 = published_profile("Samsung Galaxy S25", "SD1.5"), find_profile("published: V100 / SD1.5")
    assert edge.stage_s(Kind.ENCODE_PROMPT) == pytest.approx(0.5 * phone.stage_s(Kind.ENCODE_PROMPT))
    assert edge.stage_s(Kind.ENCODE_PROMPT) == pytest.approx(0.5 * 1.759e-3)
    assert edge.stage_s(Kind.DECODE) == pytest.approx(0.4 * v100.stage_s(Kind.DECODE))
    assert edge.stage_s(Kind.DENOISE) == published_profile("A100 (compiled)", "SD1.5").stage_s(Kind.DENOISE)
    made = plan(table, compare=False)
    assert made.users[0].option.name != "local"
    assert made.objective_s < sum(made.table.seconds(leaf) for leaf in _alone(table))


def _alone(table: OptionTable) -> list[Any]:
    from megdt_opt.program.stages import Compute, leaves

    return [leaf for leaf in leaves(table.program(0, table.index("local"))) if isinstance(leaf, Compute)]


def test_what_is_borrowed_is_said_in_plan_report_and_figure(tmp_path: Path) -> None:
    made = plan(cell({"profile": A100, "borrow": LENT}), compare=False)
    note = next(note for note in made.notes if note.startswith("Borrowed for edge: decode"))
    assert "from published: V100 / SD1.5 x 0.4" in note
    assert "ms" in note
    assert any("encode_prompt is borrowed from" in note for note in provenance_grid(made.table).notes)
    label = timeline_figure(made).axes[0].get_xlabel()
    assert "borrowed for edge: decode from published: V100 / SD1.5 x 0.4" in label
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert again.objective_s == pytest.approx(made.objective_s)
    assert note in again.notes


@pytest.mark.parametrize("user", [{}, {"mechanisms": ["E2U"]}, {"mechanisms": ["centralised"]}])
def test_without_borrowing_the_message_states_the_way_out(user: dict[str, Any]) -> None:
    closed = cell({"profile": A100}, **user)
    if user:
        with pytest.raises(Infeasible) as caught:
            plan(closed, compare=False)
        said = str(caught.value)
    else:
        said = " ".join(plan(closed, compare=False).notes)
    assert "can be borrowed, for example edge.borrow: {encode_prompt: " in said
    given = said.partition("edge.borrow: {")[2].partition("}")[0]
    lent = dict(part.split(": ") for part in given.split(", "))
    assert plan(cell({"profile": A100, "borrow": lent}, **user), compare=False).status == "optimal"


@pytest.mark.parametrize(("passes", "text"), [(2.3, "2.3 passes"), (3.0, "3 passes"), (1.0, "1 pass")])
def test_a_decode_may_be_so_many_passes_of_the_own_network(passes: float, text: str) -> None:
    """A step with guidance is two passes."""
    table = OptionTable.build(cell({"profile": "published: A100 / SDXL", "borrow": {"decode": text}}, "sdxl", "mine"),
                              {"mine": _phone_of_sdxl()})  # fmt: skip
    edge = table.machines.edges["edge"]
    assert edge.stage_s(Kind.DECODE) == pytest.approx(passes * edge.stage_s(Kind.DENOISE) / 2)


def _phone_of_sdxl() -> TimingProfile:
    return find_profile("published: Snapdragon 8 Elite (Adreno) / SDXL")


def test_a_measured_profile_lends_its_samples_and_batches() -> None:
    table = OptionTable.build(cell({"profile": A100, "borrow": {"decode": "sd15-cpu x 0.01"}}))
    lent, own = TimingProfile.bundled("sd15-cpu"), table.machines.edges["edge"]
    assert own.batches(Kind.DECODE) == lent.batches(Kind.DECODE)
    low, high = lent.stage_interval_s(Kind.DECODE) or (0.0, 0.0)
    assert own.stage_interval_s(Kind.DECODE) == pytest.approx((0.01 * low, 0.01 * high))
    assert own.stage_interval_s(Kind.DENOISE) is None


def test_a_borrowed_stage_replaces_the_own_one_and_is_not_stretched() -> None:
    scenario = cell({"profile": "sd15-cpu", "stretch": 3.0, "borrow": {"decode": "published: V100 / SD1.5"}})
    edge = OptionTable.build(scenario).machines.edges["edge"]
    assert edge.stage_s(Kind.DECODE) == find_profile("published: V100 / SD1.5").stage_s(Kind.DECODE)
    assert edge.stage_s(Kind.DENOISE) == pytest.approx(3 * TimingProfile.bundled("sd15-cpu").stage_s(Kind.DENOISE))


def test_a_lender_may_be_of_another_model_and_need_not_denoise() -> None:
    """The RTX 4080 has a decode at two sizes and no denoising; as a profile of its own it is refused."""
    lender = "RTX 4080 / SDXL / 1024"
    edge = OptionTable.build(cell({"profile": A100, "borrow": {"decode": lender}})).machines.edges["edge"]
    row = find_profile(f"published: {lender}", lends=True)
    assert edge.stage_s(Kind.DECODE) == row.stage_s(Kind.DECODE)
    with pytest.raises(ProfileError, match="denoising"):
        OptionTable.build(cell({"profile": f"published: {lender}"}))
    with pytest.raises(ProfileError, match=r"resolution.*\[512, 1024\]"):
        OptionTable.build(cell({"profile": A100, "borrow": {"decode": "RTX 4080 / SDXL"}}))


def test_lenders_at_hand_go_by_their_names() -> None:
    mine = TimingProfile.bundled("sd15-cpu")
    scenario = cell({"profile": A100, "borrow": {"decode": "mine x 2"}})
    edge = OptionTable.build(scenario, {"mine": mine}).machines.edges["edge"]
    assert edge.stage_s(Kind.DECODE) == pytest.approx(2 * mine.stage_s(Kind.DECODE))


def test_a_sweep_goes_over_what_is_borrowed() -> None:
    scenario = cell({"profile": A100, "borrow": LENT})
    found = sweep(scenario, {"edge.borrow.decode": ["2.3 passes", "3 passes"]}, compare=False)
    assert list(found["edge.borrow.decode"]) == ["2.3 passes", "3 passes"]
    assert found["objective_s"].is_monotonic_increasing
    assert found["objective_s"].nunique() == 2


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        ("dream", "V100 / SD1.5"),
        ("decode", ""),
        ("decode", "V100 / SD1.5 x 0"),
        ("decode", "0 passes"),
        ("decode", "sd15-cpu x 1e999"),
        ("denoise", "2 passes"),
    ],
)
def test_what_cannot_be_borrowed_is_refused_when_the_scenario_is_read(stage: str, text: str) -> None:
    with pytest.raises(InvalidInput, match=rf"edge\.borrow.*{stage}"):
        cell({"profile": A100, "borrow": {stage: text}})


@pytest.mark.parametrize(
    ("text", "names"),
    [("A100 (compiled) / SD1.5", "decode"), ("Toaster / SD1.5", "Toaster"), ("no-such-profile", "no-such-profile")],
)
def test_a_lender_that_does_not_have_the_stage_is_refused(text: str, names: str) -> None:
    with pytest.raises(ProfileError, match=names):
        OptionTable.build(cell({"profile": A100, "borrow": {"decode": text}}))


@pytest.mark.parametrize(
    ("text", "source", "factor"),
    [
        ("V100 / SD1.5 x 0.5", "published: V100 / SD1.5", 0.5),
        ("published: V100 / SD1.5", "published: V100 / SD1.5", 1.0),
        ("V100 / SD1.5 \u00d7 2", "published: V100 / SD1.5", 2.0),
        ("box/times.json x 1e-2", "box/times.json", 0.01),
        ("twin-cpu", "twin-cpu", 1.0),
        ("2.5 passes", "", 2.5),
    ],
)
def test_what_a_text_says(text: str, source: str, factor: float) -> None:
    (found,) = read_borrowed({"decode": text})
    assert (found.source, found.factor) == (source, factor)


# ---- sizes of coded pictures


def _coder(codec: str, **facts: Any) -> TimingProfile:
    """A profile that codes pictures of SD1.5's shape, and knows how long they get."""
    own = TimingProfile.bundled("sd15-cpu")
    cells = tuple(Cell(kind=kind, batch=1, samples_s=(0.01,), codec=codec) for kind in ("compress", "decompress"))
    return replace(own, device="coder", cells=(*own.cells, *cells), image_byte_samples={codec: (400_000,)}, **facts)


def _coded(codec: str) -> Scenario:
    """In fp32, where the edge borrows coding and the phone decoding."""
    one = {"name": "phone", "downlink_efficiency": "3 bit/s/Hz", "uplink_efficiency": "2 bit/s/Hz"}
    return Scenario(
        model="sd15", steps=4, cuts=(2,), channel={"downlink": "20 MHz", "uplink": "20 MHz"},
        edge={"profile": "sd15-cpu", "borrow": {"compress": "coder"}},
        users=[{**one, "device": {"profile": "sd15-cpu", "borrow": {"decompress": "coder"}}, "codecs": [codec]}],
    )  # fmt: skip


@pytest.mark.parametrize("codec", ["png", "jpeg"])
def test_a_borrowed_coder_brings_the_sizes_of_its_pictures(codec: str) -> None:
    lenders = {"coder": _coder(codec)}
    table = OptionTable.build(_coded(codec), lenders)
    terms = table.terms(0, table.index(f"centralised {codec}"))
    assert terms is not None
    assert terms.downlink_bit > 8 * 400_000
    notes = plan(_coded(codec), lenders, compare=False).notes
    assert any(f"from coder, with the sizes of sd15's pictures in {codec}" in note for note in notes)


@pytest.mark.parametrize("codec", ["png", "jpeg"])
def test_a_coder_without_sizes_of_such_pictures_lends_nothing(codec: str) -> None:
    lender = _coder(codec)
    other = replace(lender.provenance, image_shape=(256, 256, 3))
    for lent in (replace(lender, image_byte_samples={}), replace(lender, provenance=other)):
        with pytest.raises(ProfileError, match=f"compress borrowed from coder: found .no sizes.*in '{codec}'"):
            OptionTable.build(_coded(codec), {"coder": lent})


def test_own_sizes_stay_where_the_time_of_coding_is_borrowed() -> None:
    own, lent = replace(_coder("png"), image_byte_samples={"png": (300_000,)}), _coder("png")
    (one,) = read_borrowed({"compress": "coder x 2"})
    assert with_borrowed(own, [one], {"coder": lent}).image_byte_samples == {"png": (300_000,)}


# ---- the precision, size and passes of published figures


@pytest.mark.parametrize(
    ("name", "precision", "passes"),
    [
        ("published: NVIDIA A10 / SD1.4 / fp16", "fp16", 2),
        ("published: NVIDIA A10 / SD1.4 / fp32", "fp32", 2),
        ("published: H100 / SDXL-LCM / 1 pass", "fp16", 1),
        ("published: Samsung Galaxy S25 / SD1.5 / w8a16 / 512 / 1 pass", "w8a16", 1),
    ],
)
def test_a_published_profile_names_what_it_asks_for(name: str, precision: str, passes: int) -> None:
    found = find_profile(name)
    assert (found.provenance.precision, found.provenance.passes_per_step) == (precision, passes)


@pytest.mark.parametrize("name", ["published: A100", "published: A100 /", "published: A100 / SDXL / fp16 / fp32"])
def test_a_published_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises((InvalidInput, ProfileError), match="profile"):
        find_profile(name)


# ---- every published pair


PAIRS = [pair for pair in PublishedTimings.load().devices() if PUBLISHED_MODELS.get(pair[1]) in ("sd15", "sdxl")]


def named(device: str, model: str) -> str:
    """A published pair by its name, with the precision where several were published."""
    name = f"published: {device} / {model}"
    try:
        find_profile(name)
    except ProfileError as error:
        (precision, *_) = re.findall("'(fp16|fp32)'", str(error))
        return f"{name} / {precision}"
    return name


@pytest.mark.parametrize("pair", [pytest.param(pair, id=" ".join(pair)) for pair in PAIRS])
def test_every_published_pair_can_serve_as_an_edge_by_what_its_message_advises(pair: tuple[str, str]) -> None:
    """As published, or with the lenders named, generation at the edge is open."""
    model, name = PUBLISHED_MODELS[pair[1]], named(*pair)
    facts = find_profile(name).provenance
    phone = "published: Snapdragon 8 Elite (Adreno) / SDXL" if model == "sdxl" else PHONE
    guidance = {"guidance": 1} if facts.passes_per_step == 1 else {}

    def built(**edge: Any) -> OptionTable:
        device = name if guidance else phone
        return OptionTable.build(cell({"profile": name, **edge}, model, device).model_copy(update=guidance))

    if facts.image_shape != find_spec(model).image_shape:
        with pytest.raises(ProfileError, match="timing profile of the edge"):
            built()
        return
    table = built()
    lent = re.search(r"[ ]edge\.borrow: \{(.*?)\}", advice(table.scenario, table.machines, model))
    if lent is not None:
        assert "DEVICE" not in lent[1]
        table = built(borrow=dict(part.split(": ") for part in lent[1].split(", ")))
    terms = table.terms(0, table.index("centralised raw"))
    assert terms is not None
    assert terms.edge_work_s > 0


# ---- passes of a borrowed step


@pytest.mark.parametrize(
    ("lender", "own", "factor"),
    [
        ("H100 / SDXL-LCM / 1 pass", 2, 2.0),
        ("Samsung Galaxy S25 / SD1.5 / w8a16 / 512 / 1 pass x 0.5", 2, 1.0),
        ("V100 / SD1.5", 2, 1.0),
        ("sd15-cpu", 1, 0.5),
    ],
)
def test_a_borrowed_step_counts_by_its_passes_and_says_so(lender: str, own: int, factor: float) -> None:
    (one,) = read_borrowed({"denoise": lender})
    lent, mine = find_profile(one.source, lends=True), TimingProfile.bundled("sd15-cpu")
    mine = replace(mine, provenance=replace(mine.provenance, passes_per_step=own))
    made = with_borrowed(mine, [one], {one.source: lent})
    assert made.stage_s(Kind.DENOISE) == pytest.approx(factor * lent.stage_s(Kind.DENOISE))
    differ = own != lent.provenance.passes_per_step
    assert (f"for the {own} here" in made.provenance.stretches[-1]) == differ


def test_a_plan_says_that_a_step_of_other_passes_is_borrowed() -> None:
    edge = {"profile": A100, "borrow": {**LENT, "denoise": "H100 / SDXL-LCM / 1 pass"}}
    notes = plan(cell(edge), compare=False).notes
    assert any("a step of 1 pass(es) there times 2 for the 2 here" in note for note in notes)
