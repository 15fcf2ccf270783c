"""Pictures of diffusers' own pipelines, and of our stages with every hand-over as bytes, from the same folder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import diffusers
import numpy as np
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from numpy.typing import NDArray
from PIL import Image
from tiny_pipelines import save
from torch import Tensor

from megdt_opt.execution.job import Chain, Pace, Run
from megdt_opt.execution.serial import Store, pack, unpack
from megdt_opt.execution.stage_work import StageWork, first_items
from megdt_opt.models.diffusers.model import DiffusersModel
from megdt_opt.program.mechanisms import Option, Setting, program
from megdt_opt.program.schedule import StageTime
from megdt_opt.program.stages import Compute, leaves
from megdt_opt.program.wire import payload_byte

WORDS = "a red car"
STEPS = 6
SIDE = 16
"""Rows and columns of the pictures [pixel]."""

_DPM = (diffusers.DPMSolverMultistepScheduler, diffusers.DPMSolverSinglestepScheduler)
SCHEDULERS: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "ddim": (diffusers.DDIMScheduler, {}),
    "ddim_eta1": (diffusers.DDIMScheduler, {}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "euler_ancestral": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "dpmpp": (_DPM[0], {}),
    "dpmpp_2m_sde": (_DPM[0], {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_2s": (_DPM[1], {}),
    "dpmpp_sde": (_DPM[1], {"algorithm_type": "sde-dpmsolver++"}),
    "pndm": (diffusers.PNDMScheduler, {"skip_prk_steps": True}),
    "lcm": (diffusers.LCMScheduler, {}),
    "flow_euler": (diffusers.FlowMatchEulerDiscreteScheduler, {}),
}
"""How a user of diffusers would choose each sampler: `CLASS.from_config(pipeline.scheduler.config, ...)`."""

_FROM_PICTURE = {
    diffusers.StableDiffusionPipeline: diffusers.StableDiffusionImg2ImgPipeline,
    diffusers.LatentConsistencyModelPipeline: diffusers.LatentConsistencyModelImg2ImgPipeline,
    diffusers.StableDiffusionXLPipeline: diffusers.StableDiffusionXLImg2ImgPipeline,
    diffusers.StableDiffusion3Pipeline: diffusers.StableDiffusion3Img2ImgPipeline,
    diffusers.FluxPipeline: diffusers.FluxImg2ImgPipeline,
}


@dataclass(frozen=True)
class End:
    """Where a generation ends: the latent and the picture, uint8 (1, rows, columns, 3)."""

    latent: Tensor
    picture: NDArray[np.uint8]

    def equals(self, other: End) -> bool:
        """Whether both are the same to the last bit."""
        return torch.equal(self.latent, other.latent) and np.array_equal(self.picture, other.picture)


class Family:
    """A pipeline's folder, with diffusers' pipeline and a model of ours that were loaded from it.

    Parameters
    ----------
    name : str
        One of `tiny_pipelines.FAMILIES`.
    folder : Path
        Where it is saved.
    precision : str
        In which ours compute.
    """

    def __init__(self, name: str, folder: Path, precision: str = "fp32") -> None:
        self.name = name
        if not folder.exists():
            save(folder, name)
        index = json.loads((folder / "model_index.json").read_text())
        absent = {part: None for part, found in index.items() if found == [None, None]}
        self.pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(folder, **absent)
        self.pipeline.set_progress_bar_config(disable=True)
        self._own = self.pipeline.scheduler
        pixels = SIDE if "Flux" in type(self.pipeline).__name__ else None
        self.model = DiffusersModel.from_pretrained(folder, precision=precision, pixels=pixels)
        self.spec = self.model.spec

    # ---- diffusers

    def theirs(self, sampler: str, seed: int, steps: int = STEPS) -> End:
        """What diffusers' own pipeline makes of the prompt."""
        return self._theirs(self._with(self.pipeline, sampler), sampler, seed, steps)

    def theirs_from(self, picture: NDArray[np.uint8], sampler: str, seed: int, first: int, steps: int = STEPS) -> End:
        """What diffusers' own pipeline makes of the prompt and a picture, whose encoding is its mean."""
        pipeline = self.pipeline
        if type(pipeline) in _FROM_PICTURE:
            pipeline = _FROM_PICTURE[type(pipeline)](**pipeline.components)
            pipeline.set_progress_bar_config(disable=True)
        made = steps - 1 if sampler == "pndm" else steps  # PNDM makes a step more than is asked for
        rounding = (
            -1e-6 if self.spec.schedulers == ("flow_euler",) else 1e-6
        )  # these round the strength up, others down
        how: dict[str, Any] = {"image": Image.fromarray(picture[0]), "strength": (made - first + rounding) / made}
        if isinstance(pipeline, diffusers.LatentConsistencyModelImg2ImgPipeline):  # its steps are those that it makes
            how["strength"], steps = (steps - first) / steps, steps - first
        with _mean_of_pictures():
            return self._theirs(self._with(pipeline, sampler), sampler, seed, steps, **how)

    def theirs_refined(self, refiner: Family, sampler: str, seed: int, cut: int, steps: int = STEPS) -> End:
        """What diffusers' base pipeline makes up to a step, and the refiner's from there on."""
        base, last = self._with(self.pipeline, sampler), refiner._with(refiner.pipeline, sampler)
        base.scheduler.set_timesteps(steps)
        times = base.scheduler.timesteps
        share = 1.0 - float(times[cut - 1] + times[cut]) / 2 / base.scheduler.config.num_train_timesteps
        how = {"num_inference_steps": steps, "guidance_scale": self.spec.guidance}
        rows, columns, _ = self.spec.image_shape
        left = base(
            WORDS, height=rows, width=columns, denoising_end=share, output_type="latent",
            generator=torch.Generator().manual_seed(seed), **how,
        ).images  # fmt: skip
        found = [
            last(WORDS, image=left, denoising_start=share, output_type=form, **how).images for form in ("latent", "pil")
        ]
        latent, (picture,) = found
        return End(latent, np.asarray(picture)[None])

    def _with(self, pipeline: Any, sampler: str) -> Any:
        pipeline.scheduler = self._own
        if sampler != self.spec.schedulers[0]:
            kind, settings = SCHEDULERS[sampler]
            pipeline.scheduler = kind.from_config(self._own.config, **settings)
        return pipeline

    def _theirs(self, pipeline: Any, sampler: str, seed: int, steps: int, **how: Any) -> End:
        rows, columns, _ = self.spec.image_shape
        how["num_inference_steps"] = steps - 1 if sampler == "pndm" else steps
        how["guidance_scale"] = self.spec.guidance
        if "height" in inspect.signature(pipeline.__call__).parameters:
            how |= {"height": rows, "width": columns}
        if sampler == "ddim_eta1":
            how["eta"] = 1.0
        if "PixArt" in type(self.pipeline).__name__:
            how |= {"clean_caption": False, "use_resolution_binning": False}
        found = []
        for form in ("latent", "pil"):
            generator = torch.Generator().manual_seed(seed)
            found.append(pipeline(WORDS, generator=generator, output_type=form, **how).images)
        latent, (picture,) = found
        if "Flux" in type(self.pipeline).__name__:
            latent = pipeline._unpack_latents(latent, rows, columns, pipeline.vae_scale_factor)
        return End(latent, np.asarray(picture)[None])

    # ---- ours

    def run_of(
        self,
        option: Option,
        sampler: str,
        seed: int,
        steps: int = STEPS,
        *,
        picture: NDArray[np.uint8] | None = None,
        first: int = 0,
        device: str = "phone",
    ) -> Run:
        """What is executed for a user who asks for the prompt; none of its stages has a time."""
        strength = (steps - first) / steps if first else 1.0
        setting = Setting(spec=self.spec, scheduler=sampler, steps=steps, device=device, sense_strength=strength)
        stages = program(option, setting)
        request = {name: value.numpy() for name, value in self.model.request(WORDS).items()}
        chain = Chain(name=device, device=device, request=request, seed=seed, camera=picture)
        count = sum(1 for _ in leaves(stages))
        return Run.of_user(
            chain, stages, Pace(uplink_bit_per_s=1e6, downlink_bit_per_s=1e6, edge_share=1.0),
            scheduler=sampler, steps=steps, predicted=(StageTime(start_s=0.0, duration_s=0.0),) * count,
            slot_s=(0.0,) * count,
        )  # fmt: skip

    def ours(
        self,
        option: Option,
        sampler: str,
        seed: int,
        steps: int = STEPS,
        *,
        picture: NDArray[np.uint8] | None = None,
        first: int = 0,
        refiner: Family | None = None,
    ) -> tuple[End, dict[str, int]]:
        """What our stages make, each send through its bytes; and the bits of each send, which are those planned.

        With a refiner, that family's model is the device's.

        Raises
        ------
        AssertionError
            Where a send's bytes are not as many as its stage says.
        """
        run = self.run_of(option, sampler, seed, steps, picture=picture, first=first)
        (chain,), each = run.chains, tuple(leaves(run.program))
        stores: dict[str, Store] = {actor: first_items(chain, actor) for actor in ("edge", "phone")}
        models = {"edge": self.model, "phone": self.model if refiner is None else refiner.model}
        works = {actor: StageWork(models[actor], run, chain, store) for actor, store in stores.items()}
        sent: dict[str, int] = {}
        for leaf in each:
            if isinstance(leaf, Compute):
                for piece in works[str(leaf.at)].pieces(leaf):
                    piece()
                continue
            data = pack(stores[str(leaf.source)], leaf.tensors, leaf.precision)
            if not leaf.codec:
                planned = payload_byte(leaf.tensors, "fp32" if leaf.precision == "raw" else leaf.precision)
                assert len(data) == planned, leaf.label
            sent[leaf.label] = 8 * len(data)
            for actor in leaf.to:
                stores[str(actor)].update(unpack(data, leaf.tensors, leaf.precision))
        held = [store for store in stores.values() if "image" in store][-1]
        latent = next(store["state"]["latent"] for store in reversed(stores.values()) if "state" in store)
        return End(latent, held["image"]["pixels"].numpy()), sent


def options(steps: int = STEPS, precision: str = "fp32") -> Iterator[Option]:
    """One option for each place where a chain can run, and for every cut in both directions."""
    yield Option(mechanism="local")
    yield Option(mechanism="centralised", cut=steps, codec="raw")
    yield Option(mechanism="E2U", cut=steps, precision=precision)
    for mechanism in ("SEU", "SEU-UE-first"):
        for cut in range(1, steps):
            yield Option(mechanism=mechanism, cut=cut, precision=precision)


def picture_for(family: Family) -> NDArray[np.uint8]:
    """A picture to begin with, uint8 (1, rows, columns, 3)."""
    rng = np.random.default_rng(8)
    return rng.integers(0, 256, (1, *family.spec.image_shape), dtype=np.uint8)


@contextmanager
def _mean_of_pictures() -> Iterator[None]:
    """Encode pictures by the mean of the autoencoder's distribution, as `retrieve_latents(..., "argmax")` does.

    In the memory layout of a latent that has been sent: with the encoder's own, the denoiser's convolutions round
    otherwise, which was seen to change latents of up to 20 by 2e-5, and no picture.
    """

    def mean(self: DiagonalGaussianDistribution, generator: Any = None) -> Tensor:
        return self.mode().contiguous()

    encode = diffusers.AutoencoderTiny.encode

    def small(self: Any, picture: Tensor, **how: Any) -> Any:
        found = encode(self, picture, **how)
        found.latents = found.latents.contiguous()
        return found

    means = mock.patch.object(DiagonalGaussianDistribution, "sample", mean)
    with means, mock.patch.object(diffusers.AutoencoderTiny, "encode", small):
        yield
