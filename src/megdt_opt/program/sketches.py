"""Mechanisms that send a sketch: what stands where in a picture, from which the receiving side makes the picture anew.

A sketch is read off a picture, coded without loss, and says what the picture shows in a form that people can look at: a
layout in a few colours, or its edges. Whoever gets it makes all steps of a chain by a generator that was trained for
sketches. So the picture shows the same things and is another picture; payloads are small, and lengths depend on what
there is to see.

They are offered to the users who list them, of models that have such a generator (`ModelSpec.sketch`).
"""

from __future__ import annotations

from megdt_opt.program.blocks import decode, denoise, encode_prompt, send_picture, send_request
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, Option, Setting
from megdt_opt.program.model_spec import WITH_PROMPT
from megdt_opt.program.option import Mechanism
from megdt_opt.program.stages import Compute, Kind, Payload, Send, Stage, TensorSpec

FROM_EDGE, FROM_DEVICE = "E2U-sketch", "U2E-sketch"
SKETCH_MECHANISMS = (FROM_EDGE, FROM_DEVICE)
"""Names of the mechanisms that send a sketch: down to the device, and up to the edge."""

_QUALITY = "the picture is made anew from a sketch: it shows the same things and equals no other picture"


def _send_sketch(source: str, to: str, setting: Setting, *, request: bool) -> Send:
    """The coded sketch, with the request where the generator takes the prompt too and the receiver has none."""
    tensors = [TensorSpec(name="sketch.bytes", shape=(0,), floating=False)]
    if request:
        tensors += send_request(setting).tensors
    return Send(source=source, to=(to,), payload=Payload.SKETCH, tensors=tuple(tensors))


def _from_sketch(at: str, setting: Setting) -> tuple[Stage, ...]:
    """The picture of a sketch that has come, by all steps of a chain; of the encoded prompt too where that is used."""
    prompt = (encode_prompt(at),) if setting.spec.sketch == WITH_PROMPT else ()
    return (
        *prompt,
        Compute(at=at, kind=Kind.READ_SKETCH, item="guide"),
        Compute(at=at, kind=Kind.DENOISE_SKETCH, amount=setting.steps),
        decode(at),
    )


def _e2u_sketch(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (
        send_request(s),
        encode_prompt(s.edge),
        denoise(s.edge, 0, s.steps),
        decode(s.edge),
        Compute(at=s.edge, kind=Kind.SKETCH, item="image"),
        _send_sketch(s.edge, s.device, s, request=False),
        *_from_sketch(s.device, s),
    )


def _u2e_sketch(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (
        Compute(at=s.device, kind=Kind.SKETCH, item="camera"),
        _send_sketch(s.device, s.edge, s, request=s.spec.sketch == WITH_PROMPT),
        *_from_sketch(s.edge, s),
        *(send_picture(s, option.codec) if s.shown_at == "device" else ()),
    )


for _made in (
    Mechanism(name=FROM_EDGE, stages=_e2u_sketch, quality=_QUALITY, protocol="sketch"),
    Mechanism(
        name=FROM_DEVICE,
        stages=_u2e_sketch,
        choices=("codec",),
        runs_at="edge",
        shown_at=("device", "edge"),
        senses=True,
        quality=_QUALITY,
        protocol="sketch",
    ),
):
    MECHANISM_REGISTRY.add(_made.name, _made, built_in=True)
