"""The forecasts that the topic holds as a table of pandas: a row a horizon.

pip install pandas
python examples/forecasts_in_a_dataframe.py 127.0.0.1:9092
"""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer

from topics.catalogue import POPULARITY_FORECASTS as FORECASTS
from topics.records import PopularityForecast

try:
    import pandas
except ImportError as error:
    raise SystemExit(f"{error}; tidecast does not need it, this example does") from error


async def forecasts(kafka: str) -> list[PopularityForecast]:
    """All that the topic holds now."""
    found = []
    consumer = AIOKafkaConsumer(
        FORECASTS.name, bootstrap_servers=kafka, auto_offset_reset="earliest"
    )
    async with consumer:
        places = sorted(consumer.assignment())  # all of them, for it is in no group
        for place, end in (await consumer.end_offsets(places)).items():
            while await consumer.position(place) < end:
                for message in (await consumer.getmany(place, timeout_ms=200)).get(place, []):
                    if message.value is not None:  # heartbeats have none
                        found.append(FORECASTS.codec.decode(message.value))
    return found


def frame(found: list[PopularityForecast]) -> "pandas.DataFrame":
    """A row for each horizon of each forecast; counts are totals, ages and horizons seconds."""
    return pandas.DataFrame(
        [
            {
                "cascade": forecast.cascade_id,
                "observed_at": pandas.Timestamp(forecast.observed_at, unit="s", tz="UTC"),
                "age": forecast.age,
                "observed": forecast.observed_count,
                "horizon": one.horizon,
                "expected": one.expected,
                "p05": one.quantiles.p05,
                "p50": one.quantiles.p50,
                "p95": one.quantiles.p95,
                "model": f"{forecast.model} {forecast.model_version}",
            }
            for forecast in found
            for one in forecast.horizons
        ]
    )


if __name__ == "__main__":
    table = frame(asyncio.run(forecasts(sys.argv[1])))
    print(table.to_string(index=False))
    print(table.groupby("horizon")[["observed", "expected", "p95"]].mean().round(1))
