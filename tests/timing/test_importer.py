"""Timing files of other programs: what becomes of them, and what is said of files of another kind."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from megdt_opt import import_timings
from megdt_opt.cli.app import app
from megdt_opt.errors import InvalidInput, ProfileError
from megdt_opt.program.stages import Kind
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.timing.trust import doubts

FILES = Path(__file__).parent / "files"
PERF = FILES / "stable_diffusion_v1_5" / "perf.yaml"
PHONE = {"device": "Samsung Galaxy S25", "variant": "qnn_context_binary"}


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# ---- Qualcomm's perf.yaml


def test_a_phones_networks_are_stages_and_a_step_has_two_passes() -> None:
    """Read off the file: text_encoder 1.740 ms, unet 58.054 ms, vae 126.555 ms."""
    made = import_timings(PERF, **PHONE)
    assert (made.device, made.model, made.provenance.precision) == ("Samsung Galaxy S25", "sd15", "w8a16")
    assert made.stage_s(Kind.ENCODE_PROMPT) == pytest.approx(1.740e-3)
    assert made.stage_s(Kind.DENOISE) == pytest.approx(2 * 58.054e-3)
    assert made.stage_s(Kind.DECODE) == pytest.approx(126.555e-3)
    assert made.provenance.passes_per_step == 2
    assert "assumed" in made.provenance.method
    assert made.provenance.software["qairt"].startswith("2.")


def test_a_single_figure_has_no_interval(tmp_path: Path) -> None:
    made = import_timings(PERF, **PHONE)
    assert not made.has_intervals
    assert all(len(cell.samples_s) == 1 for cell in made.cells)
    assert made.stage_interval_s(Kind.DENOISE) is None
    assert made.fit(Kind.DENOISE).a_interval_s is None
    made.save(tmp_path / "phone.json")
    assert TimingProfile.load(tmp_path / "phone.json") == made


def test_without_guidance_a_step_is_one_pass() -> None:
    made = import_timings(PERF, **PHONE, passes_per_step=1)
    assert made.stage_s(Kind.DENOISE) == pytest.approx(58.054e-3)
    assert "assumed" not in made.provenance.method


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({}, "'Dragonwing Q-6690 MTP', 'Samsung Galaxy S24', 'Samsung Galaxy S25', 'Snapdragon X Elite CRD'"),
        ({"device": "Samsung Galaxy S26"}, "'Samsung Galaxy S25'"),
        ({"device": "Samsung Galaxy S25"}, "'precompiled_qnn_onnx', 'qnn_context_binary'"),
        ({**PHONE, "precision": "fp16"}, "'w8a16'"),
    ],
)
def test_of_several_devices_and_runtimes_one_is_asked_for(asked: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        import_timings(PERF, **asked)  # type: ignore[arg-type]
    assert named in str(caught.value)


def test_the_file_is_kept_by_its_hash() -> None:
    text = import_timings(PERF, **PHONE).provenance.texts[0]
    assert hashlib.sha256(PERF.read_bytes()).hexdigest() in text
    assert "perf.yaml" in text
    assert "qnn_context_binary" in text


# ---- optimum-benchmark


def test_every_value_of_a_report_is_a_sample() -> None:
    path = FILES / "optimum_sd15.json"
    values = json.loads(path.read_text())["report"]["per_step"]["latency"]["values"]
    made = import_timings(path)
    cell = made.cell(Kind.DENOISE, batch=2)
    assert cell is not None
    assert list(cell.samples_s) == values
    assert (made.device, made.model, made.provenance.precision) == ("NVIDIA A100-SXM4-80GB", "sd15", "fp16")
    assert made.provenance.software["torch"] == "2.6.0+cu124"
    assert made.provenance.software["diffusers"] == "0.32.2"
    assert made.stage_interval_s(Kind.DENOISE, batch=2) == cell.interval_s
    assert "not in the file: encode_prompt, decode" in made.provenance.method


def test_a_report_without_its_configuration_asks_for_what_it_does_not_say() -> None:
    path = FILES / "optimum_report_alone.json"
    known: dict[str, Any] = {}
    for name, value in [("device", "A100"), ("model", "sd15"), ("precision", "fp16"), ("steps", 30)]:
        with pytest.raises(InvalidInput, match=f"^{name}: "):
            import_timings(path, **known)
        known[name] = value
    made = import_timings(path, **known)
    assert made.stage_s(Kind.DENOISE) == pytest.approx(1.30 / 30)
    assert "an upper estimate" in made.provenance.method


# ---- diffusers


@pytest.mark.parametrize(
    ("variant", "precision", "pass_s"),
    [
        ("bf16, plain", None, 0.074),
        ("bf16, compiled", None, 0.054),
        ("layerwise-upcasting, plain", "bf16", 0.152),
        ("group-offload-leaf, plain", "bf16", 0.56),
    ],
)
def test_a_row_of_diffusers_is_one_pass(variant: str, precision: str | None, pass_s: float) -> None:
    """The figure before the brackets, for those hold an earlier run's; two rows do not name their precision."""
    path = FILES / "diffusers.csv"
    if precision is not None:
        with pytest.raises(InvalidInput, match=r"^precision: found None; expected the precision that was timed"):
            import_timings(path, device="A100", variant=variant)
    made = import_timings(path, device="A100", variant=variant, precision=precision)
    assert made.stage_s(Kind.DENOISE) == pytest.approx(2 * pass_s)
    assert (made.model, made.provenance.precision) == ("sdxl", "bf16")
    assert made.provenance.software["diffusers"].startswith("commit 8dd326f")


def test_the_older_table_of_diffusers_times_generations(tmp_path: Path) -> None:
    head = (
        "pipeline_cls,ckpt_id,batch_size,num_inference_steps,model_cpu_offload,run_compile,time (secs),memory (gbs),"
        "actual_gpu_memory (gbs),github_sha"
    )
    rows = "StableDiffusionPipeline,CompVis/stable-diffusion-v1-4,{},50,False,False,{},{},39.394,abc"
    path = written(tmp_path, "old.csv", "\n".join([head, rows.format(1, 1.5, 2.9), rows.format(4, 5.5, 6.1)]) + "\n")
    made = import_timings(path, device="A100", precision="fp16")
    assert made.batches(Kind.DENOISE) == (1, 4)
    assert made.stage_s(Kind.DENOISE, batch=4) == pytest.approx(5.5 / 50)
    assert made.model == "sd15"


# ---- a plain table


def test_rows_of_one_stage_are_its_samples(tmp_path: Path) -> None:
    text = "device,stage,batch,seconds\n" + "".join(
        f"box,{stage},{batch},{time}\n"
        for stage, batch, time in [
            ("denoise", 1, 0.05), ("denoise", 1, 0.06), ("denoise", 1, 0.055), ("denoise", 2, 0.09),
            ("denoise", 2, 0.1), ("encode_prompt", 1, 0.01), ("decode", 1, 0.2), ("decode", 1, 0.21),
        ]
    )  # fmt: skip
    made = import_timings(written(tmp_path, "t.csv", text), model="twin", precision="fp32")
    assert made.stage_s(Kind.DENOISE) == 0.055
    assert made.stage_interval_s(Kind.DECODE) == (0.2, 0.21)
    assert made.stage_interval_s(Kind.ENCODE_PROMPT) is None
    assert made.fit(Kind.DENOISE).at(4) == pytest.approx(0.175)


@pytest.mark.parametrize(
    ("head", "row", "step_s"),
    [
        ("stage,device,milliseconds,batch", "denoise_pass,box,40,1", 0.08),
        ("device,stage,batch,seconds,passes_per_step", "box,denoise_step,1,0.05,1", 0.05),
        ("device,batch,total_seconds,steps", "box,1,2.0,20", 0.1),
    ],
)
def test_columns_in_any_order_and_unit(head: str, row: str, step_s: float, tmp_path: Path) -> None:
    made = import_timings(written(tmp_path, "t.csv", f"{head}\n{row}\n"), model="sd15", precision="fp16")
    assert made.stage_s(Kind.DENOISE) == pytest.approx(step_s)
    assert "not in the file: encode_prompt, decode" in made.provenance.method


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("box,denoise,1,-3", "line 2, seconds"),
        ("box,denoise,1,nan", "line 2, seconds"),
        ("box,denoise,1,fast", "line 2, seconds"),
        ("box,denoise,1,1e-12", "line 2, seconds"),
        ("box,dream,1,0.1", "line 2, stage"),
        ("box,denoise,0,0.1", "line 2, batch"),
        ("box,denoise,1.5,0.1", "line 2, batch"),
    ],
)
def test_values_that_are_none_are_refused_by_line_and_column(row: str, named: str, tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", f"device,stage,batch,seconds\n{row}\n")
    with pytest.raises(InvalidInput, match=named):
        import_timings(path, model="sd15", precision="fp16")


def test_a_table_without_denoising_says_what_it_has(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "device,stage,batch,seconds\nbox,decode,1,0.1\n")
    with pytest.raises(InvalidInput, match=r"found \['decode'\]; expected denoise, denoise_pass or generation"):
        import_timings(path, model="sd15", precision="fp16")


# ---- files of another kind


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("optimum_bert.json", "feature-extraction that times load, forward"),
        ("beit/perf.yaml", "perf.yaml of Qualcomm AI Hub of: found ['Beit']"),
        ("controlnet_canny/perf.yaml", "'controlnet'"),
    ],
)
def test_a_file_of_another_model_says_which(name: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        import_timings(FILES / name)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("plan.json", '{"format": "megdt-opt plan 9"}', "JSON that calls itself 'megdt-opt plan 9'"),
        ("a.json", '{"a": 1}', "JSON of another kind"),
        ("t.csv", "x,y\n1,2\n", "a table with the columns x, y"),
        ("cell.yaml", "channel: {}\nusers: []\n", "YAML with channel, users"),
        ("note.txt", "hello", "text of another kind"),
        ("old.yaml", "aggregated: {}\nmodels:\n- name: Unet\n", "a perf.yaml of Qualcomm AI Hub before 2025"),
    ],
)
def test_what_is_no_timing_file_is_told(name: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        import_timings(written(tmp_path, name, text))
    assert f"This is {said}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("optimum_sd15.json", "a report of optimum-benchmark: `megdt-opt import-timings`"),
        ("optimum_report_alone.json", "a report of optimum-benchmark: `megdt-opt import-timings`"),
        ("diffusers.csv", "a benchmark table of diffusers: `megdt-opt import-timings`"),
        ("stable_diffusion_v1_5/perf.yaml", "a perf.yaml of Qualcomm AI Hub: `megdt-opt import-timings`"),
    ],
)
def test_a_whole_file_of_another_kind_given_as_a_profile_is_not_called_damaged(name: str, said: str) -> None:
    with pytest.raises(ProfileError) as caught:
        TimingProfile.load(FILES / name)
    assert said in str(caught.value)
    assert "truncated" not in str(caught.value)
    assert "restore" not in str(caught.value)


# ---- the command


def test_the_command_writes_a_profile_and_says_what_is_missing(tmp_path: Path) -> None:
    out = tmp_path / "a100.json"
    told = CliRunner().invoke(app, ["import-timings", str(FILES / "optimum_sd15.json"), str(out)])
    assert told.exit_code == 0, told.output
    assert TimingProfile.load(out).provenance.source == "imported"
    assert "Not in the file: encode_prompt, decode" in told.output


def test_the_command_shows_what_a_file_holds() -> None:
    told = CliRunner().invoke(app, ["import-timings", str(PERF)])
    assert told.exit_code == 0, told.output
    for name in yaml.safe_load(PERF.read_text())["supported_devices"]:
        assert name in told.output


def test_the_command_refuses_a_file_of_another_kind_in_one_message() -> None:
    told = CliRunner().invoke(app, ["import-timings", str(FILES / "beit" / "perf.yaml"), "x.json"])
    assert told.exit_code == 2
    assert not Path("x.json").exists()


# ---- statements that differ


@pytest.mark.parametrize(
    ("head", "rows", "stated", "named"),
    [
        ("stage,seconds,passes_per_step", ["denoise,0.2,2"], {"passes_per_step": 1}, "found 1; expected 2, as"),
        ("stage,seconds,passes_per_step", ["denoise_pass,0.1,1"], {"passes_per_step": 2}, "found 2; expected 1, as"),
        ("stage,seconds,passes_per_step", ["generation,4,2"], {"passes_per_step": 1, "steps": 20}, "expected 2, as"),
        ("seconds,steps", ["1.0,20"], {"steps": 50}, "steps: found 50; expected 20, as"),
        ("stage,seconds", ["denoise,0.2"], {"steps": 50}, "steps: found 50; expected none"),
        ("stage,batch,seconds,passes_per_step", ["denoise,1,0.2,1", "denoise,2,0.4,2"], {}, r"found [1, 2]"),
        ("stage,batch,seconds,passes_per_step", ["denoise,1,0.2,2", "denoise_pass,2,0.4,1"], {}, r"found [2, 1]"),
        ("stage,seconds,milliseconds", ["denoise,0.2,900"], {}, "found ['seconds', 'milliseconds']"),
        ("stage,total_seconds,milliseconds", ["denoise,0.2,900"], {}, "found ['milliseconds', 'total_seconds']"),
    ],
)
def test_statements_that_differ_are_refused_by_both(
    head: str, rows: list[str], stated: dict[str, int], named: str, tmp_path: Path
) -> None:
    path = written(tmp_path, "t.csv", "\n".join([head, *rows]) + "\n")
    with pytest.raises(InvalidInput) as caught:
        import_timings(path, device="box", model="sd15", precision="fp16", **stated)  # type: ignore[arg-type]
    assert named in str(caught.value)


@pytest.mark.parametrize(("passes", "step_s"), [(1, 0.1), (2, 0.2), (3, 0.3)])
def test_a_row_of_a_pass_says_how_many_a_step_has(passes: int, step_s: float, tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", f"stage,seconds,passes_per_step\ndenoise_pass,0.1,{passes}\n")
    made = import_timings(path, device="box", model="sd15", precision="fp16", passes_per_step=passes)
    assert made.stage_s(Kind.DENOISE) == pytest.approx(step_s)
    assert made.provenance.passes_per_step == passes
    assert "assumed" not in made.provenance.method


def _report(folder: Path, **call: Any) -> Path:
    """The report of SD1.5 with other arguments of the pipeline's call."""
    data = json.loads((FILES / "optimum_sd15.json").read_text())
    data["config"]["scenario"]["call_kwargs"] |= call
    return written(folder, "report.json", json.dumps(data))


@pytest.mark.parametrize(
    ("call", "picture", "passes"),
    [
        ({"height": 256, "width": 256, "guidance_scale": 0}, (256, 256, 3), 1),
        ({"height": 512, "width": 768, "guidance_scale": 7.5}, (512, 768, 3), 2),
        ({"guidance_scale": 1.0, "height": None}, None, 1),
        ({}, None, 2),
    ],
)
def test_a_report_says_size_and_guidance(
    call: dict[str, Any], picture: tuple[int, ...] | None, passes: int, tmp_path: Path
) -> None:
    made = import_timings(_report(tmp_path, **call))
    assert (made.provenance.image_shape, made.provenance.passes_per_step) == (picture, passes)
    assert ("assumed" in made.provenance.method) == ("guidance_scale" not in call)


@pytest.mark.parametrize(
    ("call", "stated", "named"),
    [
        ({"height": 256, "width": 256}, {"picture": (512, 512)}, "picture: found (512, 512); expected (256, 256), as"),
        ({"guidance_scale": 0}, {"passes_per_step": 2}, "passes_per_step: found 2; expected 1, as"),
        ({"guidance_scale": 7.5}, {"passes_per_step": 1}, "passes_per_step: found 1; expected 2, as"),
        ({}, {"steps": 50}, "steps: found 50; expected 30, as"),
        ({"height": 256}, {}, "expected height and width [pixel]"),
        ({"guidance_scale": "much"}, {}, "guidance_scale: found 'much'"),
        ({"height": 0, "width": 256}, {}, "height: found 0"),
    ],
)
def test_what_a_report_says_is_not_overruled(
    call: dict[str, Any], stated: dict[str, Any], named: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput) as caught:
        import_timings(_report(tmp_path, **call), **stated)
    assert named in str(caught.value)


# ---- one batch size alone


@pytest.mark.parametrize("stage", [Kind.DENOISE, Kind.DECODE, Kind.ENCODE_PROMPT])
@pytest.mark.parametrize("timed", [2, 4])
def test_a_batch_smaller_than_the_only_one_timed_lasts_as_long_and_this_is_said(
    stage: Kind, timed: int, tmp_path: Path
) -> None:
    rows = [f"{stage},{timed},{time}" for time in (0.04, 0.05, 0.06)] + ["denoise,1,0.1"] * (stage != Kind.DENOISE)
    path = written(tmp_path, "t.csv", "\n".join(["stage,batch,seconds", *rows]) + "\n")
    made = import_timings(path, device="box", model="sd15", precision="fp16")
    assert made.stage_s(stage) == pytest.approx(0.05)
    assert made.stage_interval_s(stage) == pytest.approx(made.stage_interval_s(stage, batch=timed))
    assert made.stage_s(stage, batch=2 * timed) == pytest.approx(0.1)
    (doubt,) = doubts(made)
    assert doubt.startswith(f"{stage} was timed in batches of {timed} alone")


def test_a_report_of_batches_of_two_does_not_halve_the_step_of_one() -> None:
    assert import_timings(FILES / "optimum_sd15.json").stage_s(Kind.DENOISE) == pytest.approx(0.040)


def test_a_region_in_a_batch_is_refused_where_one_larger_batch_was_timed(tmp_path: Path) -> None:
    text = "stage,batch,seconds,rows,rows_total\ndenoise,2,0.1,,\ndenoise,1,0.03,32,64\n"
    made = import_timings(written(tmp_path, "t.csv", text), device="box", model="sd15", precision="fp16")
    with pytest.raises(ProfileError, match=r"batches of stage denoise .* found \(2,\)"):
        made.stage_s(Kind.DENOISE, batch=2, rows=32, rows_total=64)


# ---- YAML with a fault

_BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"{_BOMB}precisions: {{x: *i}}\n", "perf.yaml"),
        ("precisions:\n  float: [\n", r"perf.yaml, line \d"),
        ("precisions: {}\nprecisions: {}\n", r"perf.yaml, line 2"),
        ("precisions: {}\n#" + "x" * 2**22, "at most 4194304 characters"),
    ],
    ids=["aliases", "open list", "key twice", "too long"],
)
def test_a_broken_perf_yaml_is_refused_for_its_fault(text: str, named: str, tmp_path: Path) -> None:
    path = written(tmp_path, "perf.yaml", text)
    with pytest.raises(InvalidInput, match=named) as caught:
        import_timings(path)
    assert "text of another kind" not in str(caught.value)
    with pytest.raises(ProfileError, match="a timing file with a fault"):
        TimingProfile.load(path)
