"""Latent diffusion models of diffusers behind the stages that are planned, timed and executed.

With `from_config` the weights are random, which changes no latency; with `from_pretrained` they are those
of a pipeline folder or hub id that the user has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from megdt_opt.errors import ExecutionError, InvalidInput
from megdt_opt.models import regions
from megdt_opt.models.diffusers.architecture import ARCHITECTURES, Architecture, architecture
from megdt_opt.models.diffusers.controlnet import with_controlnet
from megdt_opt.models.diffusers.denoisers import PASSES, Given
from megdt_opt.models.diffusers.design import latent_size, spec_of
from megdt_opt.models.diffusers.loading import Parts, build, load_controlnet, load_decoder, load_parts, parameters
from megdt_opt.models.diffusers.samplers import samplers_of
from megdt_opt.models.diffusers.text import TextEncoders
from megdt_opt.models.memory import PRECISION_BYTE
from megdt_opt.models.sampling import Predict, step_together
from megdt_opt.models.sketches import as_tensor, decode_map, edges_of, encode_map
from megdt_opt.models.split_model import Rows
from megdt_opt.models.tensors import check_batch, checked, checked_part, checked_state
from megdt_opt.program.model_spec import ModelSpec, with_decoder

__all__ = ["ARCHITECTURES", "Architecture", "DiffusersModel"]

State = dict[str, Tensor]
Pixels = int | tuple[int, int] | None

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class DiffusersModel:
    """A latent diffusion model, with classifier-free guidance where it has any.

    Latents are fp32 at the interface whatever the precision inside, so that payloads and hand-overs are
    the same for every precision. Make one with `from_config` or `from_pretrained`.

    Attributes
    ----------
    spec : ModelSpec
        Shapes and sizes. A request holds the prompt's token numbers (`prompts.Prompts`).
    weights : str
        "random" or "trained".
    precision, device : str
        Arithmetic, and the torch device that the networks are on.
    """

    def __init__(  # wide: each is one setting of a model, by keyword
        self,
        name: str,
        parts: Parts,
        *,
        weights: str,
        precision: str,
        device: str,
        pixels: Pixels = None,
        guidance: float | None = None,
        source: str = "",
        decoder: str | None = None,
        controlnet: str | None = None,
    ) -> None:
        _check_precision(precision)
        self.weights = weights
        self.precision = precision
        self.device = device
        self._parts = parts
        self._dtype = _DTYPES[precision]
        self._vae_dtype = torch.float32 if _overflows(parts) else self._dtype
        for part in (parts.denoiser, *parts.text):
            _settle(part, device, self._dtype)
        _settle(parts.vae, device, self._vae_dtype)
        self._decoder = parts.vae
        if decoder is not None:
            self._decoder, kind = load_decoder(decoder, parts.design)
            _settle(self._decoder, device, self._dtype if kind == "AutoencoderTiny" else self._vae_dtype)
        self._channels_last(parts.denoiser, parts.vae, self._decoder)
        self._text = TextEncoders(parts.text, parts.prompts)
        self.spec = _spec(name, parts, pixels, guidance=guidance, source=source, weights=weights)
        if decoder is not None:
            byte = PRECISION_BYTE[precision] * sum(
                value.numel() for name, value in self._decoder.named_parameters() if not name.startswith("encoder.")
            )
            self.spec = replace(with_decoder(self.spec, decoder), weight_byte={**self.spec.weight_byte, "decode": byte})
        self._controlnet = None if controlnet is None else load_controlnet(controlnet, parts.design)
        if controlnet is not None and self._controlnet is not None:
            _settle(self._controlnet, device, self._dtype)
            byte = PRECISION_BYTE[precision] * sum(value.numel() for value in self._controlnet.parameters())
            self.spec = with_controlnet(self.spec, controlnet, byte)
        self._samplers = samplers_of(parts.design, self.spec.latent_shape[1:])

    @classmethod
    def load(cls) -> Self:
        """SD1.5 with random weights in fp32 on the CPU; a class of your own may load another model."""
        return cls.from_config("sd15")

    @classmethod
    def from_config(
        cls,
        model: str | Path | Architecture,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        seed: int = 0,
        pixels: Pixels = None,
        guidance: float | None = None,
    ) -> Self:
        """A model with random weights.

        Parameters
        ----------
        model : str, Path or Architecture
            "sd15", "sd21", "sdxl", "sd3", a pipeline folder (only its configuration files are read), or an
            `Architecture`.
        device : str
            Torch device.
        precision : str
            "fp32", "fp16" or "bf16".
        seed : int
            Of the random weights.
        pixels : int or tuple of int, optional
            Sides of the picture, or (rows, columns) [pixel]; by default the architecture's native size.
        guidance : float, optional
            Scale of the guidance [1]; by default the family's. Up to 1 a step has one pass.

        Raises
        ------
        InvalidInput
            If the model is unknown or its configuration cannot be built.
        """
        _check_precision(precision)
        design = model if isinstance(model, Architecture) else architecture(model)
        folder = not isinstance(model, Architecture) and str(model) not in ARCHITECTURES
        with torch.random.fork_rng(devices=[]), torch.device(device):
            torch.manual_seed(seed)
            parts = build(design)
        how: dict[str, Any] = {"precision": precision, "device": device, "pixels": pixels, "guidance": guidance}
        return cls(design.name, parts, weights="random", source=_absolute(str(model)) if folder else "", **how)

    @classmethod
    def from_pretrained(  # wide: each is one setting of a model, by keyword
        cls,
        path_or_id: str | Path,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        name: str | None = None,
        pixels: Pixels = None,
        guidance: float | None = None,
        decoder: str | None = None,
        controlnet: str | None = None,
        **options: Any,
    ) -> Self:
        """The model of a pipeline folder or hub id; read from safetensors only; none of its code is run.

        Parameters
        ----------
        path_or_id : str or Path
            Folder of a saved pipeline, or a hub id such as "owner/model".
        device, precision, pixels, guidance
            As in `from_config`.
        name : str, optional
            Name of the model in profiles; by default the last part of the path or id.
        decoder : str, optional
            Folder of an autoencoder, such as an `AutoencoderTiny`, that decodes in place of the pipeline's own.
        controlnet : str, optional
            Folder of a `ControlNetModel` that was trained on edges, by which pictures are made from sketches.
        **options
            How it is found: `variant`, `revision`, `cache_dir`, `token` or `local_files_only`, as diffusers'
            loaders take them.

        Raises
        ------
        WeightsError
            If the pipeline cannot be found or loaded, lacks a tensor, or is of a kind that is not supported.
        InvalidInput
            If a configuration cannot be used; names its file and field.
        """
        _check_precision(precision)
        parts = load_parts(str(path_or_id), options, name)
        how: dict[str, Any] = {"precision": precision, "device": device, "pixels": pixels, "guidance": guidance}
        how |= {"decoder": decoder, "controlnet": controlnet}
        return cls(parts.design.name, parts, weights="trained", source=_absolute(str(path_or_id)), **how)

    # ---- requests

    @property
    def real_requests(self) -> bool:
        """Whether prompts can be written as text, so that example pictures are such as users get."""
        return self._parts.prompts.worded

    def request(self, prompt: str) -> State:
        """Request of a text prompt.

        Raises
        ------
        InvalidInput
            If the model has no tokeniser.
        """
        return _tensors(self._parts.prompts.from_text(prompt))

    def example_requests(self, count: int, seed: int = 0) -> list[State]:
        """Requests to time the model on: example prompts, or random tokens without a tokeniser."""
        return [_tensors(one) for one in self._parts.prompts.examples(count, seed)]

    # ---- stages

    @torch.no_grad()
    def encode_prompt(self, request: Mapping[str, Tensor]) -> State:
        """Conditioning of a request, for a second pass of guidance also that of the empty prompt.

        Returns
        -------
        dict
            What `spec.conditioning` says: "tokens" (B, length, width), and by the family "pooled" (B, width) and
            "mask" (B, length); for a second pass "negative", "pooled_negative" and "mask_negative" too.

        Raises
        ------
        ExecutionError
            Where the text models make NaN or infinity.
        """
        known = {n: checked_part(n, request, shape) for n, shape in self.spec.request.items()}
        batch = next(iter(known.values())).shape[0]
        made = self._text.encode(known, self.device)
        if self.spec.passes_per_step == 2:
            if self._parts.prompts.layout.zeros:
                free = {name: torch.zeros_like(value) for name, value in made.items()}
            else:
                free = self._text.encode(_tensors(self._parts.prompts.empty(batch)), self.device)
            made = {n: given[own] for own in made for n, given in ((own, made), (_negative(own), free))}
        return {name: self._finite("encoding of the prompt", value) for name, value in made.items()}

    def start(self, seed: int, *, scheduler: str, steps: int, rows: Rows | None = None) -> State:
        """State that a chain begins with; a region gets its rows of the whole picture's noise."""
        band, shape = regions.band(rows, self.spec), self.spec.latent_shape
        return self._samplers.get(scheduler, steps).start(seed, shape, rows=band, device=self.device)

    def start_from(self, latent: Tensor, seed: int, *, scheduler: str, steps: int, first: int) -> State:
        """State that continues from a sensed latent, noised to the level of step `first`."""
        latent = checked("latent", latent, self.spec.latent_shape).to(self.device)
        return self._samplers.get(scheduler, steps).start_from(latent, seed, first)

    @torch.no_grad()
    def denoise(
        self,
        state: Mapping[str, Tensor],
        conditioning: Mapping[str, Tensor],
        *,
        scheduler: str,
        steps: int,
        first: int,
        count: int,
        rows: Rows | None = None,
    ) -> State:
        """State after the steps first..first + count - 1 of a chain of `steps`.

        Parameters
        ----------
        state : mapping
            "latent" (B, C, rows, columns), and what else the sampler needs within its chain (`samplers.state_shapes`).
        conditioning : mapping
            As `encode_prompt` gives it; for steps by sketch with what `read_sketch` gives.
        scheduler : str
            One of `spec.schedulers`.
        steps, first, count : int
            Denoising steps [1].
        rows : tuple of int, optional
            Rows [begin, end) of the whole latent that this state is of.

        Returns
        -------
        dict
            After the last step only "latent" is left.
        """
        band = regions.band(rows, self.spec)
        channels, height, columns = self.spec.latent_shape
        known = checked_state(state, (channels, band[1] - band[0], columns))
        known = {name: value.to(self.device) for name, value in known.items()}
        predict = self._predict(conditioning, known["latent"].shape[0], band[0])
        sampler = self._samplers.get(scheduler, steps)
        return sampler.run(known, predict, first=first, count=count, rows=band, height=height)

    @torch.no_grad()
    def denoise_together(
        self,
        states: Sequence[Mapping[str, Tensor]],
        conditionings: Sequence[Mapping[str, Tensor]],
        *,
        schedulers: Sequence[str],
        steps: int,
        at: Sequence[int],
    ) -> list[State]:
        """State of each of several chains after a step of its own (`at`), with one pass of the network for all."""
        known = [checked_state(state, self.spec.latent_shape) for state in states]
        known = [{name: value.to(self.device) for name, value in state.items()} for state in known]
        sizes = [state["latent"].shape[0] for state in known]
        for given, size in zip(conditionings, sizes, strict=True):
            for name in self.spec.conditioning:
                check_batch(name, checked_part(name, given, self.spec.conditioning[name]), size)

        def predict(latent: Tensor, timestep: Tensor) -> Tensor:
            together = {n: torch.cat([given[n] for given in conditionings]) for n in self.spec.conditioning}
            return self._predict(together, sum(sizes))(latent, timestep)

        samplers = [self._samplers.get(scheduler, steps) for scheduler in schedulers]
        return step_together(samplers, known, predict, at)

    def fuse(self, latent_a: Tensor, rows_a: Rows, latent_b: Tensor, rows_b: Rows) -> Tensor:
        """Whole latent from a top and a bottom region, blended where they overlap; see `regions.fuse`."""
        return regions.fuse(latent_a, rows_a, latent_b, rows_b)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Picture of a latent, uint8 (B, rows, columns, 3), on the model's device.

        Raises
        ------
        ExecutionError
            Where the picture has NaN or infinity, as a decoder that overflows in half precision makes them.
        """
        latent = checked("latent", latent, self.spec.latent_shape).to(self.device, self._decoder.dtype)
        scale, shift = _scaling(self._decoder)
        decoded = self._decoder.decode(latent / scale + shift, return_dict=False)[0]
        made_by = "decoding" if torch.isfinite(latent).all() else "denoising"
        self._finite(made_by, decoded)
        picture = ((decoded * 0.5 + 0.5).clamp(0, 1).float() * 255).round().to(torch.uint8)  # as diffusers rounds
        return picture.permute(0, 2, 3, 1).contiguous()

    @torch.no_grad()
    def sense(self, image: Tensor) -> Tensor:
        """Latent of a picture, uint8 (B, rows, columns, 3) to float32 (B, C, rows, columns)."""
        image = checked("image", image, self.spec.image_shape, torch.uint8).to(self.device)
        scaled = (2.0 * (image.permute(0, 3, 1, 2).float() / 255) - 1.0).to(self._vae_dtype)  # as diffusers rounds
        encoded = self._parts.vae.encode(scaled)
        mode = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        scale, shift = _scaling(self._parts.vae)
        return self._finite("encoding of the picture", ((mode - shift) * scale).float())

    def sketch(self, image: Tensor) -> Tensor:
        """Coded edges of a picture, uint8 (1, rows, columns, 3) to uint8 (length,)."""
        pixels = checked("image", image, self.spec.image_shape, torch.uint8)
        check_batch("image", pixels, 1)
        return as_tensor(encode_map(edges_of(pixels[0].cpu().numpy()), 1))

    def read_sketch(self, data: Tensor) -> State:
        """The edges of a coded sketch as the ControlNet is shown them: "control", float32 (1, 3, rows, columns).

        Raises
        ------
        MalformedMessage
            If the bytes are no coded sketch.
        """
        rows, columns, _ = self.spec.image_shape
        edges = torch.from_numpy(decode_map(data.numpy().tobytes(), (rows, columns), 1))
        return {"control": edges.float().expand(1, 3, -1, -1).contiguous()}

    # ---- internals

    def _predict(self, conditioning: Mapping[str, Tensor], batch: int, first_row: int = 0) -> Predict:
        """The denoiser with guidance, for chains of this conditioning; each at its own timestep where there are
        several."""
        given = self._given(conditioning, batch, first_row)
        denoiser, once, scale = self._parts.denoiser, PASSES[self._parts.kind], self.spec.guidance

        def predict(latent: Tensor, timestep: Tensor) -> Tensor:
            if not given.unguided:
                return once(denoiser, latent.to(self._dtype), timestep, given).float()
            both = torch.cat([latent, latent]).to(self._dtype)
            times = torch.cat([timestep, timestep]) if timestep.dim() else timestep
            free, told = once(denoiser, both, times, given).float().chunk(2)
            return free + scale * (told - free)

        return predict

    def _given(self, conditioning: Mapping[str, Tensor], batch: int, first_row: int) -> Given:
        """What every pass is given: for guidance by a second pass first what goes without the prompt, then with it."""
        found = {n: checked_part(n, conditioning, s) for n, s in self.spec.conditioning.items()}
        for name, value in found.items():
            check_batch(name, value, batch)
        own = {name: value for name, value in found.items() if "negative" not in name}
        unguided = batch if self.spec.passes_per_step == 2 else 0
        if unguided:
            own = {name: torch.cat([found[_negative(name)], value]) for name, value in own.items()}
        control = conditioning.get("control")
        if control is not None:
            if self._controlnet is None:
                expected = "nothing without a ControlNet"
                raise InvalidInput("control", tuple(control.shape), expected, "Load the model with one.")
            control = checked("control", control, (3, *self.spec.image_shape[:2])).to(self.device, self._dtype)
            check_batch("control", control, batch)
            control = torch.cat([control, control]) if unguided else control
        return Given(
            controlnet=self._controlnet,
            control=control,
            conditioning={name: value.to(self.device, self._dtype) for name, value in own.items()},
            image_shape=self.spec.image_shape,
            guidance=self.spec.guidance,
            first_row=first_row,
            unguided=unguided,
        )

    def _finite(self, stage: str, made: Tensor) -> Tensor:
        """What a stage has made, if a picture can come of it."""
        if bool(torch.isfinite(made).all()):
            return made
        remedy = "Take bf16 or fp32." if self.precision == "fp16" else "Look at the weights, which may be damaged."
        raise ExecutionError(
            f"{self.spec.name}, {stage}: found NaN or infinity in {self.precision}; expected finite values. {remedy}"
        )

    def _channels_last(self, *parts: nn.Module) -> None:
        """The memory layout that convolutions on half precision GPUs are fastest with."""
        if self._dtype is not torch.float32 and self.device != "cpu":
            for part in parts:
                part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _overflows(parts: Parts) -> bool:
    """Whether the decoder overflows in half precision: SDXL's, which pipelines therefore run in fp32."""
    return bool(
        parts.vae.config.force_upcast and getattr(parts.denoiser.config, "addition_embed_type", None) == "text_time"
    )


def _scaling(vae: Any) -> tuple[float, float]:
    """Scale and shift between the autoencoder's latents and the denoiser's."""
    return float(vae.config.scaling_factor), float(getattr(vae.config, "shift_factor", None) or 0.0)


def _spec(
    name: str,
    parts: Parts,
    pixels: Pixels,
    *,
    guidance: float | None = None,
    source: str = "",
    weights: str = "trained",
) -> ModelSpec:
    precision = next(name for name, dtype in _DTYPES.items() if dtype == parts.denoiser.dtype)
    byte = PRECISION_BYTE[precision]
    return spec_of(
        replace(parts.design, name=name),
        weight_byte={part: byte * count for part, count in parameters(parts).items()},
        precision=precision,
        samplers=samplers_of(parts.design, latent_size(parts.design, pixels)),
        pixels=pixels,
        guidance=guidance,
        source=source,
        weights=weights,
    )


def _check_precision(precision: str) -> None:
    if precision not in _DTYPES:
        raise InvalidInput("precision", precision, f"one of {tuple(_DTYPES)}", "Choose one of them.")


def _absolute(path: str) -> str:
    return str(Path(path).resolve()) if Path(path).is_dir() else path


def _negative(name: str) -> str:
    """Name of the tensor that goes without the prompt."""
    return "negative" if name == "tokens" else f"{name}_negative"


def _tensors(request: Mapping[str, Any]) -> State:
    return {name: torch.from_numpy(value) for name, value in request.items()}


def _settle(part: Any, device: str, dtype: torch.dtype) -> None:
    part.to(device).eval().requires_grad_(False)
    torch.nn.Module.to(part, dtype=dtype)  # diffusers' own warns at any cast; no family here keeps modules in fp32
