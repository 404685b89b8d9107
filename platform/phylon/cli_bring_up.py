"""The command `phylon cluster`: several Ray nodes on this machine, to try things out."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from phylon.cluster.local_cluster import LocalCluster, NodeResources

_PORT = click.IntRange(1024, 65535)
GIB = 2**30


@click.group()
def cluster() -> None:
    """Try things out on a Ray cluster of several nodes on this machine."""


@cluster.command()
@click.option("--nodes", type=click.IntRange(1), required=True, help="How many nodes.")
@click.option(
    "--cpus", type=click.IntRange(1), help="CPUs of each; this machine's are shared unless told."
)
@click.option(
    "--gpus", type=click.IntRange(0), default=0, show_default=True,
    help="GPUs of each; Ray only counts them, so they need not exist.",
)  # fmt: skip
@click.option(
    "--port", type=_PORT, default=6379, show_default=True, help="Where nodes and drivers meet."
)
@click.option(
    "--dashboard-port", type=_PORT, default=8265, show_default=True,
    help="Where jobs are submitted.",
)  # fmt: skip
def up(nodes: int, cpus: int | None, gpus: int, port: int, dashboard_port: int) -> None:
    """Start a cluster; it stays until `phylon cluster down`."""
    from phylon.cluster.local_cluster import Wanted, bring_up

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    each = cpus or max(1, (os.cpu_count() or 1) // nodes)
    click.echo(f"Starting {nodes} Ray node{'s'[: nodes > 1]} ...", err=True)
    _tell_how_to_use(bring_up(Wanted(nodes, each, gpus, port, dashboard_port)))


@cluster.command()
def down() -> None:
    """End the cluster, and all that runs on it."""
    from phylon.cluster.local_cluster import tear_down

    click.echo("the cluster is down" if tear_down() else "no local cluster is up")


@cluster.command()
def status() -> None:
    """Show the cluster's nodes, what they have, and what of it is free."""
    from rich.console import Console

    from phylon.cluster.local_cluster import resources_of, standing

    local = standing()
    Console().print(_table(resources_of(local)))
    if local.lost:
        click.echo(
            f"{local.lost} of {local.wanted.nodes} nodes are gone; `phylon cluster down`, then up, "
            f"brings them back"
        )
    _tell_how_to_use(local)


def _tell_how_to_use(local: LocalCluster) -> None:
    click.echo("For `phylon run` and `phylon submit` to use it:", err=True)
    click.echo(
        f"export RAY_ADDRESS={local.address} RAY_API_SERVER_ADDRESS={local.dashboard} "
        f"RAY_AUTH_MODE={local.auth}"
    )


def _table(nodes: list[NodeResources]) -> Table:
    from rich.table import Table

    table = Table("node", "", "cpus free", "gpus free", "memory free", box=None)
    for node in nodes:
        memory = (node.free.get("memory", 0.0) / GIB, node.total.get("memory", 0.0) / GIB)
        table.add_row(
            node.id[:8],
            "head" if node.is_head else "",
            _of(node, "CPU"),
            _of(node, "GPU"),
            f"{memory[0]:.1f} of {memory[1]:.1f} GiB",
        )
    return table


def _of(node: NodeResources, name: str) -> str:
    return f"{node.free.get(name, 0.0):g} of {node.total.get(name, 0.0):g}"
