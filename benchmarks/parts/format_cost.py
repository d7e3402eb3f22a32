"""What a request costs the historian by its format, beside the topic's own record.

    python benchmarks/parts/format_cost.py [--requests N] [--rounds N]

The requests of the simulated world, as the topic's own records and as logs of several formats tell
them, go through the partition of a historian: decoded, counted, windows published. No broker. Of
each the processor time of the best round, and how many times that of the own records it is. Prints
JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from aiokafka import ConsumerRecord

from stream.historian.role import EdgePartition
from stream.historian.window import compile_kernel
from stream.settings import load
from stream.sources.simulate import Simulation
from topics.catalogue import EDGE_REQUESTS
from topics.records import EdgeRequest

BATCH = 4_000  # as the role reads them


def main() -> None:
    """Measures, and prints JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    compile_kernel()
    requests = list(simulated(asked.requests))
    logs = {form: [write(one) for one in requests] for form, write in WRITTEN.items()}
    rounds = [
        {form: worked_off(form, log) for form, log in logs.items()} for _ in range(asked.rounds)
    ]
    seconds = {form: min(one[form] for one in rounds) for form in logs}
    native = seconds[""]
    report = {
        form or "its own record": {
            "microseconds": 1e6 * taken / len(requests), "times_native": taken / native
        }
        for form, taken in seconds.items()
    }  # fmt: skip
    print(json.dumps(report, indent=2))


def simulated(count: int) -> Iterator[EdgeRequest]:
    """The first requests of the simulated world."""
    left = count
    for batch in Simulation(cascades_per_second=0, requests_per_second=150.0):
        for message in batch[:left]:
            yield EDGE_REQUESTS.codec.decode(message.value)
        left -= len(batch)
        if left <= 0:
            return


def worked_off(form: str, values: Sequence[bytes]) -> float:
    """Processor seconds of a partition over all of them."""
    settings = load(environment={}, requests_format=form, max_lateness="365d")
    partition = EdgePartition(settings)
    now = int(time.time() * 1e3)
    messages = [
        ConsumerRecord("edge.requests", 0, offset, now, 0, b"fra-3", value, None, 5, len(value), ())
        for offset, value in enumerate(values)
    ]
    began = time.process_time()
    for start in range(0, len(messages), BATCH):
        partition.process(messages[start : start + BATCH])
    taken = time.process_time() - began
    told = partition.counters
    if told["accepted"] != len(values):
        raise SystemExit(f"{form}: {told}")
    return taken


def _iso(request: EdgeRequest) -> str:
    return datetime.fromtimestamp(request.timestamp, UTC).isoformat()


def _common(request: EdgeRequest) -> str:
    return datetime.fromtimestamp(request.timestamp, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")


def _nginx(request: EdgeRequest) -> str:
    return (
        f"{request.client_id or '192.0.2.7'} - - [{_common(request)}] "
        f'"GET /{request.object_id}?utm_source=news HTTP/1.1" 200 {request.size or 612} '
        '"https://www.example.com/" "Mozilla/5.0 (X11; Linux x86_64; rv:130.0)"'
    )


def _nginx_json(request: EdgeRequest) -> bytes:
    return json.dumps(
        {
            "time_iso8601": _iso(request), "msec": f"{request.timestamp:.3f}",
            "remote_addr": request.client_id or "192.0.2.7", "request_method": "GET",
            "scheme": "https", "host": "www.example.com",
            "request_uri": f"/{request.object_id}?utm_source=news", "status": "200",
            "body_bytes_sent": str(request.size or 612), "upstream_cache_status": "HIT",
            "http_referer": "https://www.example.com/", "http_user_agent": "Mozilla/5.0 (X11)",
        }
    ).encode()  # fmt: skip


def _cloudflare(request: EdgeRequest) -> bytes:
    return json.dumps(
        {
            "ClientIP": request.client_id or "192.0.2.7", "ClientRequestHost": "www.example.com",
            "ClientRequestMethod": "GET", "ClientRequestScheme": "https",
            "ClientRequestURI": f"/{request.object_id}", "EdgeStartTimestamp": _iso(request),
            "EdgeResponseStatus": 200, "EdgeResponseBytes": request.size or 612,
            "CacheCacheStatus": "hit", "EdgeColoCode": "FRA",
        }
    ).encode()  # fmt: skip


def _filebeat(request: EdgeRequest) -> bytes:
    return json.dumps(
        {
            "@timestamp": _iso(request), "host": {"name": "fra-3"},
            "log": {"offset": 1, "file": {"path": "/var/log/nginx/access.log"}},
            "message": _nginx(request),
        }
    ).encode()  # fmt: skip


def _debezium(request: EdgeRequest) -> bytes:
    after = json.loads(EDGE_REQUESTS.codec.encode(request))
    return json.dumps({"op": "c", "before": None, "after": after, "ts_ms": 1}).encode()


WRITTEN: dict[str, Callable[[EdgeRequest], bytes]] = {
    "": EDGE_REQUESTS.codec.encode,
    "nginx-json?edge=fra-3": _nginx_json,
    "nginx-combined?edge=fra-3": lambda request: _nginx(request).encode(),
    "cloudflare": _cloudflare,
    "filebeat+nginx-combined": _filebeat,
    "debezium+native": _debezium,
}

if __name__ == "__main__":
    main()
