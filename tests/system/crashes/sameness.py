"""Whether two runs said the same: outputs by id, without repeats, and the account of the log.

Each kind of output has an id. Records of one id have to be equal, within a run and between runs,
byte for byte but for the fields that may differ by nature:

    produced_at                     the wall clock of the writer
    counts, viral probability       of forecasts that `model.calibration` has corrected: what had
                                    been learnt by then. Point and interval before correction are
                                    compared
    errors, low, high,              of scores, likewise; own_predicted, own_low and own_high are
    inside_interval                 compared
    shadows                         give way when there is no time: what both said is compared

Of compacted topics the latest record of a key is compared as well: that is what stays. Decisions
have no ids (a null value says nothing but its key), but an order: what is said of an edge is what
was to be said, nothing left out, gone back at most to what had been said before.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiokafka import ConsumerRecord

from tests.system.crashes.sent_log import SentLog
from topics.catalogue import (
    CACHE_DECISIONS,
    CASCADE_OUTCOMES,
    CASCADE_SNAPSHOTS,
    DEAD_LETTERS,
    EDGE_REQUESTS,
    EDGE_WINDOWS,
    FORECAST_SCORES,
    MODEL_CALIBRATION,
    POPULARITY_FORECASTS,
    SHADOW_FORECASTS,
    SOCIAL_EVENTS,
    Topic,
)
from topics.records import (
    CacheDecision,
    EdgeEpoch,
    ForecastScore,
    PopularityForecast,
    Quantiles,
)

# What a topic holds, in order by partition.
Held = Mapping[str, Sequence[ConsumerRecord]]
SHOWN = 5  # differences of a kind that are told


@dataclass(frozen=True)
class Kind:
    """A kind of output: what identifies a record, and what of it is compared.

    Attributes:
        settle: the record without what may differ by nature; None: its bytes as they are.
        chosen: which of the topic's records are of this kind.
        complete: False where a run may leave records out.
    """

    name: str
    topic: Topic
    identify: Callable[[Any], Hashable]
    settle: Callable[[Any], Any] | None = None
    chosen: Callable[[Any], bool] = lambda _: True
    complete: bool = True

    def by_id(self, records: Sequence[ConsumerRecord]) -> tuple[dict[Hashable, Any], list[str]]:
        """What is compared of each record by id, and where a repeat contradicts the first."""
        found: dict[Hashable, Any] = {}
        contradictions = []
        for message in records:
            record = self.topic.codec.decode(message.value)
            if not self.chosen(record):
                continue
            name = self.identify(record)
            content = message.value if self.settle is None else self.settle(record)
            if found.setdefault(name, content) != content:
                contradictions.append(f"{self.name} {name}: {found[name]} and {content}")
        return found, contradictions


def kinds(corrected: bool) -> list[Kind]:
    """The kinds of outputs with ids.

    Args:
        corrected: whether forecasts have been corrected in any of the runs that are compared.
    """

    def forecast(record: PopularityForecast) -> PopularityForecast:
        record = msgspec.structs.replace(record, produced_at=0.0)
        return _own(record) if corrected else record

    def score(record: ForecastScore) -> ForecastScore:
        if not corrected:
            return record
        return msgspec.structs.replace(
            record, predicted=0.0, log2_error=0.0, increment_log2_error=0.0, low=0.0, high=0.0,
            inside_interval=False,
        )  # fmt: skip

    def of_score(record: ForecastScore) -> Hashable:
        return record.forecast_id, record.horizon

    def of_forecast(record: PopularityForecast) -> Hashable:
        return record.forecast_id

    return [
        Kind("snapshot", CASCADE_SNAPSHOTS, lambda r: r.snapshot_id),
        Kind("outcome", CASCADE_OUTCOMES, lambda r: (r.cascade_id, r.age)),
        Kind("forecast", POPULARITY_FORECASTS, of_forecast, forecast),
        Kind("shadow forecast", SHADOW_FORECASTS, of_forecast, forecast, complete=False),
        Kind("score", FORECAST_SCORES, of_score, score, lambda r: not r.shadow),
        Kind("shadow score", FORECAST_SCORES, of_score, score, lambda r: r.shadow, False),
        Kind("window", EDGE_WINDOWS, lambda r: (r.edge_id, r.start, r.part)),
    ]


def _own(forecast: PopularityForecast) -> PopularityForecast:
    """The forecast with the model's own point and interval, and without what follows others."""
    replace = msgspec.structs.replace
    horizons = []
    for at in forecast.horizons:
        low, high, point = at.quantiles.p05, at.quantiles.p95, at.geometric_mean
        if at.correction is not None:
            low, high, point = at.correction.p05, at.correction.p95, at.correction.geometric_mean
        quantiles = Quantiles(low, 0.0, 0.0, 0.0, high)
        horizons.append(
            replace(at, expected=0.0, quantiles=quantiles, geometric_mean=point, correction=None)
        )
    return replace(forecast, horizons=horizons, viral_probability=0.0)


def differences(disturbed: Held, undisturbed: Held) -> dict[str, list[str]]:
    """What the two runs did not say alike, by kind; empty lists where all is the same."""
    corrected = bool(disturbed[MODEL_CALIBRATION.name] or undisturbed[MODEL_CALIBRATION.name])
    told: dict[str, list[str]] = {}
    for kind in kinds(corrected):
        said, contradictions = kind.by_id(disturbed[kind.topic.name])
        whole, odd = kind.by_id(undisturbed[kind.topic.name])
        wrong = contradictions + odd
        common = said.keys() & whole.keys()
        if kind.complete:
            wrong += [f"{kind.name} {name} is missing" for name in whole.keys() - said.keys()]
            wrong += [f"{kind.name} {name} is too much" for name in said.keys() - whole.keys()]
        wrong += [
            f"{kind.name} {name}: {said[name]} for {whole[name]}"
            for name in common
            if said[name] != whole[name]
        ]
        told[kind.name] = wrong
        if "compact" in kind.topic.cleanup:
            told[f"latest {kind.name}"] = _latest(kind, disturbed, undisturbed)
    told["decision"] = _decisions(disturbed, undisturbed)
    told["dead letter"] = _letters(disturbed, undisturbed)
    return told


def _latest(kind: Kind, disturbed: Held, undisturbed: Held) -> list[str]:
    """Keys whose latest record, which compaction keeps, is not the same."""

    def latest(held: Held) -> dict[bytes, Hashable]:
        records = held[kind.topic.name]
        return {r.key: kind.identify(kind.topic.codec.decode(r.value)) for r in records}

    said, whole = latest(disturbed), latest(undisturbed)
    return [
        f"of {key!r} stays {said.get(key)} for {name}"
        for key, name in whole.items()
        if said.get(key) != name
    ]


_OF_PLACE = ("offset", "traceparent")
Said = tuple[bytes, Any]  # key and content of a decision


def _decisions(disturbed: Held, undisturbed: Held) -> list[str]:
    said, whole = (_by_edge(held[CACHE_DECISIONS.name]) for held in (disturbed, undisturbed))
    wrong = [f"nothing about {edge}" for edge in whole.keys() - said.keys()]
    for edge, sequence in said.items():
        wrong += out_of_order(sequence, whole.get(edge, []))
        kept, right = dict(sequence), dict(whole.get(edge, []))
        wrong += [
            f"of {key!r} stays {kept.get(key)} for {content}"
            for key, content in right.items()
            if kept.get(key) != content
        ]
    return wrong


def out_of_order(said: Sequence[Said], whole: Sequence[Said]) -> list[str]:
    """Where `said` is not `whole` with parts of it repeated after they were first said."""
    farthest, known = 0, set()
    for one in said:
        if farthest < len(whole) and whole[farthest] == one:
            farthest += 1
            known.add(one)
        elif one not in known:
            expected = whole[farthest] if farthest < len(whole) else "nothing more"
            return [f"place {farthest} of {len(whole)}: {one} for {expected}"]
    return [] if farthest == len(whole) else [f"{farthest} of {len(whole)}, then nothing more"]


def _by_edge(records: Sequence[ConsumerRecord]) -> dict[str, list[Said]]:
    """What was said of each edge, in order."""
    said: dict[str, list[Said]] = defaultdict(list)
    for record in records:
        content: CacheDecision | EdgeEpoch | None = None
        if record.value is not None:
            content = CACHE_DECISIONS.codec.decode(record.value)
            if isinstance(content, EdgeEpoch):
                content = msgspec.structs.replace(content, produced_at=0.0)
        said[msgspec.json.decode(record.key)[0]].append((record.key, content))
    return said


def _letters(disturbed: Held, undisturbed: Held) -> list[str]:
    """Dead letters that are not in both runs alike, repeats aside.

    Offsets, and the traces made of them, are left out: what was taken back in the one run was never
    sent in the other.
    """
    said, whole = (
        Counter(
            (letter.value, *(header for header in letter.headers if header[0] not in _OF_PLACE))
            for letter in {_origin(r): r for r in held[DEAD_LETTERS.name]}.values()
        )
        for held in (disturbed, undisturbed)
    )
    missing = [f"{count} missing: {letter}" for letter, count in (whole - said).items()]
    return missing + [f"{count} too much: {letter}" for letter, count in (said - whole).items()]


def _origin(letter: ConsumerRecord) -> tuple[bytes, ...]:
    """Where it came from; the time too, for a topic that was made anew counts from 0 again."""
    headers = dict(letter.headers)
    return headers["topic"], headers["partition"], headers["offset"], headers["timestamp"]


@dataclass(frozen=True)
class Account:
    """What was sent of a topic, and what became of it, by the outputs alone."""

    sent: int
    counted: int
    repeats: int
    dead_letters: int

    @property
    def closed(self) -> bool:
        """Whether nothing is missing and nothing is there twice."""
        return self.sent == self.counted + self.repeats + self.dead_letters


def accounts(log: SentLog, held: Held) -> dict[str, Account]:
    """The account of each topic that the log was sent to.

    An event is counted in its cascade's final outcome, a request in one window.
    """
    letters = Counter(origin[0].decode() for origin in {_origin(r) for r in
                      held[DEAD_LETTERS.name]})  # fmt: skip
    final = {}
    for message in held[CASCADE_OUTCOMES.name]:
        outcome = CASCADE_OUTCOMES.codec.decode(message.value)
        if outcome.final:
            final[outcome.cascade_id] = outcome.count
    windows = {}
    for message in held[EDGE_WINDOWS.name]:
        window = EDGE_WINDOWS.codec.decode(message.value)
        windows[window.edge_id, window.start, window.part] = len(window.requests())
    return {
        name: Account(log.sent[name], counted, repeats, letters[name])
        for name, counted, repeats in (
            (SOCIAL_EVENTS.name, sum(final.values()), log.repeats),
            (EDGE_REQUESTS.name, sum(windows.values()), 0),
        )
    }
