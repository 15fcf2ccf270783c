"""Reports of optimum-benchmark: `benchmark_report.json`, or `benchmark.json` with the configuration beside.

Its scenario "inference" of image diffusion times `call`, a whole generation, and since version 0.5 `per_step`, from the
end of one denoising step to the end of the next, the guidance's passes in it; every value is kept in the file. What
`call_kwargs` does not say is the pipeline's default, which the file does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.program.stages import Kind
from megdt_opt.timing.formats.figures import GENERATION, Figure, TimingFile, count, mapping, seconds
from megdt_opt.values import real

KIND = "a report of optimum-benchmark"

_STAGES = {"per_step": str(Kind.DENOISE), "call": GENERATION}
_GUIDED = "stable-diffusion"
"""Beginning of the model types whose steps have two passes with guidance; others may take its scale as an input."""

_PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


def report_of(data: object) -> Mapping[str, Any] | None:
    """The report in a JSON document; None where there is none."""
    if not isinstance(data, Mapping):
        return None
    report = data.get("report", data)
    if not isinstance(report, Mapping) or not report:
        return None
    return report if all(isinstance(part, Mapping) and "latency" in part for part in report.values()) else None


def read(data: Mapping[str, Any], source: str) -> TimingFile:
    """Figures of a report.

    Raises
    ------
    InvalidInput
        Where it is of another task than image generation, which it then says, or a value is no time.
    """
    report = report_of(data) or {}
    config = data["config"] if isinstance(data.get("config"), Mapping) else {}
    backend, scenario = (_part(config, name, source) for name in ("backend", "scenario"))
    shapes, call = (_part(scenario, name, source) for name in ("input_shapes", "call_kwargs"))
    stages = [name for name in _STAGES if (report.get(name) or {}).get("latency")]
    if not stages:
        task = backend.get("task", "a task that it does not name")
        what = f"{KIND} on {task} that times {', '.join(report)}"
        raise InvalidInput(
            source, what, "one of image generation, with per_step or call", "Benchmark a text-to-image pipeline."
        )
    environment = _part(config, "environment", source)
    steps = call.get("num_inference_steps")
    picture, passes = _picture(call, source), _passes(call, backend, source)
    figures = []
    for name in stages:
        latency = mapping(report[name]["latency"], f"{name}.latency", source)
        figures.append(
            Figure(
                stage=_STAGES[name],
                samples_s=_values(latency, name, source),
                batch=_batch(report, shapes, call, source),
                device=_device(backend, environment),
                model=str(backend.get("model") or ""),
                precision=_PRECISIONS.get(str(backend.get("torch_dtype") or backend.get("dtype")), ""),
                variant=str(backend.get("name") or ""),
                steps=None if steps is None or name != "call" else count(steps, "num_inference_steps", source),
                passes_per_step=passes,
                picture=picture,
                software=_software(backend, environment),
                note=f"report.{name}.latency.values",
            )
        )
    return TimingFile(
        kind=KIND,
        figures=tuple(figures),
        method="every value of optimum-benchmark's latency tracker, after its own warm-up",
        hardware=_hardware(backend, environment),
        random_weights=backend.get("no_weights") is True,
    )


def _part(config: Mapping[str, Any], name: str, source: str) -> Mapping[str, Any]:
    part = config.get(name)
    return {} if part is None else mapping(part, f"config.{name}", source)


def _values(latency: Mapping[str, Any], name: str, source: str) -> tuple[float, ...]:
    unit, values = latency.get("unit", "s"), latency.get("values")
    if unit != "s":
        raise InvalidInput(f"{source}, {name}.latency.unit", unit, "'s'", "Use a report in seconds.")
    if not isinstance(values, list) or not values:
        expected = "a list of times [s]"
        raise InvalidInput(f"{source}, {name}.latency.values", values, expected, "Benchmark again.")
    return tuple(seconds(value, f"{name}.latency.values.{n}", source) for n, value in enumerate(values))


def _batch(report: Mapping[str, Any], shapes: Mapping[str, Any], call: Mapping[str, Any], source: str) -> int:
    """Pictures of a call: as configured, or what its throughput [images/s] times its mean [s] comes to; else 1."""
    stated = shapes.get("batch_size")
    if stated is not None:
        images = call.get("num_images_per_prompt") or 1
        return count(stated, "batch_size", source) * count(images, "num_images_per_prompt", source)
    part = report.get("call") or {}
    throughput = real((part.get("throughput") or {}).get("value"))
    mean_s = real((part.get("latency") or {}).get("mean"))
    return 1 if throughput is None or mean_s is None else max(1, round(throughput * mean_s))


def _picture(call: Mapping[str, Any], source: str) -> tuple[int, int] | None:
    """Rows and columns of the pictures [pixel]."""
    sides = {name: call[name] for name in ("height", "width") if call.get(name) is not None}
    if not sides:
        return None
    if len(sides) == 1:
        expected = "height and width [pixel], or neither"
        raise InvalidInput(f"{source}, call_kwargs", list(sides), expected, "Benchmark with both.")
    return count(sides["height"], "height", source), count(sides["width"], "width", source)


def _passes(call: Mapping[str, Any], backend: Mapping[str, Any], source: str) -> int | None:
    """Passes of a step: diffusers guides with a scale above 1 alone."""
    stated = call.get("guidance_scale")
    if stated is None:
        return None
    scale = real(stated)
    if scale is None or not math.isfinite(scale):
        raise InvalidInput(f"{source}, guidance_scale", stated, "a finite number [1]", "Correct the file.")
    if scale <= 1.0:
        return 1
    return 2 if str(backend.get("model_type")).startswith(_GUIDED) else None


def _device(backend: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    gpus = environment.get("gpu")
    if backend.get("device") in ("cuda", "rocm") and isinstance(gpus, list) and gpus:
        return str(gpus[0])
    if backend.get("device") == "cpu":
        return str(environment.get("cpu") or "").strip()
    return ""


def _hardware(backend: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, str | int]:
    found: dict[str, str | int] = {"kind": str(backend.get("device") or "unknown")}
    if isinstance(environment.get("cpu_count"), int):
        found["cores"] = environment["cpu_count"]
    return found


def _software(backend: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, str]:
    known = {
        "python": environment.get("python_version"),
        "os": environment.get("system"),
        "torch": backend.get("version") if backend.get("name") == "pytorch" else None,
        **{name: environment.get(f"{name}_version") for name in ("optimum_benchmark", "diffusers", "transformers")},
    }
    return {name: str(version) for name, version in known.items() if version}
