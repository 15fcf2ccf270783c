"""Qualcomm AI Hub's `perf.yaml`, one for each model of the package `qai-hub-models`.

A file holds, for every precision, component (a network), device and runtime, one inference time in milliseconds; the
networks are compiled for batch 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.program.stages import Kind
from megdt_opt.timing.formats.figures import PASS, Figure, TimingFile, mapping, seconds

KIND = "a perf.yaml of Qualcomm AI Hub"

_STAGES = {
    "text_encoder": str(Kind.ENCODE_PROMPT),
    "unet": PASS,
    "vae": str(Kind.DECODE),
    "vae_decoder": str(Kind.DECODE),
    "vae_encoder": str(Kind.SENSE),
}
_ADDED = ("controlnet",)
"""Components that run beside each pass of a network, in a model that is none of text-to-image alone."""


def read(data: Mapping[str, Any], source: str) -> TimingFile:
    """Figures of a file.

    Raises
    ------
    InvalidInput
        Where its networks are not those of a text-to-image model, which it then says, or a value is no time.
    """
    figures, components = [], []
    for precision, per in mapping(data["precisions"], "precisions", source).items():
        listed = mapping(mapping(per, f"precisions.{precision}", source).get("components"), "components", source)
        components += [str(name) for name in listed]
        for name, part in listed.items():
            stage = _STAGES.get(name)
            if stage is not None:
                figures += list(_of_component(part, precision, stage, name, source))
    if PASS not in {figure.stage for figure in figures} or any(name in _ADDED for name in components):
        expected = "the networks text_encoder, unet and vae of a text-to-image model"
        raise InvalidInput(
            f"{source}, {KIND} of", sorted(set(components)), expected, "Take the file of such a model's folder."
        )
    return TimingFile(
        kind=KIND,
        figures=tuple(figures),
        method="one figure for each network as the service prints it, batch 1",
        hardware={"kind": "npu"},
    )


def _of_component(part: Any, precision: str, stage: str, name: str, source: str) -> Iterator[Figure]:
    where = f"precisions.{precision}.components.{name}"
    devices = mapping(mapping(part, where, source).get("performance_metrics"), f"{where}.performance_metrics", source)
    for device, runtimes in devices.items():
        for runtime, metrics in mapping(runtimes, f"{where}.{device}", source).items():
            here = f"{where}.performance_metrics.{device}.{runtime}"
            found = mapping(metrics, here, source)
            if found.get("inference_time_milliseconds") is None:  # a job that failed
                continue
            tools = mapping(found.get("tool_versions") or {}, f"{here}.tool_versions", source)
            yield Figure(
                stage=stage,
                samples_s=(
                    seconds(found["inference_time_milliseconds"], f"{here}.inference_time_milliseconds", source, 1e-3),
                ),
                device=str(device),
                model=Path(source).resolve().parent.name,
                precision="fp32" if precision == "float" else str(precision),
                variant=str(runtime),
                software={str(tool): str(version) for tool, version in tools.items()},
                note=f"job {found.get('job_id')}",
            )
