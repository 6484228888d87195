"""What processes found on their disks, compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MOST_GROUPS = 4
"""How many different findings a message names; with hundreds of processes it stays one line."""

Finding = tuple[str, Mapping[str, str]]
"""A process's host, and what it found by name."""


def difference(findings: Sequence[Finding]) -> str | None:
    """The first thing that processes found different, and which host sees what; None: all agree.

    Args:
        findings: of all processes, by rank.
    """
    names = dict.fromkeys(name for _, found in findings for name in found)
    for name in names:
        ranks: dict[str, dict[str, list[int]]] = {}
        for rank, (host, found) in enumerate(findings):
            ranks.setdefault(found.get(name, "nothing"), {}).setdefault(host, []).append(rank)
        if len(ranks) > 1:
            named = [
                f"{value} on {_hosts(hosts)}" for value, hosts in list(ranks.items())[:MOST_GROUPS]
            ]
            more = f", and {len(ranks) - MOST_GROUPS} more" if len(ranks) > MOST_GROUPS else ""
            return f"{name} differs between processes: {', '.join(named)}{more}"
    return None


def _hosts(hosts: Mapping[str, Sequence[int]]) -> str:
    named = [f"{host} ({_ranks(ranks)})" for host, ranks in list(hosts.items())[:MOST_GROUPS]]
    more = len(hosts) - MOST_GROUPS
    return " and ".join(named) + (f" and {more} more hosts" if more > 0 else "")


def _ranks(ranks: Sequence[int]) -> str:
    """``rank 3``, ``ranks 0 to 7``, ``ranks 0, 4``."""
    if len(ranks) == 1:
        return f"rank {ranks[0]}"
    if list(ranks) == list(range(ranks[0], ranks[-1] + 1)):
        return f"ranks {ranks[0]} to {ranks[-1]}"
    return f"ranks {', '.join(map(str, ranks[:8]))}{', ...' if len(ranks) > 8 else ''}"
