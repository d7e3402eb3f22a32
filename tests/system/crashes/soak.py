"""A soak: misfortunes at random for so many minutes, then the account and an undisturbed run.

    make soak ARGS="--seed 7 --minutes 20"
    make soak ARGS="--brokers 3"               on a cluster of Apache Kafka (Java and Maven)

Two workers of each role on a broker on loopback get simulated traffic while they are killed
anywhere and at points of a batch, frozen past their session, held still, stopped and added, and
while the broker stands still for seconds, once for a minute. Of a cluster's brokers one is
killed now and then, and they are restarted one by one. Some senders compress, by any codec,
some have clocks that are days ahead or a year behind, some take back what they sent in a
transaction, and once the topic of events is deleted and made again. Then the log is ended, and all
that was sent has to be accounted for by the outputs: counted once, a repeat, or a dead letter.
Another broker gets the same log, message for message, with one worker a role and nothing else
happening; what both runs said has to be the same (`sameness.py` says by what, and what may differ).

The seed is printed at once and gives the same traffic and the same misfortunes again, though not
at the same moments: those hang on the machine. Exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stream.gateway.roles import ROLES
from stream.settings import Settings
from tests.system.brokers import APACHE, BROKERS, EMBEDDED
from tests.system.crashes.mortal_role import POINTS
from tests.system.crashes.sameness import SHOWN, accounts, differences
from tests.system.crashes.scenario import (
    Step,
    abort,
    events,
    freeze,
    kill,
    pause,
    recreate,
    roll,
    start,
    stop,
    wake,
)
from tests.system.crashes.sent_log import SentLog, simulated
from tests.system.crashes.stage import SETTINGS, Played, Stage, feeding, finish, opened, undisturbed

console = Console(soft_wrap=True, highlight=False)
_TELL_SECONDS = 30.0


def misfortunes(seed: int, workers: int, brokers: int) -> Iterator[list[Step]]:
    """Without end: some events, then something that goes wrong, and what ends it."""
    chance = random.Random(seed)
    minute, anew = chance.sample(range(5, 15), 2)  # the broker is away; the topic is made again
    number = 0
    while True:
        number += 1
        role = chance.choice(ROLES)
        instance = str(chance.randrange(workers))
        few = events(chance.randrange(50, 300))
        more = events(chance.randrange(50, 300))
        if number == minute:
            yield [few, pause("broker", 60)]
            continue
        if number == anew:
            yield [few, recreate(), more]
            continue
        kinds = {
            "kill": 5, "kill at": 5, "freeze": 2, "freeze at": 2, "still": 1, "stop": 2,
            "broker": 1, "codec": 2, "abort": 2,
        } | ({"broker killed": 4, "roll": 1} if brokers > 1 else {})  # fmt: skip
        broker = str(chance.randrange(brokers)) if brokers > 1 else "0"
        kind = chance.choices([*kinds], [*kinds.values()])[0]
        codec = chance.choice(["gzip", "snappy", "lz4", "zstd"])
        yield {
            "kill": [few, kill(role, instance)],
            "kill at": [kill(role, instance, chance.choice(POINTS)), few],
            "freeze": [few, freeze(role, instance), more, wake(role, instance)],
            "freeze at": [
                freeze(role, instance, chance.choice(POINTS[:3])),
                few,
                more,
                wake(role, instance),
            ],
            "still": [few, pause(role, chance.uniform(0.5, 4), instance)],
            "stop": [few, stop(role, instance), more, start(role, instance)],
            "broker": [few, pause("broker", chance.uniform(1, 10), broker)],
            "broker killed": [few, kill("broker", broker), more],
            "roll": [few, roll(), more],
            "codec": [kill(role, instance), events(chance.randrange(50, 300), codec)],
            "abort": [few, abort(chance.randrange(1, 50)), kill(role, instance), more],
        }[kind]


async def disturb(
    options: argparse.Namespace, settings: Settings, sent: SentLog, folder: Path
) -> Played:
    """The run that everything happens to."""
    async with opened(settings, folder, options.seed, options.brokers) as stage:
        for role in ROLES:
            for instance in range(options.workers):
                stage.start(role, str(instance))
        async with feeding(stage) as senders:
            began = told = time.monotonic()
            for steps in misfortunes(options.seed, options.workers, options.brokers):
                for step in steps:
                    await stage.take(step, sent, senders)
                    if time.monotonic() - told > _TELL_SECONDS:
                        told = time.monotonic()
                        await tell(stage, sent, told - began)
                spent = time.monotonic() - began
                if spent > 60 * options.minutes:
                    break
                # Not faster than that: the machine is to spend its time on misfortunes.
                await asyncio.sleep(max(0.0, sent.sent.total() / options.rate - spent))
            console.print("ending the log; what waits is worked off")
            return await finish(stage, sent, senders)


async def tell(stage: Stage, sent: SentLog, spent: float) -> None:
    """How far it is."""
    done = await stage.worked_off()
    waiting = ", ".join(f"{role} {waits}" for role, (_, waits) in done.items() if waits)
    events_sent, requests_sent = sent.sent["social.events"], sent.sent["edge.requests"]
    console.print(
        f"{spent / 60:5.1f} min: {stage.steps} steps, {sum(stage.kills.values())} misfortunes, "
        f"{stage.restarts} restarts; events {done['tracker'][0]:,} of {events_sent:,}, "
        f"requests {done['historian'][0]:,} of {requests_sent:,}; waiting: {waiting or 'nothing'}"
    )


def summary(
    options: argparse.Namespace, sent: SentLog, disturbed: Played, plain: Played
) -> dict[str, Any]:
    """What is printed and judged."""
    told = differences(disturbed.held, plain.held)
    closed = accounts(sent, disturbed.held)
    again = {
        topic: len(records) - len(plain.held[topic])
        for topic, records in disturbed.held.items()
        if len(records) != len(plain.held[topic])
    }
    return {
        "seed": options.seed,
        "minutes": options.minutes,
        "workers_a_role": options.workers,
        "broker": BROKERS.kind,
        "brokers": options.brokers,
        "steps": disturbed.steps,
        "misfortunes": dict(sorted(disturbed.kills.items())),
        "restarts": disturbed.restarts,
        "ended_by_themselves": dict(
            Counter(f"{e.role}: exit code {e.code}" for e in disturbed.exits)
        ),
        "exit_codes": disturbed.codes,
        "accounts": {
            topic: {
                "sent": account.sent, "counted": account.counted, "repeats": account.repeats,
                "dead_letters": account.dead_letters, "closed": account.closed,
            }
            for topic, account in closed.items()
        },
        "said": {topic: len(r) for topic, r in plain.held.items() if r},
        "said_again_or_less": again,
        "differences": {kind: len(wrong) for kind, wrong in told.items()},
        "first_differences": {kind: wrong[:SHOWN] for kind, wrong in told.items() if wrong},
        "same": not any(told.values()) and all(a.closed for a in closed.values()),
    }  # fmt: skip


def show(result: dict[str, Any]) -> None:
    """The summary as tables, and what differs."""
    table = Table("topic", "sent", "counted", "repeats", "dead letters", "accounted for")
    for topic, account in result["accounts"].items():
        *numbers, closed = account.values()
        table.add_row(topic, *(f"{number:,}" for number in numbers), "all" if closed else "NO")
    console.print(table)
    table = Table("kind of output", "differences")
    for kind, count in result["differences"].items():
        table.add_row(kind, f"{count:,}")
    console.print(table)
    for kind, wrong in result["first_differences"].items():
        for one in wrong:
            console.print(f"{kind}: {one[:2_000]}", markup=False)
    verdict = "the same as undisturbed" if result["same"] else "NOT the same as undisturbed"
    console.print(
        f"seed {result['seed']}: {result['steps']} steps, "
        f"{sum(result['misfortunes'].values())} misfortunes, {result['restarts']} restarts: "
        f"{verdict}"
    )


async def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Both runs, and how they compare."""
    settings = SETTINGS.having(forecaster=options.forecaster, ranker=options.ranker)
    sent = SentLog(simulated(options.seed), options.seed)
    disturbed = await disturb(options, settings, sent, folder / "disturbed")
    for gone in disturbed.exits:
        console.print(f"{gone.role}-{gone.instance} ended with {gone.code}:", style="yellow")
        console.print(gone.tail[-1_500:], markup=False)
    console.print(f"{disturbed.steps} steps are over; now the same log, undisturbed")
    plain = await undisturbed(disturbed, folder / "undisturbed", ROLES, settings)
    return summary(options, sent, disturbed, plain)


def parsed() -> argparse.Namespace:
    """The options, a seed among them."""
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="of traffic and misfortunes; any when not given")
    parser.add_argument("--minutes", type=float, default=20.0, help="default: 20")
    parser.add_argument("--workers", type=int, default=2, help="of each role; default: 2")
    parser.add_argument(
        "--broker", choices=(EMBEDDED, APACHE), default=EMBEDDED, help="default: embedded"
    )
    parser.add_argument(
        "--brokers", type=int, choices=(1, 3), default=1, help="3: a cluster of Apache Kafka"
    )
    parser.add_argument(
        "--rate", type=float, default=150.0, help="messages a second at most; default: 150"
    )
    parser.add_argument("--forecaster", default="boosting", help="model; default: boosting")
    parser.add_argument("--ranker", default="decayed", help="model; default: decayed")
    parser.add_argument("--json", type=Path, help="file for the summary")
    parser.add_argument("--keep", type=Path, help="folder that keeps the logs")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    return options


def main() -> None:
    """One soak."""
    options = parsed()
    BROKERS.kind = APACHE if options.brokers > 1 else options.broker
    console.print(f"seed {options.seed}, {options.minutes:g} minutes; --seed repeats it")
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the broker is away on purpose
    folder = options.keep or Path(tempfile.mkdtemp(prefix="tidecast-soak-"))
    result = asyncio.run(run(options, folder))
    show(result)
    if result["same"] and options.keep is None:
        shutil.rmtree(folder)
    else:
        console.print(f"the workers' logs are in {folder}")
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    else:
        console.print_json(data=result)
    sys.exit(not result["same"])


if __name__ == "__main__":
    main()
