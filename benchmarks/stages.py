"""Where the time of a whole run goes: minutes and memory of each stage, from the manifests of finished runs.

    python benchmarks/stages.py [EXPERIMENT]

Minutes are those of the notebooks that did the work, start of the kernel excluded; two notebooks side by side on two
cores make half of their sum on the clock.
"""

from __future__ import annotations

import argparse

from pnoc_lib.paper import collect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", nargs="?", default="demo")
    parser.add_argument("--runs", default="runs")
    given = parser.parse_args()
    try:
        found = collect.finished(given.runs, [given.experiment])
    except FileNotFoundError as error:
        print(f"{error}; make demo makes some")
        return
    minutes: dict[str, list[float]] = {}
    memory: dict[str, int] = {}
    for one in found:
        minutes.setdefault(one.stage, []).append(one.manifest["duration_s"] / 60)
        peak = sum(one.manifest.get("peak_memory_mib", {}).get(name) or 0 for name in ("process", "largest_child"))
        memory[one.stage] = max(memory.get(one.stage, 0), peak)
    total = sum(map(sum, minutes.values()))
    print(f"{'stage':24}{'runs':>5}{'minutes':>9}{'share':>7}{'peak MiB':>10}")
    for stage, each in sorted(minutes.items()):
        print(f"{stage:24}{len(each):5}{sum(each):9.1f}{sum(each) / total:7.0%}{memory[stage]:10}")
    print(f"{'all':24}{sum(map(len, minutes.values())):5}{total:9.1f}")


if __name__ == "__main__":
    main()
