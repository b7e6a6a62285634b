"""`make lab`: the installed daemon in a Debian guest with the kernel's own drivers. docs/lab.md.

    python -m tests.lab [--list] [--states N] [SCENARIO ...]

Prints what it does, then one table. Exit code 1 when a line of it fails, 2 when it cannot run here.
"""

import argparse
import contextlib
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.lab.bench import Bench, Result
from tests.lab.image import CannotRun, image
from tests.lab.scenarios import SCENARIOS


def main() -> int:
    options = arguments()
    if options.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:<16} {(scenario.__doc__ or '').splitlines()[0]}")
        return 0
    started_s = time.monotonic()

    def say(text: str) -> None:
        print(f"  {time.monotonic() - started_s:5.0f} s  {text}", flush=True)

    try:
        made = image(say)
    except CannotRun as error:
        print(f"The lab cannot run here: {error}", file=sys.stderr)
        return 2
    results: list[Result] = []
    with (
        tempfile.TemporaryDirectory(prefix="lab-") as folder,
        contextlib.closing(Bench(made, Path(folder), say, options.states)) as bench,
    ):
        for name in options.scenarios or SCENARIOS:
            say(f"{name}: {(SCENARIOS[name].__doc__ or '').splitlines()[0]}")
            for result in tried(name, bench):
                results.append(result)
                say(f"{'ok' if result.ok else 'FAILED'}: {result.what}: {result.figure}")
    table(results, time.monotonic() - started_s, made.disk)
    return 0 if all(result.ok for result in results) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="all when none is named")
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--states", type=int, default=300, help="crash states of write_log (300)")
    options = parser.parse_args()
    unknown = set(options.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    return options


def tried(name: str, bench: Bench) -> Iterator[Result]:
    """A scenario that breaks is a failed line; the next one gets a new guest."""
    try:
        yield from SCENARIOS[name].run(bench)
    except Exception as error:
        traceback.print_exc()
        print(bench.evidence(), flush=True)
        bench.drop_guest()
        yield Result(name, f"broke: {str(error).splitlines()[0][:100]}", False)


def table(results: list[Result], took_s: float, disk: Path) -> None:
    width = max(len(result.what) for result in results)
    print()
    for result in results:
        print(f"  {'ok' if result.ok else 'FAILED':<7}{result.what:<{width}}  {result.figure}")
    used_mb = disk.stat().st_blocks * 512 // 1024**2
    failed = sum(not result.ok for result in results)
    print(
        f"\n  {len(results) - failed} of {len(results)} lines ok; {took_s / 60:.0f} minutes; image {used_mb} MiB"
    )


if __name__ == "__main__":
    sys.exit(main())
