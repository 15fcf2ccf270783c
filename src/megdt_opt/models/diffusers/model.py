"""Latent diffusion models of diffusers behind the stages that are planned, timed and executed.

With `from_config` the weights are random, which changes no latency; with `from_pretrained` they are those
of a pipeline folder or hub id that the user has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from megdt_opt.errors import InvalidInput
from megdt_opt.models import regions
from megdt_opt.models.diffusers.architecture import ARCHITECTURES, Architecture, architecture
from megdt_opt.models.diffusers.denoisers import PASSES, region_multiple, token_width
from megdt_opt.models.diffusers.loading import Parts, build, load_parts
from megdt_opt.models.diffusers.text import TextEncoders
from megdt_opt.models.sampling import Predict, Samplers, standard_normal
from megdt_opt.models.split_model import Rows
from megdt_opt.models.tensors import check_batch, checked, checked_part, checked_state
from megdt_opt.program.model_spec import ModelSpec

__all__ = ["ARCHITECTURES", "Architecture", "DiffusersModel"]

State = dict[str, Tensor]

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_STEPS = 20
_GUIDANCE = 7.5


class DiffusersModel:
    """A latent diffusion model with classifier-free guidance.

    Latents are fp32 at the interface whatever the precision inside, so that payloads and hand-overs are
    the same for every precision. Make one with `from_config` or `from_pretrained`.

    Attributes
    ----------
    spec : ModelSpec
        Shapes and sizes. A request holds the prompt's token numbers (`TextEncoders`).
    weights : str
        "random" or "trained".
    precision, device : str
        Arithmetic, and the torch device that the networks are on.
    """

    def __init__(
        self, name: str, parts: Parts, *, weights: str, precision: str, device: str, pixels: int | None = None
    ) -> None:
        if precision not in _DTYPES:
            raise InvalidInput("precision", precision, f"one of {tuple(_DTYPES)}", "Choose one of them.")
        self.weights = weights
        self.precision = precision
        self.device = device
        self._parts = parts
        self._dtype = _DTYPES[precision]
        self._vae_dtype = torch.float32 if _overflows(parts) else self._dtype
        for part in (parts.denoiser, *parts.text):
            _settle(part, device, self._dtype)
        _settle(parts.vae, device, self._vae_dtype)
        self._channels_last(parts.denoiser, parts.vae)
        self._text = _text(parts)
        self._samplers = Samplers(parts.schedule)
        self.spec = _spec(name, parts, pixels)

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
        pixels: int | None = None,
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
        pixels : int, optional
            Rows and columns of the picture [pixel]; by default the architecture's native size.

        Raises
        ------
        InvalidInput
            If the model is unknown or its configuration cannot be built.
        """
        design = model if isinstance(model, Architecture) else architecture(model)
        with torch.random.fork_rng(devices=[]), torch.device(device):
            torch.manual_seed(seed)
            parts = build(design)
        return cls(design.name, parts, weights="random", precision=precision, device=device, pixels=pixels)

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | Path,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        name: str | None = None,
        pixels: int | None = None,
        **options: Any,
    ) -> Self:
        """The model of a pipeline folder or hub id; weights are read from safetensors only.

        Parameters
        ----------
        path_or_id : str or Path
            Folder of a saved pipeline, or a hub id such as "owner/model".
        device, precision, pixels
            As in `from_config`.
        name : str, optional
            Name of the model in profiles; by default the last part of the path or id.
        **options
            Passed on to diffusers' and transformers' loaders, for example `variant`, `revision` or
            `local_files_only`.

        Raises
        ------
        WeightsError
            If the pipeline cannot be found or loaded, or is of another kind than SD1.x, SD2.x, SDXL and SD3.
        """
        parts = load_parts(str(path_or_id), options)
        last = str(path_or_id).rstrip("/").rsplit("/", 1)[-1]
        return cls(name or last, parts, weights="trained", precision=precision, device=device, pixels=pixels)

    # ---- requests

    @property
    def real_requests(self) -> bool:
        """Whether prompts can be written as text, so that example pictures are such as users get."""
        return self._text.has_tokenizer

    def request(self, prompt: str) -> State:
        """Request of a text prompt.

        Raises
        ------
        InvalidInput
            If the model has no tokeniser.
        """
        return self._text.from_prompt(prompt)

    def example_requests(self, count: int, seed: int = 0) -> list[State]:
        """Requests to time the model on: example prompts, or random tokens without a tokeniser."""
        return self._text.examples(count, seed)

    # ---- stages

    @torch.no_grad()
    def encode_prompt(self, request: Mapping[str, Tensor]) -> State:
        """Conditioning of a request, for guidance also that of the empty prompt.

        Returns
        -------
        dict
            "tokens" and "negative" (B, length, width); with several text encoders also "pooled" and
            "pooled_negative" (B, width).
        """
        known = {n: checked_part(n, request, shape) for n, shape in self.spec.request.items()}
        batch = known["state"].shape[0]
        tokens, pooled = self._text.encode(known, self.device)
        negative, pooled_negative = self._text.encode(self._text.empty(batch), self.device)
        made = {"tokens": tokens, "negative": negative}
        if pooled is not None and pooled_negative is not None:
            made |= {"pooled": pooled, "pooled_negative": pooled_negative}
        return made

    def start(self, seed: int, *, scheduler: str, steps: int, rows: Rows | None = None) -> State:
        """State that a chain begins with; a region gets its rows of the whole picture's noise."""
        begin, end = regions.band(rows, self.spec)
        noise = self._noise(seed)[:, :, begin:end].contiguous()
        return {"latent": self._samplers.get(scheduler, steps).begin(noise)}

    def start_from(self, latent: Tensor, seed: int, *, scheduler: str, steps: int, first: int) -> State:
        """State that continues from a sensed latent, noised to the level of step `first`."""
        latent = checked("latent", latent, self.spec.latent_shape).to(self.device)
        return {"latent": self._samplers.get(scheduler, steps).begin_from(latent, self._noise(seed), first)}

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
            "latent" (B, C, rows, columns), and the multistep sampler's "previous_x0" within its chain.
        conditioning : mapping
            As `encode_prompt` gives it.
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
        begin, end = regions.band(rows, self.spec)
        channels, _, columns = self.spec.latent_shape
        known = checked_state(state, (channels, end - begin, columns))
        known = {name: value.to(self.device) for name, value in known.items()}
        predict = self._predict(conditioning, known["latent"].shape[0])
        return self._samplers.get(scheduler, steps).run(known, predict, first=first, count=count)

    @torch.no_grad()
    def denoise_together(
        self,
        states: Sequence[Mapping[str, Tensor]],
        conditionings: Sequence[Mapping[str, Tensor]],
        *,
        scheduler: str,
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

        return self._samplers.get(scheduler, steps).step_together(known, predict, at)

    def fuse(self, latent_a: Tensor, rows_a: Rows, latent_b: Tensor, rows_b: Rows) -> Tensor:
        """Whole latent from a top and a bottom region, blended where they overlap; see `regions.fuse`."""
        return regions.fuse(latent_a, rows_a, latent_b, rows_b)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Picture of a latent, uint8 (B, rows, columns, 3), on the model's device."""
        latent = checked("latent", latent, self.spec.latent_shape).to(self.device, self._vae_dtype)
        scale, shift = _scaling(self._parts.vae)
        decoded = self._parts.vae.decode(latent / scale + shift, return_dict=False)[0]
        picture = ((decoded.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return picture.permute(0, 2, 3, 1).contiguous()

    @torch.no_grad()
    def sense(self, image: Tensor) -> Tensor:
        """Latent of a picture, uint8 (B, rows, columns, 3) to float32 (B, C, rows, columns)."""
        image = checked("image", image, self.spec.image_shape, torch.uint8).to(self.device)
        scaled = (image.permute(0, 3, 1, 2).float() / 127.5 - 1).to(self._vae_dtype)
        mode = self._parts.vae.encode(scaled).latent_dist.mode()
        scale, shift = _scaling(self._parts.vae)
        return ((mode - shift) * scale).float()

    # ---- internals

    def _predict(self, conditioning: Mapping[str, Tensor], batch: int) -> Predict:
        """The denoiser with guidance, for chains of this conditioning; each at its own timestep where there are
        several."""
        tokens, pooled = self._guided(conditioning, batch)
        denoiser, once = self._parts.denoiser, PASSES[self._parts.kind]

        def predict(latent: Tensor, timestep: Tensor) -> Tensor:
            both, times = torch.cat([latent, latent]).to(self._dtype), timestep
            if timestep.dim():
                times = torch.cat([timestep, timestep])
            noise = once(denoiser, both, times, tokens, pooled, self.spec.image_shape)
            free, told = noise.float().chunk(2)
            return free + _GUIDANCE * (told - free)

        return predict

    def _guided(self, conditioning: Mapping[str, Tensor], batch: int) -> tuple[Tensor, Tensor | None]:
        """Conditioning of both passes, first without and then with the prompt."""
        found = {n: checked_part(n, conditioning, s) for n, s in self.spec.conditioning.items()}
        for name, value in found.items():
            check_batch(name, value, batch)
        tokens = torch.cat([found["negative"], found["tokens"]]).to(self.device, self._dtype)
        if "pooled" not in found:
            return tokens, None
        return tokens, torch.cat([found["pooled_negative"], found["pooled"]]).to(self.device, self._dtype)

    def _noise(self, seed: int) -> Tensor:
        return standard_normal(seed, (1, *self.spec.latent_shape)).to(self.device)

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


def _text(parts: Parts) -> TextEncoders:
    flow = parts.kind == "SD3Transformer2DModel"
    return TextEncoders(parts.text, parts.tokenizers, width=token_width(parts.denoiser), padded=flow)


def _spec(name: str, parts: Parts, pixels: int | None) -> ModelSpec:
    vae, denoiser, text = parts.vae, parts.denoiser, _text(parts)
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    multiple = region_multiple(denoiser)
    side = int(denoiser.config.sample_size) * scale if pixels is None else pixels
    if side < 1 or side % (scale * multiple):
        raise InvalidInput("pixels", side, f"a multiple of {scale * multiple} [pixel]", "Round it.")
    return ModelSpec(
        name=name,
        latent_shape=(int(denoiser.config.in_channels), side // scale, side // scale),
        image_shape=(side, side, 3),
        conditioning=text.conditioning,
        request=text.request,
        passes_per_step=2,
        steps_default=_STEPS,
        schedulers=Samplers(parts.schedule).names,
        weight_byte={
            "encode_prompt": _byte(*parts.text),
            "denoise": _byte(denoiser),
            "decode": _byte(vae.decoder, vae.post_quant_conv),
            "sense": _byte(vae.encoder, vae.quant_conv),
        },
        weight_precision=next(name for name, dtype in _DTYPES.items() if dtype == denoiser.dtype),
        region_multiple=multiple,
    )


def _settle(part: Any, device: str, dtype: torch.dtype) -> None:
    part.to(device).eval().requires_grad_(False)
    if part.dtype != dtype:  # diffusers warns at any cast, also at one that changes nothing
        part.to(dtype=dtype)


def _byte(*networks: nn.Module | None) -> int:
    return sum(p.numel() * p.element_size() for n in networks if n is not None for p in n.parameters())
