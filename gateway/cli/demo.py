"""`storekeeper demo`: a corner shop to look at, without any hardware."""

from pathlib import Path

import click

from gateway.cli import examples

FOLDER = Path("demo-shop")


@click.command(
    short_help="A simulated shop, to look at without any hardware.",
    epilog=examples("storekeeper demo", "storekeeper demo --seed 7 --speed 10 --reset"),
)
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed is the same shop.")
@click.option("--speed", type=click.FloatRange(0.1, 100), default=1.0, show_default=True)
@click.option("--reset", is_flag=True, help="Begin with a new shop: the demo's folder is deleted.")
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8080, show_default=True)
@click.option("--seconds", type=float, default=None, help="Stop by itself after this time.")
def demo(seed: int, speed: float, reset: bool, folder: Path, port: int, seconds: float | None) -> None:
    """Run a demo shop: 90 days of history, customers every few seconds, all through the real drivers."""
    from gateway.demo.shop import run

    run(folder, seed, speed, reset=reset, port=port, seconds=seconds)
