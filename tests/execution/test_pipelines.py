"""Pipelines of diffusers from a folder to executed pictures: the plan finds the model, and a profile belongs to one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pipelines
from PIL import Image

from megdt_opt import Infeasible, InvalidInput, Plan, ProfileError, Scenario, TimingProfile, calibrate, execute, plan
from megdt_opt.calibration.settings import Settings
from megdt_opt.errors import ExecutionTimeout
from megdt_opt.execution import Cluster
from megdt_opt.models import regions
from megdt_opt.models.registry import find_spec, load_model
from megdt_opt.models.requests import camera_of, request_of
from megdt_opt.program.mechanisms import MECHANISMS
from megdt_opt.program.stages import Kind
from megdt_opt.report import write_report
from megdt_opt.trials.pictures import judge_pictures

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments" / "execution"))

import pipelines

DATA = json.loads(pipelines.RESULTS.read_text(encoding="utf-8"))

Made = Callable[..., tuple[str, TimingProfile]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The path of a spec file and a profile of a family, whose folder is made; each is timed once."""
    base = tmp_path_factory.mktemp("pipelines")

    @cache
    def timed(family: str, **settings: Any) -> tuple[str, TimingProfile]:
        folder = base / family
        if not folder.exists():
            tiny_pipelines.save(folder, family)
        model = load_model(str(folder), **settings)
        kinds = ["encode_prompt", "denoise", "decode", "sense"]
        how: dict[str, Any] = {"batches": (1,), "held_out_batches": (), "rows": (), "samples": 2, "warmup": 1}
        return json.dumps(model.spec.to_dict()), calibrate(model, kinds=kinds, **how)

    def get(family: str, **settings: Any) -> tuple[str, TimingProfile]:
        text, profile = timed(family, **settings)
        spec = base / f"{family}.spec.json"  # other settings of the family may have written theirs
        spec.write_text(text)
        return str(spec), profile

    return get


def scenario(model: str, *mechanisms: str, **more: Any) -> Scenario:
    user = {
        "device": {"profile": "here", "stretch": 8.0},
        "downlink_efficiency": "4 bit/s/Hz",
        "uplink_efficiency": "4 bit/s/Hz",
        "precisions": ["fp32"],
        "codecs": ["raw"],
        "prompt": "a red car",
    }
    users = [
        {"name": f"u{k}", "mechanisms": [mechanism], "senses": mechanism == "U2E", **user}
        for k, mechanism in enumerate(mechanisms)
    ]
    return Scenario(
        **{
            "model": model,
            "steps": 4,
            "scheduler": find_spec(model).schedulers[-1],
            "edge": {"profile": "here", "stretch": 4.0},
            "channel": {"downlink": "400 kHz", "uplink": "400 kHz"},
            "users": users,
            **more,
        }
    )


@pytest.mark.slow
@pytest.mark.long_list
@pytest.mark.parametrize("family", tiny_pipelines.FAMILIES)
def test_a_plan_of_a_pipeline_is_executed_by_its_file(family: str, made: Made, tmp_path: Path) -> None:
    spec, profile = made(family, pixels=16)
    plan(scenario(spec, "SEU"), {"here": profile}, compare=False).save(tmp_path / "plan.json")
    done = execute(tmp_path / "plan.json", all_or_nothing=True, start_timeout_s=900)
    again = Plan.load(tmp_path / "plan.json")
    pictures = judge_pictures(again.table, again.users, done.images)
    assert [p.identical for p in pictures] == [True]
    assert (pictures[0].truth, pictures[0].objects) == (None, None)
    written = write_report(tmp_path / "report", again, done, None, pictures)
    assert {"pictures/u0-executed", "pictures/u0-unsplit"} == {name for name in written if name.startswith("pictures/")}


@pytest.mark.slow
def test_a_device_decodes_with_a_small_decoder_and_its_loss_is_measured(made: Made, tmp_path: Path) -> None:
    small = tiny_pipelines.save(tmp_path / "small", "sd1-small-decoder") / "vae"
    spec, own = made("sd1")
    _, held = made("sd1", decoder=str(small))
    Path(spec).write_text(json.dumps(find_spec(str(Path(spec).parent / "sd1")).to_dict()))
    asked = scenario(spec, "E2U", scheduler="euler").model_dump(mode="json", exclude_none=True)
    asked["users"][0]["device"] |= {"profile": "small", "decoder": str(small)}
    with pytest.raises(Infeasible, match="decoder vae of 'sd1' was never compared"):
        plan(Scenario(**asked | {"unmeasured_quality": None}), {"here": own, "small": held})
    asked["unmeasured_quality"] = "accept"
    chosen = plan(Scenario(**asked), {"here": own, "small": held}, compare=False)
    assert any("in place of the pipeline's own decoder" in note for note in chosen.notes)
    with pytest.raises(ProfileError, match="model 'sd1'.*one of model 'sd1[+]vae'"):
        plan(Scenario(**asked), {"here": own, "small": own})
    done = execute(chosen, all_or_nothing=True, start_timeout_s=900)
    (picture,) = judge_pictures(chosen.table, chosen.users, done.images)
    assert 0 < picture.psnr_db < 60


PLUGIN = """
from dataclasses import replace
from megdt_opt import register_model
from megdt_opt.models.registry import find_spec, load_model
from megdt_opt.models.twin.scene_requests import TwinRequests

spec = replace(find_spec("twin"), name="mine")
register_model("mine", lambda device, precision: load_model("twin"), spec, requests=TwinRequests())
"""

PROGRAM = """
from dataclasses import replace
from megdt_opt import Scenario, TimingProfile, execute, plan
from megdt_opt.program.registry import load_plugins
from megdt_opt.trials.pictures import judge_pictures

CELL = '''
model: mine
steps: 3
edge: {profile: here, stretch: 4}
channel: {downlink: 1 MHz, uplink: 1 MHz}
users:
  - name: phone
    device: {profile: here, stretch: 6}
    downlink_efficiency: 4 bit/s/Hz
    uplink_efficiency: 4 bit/s/Hz
    mechanisms: [E2U]
    precisions: [fp32]
'''
if __name__ == "__main__":
    load_plugins(["mine.py"])
    profile = replace(TimingProfile.bundled("twin-cpu"), model="mine")
    made = plan(Scenario.from_yaml(CELL), {"here": profile}, compare=False)
    done = execute(made, all_or_nothing=True, start_timeout_s=900)
    print([(p.user, p.identical, p.objects) for p in judge_pictures(made.table, made.users, done.images)])
"""


@pytest.mark.slow
def test_a_model_of_a_users_own_is_executed_by_the_plan(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "program.py").write_text(PROGRAM)
    path = os.pathsep.join(str(Path(p).resolve()) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p)
    done = subprocess.run(
        [sys.executable, "-P", "program.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[('phone', True, None)]"


def test_the_committed_list_of_executions_keeps_its_bounds() -> None:
    rows = [row for row in DATA["rows"] if "spoiled" not in row]
    errors = [e for row in rows for e in row["error_percent"].values()]
    assert len(rows) >= 30
    assert {row["family"] for row in rows} <= set(tiny_pipelines.FAMILIES)
    assert len({row["family"] for row in rows}) >= 11
    assert {option.split()[0] for row in rows for option in row["options"]} == set(MECHANISMS)
    assert len({row["sampler"] for row in rows}) >= 8
    assert np.median(errors) <= 1.0
    assert np.percentile(errors, 95) <= 3.0
    same = [s for row in rows for o, s in zip(row["options"], row["identical"], strict=True) if not o.startswith("PEU")]
    assert all(same)
    summary = pipelines.summary_of(DATA["rows"])
    assert {key: DATA["summary"][key] for key in summary} == summary
    assert len(summary["commits"]) == 1
    assert summary["spoiled"] == len(pipelines.SPOILS) == 10
    assert summary["spoiled_found"] >= 9
    assert pipelines.RESULTS.with_suffix(".md").read_text(encoding="utf-8") == pipelines.page(DATA["rows"])


# ---- a profile belongs to a model, a shape, a precision and a number of passes


def test_a_profile_is_refused_for_another_model_size_or_precision(made: Made) -> None:
    spec, profile = made("lcm")
    assert plan(scenario(spec, "E2U"), {"here": profile}, compare=False).table.spec.source
    for change in (
        {"model": "other"},
        {"provenance": replace(profile.provenance, latent_shape=(4, 16, 8))},
        {"provenance": replace(profile.provenance, image_shape=(32, 16, 3))},
    ):
        with pytest.raises(ProfileError, match="timing profile of the edge.*Name a profile of this model"):
            plan(scenario(spec, "E2U"), {"here": replace(profile, **change)})
    with pytest.raises(ProfileError, match="precision 'fp32'.*'bf16', the scenario's"):
        plan(scenario(spec, "E2U", precision="bf16"), {"here": profile})


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize(("family", "own"), [("lcm", "lcm"), ("flux-schnell", "flow_euler"), ("sdxl-turbo", "ddim")])
def test_a_scenario_without_a_sampler_takes_one_that_the_model_has(family: str, own: str, made: Made) -> None:
    spec, profile = made(family, pixels=16)
    asked = scenario(spec, "E2U").model_dump(mode="json", exclude_none=True)
    del asked["scheduler"]
    found = plan(Scenario(**asked), {"here": profile}, compare=False)
    assert Plan.from_dict(json.loads(json.dumps(found.to_dict()))).scenario.scheduler == own
    with pytest.raises(InvalidInput, match="scheduler: found 'pndm'" if own != "ddim" else "scheduler: found 'heun'"):
        plan(Scenario(**asked, scheduler="pndm" if own != "ddim" else "heun"), {"here": profile}, compare=False)


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize(("timed", "planned"), [(7.5, 1.0), (1.0, 7.5), (0.0, 2.0)])
def test_a_profile_of_one_pass_is_refused_for_two(timed: float, planned: float, made: Made) -> None:
    """Silent wrong answers: guidance is a setting of model, calibration and scenario."""
    spec, profile = made("sdxl-turbo", guidance=timed)
    assert profile.provenance.passes_per_step == (2 if timed > 1 else 1)
    known = plan(scenario(spec, "E2U"), {"here": profile}, compare=False)
    assert known.table.spec.guidance == timed
    with pytest.raises(ProfileError, match=r"pass\(es\) in a step"):
        plan(scenario(spec, "E2U", guidance=planned), {"here": profile})


def test_regions_are_refused_by_name_where_the_architecture_makes_none(made: Made) -> None:
    spec, profile = made("pixart")
    with pytest.raises(InvalidInput, match="users.u0.mechanisms: found 'PEU'.*architecture of 'pixart'"):
        plan(scenario(spec, "PEU"), {"here": profile})
    free = scenario(spec, "E2U").model_dump(exclude_none=True, mode="json")
    del free["users"][0]["mechanisms"]
    offered = {option.mechanism for option in plan(Scenario(**free), {"here": profile}, compare=False).table.options}
    assert "SEU" in offered
    assert "PEU" not in offered


def test_a_model_without_regions_is_timed_whole(made: Made) -> None:
    spec = find_spec(made("pixart")[0])
    every: dict[str, Any] = {"kinds": None, "batches": (1,), "held_out_batches": (), "rows": None, "held_out_rows": ()}
    fitted, held_out = Settings(**every).cells([Kind.DENOISE, Kind.FUSE, Kind.DECODE], spec)
    timed = {(key.kind, key.rows) for key in (*fitted, *held_out)}
    assert timed == {(Kind.DENOISE, None), (Kind.DECODE, None)}
    for change in ({"rows": [4]}, {"held_out_rows": [4]}, {"kinds": ["fuse"]}):
        with pytest.raises(InvalidInput, match="rows|makes no regions"):
            Settings(**{**every, **change}).cells([Kind.DENOISE], spec)
    with pytest.raises(InvalidInput, match="rows.*makes no regions"):
        regions.band((0, 4), spec)


@pytest.mark.parametrize("actors", [("edge",), ("edge", "phone"), ("edge-2",)])
def test_a_start_that_takes_too_long_says_what_to_give_it(actors: tuple[str, ...]) -> None:
    """Tried as a new user: "not ready in time" on a busy machine, without a setting."""
    with pytest.raises(ExecutionTimeout, match="not ready in time.*--start-timeout"):
        Cluster(actors, start_timeout_s=0.001).start()


# ---- what is to be shown


def test_a_users_prompt_and_picture_are_what_the_model_is_given(made: Made, tmp_path: Path) -> None:
    spec = find_spec(made("lcm")[0])
    assert not np.array_equal(request_of("a red car", spec)["state"], request_of("a blue car", spec)["state"])
    pixels = np.random.default_rng(0).integers(0, 256, spec.image_shape, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "start.png")
    assert np.array_equal(camera_of("a car", spec, str(tmp_path / "start.png"))[0], pixels)
    Image.fromarray(pixels[:8]).save(tmp_path / "small.png")
    (tmp_path / "text.png").write_text("no picture")
    for name, said in (
        ("small.png", r"8 x 16'; expected 16 x 16 \[pixel\]"),
        ("text.png", "a PNG or JPEG"),
        ("gone.png", "No such"),
    ):
        with pytest.raises(InvalidInput, match=said):
            camera_of("a car", spec, str(tmp_path / name))
    with pytest.raises(InvalidInput, match="picture.*senses"):
        scenario(str(made("lcm")[0]), "E2U", users=[{**_user(), "picture": "start.png"}])


def _user(**more: Any) -> dict[str, Any]:
    return {"name": "u0", "downlink_efficiency": "4 bit/s/Hz", "uplink_efficiency": "4 bit/s/Hz", **more} | {
        "device": {"profile": "here"}
    }


def test_scenes_are_for_the_twin_and_prompts_for_pipelines(made: Made) -> None:
    spec = find_spec(made("lcm")[0])
    with pytest.raises(InvalidInput, match="scene.*prompt"):
        request_of({"objects": []}, spec)
    with pytest.raises(InvalidInput, match="prompt: found 'a red car'; expected a scene"):
        request_of("a red car", "twin")
    with pytest.raises(InvalidInput, match="prompt.*a prompt or a scene"):
        scenario("twin", "E2U", users=[_user(prompt="a car", scene=3)], scheduler="ddim")


def test_a_hub_id_is_planned_from_its_cache(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_spec(made("lcm")[0])
    cached = tmp_path / "models--owner--own"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    shutil.copytree(spec.source, cached / "snapshots" / ("0" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = find_spec("owner/own")
    assert found == replace(spec, name="own", source="owner/own")
    assert request_of("a red car", found)["state"].shape == (1, 8)
