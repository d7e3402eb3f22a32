"""Runs Apache Kafka on this machine, in the foreground, until Ctrl-C.

    make kafka                                 one broker at 127.0.0.1:9092
    make kafka ARGS="--brokers 3"              three, that hold each record three times
    make kafka ARGS="--folder kafka"           keeps what it holds in a folder, and goes on with it
    make kafka ARGS="--programs kafka/bin"     Kafka's own programs instead, for the PATH

Then, in another terminal: `tidecast up --kafka 127.0.0.1:9092`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from deploy.apache_kafka import programs
from deploy.apache_kafka.artefacts import version
from deploy.apache_kafka.broker import Broker, running
from topics.errors import TidecastError

_LOOK_SECONDS = 0.5


def main() -> None:
    """Runs the brokers until one is told to end, or one ends by itself."""
    parser = argparse.ArgumentParser(
        prog="make kafka", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--brokers", type=int, choices=(1, 3), default=1, help="how many; default 1"
    )
    parser.add_argument(
        "--port", type=int, default=9092, help="of the first for clients; the others' follow"
    )
    parser.add_argument("--folder", type=Path, help="for their logs; default: gone at the end")
    parser.add_argument("--programs", type=Path, help="write kafka-acls.sh and its like, and end")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if options.programs:
            programs.write(options.programs.resolve())
            print(f"written: {', '.join(programs.PROGRAMS)}")
            return
        with ExitStack() as stack:
            folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            print(f"Apache Kafka {version()}: starting {options.brokers} of it", flush=True)
            cluster = stack.enter_context(
                running(folder.resolve(), options.brokers, port=options.port)
            )
            print(f"it answers at {cluster.address}; Ctrl-C ends it", flush=True)
            try:
                _stay(cluster.brokers)
            finally:
                for broker in cluster.brokers:
                    broker.signal(signal.SIGTERM)
                for broker in cluster.brokers:
                    broker.stop()
    except TidecastError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("ended")


def _stay(brokers: Sequence[Broker]) -> None:
    while all(broker.is_running for broker in brokers):
        time.sleep(_LOOK_SECONDS)
    gone = next(broker for broker in brokers if not broker.is_running)
    sys.exit(f"broker {gone.node.number} ended by itself; its last lines:\n{gone.last_lines()}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
