"""Settings of every role: one typed object, filled from environment over file over default.

The file is TOML, named by `TIDECAST_CONFIG`; the environment spells a setting `allowed_lateness` as
`TIDECAST_ALLOWED_LATENESS`. Lists are comma-separated there, and durations may carry a unit
everywhere (`30s`, `5m`, `1h`, `7d`). An unknown name raises, and says which names come close.
Where each value came from is told beside it (`load_with_origins`). The comments over the groups
of settings are the headings of docs/settings.md.

    SettingsError(TidecastError, ValueError)    a setting that is unknown or not allowed as it is
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.secret import Secret
from topics.errors import TidecastError
from topics.records import BIN_EDGES

PREFIX = "TIDECAST_"
# The servers of the product, and the setting of each one's address.
HTTP_SERVERS = {"gateway": "http_host", "metrics": "metrics_host", "edge": "edge_host"}
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# Read from the environment by other parts, so not unknown: the file's name.
_NOT_SETTINGS = {"TIDECAST_CONFIG"}


class SettingsError(TidecastError, ValueError):
    """A setting that is unknown or has a value that is not allowed."""


class Duration(float):
    """Seconds. Written as a number or with a unit: `30s`, `5m`, `1h`, `7d`."""

    @classmethod
    def parse(cls, text: str | float) -> Duration:
        """Seconds from `90`, `"90"`, `"90s"`, `"1.5m"`, `"1h"` or `"7d"`.

        Raises:
            ValueError: not a duration, or negative.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(text))
        if match is None:
            raise ValueError(
                f"got {text!r}; expected seconds or a duration such as 30s, 5m, 1h, 7d"
            )
        return cls(float(match[1]) * _UNITS[match[2] or "s"])

    def __str__(self) -> str:
        """As it may be written, in the largest unit that it is a whole number of."""
        whole = [unit for unit, length in _UNITS.items() if self and self % length == 0]
        unit = whole[-1] if whole else "s"
        return f"{float(self) / _UNITS[unit]:.15g}{unit}"


def _setting(default: Any, reason: str) -> Any:
    """A dataclass field with the one line that says why its default is what it is."""
    return field(default=default, metadata={"reason": reason})


def _ages(*texts: str) -> tuple[Duration, ...]:
    return tuple(Duration.parse(text) for text in texts)


@dataclass(frozen=True)
class Settings:
    """Every setting, with its default and the reason for it."""

    # Kafka
    kafka: str = _setting("127.0.0.1:9092", "host:port,... of the brokers")
    group_prefix: str = _setting("tidecast", "consumer groups are <prefix>.<role>")
    instance: str = _setting("0", "names this worker among those of its role; static membership")
    partitions: int = _setting(4, "of the partitioned topics, when they are created")
    replication: int = _setting(1, "of the topics, when they are created; 3 in production")
    session_timeout: Duration = _setting(Duration(30), "a worker silent this long is replaced")
    broker_patience: Duration = _setting(
        Duration(120),
        "how long a role that starts waits for a broker, and for its topics to be made",
    )
    poll_records: int = _setting(4_000, "messages a batch at most; a batch is one commit")
    batches_in_flight: int = _setting(
        4, "of tracker and historian: batches whose outputs may wait to be acknowledged"
    )
    fetch_bytes: int = _setting(4 << 20, "bytes a partition and fetch")
    event_bytes: int = _setting(
        16_384, "of an event or a request at most; larger ones are dead letters"
    )
    message_bytes: int = _setting(1_000_000, "of one message; just under Kafka's default limit")

    # Kafka among strangers
    kafka_security: str = _setting("plaintext", "plaintext, tls, sasl_plaintext or sasl_tls")
    kafka_sasl_mechanism: str = _setting(
        "SCRAM-SHA-512", "SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or PLAIN"
    )
    kafka_username: str = _setting("", "of SASL; with OAUTHBEARER the client's id")
    kafka_password: Secret = _setting(
        Secret(), "of SASL; with OAUTHBEARER the client's secret; from the environment alone"
    )
    kafka_password_file: str = _setting("", "a file that holds the password instead")
    kafka_token_url: str = _setting("", "https://... that gives OAUTHBEARER its tokens")
    kafka_token_scope: str = _setting("", "what the tokens are asked for; empty: as the server has")
    kafka_token_ca_file: str = _setting("", "PEM, who vouches for that server; empty: the system's")
    kafka_ca_file: str = _setting("", "PEM, who vouches for the brokers; empty: the system's")
    kafka_cert_file: str = _setting("", "PEM, our certificate, for brokers that ask for one")
    kafka_key_file: str = _setting("", "PEM, the key of our certificate, without a passphrase")

    # Cascades
    allowed_lateness: Duration = _setting(
        Duration(30), "how far events may be out of order; age snapshots wait for this long"
    )
    max_lateness: Duration = _setting(
        Duration(3_600),
        "a cascade that begins, or a request that comes, further behind its partition is refused",
    )
    clock_skew: Duration = _setting(
        Duration(60), "an event this far before its root, or in the future, is still believed"
    )
    clock_witnesses: int = _setting(
        3, "records, of the latest eight, that have to come past a jump before event time does"
    )
    growth_first: int = _setting(10, "the first snapshot by growth; fewer events say little")
    growth_factor: float = _setting(2.0, "each next snapshot by growth at this multiple")
    snapshot_ages: tuple[Duration, ...] = _setting(
        _ages("5m", "15m", "30m", "1h", "2h", "4h", "8h", "24h"), "snapshots by age"
    )
    horizons: tuple[Duration, ...] = _setting(
        _ages("1h", "4h", "24h", "48h"),
        "ages that are forecast, and at which outcomes are published; a cascade closes at the last",
    )
    max_events: int = _setting(512, "events kept exactly a cascade; later ones are only counted")
    max_cascades: int = _setting(
        500_000, "live cascades a partition; the one idle longest is closed for a new one"
    )
    idle_advance: Duration = _setting(
        Duration(0), "an idle partition's watermark follows the wall clock after this; 0: never"
    )
    viral_count: int = _setting(500, "the size whose probability a forecast states")

    # Edges
    window: Duration = _setting(
        Duration(300), "length of a window of requests; decisions follow it"
    )
    max_objects: int = _setting(200_000, "objects an edge and partition that are remembered")
    max_edges: int = _setting(
        1_000, "edges a partition that are ranked; the one silent longest makes room for a new one"
    )
    max_window_objects: int = _setting(
        1_000_000,
        "objects of all edges in one window of a partition, one more for each 256 characters of "
        "their ids; some 300 MB at the bound",
    )
    max_window_requests: int = _setting(
        20_000_000, "requests of all edges in one window of a partition; 100 MB at the bound"
    )
    cache_share: float = _setting(0.05, "capacity of an edge's cache as a share of its objects")
    cache_objects: int = _setting(0, "capacity in objects; 0: cache_share decides")
    ranker: str = _setting(
        "cachemamba", "what ranks objects: cachemamba, or decayed, which needs no model"
    )
    decision_windows: int = _setting(12, "windows for which a decision stands unless renewed")
    skip_after: Duration = _setting(
        Duration(900),
        "once even the newest window waited this long, a batch says the latest of each object "
        "alone; as edge_stale_after; 0: never",
    )

    # Edge agents
    edge: str = _setting("", "the edge whose decisions an agent follows")
    edge_socket: str = _setting(
        "runs/edge.sock", "Unix socket of look-ups and changes; empty: none"
    )
    edge_socket_mode: str = _setting("660", "its permissions, octal; the cache's group may connect")
    edge_port: int = _setting(9180, "HTTP port of look-ups, changes and /metrics; 0: none")
    edge_host: str = _setting("127.0.0.1", "its address; decisions are nobody else's business")
    edge_clients: int = _setting(256, "requests to the agent at once; more are refused")
    edge_decisions: int = _setting(
        200_000,
        "decisions kept, some 170 MB at the bound, 600 MB where ids are as long as they may be; as "
        "many as objects are ranked",
    )
    edge_changes: int = _setting(5_000, "changes told in one answer, about half a megabyte")
    edge_stale_after: Duration = _setting(
        Duration(900), "decisions are not obeyed this long after the last epoch; three windows"
    )
    edge_lease: Duration = _setting(
        Duration(15), "a cache that has not heard of its agent for so long does without it"
    )
    edge_burst: float = _setting(
        4.0, "an object with no decision is stored at so many times the least kept rate; 0: never"
    )
    edge_server: str = _setting(
        "", "URL of the cache, http://127.0.0.1:80, for the agent to prefetch through; empty: none"
    )
    edge_site: str = _setting(
        "",
        "host that clients name, to prefetch for them; empty: edge_server's, or the object's own",
    )
    edge_prefetch_rate: float = _setting(2.0, "objects a second prefetched at most")
    edge_varnish: str = _setting(
        "", "URL of a Varnish that the agent keeps informed; empty: the cache asks by itself"
    )

    # Models
    forecaster: str = _setting("served", "the model that is served; see `tidecast models list`")
    registry: str = _setting("", "folder of model versions; empty: those that ship")
    forecast_batch: int = _setting(256, "snapshots a batch at most; a batch is one commit")
    forecast_wait: Duration = _setting(Duration(0.02), "how long a batch may wait to fill")
    forecast_deadline: Duration = _setting(
        Duration(0.1), "the longest that one call of the model may take; a batch is cut into calls"
    )
    degrade_after: Duration = _setting(
        Duration(0), "SEISMIC answers once even the newest snapshot waited this long; 0: never"
    )
    shadows: tuple[str, ...] = _setting(
        ("seismic",),
        "models tried beside the served one, on shadow.forecasts: name or name:version,...; "
        "SEISMIC costs next to nothing and is a yardstick",
    )
    model_threads: int = _setting(
        1, "of a model on torch; roles share a machine, and threads that spin stall the others"
    )

    # Gateway
    http_host: str = _setting("127.0.0.1", "address of the gateway; loopback unless told otherwise")
    http_port: int = _setting(8080, "of the gateway: the live page and the API; 0: any free one")
    http_rate: float = _setting(
        50.0, "requests a second from one address, with bursts of four seconds' worth; 0: any"
    )
    http_streams: int = _setting(200, "open streams of server-sent events at most")
    gateway_cascades: int = _setting(50_000, "cascades that the gateway holds; 9 to 18 kB each")
    gateway_edges: int = _setting(1_000, "edges that the gateway holds, a day of epochs each")
    gateway_decisions: int = _setting(200_000, "decisions that the gateway holds, over all edges")
    gateway_past: Duration = _setting(
        Duration(86_400), "how much of the topics' past the gateway reads when it starts"
    )
    stale_after: Duration = _setting(
        Duration(30), "lag or silence beyond this is said on the live page and by /api/health"
    )

    # HTTP among strangers
    http_token: Secret = _setting(
        Secret(), "asked for by servers that are not on loopback alone; from the environment alone"
    )
    http_token_file: str = _setting("", "a file that holds the token instead")
    http_open: tuple[str, ...] = _setting(
        (), "servers that answer everyone without a token: gateway, metrics, edge"
    )
    http_hosts: tuple[str, ...] = _setting(
        (), "names under which servers are asked, beside addresses and localhost; *: any"
    )

    # Scores
    score_patience: Duration = _setting(
        Duration(86_400), "event time for which the scorer waits past a cascade's last horizon"
    )
    max_awaited: int = _setting(
        400_000,
        "forecasts and outcomes a partition that the scorer holds; some 300 MB at the bound",
    )

    # Operation
    heartbeat: Duration = _setting(
        Duration(5), "between the heartbeats that a heart sends to each input partition; 0: none"
    )
    data_dir: Path = _setting(Path("runs/data"), "for what a role keeps on disk")
    status_dir: str = _setting(
        "", "folder in which a process says what it is at while it starts; empty: nowhere"
    )
    checkpoint_url: str = _setting(
        "", "where state is kept: a folder, or s3://bucket/path and the like; empty: in data_dir"
    )
    checkpoint_interval: Duration = _setting(
        Duration(60), "between two checkpoints of a partition; 0: none, state comes from the topic"
    )
    checkpoint_max_age: Duration = _setting(
        Duration(600), "a checkpoint older than this is an error in the log, and alerted of"
    )
    metrics_port: int = _setting(0, "HTTP port of /metrics; 0: none")
    metrics_host: str = _setting("127.0.0.1", "address of /metrics; loopback unless told otherwise")
    log_level: str = _setting("info", "debug, info, warning or error")
    log_format: str = _setting("", "text or json; empty: text on a terminal, json elsewhere")
    trace_share: float = _setting(
        0.01, "of batches, and of traces that begin here, of which spans are made; 0 to 1"
    )
    otlp_endpoint: str = _setting(
        "", "http://host:4318, gets spans of OpenTelemetry; empty: OTEL_EXPORTER_OTLP_ENDPOINT"
    )

    def __post_init__(self) -> None:
        positive = ("partitions", "replication", "poll_records", "batches_in_flight",
                    "max_events", "max_cascades",
                    "max_objects", "max_edges", "max_window_objects", "max_window_requests",
                    "window", "decision_windows", "forecast_batch", "viral_count", "growth_first",
                    "message_bytes", "event_bytes", "fetch_bytes", "forecast_deadline",
                    "model_threads", "http_streams", "gateway_cascades", "gateway_edges",
                    "gateway_decisions", "gateway_past", "stale_after", "edge_clients",
                    "edge_decisions", "edge_changes", "edge_stale_after", "edge_lease",
                    "edge_prefetch_rate", "max_awaited", "checkpoint_max_age")  # fmt: skip
        for name in positive:
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name}: got {getattr(self, name)}; expected more than 0")
        for shadow in self.shadows:
            if not re.fullmatch(r"[^:\s]+(:[0-9]+(\.[0-9]+)*)?", shadow):
                raise SettingsError(
                    f"shadows: got {shadow!r}; expected a model's name, or its name and version "
                    "such as boosting:2"
                )
        if not set(self.http_open) <= HTTP_SERVERS.keys():
            raise SettingsError(
                f"http_open: got {', '.join(self.http_open)}; expected some of "
                f"{', '.join(HTTP_SERVERS)}"
            )
        if not re.fullmatch("[0-7]{3}", self.edge_socket_mode):
            raise SettingsError(
                f"edge_socket_mode: got {self.edge_socket_mode!r}; expected three octal digits "
                "such as 660"
            )
        for name, scheme in (("edge_server", "https?"), ("edge_varnish", "http")):
            if not re.fullmatch(rf"({scheme}://[^/?#@\s]+)?", getattr(self, name)):
                raise SettingsError(
                    f"{name}: got {getattr(self, name)!r}; expected http://host:port without a "
                    "path, or nothing"
                )
        if not re.fullmatch(r"[\w.:\[\]-]*", self.edge_site, re.ASCII):
            raise SettingsError(
                f"edge_site: got {self.edge_site!r}; expected a host as clients name it, "
                "www.example.com, or nothing"
            )
        if self.log_format not in ("", "text", "json"):
            raise SettingsError(
                f"log_format: got {self.log_format!r}; expected text, json or nothing"
            )
        if self.log_level.lower() not in ("debug", "info", "warning", "error"):
            raise SettingsError(
                f"log_level: got {self.log_level!r}; expected debug, info, warning or error"
            )
        if not 0 <= self.trace_share <= 1:
            raise SettingsError(f"trace_share: got {self.trace_share}; expected 0 to 1")
        if self.edge_burst < 0:
            raise SettingsError(f"edge_burst: got {self.edge_burst}; expected 0 or more")
        if not 1 <= self.clock_witnesses <= 8:
            raise SettingsError(f"clock_witnesses: got {self.clock_witnesses}; expected 1 to 8")
        if self.growth_factor <= 1:
            raise SettingsError(f"growth_factor: got {self.growth_factor}; expected more than 1")
        if not 0 < self.cache_share <= 1:
            raise SettingsError(
                f"cache_share: got {self.cache_share}; expected more than 0, up to 1"
            )
        for name in ("snapshot_ages", "horizons"):
            ages = getattr(self, name)
            if not ages or list(ages) != sorted(set(ages)) or ages[0] <= 0:
                raise SettingsError(f"{name}: got {ages}; expected ages above 0 in ascending order")
            # Counts past max_events are kept by bins, so only at their edges is a count exact.
            if not set(ages) <= set(BIN_EDGES):
                odd = sorted(set(ages) - set(BIN_EDGES))
                whole = ", ".join(f"{edge:g}" for edge in BIN_EDGES if edge == round(edge))
                raise SettingsError(f"{name}: got {odd} seconds; expected some of {whole}")
        if self.snapshot_ages[-1] >= self.horizons[-1]:
            raise SettingsError(
                f"snapshot_ages: got {self.snapshot_ages[-1]:g}; expected ages below the last "
                f"horizon ({self.horizons[-1]:g}), where a cascade closes"
            )

    def having(self, **changes: Any) -> Settings:
        """The settings with some of them changed."""
        return dataclasses.replace(self, **changes)

    def group(self, role: str) -> str:
        """Consumer group of a role."""
        return f"{self.group_prefix}.{role}"

    def environment(self) -> dict[str, str]:
        """The settings as environment variables, secrets too, for the processes of the roles."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            PREFIX + name.upper(): value.reveal() if isinstance(value, Secret) else spell(value)
            for name, value in values.items()
        }


def spell(value: Any) -> str:
    """A setting's value as the environment spells it; a secret as `***`."""
    return ",".join(map(spell, value)) if isinstance(value, tuple) else str(value)


def _split(text: str) -> list[str]:
    return text.split(",") if text.strip() else []


def _convert(name: str, kind: Any, value: Any) -> Any:
    """`value`, from text or TOML, as the setting's type."""
    try:
        if typing.get_origin(kind) is tuple:
            items = value if isinstance(value, list | tuple) else _split(str(value))
            return tuple(_convert(name, typing.get_args(kind)[0], item) for item in items)
        if kind is Duration:
            return Duration.parse(value)
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise ValueError(f"got {value}; expected a whole number")
        converted = kind(value)
        if isinstance(converted, float) and not math.isfinite(converted):
            raise ValueError(f"got {value}; expected a finite number")
        return converted
    except (TypeError, ValueError, OverflowError) as error:
        raise SettingsError(f"{name}: {error}") from error


def _unknown(name: str, where: str, known: Mapping[str, Any]) -> SettingsError:
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return SettingsError(f"{where}: unknown setting {name!r}{hint}")


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    **overrides: Any,
) -> Settings:
    """Settings from defaults, then the file, then the environment, then `overrides`.

    Raises:
        SettingsError: an unknown setting, or a value that is not allowed.
        OSError: the file cannot be read.
    """
    return load_with_origins(file, environment, **overrides)[0]


def load_with_origins(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    **overrides: Any,
) -> tuple[Settings, dict[str, str]]:
    """`load`, and where each setting's value came from.

    An origin is `default`, `file <path>`, `environment <VARIABLE>` or `flag --<option>`.
    """
    environment = os.environ if environment is None else environment
    kinds = typing.get_type_hints(Settings)
    if file is None and environment.get("TIDECAST_CONFIG"):
        file = Path(environment["TIDECAST_CONFIG"])
    values: dict[str, Any] = {}
    origins = dict.fromkeys(kinds, "default")

    def take(name: str, value: Any, origin: str) -> None:
        values[name], origins[name] = value, origin

    if file is not None:
        try:
            content = tomllib.loads(file.read_text("utf-8-sig"))
        except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested too deep
            raise SettingsError(f"{file}: {error}") from error
        for name, value in content.items():
            if name not in kinds:
                raise _unknown(name, str(file), kinds)
            if kinds[name] is Secret:
                raise SettingsError(
                    f"{file}: {name} is a secret and does not belong here; give it in the "
                    f"environment as {PREFIX}{name.upper()}, or name a file that holds it with "
                    f"{name}_file"
                )
            take(name, value, f"file {file}")
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable in _NOT_SETTINGS:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in kinds:
            raise _unknown(name, f"environment {variable}", kinds)
        take(name, value, f"environment {variable}")
    for name, value in overrides.items():
        if value is not None:
            take(name, value, f"flag --{name.replace('_', '-')}")
    converted = {name: _convert(name, kinds[name], value) for name, value in values.items()}
    return Settings(**converted), origins
