"""The bundled twin model: state of a scene -> tokens -> latent -> picture, each stage a call of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from megdt_opt.errors import InvalidInput
from megdt_opt.models import regions
from megdt_opt.models.sampling import CHAIN_KINDS, Samplers, step_together
from megdt_opt.models.sketches import as_tensor
from megdt_opt.models.specs import spaced_trailing
from megdt_opt.models.split_model import Rows
from megdt_opt.models.tensors import check_batch, checked, checked_part, checked_state
from megdt_opt.models.twin.adapters import read_adapter
from megdt_opt.models.twin.layout import decode_layout, encode_layout
from megdt_opt.models.twin.layout_net import GUIDE, LayoutReader
from megdt_opt.models.twin.low_rank import merged
from megdt_opt.models.twin.networks import SCHEDULE, Denoiser, TokenEncoder, fold, make_autoencoder, unfold
from megdt_opt.models.twin.scene_requests import TwinRequests
from megdt_opt.models.twin.weight_files import BUNDLED, fill, read_spec, read_tensors
from megdt_opt.program.model_spec import ModelSpec

State = dict[str, Tensor]


class TwinModel:
    """A small latent diffusion model of factory cells; make it with `TwinModel.load`.

    Every tensor has a leading batch dimension. Everything runs in evaluation mode, without gradients, and gives the
    same bits for the same input at the same number of threads and the same batch.

    Attributes
    ----------
    spec : ModelSpec
        Shapes and sizes.
    real_requests : bool
        True: example pictures are such as users get.
    precision, device : str
        What it computes in, and where.
    adapter : str or None
        The user's adapter that `adapted` loads: name of a bundled one, or path of its file.
    adapter_sha256 : str or None
        Digest that this file must have.
    """

    real_requests = True
    precision = "fp32"
    device = "cpu"
    adapter: str | None = None
    adapter_sha256: str | None = None

    def __init__(
        self,
        spec: ModelSpec,
        tokens: TokenEncoder,
        denoiser: Denoiser,
        autoencoder: nn.Module,
        mean: Tensor,
        std: Tensor,
        reader: LayoutReader | None = None,
    ) -> None:
        self.spec = spaced_trailing(spec)
        self._reader = None if reader is None else reader.eval().requires_grad_(False)
        self._tokens = tokens.eval().requires_grad_(False)
        self.denoiser = denoiser.eval().requires_grad_(False)
        self._autoencoder: Any = autoencoder.eval().requires_grad_(False)
        self._mean = mean[:, None, None]
        self._std = std[:, None, None]
        self._samplers = Samplers(SCHEDULE, CHAIN_KINDS)

    @classmethod
    def load(cls, path: str | Path | None = None, decoder: str | None = None) -> TwinModel:
        """Load the model.

        Parameters
        ----------
        path : str, Path or None
            Folder with `spec.json` and the weights; those that come with the package when None.
        decoder : str or None
            Decode with the weights of "decoder-NAME.safetensors": "noisy" was trained with noise on merged latents.

        Raises
        ------
        WeightsError
            If a file is missing, truncated or of another model.
        """
        folder = BUNDLED if path is None else Path(path)
        spec, files = read_spec(folder)
        tokens, denoiser, autoencoder = TokenEncoder(), Denoiser(), make_autoencoder()
        fill(tokens, read_tensors(folder, "tokens.safetensors", files), "tokens.safetensors")
        fill(denoiser, read_tensors(folder, "denoiser.safetensors", files), "denoiser.safetensors")
        coded = read_tensors(folder, "autoencoder.safetensors", files)
        normal = nn.ParameterDict({"latent_mean": torch.zeros(spec.latent_shape[0])})
        normal["latent_std"] = torch.ones(spec.latent_shape[0])
        fill(normal, {k: coded.pop(k) for k in tuple(normal) if k in coded}, "autoencoder.safetensors")
        if decoder is not None:
            name = f"decoder-{decoder}.safetensors"
            drawn = read_tensors(folder, name, files)
            coded = {k: v for k, v in coded.items() if not k.startswith(("decoder.", "post_quant_conv."))} | drawn
        fill(autoencoder, coded, "autoencoder.safetensors")
        reader = LayoutReader() if spec.sketch else None
        if reader is not None:
            fill(reader, read_tensors(folder, "sketch.safetensors", files), "sketch.safetensors")
        mean, std = (normal[name].detach() for name in ("latent_mean", "latent_std"))
        return cls(spec, tokens, denoiser, autoencoder, mean, std, reader)

    def adapted(self) -> TwinModel:
        """The model with the user's adapter: its file is read, checked and merged into a copy of the denoiser.

        Raises
        ------
        InvalidInput
            Where the model was given none, or the file cannot be used.
        """
        if self.adapter is None:
            remedy = "Give the user one in the scenario, and start the device's actor with the plan."
            raise InvalidInput("adapter", None, "an adapter of the user at this actor", remedy)
        made = copy.copy(self)
        made.denoiser = merged(self.denoiser, read_adapter(self.adapter, self.adapter_sha256))
        return made

    @staticmethod
    def example_requests(count: int, seed: int = 0) -> list[State]:
        """Requests to time the model on: random scenes."""
        made = TwinRequests().examples(count, seed)
        return [{name: torch.from_numpy(value) for name, value in request.items()} for request in made]

    @torch.no_grad()
    def encode_prompt(self, request: Mapping[str, Tensor]) -> State:
        """Turn a request into the denoiser's conditioning.

        Parameters
        ----------
        request : mapping
            "state": (B, slots, features) float32, see `scenes.scene_state`.

        Returns
        -------
        dict
            "tokens": (B, slots, 69) float32.
        """
        return {"tokens": self._tokens(checked_part("state", request, self.spec.request["state"]))}

    def start(self, seed: int, *, scheduler: str, steps: int, rows: Rows | None = None) -> State:
        """State that a chain begins with.

        Parameters
        ----------
        seed : int
            Seed of the noise; every side draws the same.
        scheduler : str
            One of `spec.schedulers`.
        steps : int
            Denoising steps of the chain [1].
        rows : tuple of int or None
            Only these rows (first, after) of the whole picture's noise.

        Returns
        -------
        dict
            "latent": (1, 4, rows, 16).
        """
        band = regions.band(rows, self.spec)
        return self._samplers.get(scheduler, steps).start(seed, self.spec.latent_shape, rows=band)

    @torch.no_grad()
    def start_from(self, latent: Tensor, seed: int, *, scheduler: str, steps: int, first: int) -> State:
        """State that continues from a sensed latent: noised to the level of step `first`.

        Parameters
        ----------
        latent : Tensor
            (B, 4, 16, 16), as `sense` gives it.
        seed : int
            Seed of the noise, the same for every picture of the batch.
        scheduler, steps
            As in `start`.
        first : int
            Step at which the chain goes on (0 to `steps`); the fewer steps remain, the more of the sensed picture
            stays.

        Returns
        -------
        dict
            "latent": (B, 4, 16, 16).
        """
        latent = checked("latent", latent, self.spec.latent_shape)
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
        """Run steps `first` to `first + count - 1` of a chain of `steps`.

        Parameters
        ----------
        state : mapping
            "latent" (B, 4, rows, 16) and what else the state before held.
        conditioning : mapping
            "tokens": (B, slots, 69), or "grid" and "content" as `read_sketch` gives them, for the whole latent.
        scheduler : str
            One of `spec.schedulers`.
        steps, first, count : int
            Denoising steps [1].
        rows : tuple of int or None
            Rows (first, after) of the whole latent that this state is of; all when None.

        Returns
        -------
        dict
            State after these steps; a cut anywhere changes no bit. After the last step only "latent" is left.
        """
        band = regions.band(rows, self.spec)
        channels, _, columns = self.spec.latent_shape
        known = checked_state(state, (channels, band[1] - band[0], columns))
        painted = "grid" in conditioning
        given = GUIDE if painted else {"tokens": self.spec.conditioning["tokens"]}
        parts = {name: checked_part(name, conditioning, shape) for name, shape in given.items()}
        for name, part in parts.items():
            check_batch(name, part, known["latent"].shape[0])

        def predict(latent: Tensor, timestep: Tensor) -> Tensor:
            if painted:
                grid = parts["grid"][:, :, band[0] : band[1]]
                return self.denoiser.painted(latent, timestep, grid, parts["content"])
            return self.denoiser(latent, timestep, parts["tokens"], band)

        return self._samplers.get(scheduler, steps).run(known, predict, first=first, count=count)

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
        """One step of several chains in one pass of the network, each at a step of its own.

        Parameters
        ----------
        states, conditionings : sequence of mapping
            Of each chain, as `denoise` takes them, on the whole latent.
        schedulers : sequence of str
            One of `spec.schedulers` for each chain.
        steps : int
            Denoising steps of every chain [1].
        at : sequence of int
            The step that each chain makes [1].

        Returns
        -------
        list of dict
            State of each chain after its step: that of `denoise` to within rounding in float32.
        """
        channels, rows, columns = self.spec.latent_shape
        known = [checked_state(state, (channels, rows, columns)) for state in states]
        parts = [checked_part("tokens", given, self.spec.conditioning["tokens"]) for given in conditionings]
        for state, part in zip(known, parts, strict=True):
            check_batch("tokens", part, state["latent"].shape[0])

        def predict(latent: Tensor, timestep: Tensor) -> Tensor:
            return self.denoiser(latent, timestep, torch.cat(parts), (0, rows))

        samplers = [self._samplers.get(scheduler, steps) for scheduler in schedulers]
        return step_together(samplers, known, predict, at)

    def fuse(self, latent_a: Tensor, rows_a: Rows, latent_b: Tensor, rows_b: Rows) -> Tensor:
        """Join the latents of two bands, blended where they overlap; see `regions.fuse`."""
        return regions.fuse(latent_a, rows_a, latent_b, rows_b)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Picture of a latent.

        Parameters
        ----------
        latent : Tensor
            (B, 4, 16, 16).

        Returns
        -------
        Tensor
            (B, 64, 64, 3) uint8.
        """
        latent = checked("latent", latent, self.spec.latent_shape)
        decoded = unfold(self._autoencoder.decode(latent * self._std + self._mean, return_dict=False)[0])
        picture = ((decoded + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return picture.permute(0, 2, 3, 1).contiguous()

    @torch.no_grad()
    def sense(self, image: Tensor) -> Tensor:
        """Latent of a picture (the autoencoder's mean).

        Parameters
        ----------
        image : Tensor
            (B, 64, 64, 3) uint8.

        Returns
        -------
        Tensor
            (B, 4, 16, 16) float32.
        """
        image = checked("image", image, self.spec.image_shape, torch.uint8)
        mean = self._autoencoder.encode(fold(image)).latent_dist.mean
        return (mean - self._mean) / self._std

    def sketch(self, image: Tensor) -> Tensor:
        """Coded layout of a picture.

        Parameters
        ----------
        image : Tensor
            (1, 64, 64, 3) uint8.

        Returns
        -------
        Tensor
            (length,) uint8, as `layout.encode_layout` makes it.
        """
        pixels = checked("image", image, self.spec.image_shape, torch.uint8)
        check_batch("image", pixels, 1)
        return as_tensor(encode_layout(pixels[0].numpy()))

    @torch.no_grad()
    def read_sketch(self, data: Tensor) -> State:
        """What the denoiser takes of a coded layout in place of the tokens.

        Parameters
        ----------
        data : Tensor
            (length,) uint8, as `sketch` gives it.

        Returns
        -------
        dict
            "grid": (1, 32, 16, 16) float32; "content": (1, 16, 64) float32.

        Raises
        ------
        MalformedMessage
            If the bytes are no coded layout.
        InvalidInput
            If the weights have no reader of layouts.
        """
        if self._reader is None:
            expected = "a model with a reader of layouts"
            raise InvalidInput("model", self.spec.name, expected, "Give the folder of weights that has one.")
        grid, content = self._reader(torch.from_numpy(decode_layout(data.numpy().tobytes()))[None])
        return {"grid": grid, "content": content}

    def chain(self, request: Mapping[str, Tensor], seed: int, scheduler: str, steps: int) -> tuple[Tensor, Tensor]:
        """Whole generation on one side: the reference of every split.

        Returns
        -------
        tuple of Tensor
            Picture (B, 64, 64, 3) uint8 and latent (B, 4, 16, 16).
        """
        conditioning = self.encode_prompt(request)
        batch = conditioning["tokens"].shape[0]
        state = self.start(seed, scheduler=scheduler, steps=steps)
        state = {"latent": state["latent"].expand(batch, -1, -1, -1).contiguous()}
        latent = self.denoise(state, conditioning, scheduler=scheduler, steps=steps, first=0, count=steps)["latent"]
        return self.decode(latent), latent
