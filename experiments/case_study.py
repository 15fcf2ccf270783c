"""Computes a case study and writes its table, its figure and its page.

    python experiments/case_study.py NAME | all [--redraw] [--out experiments/case_studies/results]

With --redraw figure and page are made from the kept rows, and nothing is computed. What each study takes stands in
`experiments/case_studies/results/README.md`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from case_studies import NAMES, index, seconds_of, study
from case_studies.study import RESULTS

from megdt_opt.files import write_text


def main() -> None:
    """Read the command line and make what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=(*NAMES, "all"))
    parser.add_argument("--redraw", action="store_true", help="compute nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    took = seconds_of(chosen.out)
    for name in NAMES if chosen.name == "all" else (chosen.name,):
        made = study(name)
        if not chosen.redraw:
            took[name] = round(made.compute(chosen.out), 1)
            write_text(chosen.out / "seconds.json", json.dumps(took, indent=2, sort_keys=True) + "\n")
        made.write(chosen.out)
        print(f"{name}: {chosen.out / name}.md, {took.get(name, 0.0):.0f} s of processor time")
    if all(study(name).table_at(chosen.out).exists() for name in NAMES):
        write_text(chosen.out / "README.md", index(chosen.out))


if __name__ == "__main__":
    main()
