"""Quality against the SNR of the channel: noise on pixels or features, and the digital way beside them.

As in the published case study of MEG-DT, additive white Gaussian noise at one SNR for each real symbol falls on the
pixels (centralised), on the latent (MEG-DT, whose decoder was trained with noise) or on the latent of which half of the
cells were merged (E2E-MEG-DT; encoder and merging are not trained here, and the indices are known to the receiver).
The digital way quantises, codes and sends without error at the Shannon rate, log2(1 + SNR)/2 bit a real symbol, with
the same symbols and the same energy for each: the seed in the best precision that fits, or the best JPEG file that
fits, picture by picture. Where none fits, what is shown is the picture of an all-zero latent.

Symbols: 12,288 for the pixels, 1,024 for the latent, 512 for the merged one. "Equal" rows have the pixels' 12,288, that
is the same band, time and energy: a latent is sent 12 times then, a merged one 24 times, and the receiver averages.
Every receiver of noisy values knows the SNR and scales linearly for the least mean squared error.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from case_studies.study import Study, holds
from megdt_opt.plot.series import STYLES, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from megdt_opt.models.twin.model import TwinModel
    from megdt_opt.models.twin.scenes import Scene

SCENES, HELD_OUT_SEED, STEPS, BATCH = 60, 9_000_000, 20, 20
SNRS_DB = (-20.0, -15.0, *np.arange(-10.0, 10.1, 2.5), 15.0, 20.0)
PIXELS, LATENT, MERGED = 64 * 64 * 3, 4 * 16 * 16, 4 * 16 * 16 // 2
RATIO = 0.5
PRECISIONS = ("fp16", "int8", "int8+merge25", "int8+merge50", "int4+coded", "int4+merge25+coded", "int4+merge50+coded")
QUALITIES = (*range(2, 40, 3), *range(40, 100, 5), 98)
INDEX_BIT = 192 + 128 * 6
"""Flags of the cells that may be merged, and numbers of destinations [bit]."""

PUBLISHED_FID = {
    "centralised": (293.45, 279.59, 258.50, 218.64, 155.17, 87.92, 41.34, 16.28, 4.86),
    "latent": (197.65, 187.45, 41.42, 3.48, 5.93, 3.99, 2.63, 1.82, 1.48),
    "merged": (176.52, 147.13, 6.16, 6.22, 7.31, 5.99, 5.11, 4.74, 4.84),
}
PUBLISHED_SNR_DB = tuple(range(-20, 21, 5))
NAMES = {
    "centralised": "pixels",
    "latent": "latent",
    "merged": "half merged",
    "digital seed": "digital seed",
    "jpeg": "JPEG",
}
PUBLISHED_NAMES = {"centralised": "centralised", "latent": "MEG-DT", "merged": "E2E-MEG-DT"}
PUBLISHED_PLACES = {"centralised": (3.0, 120.0), "latent": (8.0, 1.2), "merged": (7.0, 8.0)}
"""Where the names stand: SNR [dB] and FID [1]."""


class Cell:
    """The pictures that are compared: held-out scenes, their finished latents, and what was drawn of them.

    Parameters
    ----------
    count : int
        Scenes [1].
    """

    def __init__(self, count: int) -> None:
        import torch

        from megdt_opt.models.twin.model import TwinModel
        from megdt_opt.models.twin.scenes import random_scene, render

        torch.set_num_threads(1)
        self.model, self.trained = TwinModel.load(), TwinModel.load(decoder="noisy")
        self.scenes: list[Scene] = [random_scene(np.random.default_rng(HELD_OUT_SEED + i)) for i in range(count)]
        self.truth = np.stack([render(scene) for scene in self.scenes])
        self.latents = np.concatenate([self._chains(begin) for begin in range(0, count, BATCH)])
        self.whole = self.draw(self.latents)

    def _chains(self, begin: int) -> NDArray[np.float32]:
        import torch

        from megdt_opt.models.twin.scenes import scene_state

        part, chain = self.scenes[begin : begin + BATCH], {"scheduler": "ddim", "steps": STEPS}
        asked = self.model.encode_prompt({"state": torch.from_numpy(np.stack([scene_state(s) for s in part]))})
        drawn = [self.model.start(begin + i, **chain)["latent"] for i in range(len(part))]  # type: ignore[arg-type]
        made = self.model.denoise({"latent": torch.cat(drawn)}, asked, first=0, count=STEPS, **chain)  # type: ignore
        latents: NDArray[np.float32] = made["latent"].numpy()
        return latents

    def draw(self, latents: NDArray[np.float32], model: TwinModel | None = None) -> NDArray[np.uint8]:
        """Pictures of latents."""
        import torch

        parts = [latents[k : k + BATCH] for k in range(0, len(latents), BATCH)]
        return np.concatenate([(model or self.model).decode(torch.from_numpy(part)).numpy() for part in parts])

    def judged(self, pictures: NDArray[np.uint8]) -> dict[str, float]:
        """PSNR to the render [dB], objects read back [1], and Frechet distance to the renders in the detector's
        features."""
        import torch

        from megdt_opt.models.twin.detector import detect_all, match

        found = [match(d, s) for d, s in zip(detect_all(torch.from_numpy(pictures)), self.scenes, strict=True)]
        error = ((pictures.astype(float) - self.truth) ** 2).mean(axis=(1, 2, 3))
        return {
            "psnr_truth_db": float(np.mean(10 * np.log10(255**2 / error))),
            "read": sum(found) / sum(len(scene.objects) for scene in self.scenes),
            "frechet": frechet(features(pictures), features(self.truth)),
        }


def received(values: NDArray[np.float32], snr_db: float, copies: int, seed: int) -> NDArray[np.float32]:
    """Values, (M, ...), sent `copies` times over the channel, averaged and scaled for the least squared error."""
    mean, power = float(values.mean()), float(values.var())
    snr = copies * 10 ** (snr_db / 10)
    noise = np.random.default_rng([seed, round(10 * snr_db) + 1000]).standard_normal(values.shape)
    arrived = mean + snr / (1 + snr) * (values - mean + math.sqrt(power / snr) * noise)
    return arrived.astype(np.float32)


def capacity_bit(snr_db: float, symbols: int) -> float:
    """What real symbols carry without error at most [bit] (Shannon 1948)."""
    return symbols / 2 * math.log2(1 + 10 ** (snr_db / 10))


def seeds_of(cell: Cell) -> tuple[NDArray[np.float64], NDArray[np.float64], list[NDArray[np.uint8]]]:
    """Bits and errors against the whole picture, (precisions, M), of digital seeds, and their pictures."""
    from megdt_opt.program.precisions import PRECISION_REGISTRY

    bits, made = [], []
    for precision in (PRECISION_REGISTRY.require(name) for name in PRECISIONS):
        parts = [precision.encode(x[None]) for x in cell.latents]
        bits.append([8.0 * sum(part.nbytes for part in each.values()) for each in parts])
        made.append(cell.draw(np.concatenate([precision.decode(each, (1, 4, 16, 16)) for each in parts])))
    return np.array(bits), np.array([errors(pictures, cell.whole) for pictures in made]), made


def jpegs_of(cell: Cell) -> tuple[NDArray[np.float64], NDArray[np.float64], list[NDArray[np.uint8]]]:
    """The same of JPEG files, (qualities, M): the scan alone is counted, as both sides may know the tables."""
    from PIL import Image

    bits, made = [], []
    for quality in QUALITIES:
        for coarser in (0, 2):
            files = [io.BytesIO() for _ in cell.whole]
            for picture, file in zip(cell.whole, files, strict=True):
                Image.fromarray(picture).save(file, format="JPEG", quality=quality, optimize=True, subsampling=coarser)
            bits.append([8.0 * (len(f.getvalue()) - f.getvalue().index(b"\xff\xda")) for f in files])
            made.append(np.stack([np.asarray(Image.open(file)) for file in files]))
    return np.array(bits), np.array([errors(pictures, cell.whole) for pictures in made]), made


def errors(pictures: NDArray[np.uint8], whole: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean squared errors, (M,)."""
    found: NDArray[np.float64] = ((pictures.astype(float) - whole) ** 2).mean(axis=(1, 2, 3))
    return found


def best_that_fit(
    bits: NDArray[np.float64],
    error: NDArray[np.float64],
    made: Sequence[NDArray[np.uint8]],
    limit_bit: float,
    nothing: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], float]:
    """The nearest picture that fits, for each scene, and the share of scenes of which none does."""
    cost = np.where(bits <= limit_bit, error, np.inf)
    chosen, lost = cost.argmin(axis=0), np.isinf(cost.min(axis=0))
    pictures = np.stack([nothing if lost[i] else made[k][i] for i, k in enumerate(chosen)])
    return pictures, float(lost.mean())


def features(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the detector sees in pictures: its coarsest maps, averaged over their places, (M, 48)."""
    import torch

    from megdt_opt.models.twin.detector import load_detector

    net = load_detector()
    with torch.no_grad():
        seen = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
        found: NDArray[np.float64] = net.coarse(net.middle(net.fine(seen))).mean(dim=(2, 3)).double().numpy()
    return found


def frechet(found: NDArray[np.float64], due: NDArray[np.float64]) -> float:
    """Frechet distance of two sets of features, each taken as normal (Heusel et al. 2017)."""
    apart = found.mean(axis=0) - due.mean(axis=0)
    first, second = np.cov(found, rowvar=False), np.cov(due, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    both = np.linalg.eigvalsh(root @ second @ root).clip(0)
    return max(0.0, float(apart @ apart + np.trace(first) + np.trace(second) - 2 * np.sqrt(both).sum()))


def rows(scenes: int = SCENES) -> Iterator[dict[str, Any]]:
    """Every scheme at every SNR, in the symbols of its own and in those of the pixels."""
    from megdt_opt.program.token_merging import merge, unmerge

    cell = Cell(scenes)
    nothing = cell.draw(np.zeros((1, 4, 16, 16), np.float32))[0]
    pixels = cell.whole.astype(np.float32)
    halves = [merge(x[None], RATIO) for x in cell.latents]
    kept = np.stack([values for values, _ in halves])

    def restored(cells: NDArray[np.float32]) -> NDArray[np.float32]:
        each = zip(cells, halves, strict=True)
        return np.concatenate([unmerge(values, index, (1, 4, 16, 16), RATIO) for values, (_, index) in each])

    def row(scheme: str, symbols: int, snr_db: float, pictures: NDArray[np.uint8], **more: float) -> dict[str, Any]:
        about = {"scheme": scheme, "symbols": symbols, "snr_db": float(snr_db), "scenes": scenes, "lost": 0.0}
        return {**about, **cell.judged(pictures), **more}

    yield row("error-free", 0, math.inf, cell.whole)
    yield row("merged, error-free", 0, math.inf, cell.draw(restored(kept)))
    yield row("trained decoder, error-free", 0, math.inf, cell.draw(cell.latents, cell.trained))
    yield row("trained decoder, merged, error-free", 0, math.inf, cell.draw(restored(kept), cell.trained))
    digital = {"digital seed": seeds_of(cell), "jpeg": jpegs_of(cell)}
    for snr_db in SNRS_DB:
        arrived = received(pixels, snr_db, 1, 1).round().clip(0, 255).astype(np.uint8)
        yield row("centralised", PIXELS, snr_db, arrived)
        for copies in (1, PIXELS // LATENT):
            latents = received(cell.latents, snr_db, copies, 2)
            yield row("latent", copies * LATENT, snr_db, cell.draw(latents, cell.trained))
            if copies == 1:
                yield row("latent, bundled decoder", LATENT, snr_db, cell.draw(latents))
            twice = PIXELS // MERGED if copies > 1 else 1
            cells = restored(received(kept, snr_db, twice, 3))
            yield row("merged", twice * MERGED, snr_db, cell.draw(cells, cell.trained))
        for symbols in (LATENT, PIXELS):
            for scheme, known in digital.items():
                pictures, lost = best_that_fit(*known, capacity_bit(snr_db, symbols), nothing)
                yield row(scheme, symbols, snr_db, pictures, lost=lost)


def own_symbols(frame: pd.DataFrame, scheme: str) -> pd.DataFrame:
    """The rows of a scheme in the symbols of its own."""
    own = {"centralised": PIXELS, "merged": MERGED}.get(scheme, LATENT)
    return frame[(frame.scheme == scheme) & (frame.symbols == own)]


def draw_own(frame: pd.DataFrame, axes: Axes) -> None:
    """Frechet distance against SNR, each scheme in the symbols of its own; the digital ones in those of the latent."""
    for scheme, style in zip(NAMES, STYLES, strict=False):
        mine = own_symbols(frame, scheme)
        axes.plot(mine.snr_db, mine.frechet, **style, lw=1.2, ms=3)
    axes.set_title("symbols of its own for each scheme", fontsize=8)
    _distances(axes, "Fréchet distance [1]")


def draw_published(frame: pd.DataFrame, axes: Axes) -> None:
    """The published points."""
    for scheme, style in zip(PUBLISHED_FID, STYLES, strict=False):
        axes.plot(PUBLISHED_SNR_DB, PUBLISHED_FID[scheme], **style, lw=1.2, ms=3)
        x, y = PUBLISHED_PLACES[scheme]
        axes.text(x, y, PUBLISHED_NAMES[scheme], fontsize=7, color=style["color"])
    axes.set_title("published: SDXL, symbols of its own", fontsize=8)
    _distances(axes, "FID, 64 features [1]")


def _distances(axes: Axes, label: str) -> None:
    axes.set_yscale("log")
    axes.set_xlabel("SNR of a symbol [dB]")
    axes.set_ylabel(label)
    plain(axes)


def draw_equal(column: str, label: str) -> Any:
    """A panel of all schemes with equal symbols and energy."""

    def draw(frame: pd.DataFrame, axes: Axes) -> None:
        for scheme, style in zip(NAMES, STYLES, strict=False):
            mine = frame[(frame.scheme == scheme) & (frame.symbols == PIXELS)]
            axes.plot(mine.snr_db, mine[column], **style, lw=1.2, markersize=3, label=NAMES[scheme])
        axes.set_xlabel("SNR of a symbol [dB]")
        axes.set_ylabel(label)
        axes.set_title(f"equal band and energy: {PIXELS:,} symbols", fontsize=8)
        if column == "read":
            axes.legend(frameon=False, fontsize=6.5, loc="lower right")
        plain(axes)

    return draw


def least_snr_db(frame: pd.DataFrame, scheme: str, symbols: int, read: float = 0.95) -> float:
    """The SNR from which on a share of the objects is read; infinite where that is none of those computed [dB]."""
    mine = frame[(frame.scheme == scheme) & (frame.symbols == symbols)].sort_values("snr_db")
    bad = mine[mine.read < read].snr_db
    from_on = mine[mine.snr_db > bad.max()].snr_db if len(bad) else mine.snr_db
    return float(from_on.min()) if len(from_on) else math.inf


def findings(frame: pd.DataFrame) -> str:
    """What was found, from the rows."""
    at = frame.set_index(["scheme", "symbols", "snr_db"])
    whole = frame[frame.scheme == "error-free"].iloc[0]
    merged = frame[frame.scheme == "merged, error-free"].iloc[0]
    trained = frame[frame.scheme == "trained decoder, error-free"].iloc[0]
    trained_merged = frame[frame.scheme == "trained decoder, merged, error-free"].iloc[0]

    def from_db(scheme: str, symbols: int) -> str:
        least = least_snr_db(frame, scheme, symbols)
        return f"{least:g} dB" if math.isfinite(least) else f"none up to {max(SNRS_DB):g} dB"

    zero, low, middle, high = 0.0, -10.0, -5.0, -2.5

    def read(snr_db: float, **symbols: int) -> str:
        shares = (at.loc[(name.replace("_", " "), count, snr_db)].read for name, count in symbols.items())
        return ", ".join(f"{100 * share:.0f}" for share in shares)

    own = read(zero, latent=LATENT, merged=MERGED, centralised=PIXELS)
    other = at.loc[("latent, bundled decoder", LATENT, zero)]
    equal = {"digital_seed": PIXELS, "jpeg": PIXELS, "latent": PIXELS, "merged": PIXELS, "centralised": PIXELS}
    at_low, at_middle = read(low, **equal), read(middle, **equal)
    seed, jpeg, latent, merged_db = [
        at.loc[(name, PIXELS, high)].psnr_truth_db for name in ("digital seed", "jpeg", "latent", "merged")
    ]
    before, last = (at.loc[("jpeg", LATENT, snr_db)] for snr_db in SNRS_DB[-2:])
    return f"""
**Features tolerate noise better than pixels, and the decoder that was trained with it helps.** In symbols of their own
at {zero:g} dB, {own} % of the objects are read with noise on the latent, the merged latent and the pixels, and
{100 * other.read:.0f} % with noise on the latent before the decoder that was not trained so, whose pictures come to
{other.psnr_truth_db:.1f} dB of the render in place of {at.loc[("latent", LATENT, zero)].psnr_truth_db:.1f} dB. From
{from_db("latent", LATENT)}, {from_db("merged", MERGED)}, {from_db("centralised", PIXELS)} and
{from_db("latent, bundled decoder", LATENT)} on, 95 % are read. Training cost nothing without noise:
{trained.psnr_truth_db:.1f} dB ({trained_merged.psnr_truth_db:.1f} merged), the other decoder {whole.psnr_truth_db:.1f}
({merged.psnr_truth_db:.1f} merged).

**With equal band and energy the gap to a coded picture is small.** All with {PIXELS:,} real symbols (the latent sent 12
times, the merged one 24 times), digital seed, JPEG at the Shannon rate, latent, merged latent and pixels read
{at_low} % of the objects at {low:g} dB and {at_middle} % at {middle:g} dB. At {high:g} dB,
where the digital seed begins to fit, it comes to {seed:.1f} dB of the render, JPEG to {jpeg:.1f}, the latents
with noise to {latent:.1f} and {merged_db:.1f}. So features with noise are for channels below that, and a code is
better above. The published comparison gives the pixels 12 times the symbols of the latent and 24 times those of the
merged one, and compares with no coded picture.

**In the latent's own {LATENT:,} symbols a code starves:** 95 % are read from {from_db("digital seed", LATENT)} on with
the digital seed and from {from_db("jpeg", LATENT)} on with JPEG. A code that does not fit loses the picture, and that
of an all-zero latent stands in.

Indices of the merged cells are known to the receiver here; at the Shannon rate their {INDEX_BIT} bit would take
{INDEX_BIT / capacity_bit(0.0, 1):,.0f} real symbols more at 0 dB. Published FID: 64 features on 6 images of SDXL, with
encoder and merging trained; here {frame.scenes.iloc[0]:.0f} held-out scenes of the bundled twin and 48 features of its
detector, against renders. The scales differ, the shapes alone compare, and the lines' ups and downs below 0.1 are
scatter of so few scenes; JPEG's rise at {max(SNRS_DB):g} dB in the latent's symbols comes with a higher PSNR
({last.psnr_truth_db:.1f} after {before.psnr_truth_db:.1f} dB) and no object less.
"""


def verdict(frame: pd.DataFrame) -> str:
    """Whether features tolerate more noise than pixels, and than coded pictures, with equal band and energy."""
    pixels, jpeg, latent = (least_snr_db(frame, scheme, PIXELS) for scheme in ("centralised", "jpeg", "latent"))
    return holds(
        latent < pixels,
        f"with equal band and energy 95 % of the objects are read from {latent:g} dB on with features and from "
        f"{pixels:g} dB on with uncoded pixels; with a coded picture, which the published comparison leaves out, from "
        f"{jpeg:g} dB on.",
    )


STUDY = Study(
    name="quality_against_snr",
    title="Quality against SNR: noise on features, and the digital way",
    lead="features tolerate a noisy channel that finished pictures do not.",
    verdict=verdict,
    rows=rows,
    panels=(
        draw_own,
        draw_published,
        draw_equal("read", "objects read [1]"),
        draw_equal("psnr_truth_db", "PSNR to the render [dB]"),
    ),
    findings=findings,
    height_in=2.1,
)
