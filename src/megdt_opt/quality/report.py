"""A table of measured quality as Markdown: its rows, and the error of each curve at points that are left out."""

from __future__ import annotations

from megdt_opt.quality.curves import curves_of
from megdt_opt.quality.factors import Factors
from megdt_opt.quality.statistic import METRICS
from megdt_opt.quality.table import QualityTable

_HEAD = ("mechanism", "sampler", "steps", "cut", "share", "sent", "more")


def page(table: QualityTable) -> str:
    """The page of a table.

    Parameters
    ----------
    table : QualityTable

    Returns
    -------
    str
        Markdown: a row for each measured point with mean and 5th percentile, then the held-out errors.
    """
    facts = ", ".join(f"{name} {value}" for name, value in table.provenance.items())
    names = [name for name in METRICS if name in table.metrics]
    lines = [
        f"# Measured quality of the pictures of {table.model}", "",
        f"Mean / 5th percentile over the pictures. Measured with: {facts}.", "",
        "| " + " | ".join((*_HEAD, "pictures", *names)) + " |", "|---" * (len(_HEAD) + 1 + len(names)) + "|",
    ]  # fmt: skip
    for row in table.rows:
        figures = [
            f"{row.metrics[name].mean:.4g} / {row.metrics[name].p05:.4g}" if name in row.metrics else ""
            for name in names
        ]
        lines.append("| " + " | ".join((*_cells(row.factors), str(row.count), *figures)) + " |")
    lines += [
        "", "## Error at points that are left out", "",
        "Each point of a curve that others surround is predicted from them: median and largest error of the mean.", "",
        "| " + " | ".join((*_HEAD, "points left out", *names)) + " |", "|---" * (len(_HEAD) + 1 + len(names)) + "|",
    ]  # fmt: skip
    for key, curve in curves_of(table).items():
        errors = curve.held_out
        if errors:
            count = max(found[2] for found in errors.values())
            figures = [f"{errors[name][0]:.2g} / {errors[name][1]:.2g}" if name in errors else "" for name in names]
            lines.append("| " + " | ".join((*_cells(key, curve.axes), str(count), *figures)) + " |")
    return "\n".join([*lines, ""])


def _cells(factors: Factors, along: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """The cells of a row's factors; of a curve its axes in words."""
    sent = " ".join(filter(None, (factors.precision, factors.codec)))
    more = [f"decoder {factors.decoder}"] if factors.decoder else []
    more += ["adapter"] if factors.adapter else []
    more += [] if factors.snr_db is None or along is not None else [f"{factors.snr_db:g} dB"]
    more += [f"computed in {factors.computed}"] if factors.computed != "fp32" else []
    if factors.similarity or factors.same_seed:
        more.append(f"similarity {factors.similarity:g}, {'the same' if factors.same_seed else 'another'} seed")
    places = [f"{factors.steps}", f"{factors.cut:.2f}", f"{factors.share:.2f}"]
    if along is not None:
        places = ["over" if axis in along else "" for axis in ("steps", "cut", "share")]
    elif not factors.cut:
        places[1] = ""
    if along is None and not factors.share:
        places[2] = ""
    return (factors.mechanism, factors.scheduler, *places, sent, ", ".join(more))
