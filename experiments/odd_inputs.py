"""The command line over a zoo of odd inputs: a table of what each is told, and whether that is as it should be.

Command:  python experiments/odd_inputs.py [--workers 2] [--parts tables runs] [--only WORD] [--keep FOLDER]
Cost:     a quarter of an hour with one worker, eight minutes of a processor.
Expected: no traceback, no hang, every exit status and every line as expected: "0 faults" at the end, and exit status 0.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from odd.case import Case, Verdict, judge, usual_environment
from odd.damaged import DAMAGED
from odd.flags import FLAGS
from odd.folders import FOLDERS
from odd.killed import KILLED
from odd.surroundings import SURROUNDINGS
from odd.tables import TABLES

ZOO = {"tables": TABLES, "folders": FOLDERS, "flags": FLAGS, "runs": [*KILLED, *DAMAGED], "surroundings": SURROUNDINGS}


def run(cases: Iterable[Case], folder: Path, workers: int) -> Iterable[Verdict]:
    """The verdicts, in the order of the cases."""
    environment = usual_environment(folder / "home")
    (folder / "home").mkdir(parents=True, exist_ok=True)
    os.environ.update(environment)  # those of the warm processes
    with ThreadPoolExecutor(workers) as threads:
        places = [(case, folder / f"{number:03d}") for number, case in enumerate(cases)]
        yield from threads.map(lambda both: partial(judge, environment=environment)(*both), places)


def line(verdict: Verdict) -> str:
    """A row of the table."""
    case, status = verdict.case, "-" if verdict.status is None else verdict.status
    row = f"| {case.name} | {case.status} | {status} | {verdict.seconds:.0f} | {verdict.told[:160]} |"
    return f"{row} **{verdict.fault}** |" if verdict.fault else f"{row} as expected |"


def main() -> None:
    """Runs the zoo and prints the table."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and theirs, ignore Ctrl-C
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=ZOO, default=list(ZOO))
    parser.add_argument("--only", default="", help="cases with this in their names")
    parser.add_argument("--keep", type=Path, help="a folder for inputs and outputs, to look at them afterwards")
    options = parser.parse_args()
    chosen = [case for part in options.parts for case in ZOO[part] if options.only in case.name]
    print("| input | expected | status | seconds | told | verdict |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="jaxal-zoo-") as temporary:
        faults = 0
        for verdict in run(chosen, options.keep or Path(temporary), options.workers):
            print(line(verdict), flush=True)
            faults += bool(verdict.fault)
    print(f"\n{len(chosen)} inputs, {faults} faults")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
