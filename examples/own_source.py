"""A source of one's own: the comments of a forum as cascades, one a thread.

python examples/own_source.py comments.csv 127.0.0.1:9092

The file has a line a comment, in any order, with the columns thread, comment, parent (the author
who is answered; empty for who opened the thread), author and time (unix seconds).

What a source owes: batches of messages in order of event time, the same each time it is iterated;
keys as the catalogue has them; how many there are, and when the first one happened. `feed` does the
rest: it keeps each key in order on one partition, holds back what lies in the future, and says what
the broker acknowledged.
"""

import asyncio
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from stream.settings import Settings
from stream.sources.feed import Sent, connect, feed
from stream.sources.messages import BATCH, EVENTS, Message
from stream.sources.too_late import refuse_if_too_late
from topics.catalogue import SOCIAL_EVENTS
from topics.records import SocialEvent


class Forum:
    """The comments of a file, in order of time."""

    def __init__(self, file: Path) -> None:
        with file.open(newline="") as lines:
            events = [
                SocialEvent(
                    cascade_id=row["thread"],
                    event_id=row["comment"],
                    user_id=row["author"],
                    timestamp=float(row["time"]),
                    kind="reply" if row["parent"] else "post",
                    parent_user_id=row["parent"] or None,
                )
                for row in csv.DictReader(lines)
            ]
        self._events = sorted(events, key=lambda event: event.timestamp)
        self.name = file.stem
        self.total: int | None = len(events)
        self.begins = {EVENTS: self._events[0].timestamp} if events else {}

    def __iter__(self) -> Iterator[list[Message]]:
        encode = SOCIAL_EVENTS.codec.encode
        for first in range(0, len(self._events), BATCH):
            yield [
                Message(EVENTS, event.cascade_id.encode(), encode(event), event.timestamp)
                for event in self._events[first : first + BATCH]
            ]


async def send(file: Path, kafka: str) -> Sent:
    """Sends the comments of a file as fast as the broker takes them."""
    settings = Settings(kafka=kafka)
    source = Forum(file)
    await refuse_if_too_late(source, settings, "Send it to a broker of its own")
    producer = await connect(settings, source.begins)
    try:
        return await feed(source, producer)
    finally:
        await producer.stop()


if __name__ == "__main__":
    sent = asyncio.run(send(Path(sys.argv[1]), sys.argv[2]))
    print(f"{sent.total} comments sent")
