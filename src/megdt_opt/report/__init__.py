"""Figures and pages that people look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from megdt_opt.atomic import write_bytes, write_text
from megdt_opt.execution.record import Execution
from megdt_opt.pictures import Picture
from megdt_opt.planning import Plan
from megdt_opt.raw_check import RawCheck
from megdt_opt.verification import Verification


def write_report(
    folder: Path,
    plan: Plan,
    execution: Execution | None = None,
    verification: Verification | None = None,
    pictures: Sequence[Picture] = (),
    raw: Sequence[RawCheck] = (),
) -> dict[str, Path]:
    """Write result.json, the figures and the page; every file whole or not at all.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    plan : Plan
    execution, verification, pictures, raw
        What there is besides the plan.

    Returns
    -------
    dict of str to Path
        "result", "timeline", "comparison" and "pictures" where they apply, and "page".
    """
    from megdt_opt.report.comparison import comparison_png
    from megdt_opt.report.gallery import gallery_png
    from megdt_opt.report.page import page_text
    from megdt_opt.report.result import result_text
    from megdt_opt.report.timeline import timeline_png

    # everything is made before anything is written
    figures = {"timeline": timeline_png(plan, execution)}
    if plan.baselines:
        figures["comparison"] = comparison_png(plan, verification)
    if pictures:
        figures["pictures"] = gallery_png(pictures)
    result = result_text(plan, execution, verification, pictures, raw)
    page = page_text(plan, execution, verification, pictures, figures)
    written = {name: folder / f"{name}.png" for name in figures}
    for name, data in figures.items():
        write_bytes(written[name], data)
    written["result"] = folder / "result.json"
    write_text(written["result"], result)
    written["page"] = folder / "index.html"
    write_text(written["page"], page)
    return written
