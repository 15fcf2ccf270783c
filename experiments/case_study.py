"""Computes a case study and writes its table, its figure and its page.

    python experiments/case_study.py NAME | all [--redraw] [--out experiments/case_studies/results]

With --redraw figure and page are made from the kept rows, and nothing is computed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from case_studies import NAMES, study
from case_studies.study import RESULTS


def main() -> None:
    """Read the command line and make what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=(*NAMES, "all"))
    parser.add_argument("--redraw", action="store_true", help="compute nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in NAMES if chosen.name == "all" else (chosen.name,):
        made = study(name)
        if not chosen.redraw:
            made.compute(chosen.out)
        made.write(chosen.out)
        print(f"{name}: {chosen.out / name}.md")


if __name__ == "__main__":
    main()
