"""Figures, tables and pages that people look at, and the record that programs read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.record import Execution
from megdt_opt.files import read_json
from megdt_opt.planning.plan import Plan
from megdt_opt.report.folder import write_folder
from megdt_opt.report.result import FORMAT, result_text
from megdt_opt.trials.pictures import Picture
from megdt_opt.trials.raw_check import RawCheck
from megdt_opt.trials.verification import Verification
from megdt_opt.verdict.verdict import Verdict

__all__ = ["write_report"]

VIEWS = ("executed", "unsplit", "truth")
"""Pictures of each user."""

FILES = (
    "timeline.png",
    "timeline.svg",
    "comparison.png",
    "comparison.svg",
    "pictures.png",
    "result.json",
    "index.html",
)
"""Files of a report; its pictures lie in a folder of their own."""


def write_report(
    folder: str | Path,
    plan: Plan,
    execution: Execution | None = None,
    verification: Verification | None = None,
    pictures: Sequence[Picture] | None = None,
    raw: Sequence[RawCheck] | None = None,
    verdict: Verdict | None = None,
) -> dict[str, Path]:
    """Write result.json, the figures, the pictures and the page: all of the new report, or all of what was there.

    Files of an earlier report that the new one has no successor of are removed; other files in the folder stay.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there.
    plan : Plan
    execution : Execution, optional
        What was measured.
    verification : Verification, optional
        The plan and its rivals as executed.
    pictures : sequence of Picture, optional
        Judged pictures.
    raw : sequence of RawCheck, optional
        Raw runs that test the calibration.
    verdict : Verdict, optional
        Whether the plan's inputs were what it took them for; it stands first.

    Returns
    -------
    dict of str to Path
        What was written: "page" (index.html), "result" (result.json), "timeline" and "timeline_svg",
        "comparison" and "comparison_svg" where there are rivals, "pictures" and one "pictures/USER-VIEW" for
        each view (executed, unsplit, truth) of each picture.

    Raises
    ------
    InvalidInput
        Where a file cannot be written, or where files lie in the folder that a reader would take for the report's,
        without an earlier report that they belong to.
    """
    from megdt_opt.report.canvas import png_bytes, svg_bytes
    from megdt_opt.report.comparison import comparison_figure
    from megdt_opt.report.page import page_text
    from megdt_opt.report.pictures import enlarged_png, pictures_figure
    from megdt_opt.report.timeline import timeline_figure

    shown, checks = tuple(pictures or ()), tuple(raw or ())
    files: dict[str, tuple[str, bytes]] = {}
    drawn = {"timeline": timeline_figure(plan, execution)}
    if plan.baselines or verification is not None:
        drawn["comparison"] = comparison_figure(plan, verification)
    vectors = {name: svg_bytes(figure) for name, figure in drawn.items()}
    for name, figure in drawn.items():
        files[name] = (f"{name}.png", png_bytes(figure))
        files[f"{name}_svg"] = (f"{name}.svg", vectors[name])
    if shown:
        files["pictures"] = ("pictures.png", png_bytes(pictures_figure(shown)))
        for picture in shown:
            for view in (known for known in VIEWS if getattr(picture, known) is not None):
                name = f"pictures/{picture.user}-{view}"
                files[name] = (f"{name}.png", enlarged_png(getattr(picture, view)))
    files["result"] = (
        "result.json",
        result_text(plan, execution, verification, shown, checks, verdict).encode("utf-8"),
    )
    page = page_text(plan, execution, verification, shown, checks, vectors, verdict)
    files["page"] = ("index.html", page.encode("utf-8"))
    contents = dict(files.values())
    write_folder(Path(folder), contents, _left_over(Path(folder), contents))
    return {name: Path(folder) / path for name, (path, _) in files.items()}


def _left_over(folder: Path, contents: Mapping[str, bytes]) -> list[str]:
    """Files of an earlier report that the new one does not replace, as paths below the folder."""
    pictures = [p for view in VIEWS for p in folder.glob(f"pictures/*-{view}.png")]
    names = [*FILES, *(p.relative_to(folder).as_posix() for p in pictures)]
    left = [name for name in names if name not in contents and (folder / name).exists()]
    if left:
        try:
            read_json(folder / "result.json", "earlier report", fmt=FORMAT)
        except InvalidInput:
            raise InvalidInput(
                "report folder",
                str(folder),
                "an empty folder, or one with a whole earlier report",
                f"Remove {', '.join(left[:3])}, or name another folder.",
            ) from None
    return left
