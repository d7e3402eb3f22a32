"""Prints every forecast that the topic holds, and then each as it comes, until Ctrl-C.

python examples/read_forecasts.py 127.0.0.1:9092
"""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer

from topics.catalogue import POPULARITY_FORECASTS as FORECASTS


async def read(kafka: str) -> None:
    async with AIOKafkaConsumer(
        FORECASTS.name, bootstrap_servers=kafka, auto_offset_reset="earliest"
    ) as consumer:
        async for message in consumer:
            if message.value is None:
                continue  # a heartbeat, which says nothing of a cascade
            forecast = FORECASTS.codec.decode(message.value)
            last = forecast.horizons[-1]
            low, high = last.quantiles.p05, last.quantiles.p95
            print(
                f"{forecast.cascade_id}: {forecast.observed_count} now, {last.expected:.0f} "
                f"({low:.0f} to {high:.0f}) by {last.horizon / 3600:.0f} h",
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(read(sys.argv[1]))
