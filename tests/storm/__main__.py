"""``python -m tests.storm --faults 1000``: campaigns under fire until so many faults have struck; prints a table."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.cluster import metrics, suite_here, toy_registry
from tests.storm.campaign import SELECTION, Campaign, Figures
from tests.storm.grounds import Ground, ground

GROUNDS = ("local", "pool", "slurm")
#: Faults for one campaign.
AT_MOST = 15


@dataclass
class Tally:
    """What struck, and what came of it."""

    ground: str
    struck: Counter[str] = field(default_factory=Counter)
    campaigns: int = 0
    again: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    hurt: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def faults(self) -> int:
        """Number of faults."""
        return self.struck.total()


def calm() -> Figures:
    """Return the metrics of the campaign when nothing happens, by key."""
    with tempfile.TemporaryDirectory(prefix="calm-") as name:
        folder = Path(name)
        toy_registry(folder)
        done = suite_here(folder, "run", *SELECTION, "--quiet", "--launcher", "debug")
        assert done.returncode == 0, done.stderr
        return metrics(folder)


def storm(on: Ground, name: str, faults: int, seed: int, at_most: int = AT_MOST, longest_pause_s: float = 2.5) -> Tally:
    """Strike campaigns on a ground until so many faults have hit, and look at each when it has ended.

    Parameters
    ----------
    on : Ground
    name : str
        The ground's.
    faults : int
    seed : int
        Of the draws of kinds, victims and moments; the processes' own timing is not repeatable.
    at_most : int
        Faults after which a campaign is left in peace, to see its end.
    longest_pause_s : float
        Between two faults, at most.
    """
    draw, tally, began, expected = np.random.default_rng(seed), Tally(name), time.monotonic(), calm()
    while tally.faults < faults:
        campaign = on.campaign(tally.campaigns)
        kinds: set[str] = set()
        while tally.faults < faults and len(campaign.struck) < at_most and not campaign.is_complete():
            campaign.start()
            on.tend(campaign)
            campaign.keep_what_is_printed()
            time.sleep(draw.uniform(0.05, longest_pause_s))
            kind = list(on.faults)[draw.integers(len(on.faults))]
            if (what := on.faults[kind](campaign, draw)) is not None:
                campaign.struck.append(f"{kind}: {what}")
                tally.struck[kind] += 1
                kinds.add(kind)
        ended = campaign.finish(on.tend)
        problems = campaign.aftermath(expected).problems if ended else ["it did not come to its end"]
        tally.campaigns += 1
        tally.again += campaign.again
        if problems:
            tally.hurt.update(kinds)
            tally.problems += [f"{campaign.folder.name}: {problem}" for problem in problems] + account(campaign)
        campaign.remove()
    tally.seconds = time.monotonic() - began
    return tally


def account(campaign: Campaign) -> list[str]:
    """Return what struck a campaign, in order, and the end of what its commands said."""
    said = campaign.said.read_text(errors="replace").splitlines()[-30:]
    return [*(f"    {fault}" for fault in campaign.struck), *(f"    > {line}" for line in said)]


def joined(files: Sequence[Path]) -> list[Tally]:
    """Return the tallies of storms that were printed as JSON, those of one ground as one."""
    of_ground: dict[str, Tally] = {}
    for said in (json.loads(line) for file in files for line in file.read_text().splitlines() if line.startswith("{")):
        whole = of_ground.setdefault(said["ground"], Tally(said["ground"]))
        for name in ("struck", "again", "hurt"):
            getattr(whole, name).update(said[name])
        whole.problems += said["problems"]
        whole.campaigns += said["campaigns"]
        whole.seconds += said["seconds"]
    return list(of_ground.values())


def table(tally: Tally) -> str:
    """Return kinds and outcomes as a Markdown table."""
    rows = [f"| {kind} | {count} | {tally.hurt[kind]} |" for kind, count in sorted(tally.struck.items())]
    head = ["| fault | struck | campaigns with a problem |", "|---|---|---|"]
    again = ", ".join(f"{reason}: {count}" for reason, count in sorted(tally.again.items())) or "none"
    end = f"{tally.ground}: {tally.faults} faults, {tally.campaigns} campaigns of 4 runs, {tally.seconds / 60:.1f} min"
    end += f"; commands that did not end with 0: {again}; problems: {len(tally.problems)}"
    return "\n".join([*head, *rows, "", end, *tally.problems])


def main(arguments: list[str] | None = None) -> int:
    """Return 1 if anything was lost, done twice, done otherwise, or left behind."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--faults", type=int, default=100, help="in all, shared equally by the grounds")
    parser.add_argument("--on", nargs="+", choices=GROUNDS, default=["local"], help="default: local")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-most", type=int, default=AT_MOST, help=f"for one campaign; default: {AT_MOST}")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "--join", type=Path, nargs="+", metavar="FILE", help="no storm: the tables of what --json printed"
    )
    asked = parser.parse_args(arguments)
    if asked.join:
        print("\n\n".join(map(table, joined(asked.join))))
        return 0
    tallies = []
    for name in asked.on:
        with ground(name) as on:
            tallies.append(storm(on, name, asked.faults // len(asked.on), asked.seed, asked.at_most))
        print(json.dumps(vars(tallies[-1])) if asked.json else table(tallies[-1]), flush=True)
    return int(any(tally.problems for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
