"""The Kafka timestamps of messages: by whose clock they are, and how far they are believed.

A topic of Kafka is stamped by its brokers (`LogAppendTime`, as `tidecast topics create` makes the
input topics) or by whoever sends (`CreateTime`, Kafka's default).

    stamped by   a record may be no later, clock skew aside, than
    broker       its stamp: the log alone decides, today and whenever it is read again
    sender       its stamp and this worker's clock; a stamp that is itself ahead of the clock is
                 refused. What is refused for being ahead is so as long as it is ahead
    nobody       this worker's clock; the stamp is the event's time

A stamp ahead of all clocks is refused though the event in the message may be right: outputs carry
it, and topics with stamps of the future are not cleaned up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from stream.telemetry.notices import Noticed
from topics.records import EdgeRequest, SocialEvent

BY_BROKER = 1  # Kafka's number of LogAppendTime
_REFUSED = -np.inf
_FIRST_MS = 100_000_000_000  # March 1973: what is before it was hardly meant as milliseconds


class Stamps(NamedTuple):
    """What the messages of a batch are stamped with.

    Attributes:
        ms: of each, what its outputs are stamped with.
        latest: unix seconds by which each has happened, clock skew aside, shape (messages,); -inf
            where the stamp cannot be.
    """

    ms: list[int]
    latest: NDArray[np.float64]


def stamps(
    messages: Sequence[ConsumerRecord],
    records: Sequence[SocialEvent] | Sequence[EdgeRequest],
    now: float,
    skew: float,
) -> Stamps:
    """What the stamps of a batch are worth.

    Args:
        records: what is in the messages.
        now: this worker's clock, unix seconds.
        skew: seconds that clocks may differ by.
    """
    ms = [message.timestamp for message in messages]
    latest = np.fromiter(ms, np.float64, len(ms)) / 1000
    for i in np.flatnonzero(latest <= 0).tolist():
        latest[i] = records[i].timestamp
        ms[i] = round(records[i].timestamp * 1000)
    for i in np.flatnonzero(latest > now).tolist():
        if messages[i].timestamp_type != BY_BROKER:
            stamped = messages[i].timestamp > 0
            latest[i] = _REFUSED if stamped and latest[i] > now + skew else now
    return Stamps(ms, latest)


def objection(message: ConsumerRecord, timestamp: float, latest: float) -> tuple[str, str]:
    """Why a record is not believed: the class of the error, and what is wrong and what to do.

    Args:
        timestamp: of the record in the message, unix seconds.
        latest: as `Stamps` has it.
    """
    stamp = message.timestamp / 1000
    if message.timestamp_type == BY_BROKER:
        return "InFutureError", (
            f"timestamp {timestamp} is {timestamp - stamp:.0f} s later than the broker took the "
            f"message ({stamp}); correct the clock of the sender, and send unix seconds"
        )
    if latest == _REFUSED and timestamp < stamp - 1:
        return "MessageTimeError", (
            f"the message's own Kafka timestamp ({stamp}) is ahead of this worker's clock, its "
            f"record ({timestamp}) is not; {_LEAVE_IT}"
        )
    if latest == _REFUSED or message.timestamp <= 0:
        return "InFutureError", (
            f"timestamp {timestamp} is ahead of this worker's clock; correct the clock of the "
            "sender, and send unix seconds"
        )
    if message.timestamp < _FIRST_MS <= timestamp * 1000:
        return "MessageTimeError", (
            f"the message has no usable Kafka timestamp: got {message.timestamp}, expected "
            f"milliseconds since 1970{_seconds(message.timestamp, timestamp)}; {_LEAVE_IT}"
        )
    return "InFutureError", (
        f"timestamp {timestamp} is {timestamp - stamp:.0f} s later than the message itself "
        f"({stamp}, by the sender's clock); send unix seconds of the event, and leave the "
        "message's timestamp to the client"
    )


def noticed(
    messages: Sequence[ConsumerRecord],
    ahead: NDArray[np.bool_],
    too_old: NDArray[np.bool_],
    what: str,
) -> list[Noticed]:
    """What an operator is told of a batch's wrong clocks.

    Args:
        ahead, too_old: which messages are refused for that, shape (messages,).
        what: what is not counted of a stretch of the past.
    """
    found = []
    for kind, which, told in (
        ("clock_ahead", ahead, "messages of the future, which are dead letters"),
        ("behind_watermark", too_old, f"{what} of a past that is over, which are dead letters"),
    ):
        where = np.flatnonzero(which)
        if len(where):
            offset = messages[int(where[-1])].offset
            found.append(Noticed(kind, told, len(where), offset))
    return found


_LEAVE_IT = (
    "leave it to the Kafka client or to the broker (message.timestamp.type=LogAppendTime), then "
    "send the message back with `tidecast dead-letters redrive`"
)


def _seconds(ms: int, timestamp: float) -> str:
    return " and these look like seconds" if abs(ms - timestamp) < 0.5 * timestamp else ""
