"""Holding a source at an event time, and stepping it on."""

from __future__ import annotations

import asyncio
import io
import math

import pytest

from stream.sources.holding import Hold, at_each_line
from stream.sources.messages import SourceError
from tests.patience import until


async def test_it_is_held_and_goes_on_by_steps() -> None:
    hold = Hold(100.0, 50.0)
    hold.go_on()  # nobody is held yet
    assert hold.reach == 100.0
    await hold.wait(1_000.0, 1_100.0)
    assert hold.held_at is None
    waits = asyncio.create_task(hold.wait(1_000.0, 1_175.0))
    await until(lambda: hold.held_at, "it to be held")
    assert hold.held_at == 1_100.0
    hold.go_on()
    await until(lambda: hold.held_at == 1_150.0, "it to be held a step later")
    hold.go_on()
    await waits
    assert (hold.reach, hold.held_at) == (200.0, None)


async def test_two_sources_are_held_by_their_own_beginnings() -> None:
    hold = Hold(10.0)
    waits = [asyncio.create_task(hold.wait(first, first + 11)) for first in (0.0, 5_000.0)]
    await until(lambda: hold.held_at, "one to be held")
    await asyncio.sleep(0)
    hold.go_on()
    await asyncio.gather(*waits)
    assert hold.reach == math.inf and str(hold) == "Enter goes on"


async def test_each_line_is_a_word_and_the_end_is_none() -> None:
    words: list[int] = []
    at_each_line(lambda: words.append(1), io.StringIO("\n\n"))
    await until(lambda: len(words) == 2, "both lines")


@pytest.mark.parametrize(("after", "step"), [(-1.0, None), (1.0, 0.0), (1.0, -5.0)])
def test_what_leads_nowhere_is_refused(after: float, step: float | None) -> None:
    with pytest.raises(SourceError, match="expected 0 s or more"):
        Hold(after, step)
