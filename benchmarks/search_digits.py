"""Does the search search? NSGA-II (and TPE) against random on the digits, seed by seed.

    python benchmarks/search_digits.py [--trials 200] [--seeds 5] [--first-seed 0]
        [--samplers random nsga2]

Prints the hypervolume of each front, as a share of one box for all (see
`imccompiler.search.Comparison.hypervolumes`), and evaluations a second of this process.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from imccompiler.search import Comparison, compare

SPACE = Path(__file__).parents[1] / "examples" / "space_digits.yaml"


def print_table(comparison: Comparison, *, logarithmic: bool) -> None:
    """One row a seed, one column a sampler, and the means."""
    volumes = comparison.hypervolumes(logarithmic=logarithmic)
    samplers = list(dict.fromkeys(sampler for sampler, _ in volumes))
    seeds = list(dict.fromkeys(seed for _, seed in volumes))
    print(f"\nhypervolume, {'logarithmic' if logarithmic else 'linear'} times, energies and areas")
    print("seed  " + "".join(f"{name:>10}" for name in samplers))
    for seed in seeds:
        print(f"{seed:4}  " + "".join(f"{volumes[name, seed]:10.4f}" for name in samplers))
    means = [np.mean([volumes[name, seed] for seed in seeds]) for name in samplers]
    print("mean  " + "".join(f"{mean:10.4f}" for mean in means))


def main() -> None:
    """Run all studies and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", type=Path, default=SPACE)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--samplers", nargs="+", default=["random", "nsga2"])
    options = parser.parse_args()

    def tell(step: str, done: int, total: int) -> None:
        print(f"{done}/{total} studies done, now {step}", file=sys.stderr)

    began = time.perf_counter()
    comparison = compare(
        options.space,
        samplers=options.samplers,
        seeds=range(options.first_seed, options.first_seed + options.seeds),
        trials=options.trials,
        progress=tell,
    )
    seconds = time.perf_counter() - began
    for logarithmic in (True, False):
        print_table(comparison, logarithmic=logarithmic)
    count = options.trials * options.seeds * len(options.samplers)
    print(f"\n{count} trials in {seconds:.0f} s, {count / seconds:.1f} a second")


if __name__ == "__main__":
    main()
