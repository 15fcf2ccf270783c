"""Detector of the twin's objects: reads kind, colour and position from a picture, to judge generated ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from megdt_opt.errors import InvalidInput
from megdt_opt.models.twin.catalogue import COLOURS, KINDS, SIZE_PX
from megdt_opt.models.twin.detector_net import STRIDE_PX, DetectorNet
from megdt_opt.models.twin.scenes import Scene
from megdt_opt.models.twin.weight_files import BUNDLED, fill, read_spec, read_tensors

WITHIN_PX = 2.0
"""Largest distance between a true and a read centre that counts as found [px]."""

_SURE = 0.35
_NEIGHBOURHOOD = 7


@dataclass(frozen=True, kw_only=True)
class Detection:
    """An object as read from a picture.

    Parameters
    ----------
    kind, colour : str
        See `catalogue`.
    x_px, y_px : float
        Centre [px].
    confidence : float
        0 to 1.
    """

    kind: str
    colour: str
    x_px: float
    y_px: float
    confidence: float


@cache
def load_detector(path: Path = BUNDLED) -> DetectorNet:
    """Network of the detector, from the folder of the twin's weights.

    Raises
    ------
    WeightsError
        If a file is missing, truncated or of another network.
    """
    net = DetectorNet()
    fill(net, read_tensors(path, "detector.safetensors", read_spec(path)[1]), "detector.safetensors")
    return net.eval().requires_grad_(False)


def detect(image: NDArray[np.uint8] | Tensor) -> list[Detection]:
    """Read the objects of one picture.

    Parameters
    ----------
    image : array or Tensor
        (64, 64, 3) uint8.

    Returns
    -------
    list of Detection
        Most confident first.
    """
    return detect_all(torch.as_tensor(np.asarray(image))[None])[0]


@torch.no_grad()
def detect_all(images: Tensor) -> list[list[Detection]]:
    """Read the objects of a batch of pictures, (B, 64, 64, 3) uint8."""
    if images.dtype != torch.uint8 or images.ndim != 4 or tuple(images.shape[1:]) != (SIZE_PX, SIZE_PX, 3):
        raise InvalidInput(
            "image",
            (str(images.dtype), tuple(images.shape)),
            f"uint8 of shape ({SIZE_PX}, {SIZE_PX}, 3)",
            "Pass a picture as TwinModel.decode or scenes.render gives it.",
        )
    kinds, colours, offsets = load_detector()(images.permute(0, 3, 1, 2).float() / 127.5 - 1)
    best, kind = kinds.sigmoid().max(dim=1)
    top = functional.max_pool2d(best[:, None], _NEIGHBOURHOOD, 1, _NEIGHBOURHOOD // 2)[:, 0]
    found: list[list[Detection]] = [[] for _ in images]
    for b, row, column in torch.nonzero((best == top) & (best > _SURE)).tolist():
        dx, dy = offsets[b, :, row, column].tolist()
        found[b].append(
            Detection(
                kind=KINDS[int(kind[b, row, column])],
                colour=tuple(COLOURS)[int(colours[b, :, row, column].argmax())],
                x_px=STRIDE_PX * (column + 0.5 + dx),
                y_px=STRIDE_PX * (row + 0.5 + dy),
                confidence=float(best[b, row, column]),
            )
        )
    return [sorted(each, key=lambda d: -d.confidence) for each in found]


@torch.no_grad()
def features(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the network sees in pictures, (M, 64, 64, 3) uint8: its coarsest maps, averaged over their places, (M, 48).

    The space in which `quality.pictures.frechet` compares sets of pictures.
    """
    net = load_detector()
    seen = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return net.coarse(net.middle(net.fine(seen))).mean(dim=(2, 3)).double().numpy()


def match(detections: Sequence[Detection], scene: Scene) -> int:
    """Objects of a scene that are among the detections: right kind, right colour, centre within `WITHIN_PX`."""
    left = list(detections)
    found = 0
    for o in scene.objects:
        for d in left:
            near = math.hypot(d.x_px - o.x_px, d.y_px - o.y_px) <= WITHIN_PX
            if near and d.kind == o.kind and d.colour == o.colour:
                left.remove(d)
                found += 1
                break
    return found


def score(image: NDArray[np.uint8] | Tensor, scene: Scene) -> tuple[int, int]:
    """Judge a picture against the scene that it should show.

    Returns
    -------
    tuple of int
        Objects read with right kind, right colour and centre within 2 px; objects of the scene.
    """
    return match(detect(image), scene), len(scene.objects)
