"""`python -m tests.chaos --seeds 5`: storms of thousands of jobs, and the promises they break."""

import argparse
import sys

from .storm import storm


def main() -> int:
    """Run the storms one after the other; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many storms")
    parser.add_argument("--first", type=int, default=1, help="the seed of the first")
    parser.add_argument("--jobs", type=int, default=2000, help="lists in each")
    parser.add_argument("--runs", type=int, default=200, help="whole runs in each")
    options = parser.parse_args()
    broken = 0
    for seed in range(options.first, options.first + options.seeds):
        summary = storm(seed, jobs=options.jobs, runs=options.runs)
        broken += len(summary.broken)
        sys.stdout.write(f"{summary}\n\n")
        sys.stdout.flush()
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
