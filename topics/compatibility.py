"""Would the contract that the code states now break who uses the committed one?

Messages outlive a release: what was written under the committed contract is still in the log when
new readers start, and writers outside a deployment are not upgraded with it. So on every topic a
new reader has to accept whatever the committed schema allows. On a topic that a deployment writes
for others (`output`), readers outside are not upgraded with it either, so whatever the new schema
allows has to be accepted by the committed one. Fields and records are never taken away.

    CompatibilityError(ValueError)    changes that break writers or readers; says which, for whom,
                                      and what to do
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from topics.contract import ASYNCAPI, Document
from topics.schemas import View, refusals, removals


@dataclass(frozen=True)
class Break:
    """One change that breaks somebody."""

    topic: str
    where: str
    change: str
    broken: str
    remedy: str

    def __str__(self) -> str:
        return (
            f"{self.topic}, {self.where}: {self.change}\n"
            f"    breaks: {self.broken}\n"
            f"    do: {self.remedy}"
        )


class CompatibilityError(ValueError):
    """Changes that break writers or readers of the topics."""

    def __init__(self, breaks: list[Break]) -> None:
        self.breaks = breaks
        count = "1 change breaks" if len(breaks) == 1 else f"{len(breaks)} changes break"
        super().__init__(
            f"{count} the committed contract\n" + "\n".join(f"  {found}" for found in breaks)
        )


def check(committed: Mapping[str, Document], generated: Mapping[str, Document]) -> None:
    """Raises if `generated` breaks who relies on `committed`. Both as `contract.documents` gives.

    Raises:
        CompatibilityError: it does.
    """
    found = list(breaks(committed, generated))
    if found:
        raise CompatibilityError(found)


def breaks(committed: Mapping[str, Document], generated: Mapping[str, Document]) -> Iterator[Break]:
    """The changes from `committed` to `generated` that break somebody."""
    if ASYNCAPI not in committed:
        return
    for topic in committed[ASYNCAPI]["channels"]:
        users = _Users(committed[ASYNCAPI], topic)
        if topic in generated[ASYNCAPI]["channels"]:
            yield from _Comparison(topic, committed, generated, users).breaks()
        else:
            yield Break(topic, "topic", "is gone", users.all, "keep it until nobody uses it")


class _Users:
    """Who a change of a topic can break, in words."""

    def __init__(self, asyncapi: Document, topic: str) -> None:
        def parties(action: str) -> str:
            return ", ".join(
                operation["tags"][0]["name"]
                for operation in asyncapi["operations"].values()
                if operation["action"] == action
                and operation["channel"]["$ref"] == f"#/channels/{topic}"
            )

        self.readers = f"readers ({parties('receive')})"
        self.all = f"writers ({parties('send')}), {self.readers}"
        self.written = f"writers ({parties('send')}), messages already in the log"


class _Comparison:
    """One topic as it is committed and as it is generated."""

    def __init__(
        self,
        topic: str,
        committed: Mapping[str, Document],
        generated: Mapping[str, Document],
        users: _Users,
    ) -> None:
        self.topic, self.users = topic, users
        self.committed, self.generated = committed, generated
        self.old = committed[ASYNCAPI]["channels"][topic]
        self.new = generated[ASYNCAPI]["channels"][topic]
        self.is_output = self.old["tags"][0]["name"] == "output"

    def breaks(self) -> Iterator[Break]:
        yield from self._channel()
        names = {*self.old["messages"], *self.new["messages"]}
        for name in sorted(names):
            if name not in self.new["messages"]:
                yield self._break(
                    name, "the record is gone", self.users.all,
                    "keep the record; a renamed one needs a topic of its own",
                )  # fmt: skip
            elif name in self.old["messages"]:
                yield from self._message(name)
                yield from self._schema(name)
            elif self.is_output:
                yield self._break(
                    name, "a record that readers do not know", self.users.readers,
                    "publish the new record on a topic of its own",
                )  # fmt: skip

    def _break(self, where: str, change: str, broken: str, remedy: str) -> Break:
        return Break(self.topic, where, change, broken, remedy)

    def _channel(self) -> Iterator[Break]:
        """Changes of the topic itself."""
        if "x-internal" in self.new and "x-internal" not in self.old:
            yield self._break(
                "topic", "was public and is internal", self.users.all,
                "keep it public until nobody outside uses it",
            )  # fmt: skip
        before, after = (channel["bindings"]["kafka"] for channel in (self.old, self.new))
        if before["partitions"] == 1 < after["partitions"]:
            yield self._break(
                "partitions", f"one partition became {after['partitions']}", self.users.readers,
                "keep one partition: its readers rely on one order over all keys",
            )  # fmt: skip
        before, after = before["topicConfiguration"], after["topicConfiguration"]
        for policy in sorted(set(after["cleanup.policy"]) - set(before["cleanup.policy"])):
            yield self._break(
                "cleanup", f"{policy!r} is new, and takes away messages that used to stay",
                self.users.readers, "keep the cleanup policy, or use a topic of another name",
            )  # fmt: skip
        kept, keeps = (config.get("retention.ms", float("inf")) for config in (before, after))
        if keeps < kept:
            yield self._break(
                "retention", f"{kept} ms became {keeps} ms", self.users.readers,
                "keep the retention: who rebuilds state from the topic, or reads late, needs it",
            )  # fmt: skip

    def _message(self, name: str) -> Iterator[Break]:
        """Changes of a message's key, encoding and headers."""
        old, new = (
            documents[ASYNCAPI]["components"]["messages"][name]
            for documents in (self.committed, self.generated)
        )
        before, after = (m["bindings"]["kafka"]["key"]["description"] for m in (old, new))
        if before != after:
            yield self._break(
                f"{name}, key", f"{before!r} became {after!r}", self.users.all,
                "keep the key (order and compaction follow it), or use a topic of another name",
            )  # fmt: skip
        if old["contentType"] != new["contentType"]:
            yield self._break(
                f"{name}, encoding", f"{old['contentType']} became {new['contentType']}",
                self.users.all, "keep the encoding, or use a topic of another name",
            )  # fmt: skip
        before, after = (set(m.get("headers", {}).get("required", ())) for m in (old, new))
        for header in sorted(before - after):
            yield self._break(
                f"{name}, header {header}", "is gone", self.users.readers, "keep the header"
            )

    def _schema(self, name: str) -> Iterator[Break]:
        """Changes of a record's fields."""
        path = f"schemas/{name}.json"
        if path not in self.committed or path not in self.generated:
            return
        old, new = (View(documents[path], documents[path])
                    for documents in (self.committed, self.generated))  # fmt: skip
        gone = set()
        for where, change in removals(old, new, name):
            gone.add(where)
            yield self._break(
                where, change, self.users.all,
                "keep the field as it is; let it go with a topic of another name",
            )  # fmt: skip
        for where, change in refusals(old, new, name):
            yield self._break(
                where, change, self.users.written,
                "accept what the committed schema allows; give a new field a default",
            )  # fmt: skip
        if not self.is_output:
            return
        for where, change in refusals(new, old, name):
            if where not in gone:
                yield self._break(
                    where, f"by the committed schema, {change}", self.users.readers,
                    "write only what the committed schema allows; say new things in new fields",
                )  # fmt: skip
