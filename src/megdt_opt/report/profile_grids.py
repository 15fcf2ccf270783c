"""Tables of timing profiles and where they come from."""

from __future__ import annotations

from megdt_opt.report.grids import Grid, from_columns
from megdt_opt.report.numbers import NONE, column
from megdt_opt.scenario.options import OptionTable
from megdt_opt.si import percent
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.timing.published import PublishedTimings
from megdt_opt.timing.trust import doubts

_ENOUGH = 6
"""Samples from which on the interval of a median reaches 95 % [1]."""


def profile_grid(profile: TimingProfile) -> Grid:
    """One row per timed cell, with the provenance below."""
    cells = profile.cells
    intervals = [
        profile.stage_interval_s(c.kind, batch=c.batch, rows=c.rows, rows_total=c.rows_total, codec=c.codec)
        for c in cells
    ]
    notes = [f"{_sentence(profile)} Times are for one stage of the whole batch."]
    if profile.has_intervals:
        sessions = max(len(cell.sessions) for cell in cells)
        later = f"where a later session's lies, by {sessions} sessions" if sessions else "of this session alone"
        few = any(1 < len(cell.samples_s) < _ENOUGH and not cell.sessions for cell in cells)
        range_of_few = f"; of fewer than {_ENOUGH} samples their range, which covers less" if few else ""
        notes.append(
            f"Interval: 95 %, of the median, {later}{range_of_few}. First run: before the warm-up, kept apart."
        )
    if profile.held_out:
        errors = sorted(abs(e.error) for e in profile.held_out_errors())
        notes.append(
            f"Held-out cells: median error {percent(100 * errors[len(errors) // 2], signed=False)}, "
            f"largest {percent(100 * errors[-1], signed=False)}."
        )
    notes += [f"{codec}: median {profile.image_byte(codec)} byte." for codec in sorted(profile.image_byte_samples)]
    notes += [f"Declared: {text}." for text in profile.provenance.stretches]
    notes += [f"Doubt: {doubt}." for doubt in doubts(profile)]
    return from_columns(
        f"Timing of {profile.model} on {profile.device}",
        {
            "stage": [cell.label_stage for cell in cells],
            "batch": [str(cell.batch) for cell in cells],
            "latent rows": [NONE if c.rows is None else f"{c.rows} of {c.rows_total}" for c in cells],
            "samples": [str(len(cell.samples_s)) for cell in cells],
            "median [ms]": column([1e3 * cell.median_s for cell in cells], 5),
            "interval from [ms]": column([None if i is None else 1e3 * i[0] for i in intervals], 5),
            "to [ms]": column([None if i is None else 1e3 * i[1] for i in intervals], 5),
            "first run [ms]": column([None if c.first_s is None else 1e3 * c.first_s for c in cells], 4),
        },
        text=("stage", "latent rows"),
        notes=tuple(notes),
    )


def published_grid(timings: PublishedTimings) -> Grid:
    """All published figures with their sources."""
    rows = timings.rows
    return from_columns(
        "Published timings",
        {
            "device": [r.device for r in rows],
            "model": [r.model for r in rows],
            "precision": [r.precision for r in rows],
            "picture [pixel]": [str(r.resolution) for r in rows],
            "stage": [r.stage for r in rows],
            "batch": [str(r.batch) for r in rows],
            "time [ms]": [f"{1e3 * r.time_s:.6g}" for r in rows],
            "source": [r.source for r in rows],
        },
        text=("device", "model", "precision", "stage", "source"),
        notes=(
            "Use one in a scenario as profile: 'published: DEVICE / MODEL'.",
            f"{len(rows)} rows; `--match TEXT` shows those that hold a text, such as a device, a model or a stage.",
        ),
    )


def provenance_grid(table: OptionTable) -> Grid:
    """Whose timing each actor has: one row for each edge server and one per device."""
    machines = table.machines
    actors = dict(machines.edges) | {
        user.name: profile for user, profile in zip(table.scenario.users, machines.devices, strict=True)
    }
    sources = [profile.provenance for profile in actors.values()]
    # a single stretch is told by its column, what is borrowed is not
    notes = [
        f"{name}: {text}."
        for name, profile in actors.items()
        for text in profile.provenance.stretches
        if len(profile.provenance.stretches) > 1 or profile.provenance.factor == 1.0
    ]
    notes += list(dict.fromkeys(f"Method: {p.method}." for p in sources))
    notes += list(dict.fromkeys(f"{text.rstrip('.')}." for p in sources for text in p.texts))
    return from_columns(
        "Provenance of the timings",
        {
            "actor": list(actors),
            "timed on": [f"{p.hardware.get('processor', NONE)} ({p.hardware.get('kind', NONE)})" for p in sources],
            "taken (UTC)": [p.created[:16].replace("T", " ") for p in sources],
            "source": [p.source for p in sources],
            "weights": [p.weights for p in sources],
            "precision": [p.precision for p in sources],
            "threads": [NONE if p.threads is None else str(p.threads) for p in sources],
            "torch": [p.software.get("torch", NONE) for p in sources],
            "samples": [str(sum(len(c.samples_s) for c in profile.cells)) for profile in actors.values()],
            "declared stretch": [f"{p.factor:.4g}" for p in sources],
        },
        text=("actor", "timed on", "taken (UTC)", "source", "weights", "precision", "torch"),
        notes=tuple(notes),
    )


def _sentence(profile: TimingProfile) -> str:
    p = profile.provenance
    parts = [f"{p.source.capitalize()} {p.created[:10]}", f"{p.hardware.get('processor', profile.device)}", p.precision]
    parts += [] if p.threads is None else [f"{p.threads} thread(s)"]
    parts += [f"{name} {version}" for name, version in p.software.items() if name in ("torch", "python")]
    return ", ".join(parts) + f"; {p.method.rstrip('.')}."
