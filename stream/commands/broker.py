"""`tidecast broker`: the embedded broker in the foreground."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console

from stream.kafka import broker
from stream.local.embedded import embedded, last_lines, log_file
from stream.processes.stopping import when_told
from stream.settings import Settings

_LOOK_SECONDS = 0.2

console = Console(stderr=True, soft_wrap=True, highlight=False)


def run_broker(settings: Settings, folder: Path, port: int) -> None:
    """Runs the embedded broker with its topics until it is told to stop.

    Raises:
        BrokerError: it does not start, or has ended by itself.
    """
    try:
        asyncio.run(_serve(settings, folder, port))
    except asyncio.CancelledError:
        console.print("stopped")


async def _serve(settings: Settings, folder: Path, port: int) -> None:
    """Until it is cancelled, which is how it is told to stop."""
    serving = asyncio.current_task()
    assert serving is not None
    when_told(lambda _: serving.cancel())
    with embedded(folder, port, save=True) as (address, process):
        created = await broker.create_topics(settings.having(kafka=address))
        console.print(f"Kafka at {address}; {len(created)} topics created. Ctrl-C stops it.")
        while process.poll() is None:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        raise broker.BrokerError(
            f"the embedded broker ended by itself (exit {process.returncode}); its last lines:\n"
            + last_lines(log_file(folder))
        )
