"""One user of a scenario: the device, the links, the limits, and what is to be shown."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from megdt_opt.errors import InvalidInput
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY
from megdt_opt.program.names import actor_name
from megdt_opt.program.precisions import PRECISION_REGISTRY
from megdt_opt.program.stages import CODECS, EDGE
from megdt_opt.scenario.equipment import Device
from megdt_opt.scenario.floors import PictureQuality
from megdt_opt.scenario.links import Link


class User(Link):
    """One user, its device and its limits.

    Parameters
    ----------
    name : str
        Unique name.
    device : Device
        What the user holds.
    downlink_..., uplink_..., distance_m
        How it is connected, as `scenario.links.Link` says: an efficiency, a rate, an SNR, a CQI or MCS index for each
        side, or a distance.
    weight : float
        Weight in the objective, > 0 [1].
    deadline_s : float, optional
        Hard limit on the latency [s].
    energy_max_j : float, optional
        Energy per picture that the device may spend on computing and sending [J].
    private_steps : int
        Denoising steps that stay on the device together with the request [1]; 0 = no privacy limit.
    shown_at : str
        "device" or "edge": where the picture is wanted.
    senses : bool
        Whether the device has a camera whose frame can be the start of a generation (U2E).
    mechanisms, precisions, codecs : tuple of str, optional
        Those the user accepts; default all of the package's own mechanisms and codecs, and fp32, fp16 and int8. Those
        that were registered, and precisions that merge or code latents, are offered to the users who list them.
    adapter : str, optional
        The user's own adapter of the denoiser, by the name of a bundled one or the path of its safetensors file. It
        stays on the device: denoising steps that run there use it, those of an edge server do not.
    adapter_steps : int
        Denoising steps of the whole latent that shall at least use the adapter [1]; 0 = no such limit.
    scene : int or mapping, optional
        Seed of a random scene, or the scene itself, that the twin shows; for a pipeline the seed of an example prompt.
    prompt : str, optional
        What a pipeline is to show, in words.
    picture : str, optional
        File of the picture (PNG, JPEG, of the model's size) that a pipeline's generation starts from in place of the
        camera's frame (U2E).
    seed : int
        Seed of the sampler's noise.
    quality_min : PictureQuality, optional
        Floors on the measured quality of the pictures: {"psnr": "28 dB", "read": 0.95}; options below one are closed.
    quality_target : PictureQuality, optional
        What the pictures should have; what an option lacks is a cost of the scenario (`costs: {psnr_short: ...}`).
    """

    dimensions: ClassVar[dict[str, str]] = {**Link.dimensions, "deadline_s": "time", "energy_max_j": "energy"}

    name: str
    device: Device = Device()
    weight: float = Field(default=1.0, gt=0.0)
    deadline_s: float | None = Field(default=None, gt=0.0)
    energy_max_j: float | None = Field(default=None, gt=0.0)
    private_steps: int = Field(default=0, ge=0)
    shown_at: Literal["device", "edge"] = "device"
    senses: bool = False
    mechanisms: tuple[str, ...] | None = None
    precisions: tuple[str, ...] | None = None
    codecs: tuple[str, ...] | None = None
    adapter: str | None = None
    adapter_steps: int = Field(default=0, ge=0)
    scene: int | dict[str, Any] = 0
    prompt: str | None = Field(default=None, max_length=10_000)
    picture: str | None = None
    seed: int = Field(default=0, ge=0, lt=2**63)
    quality_min: PictureQuality | None = None
    quality_target: PictureQuality | None = None

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        name = actor_name(name, "user")
        if name == EDGE:
            raise InvalidInput("", name, f"a name other than that of the edge server, {EDGE!s}", "Rename the user.")
        return name

    @field_validator("mechanisms", "precisions", "codecs")
    @classmethod
    def _known(cls, names: tuple[str, ...] | None, info: Any) -> tuple[str, ...] | None:
        for name in names or ():
            if info.field_name == "mechanisms":
                MECHANISM_REGISTRY.require(name, "")
            elif info.field_name == "precisions":
                PRECISION_REGISTRY.require(name, "")
            elif name not in CODECS:
                raise InvalidInput("", name, f"one of {CODECS}", "Choose some of them.")
        return names

    @model_validator(mode="after")
    def _whole(self) -> User:
        if self.prompt is not None and self.scene != 0:
            raise InvalidInput(f"{self.name}.prompt", self.prompt, "a prompt or a scene", "Leave one of the two out.")
        if self.picture is not None and not self.senses:
            remedy = 'Leave it out, or give the user "senses: true".'
            raise InvalidInput(f"{self.name}.picture", self.picture, "nothing without a user that senses", remedy)
        if self.adapter is None and self.adapter_steps > 0:
            where, remedy = f"{self.name}.adapter_steps", "Leave it out, or give the user an adapter."
            raise InvalidInput(where, self.adapter_steps, "0 steps without an adapter", remedy)
        if self.energy_max_j is not None and self.device.compute_power_w is None:
            raise InvalidInput(
                f"{self.name}.device.compute_power",
                None,
                "a power in W",
                "An energy limit needs the device's power.",
            )
        return self

    @property
    def subject(self) -> int | str | dict[str, Any]:
        """What is to be shown: the prompt, or else the scene."""
        return self.scene if self.prompt is None else self.prompt
