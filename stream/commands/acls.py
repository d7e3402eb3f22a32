"""`tidecast topics acls`: who may do what on the brokers, for people, programs and kafka-acls.sh.

tidecast topics acls                     a table: who, what, on what
tidecast topics acls --json              the same for a program
tidecast topics acls --commands          the commands that set it, for a shell
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from stream import settings as settings_module
from stream.commands.traffic import KafkaOption

if TYPE_CHECKING:
    from stream.kafka.access.acls import Acl

PARTY = "{party}"


def topics_acls(
    party: Annotated[
        list[str] | None,
        typer.Option("--party", help="Whose, such as tracker; may be repeated. Default: all."),
    ] = None,
    principal: Annotated[
        str,
        typer.Option(help="The user on the brokers of a party, whose name stands in {party}."),
    ] = "User:{party}",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array, for a program.")] = False,
    commands: Annotated[
        bool, typer.Option("--commands", help="Commands that allow it, for a shell.")
    ] = False,
    tool: Annotated[
        str | None,
        typer.Option(
            help="How those commands begin. Default: kafka-acls.sh with the brokers of the "
            "settings; add --command-config FILE where the brokers ask who it is.",
        ),
    ] = None,
    kafka: KafkaOption = None,
) -> None:
    """Lists the least that each role, command and party outside needs on the brokers.

    It comes from the catalogue of topics and the setting `group_prefix`; no broker is asked.
    Parties may share a user: `--principal User:tidecast` lists what one needs that does everything.
    """
    from stream.kafka.access.acls import acls

    if as_json and commands:
        raise typer.BadParameter("--json and --commands are two forms of the same; give one")
    settings = settings_module.load(kafka=kafka)
    found = acls(settings, party or ())
    if as_json:
        typer.echo(orjson.dumps(_rows(found, principal), option=orjson.OPT_INDENT_2))
    elif commands:
        begin = shlex.split(tool or f"kafka-acls.sh --bootstrap-server {settings.kafka}")
        for words in spoken(found, principal, begin):
            typer.echo(shlex.join(words))
    else:
        _print(found, principal)


def spoken(found: Iterable[Acl], principal: str, begin: Sequence[str]) -> Iterator[list[str]]:
    """The commands that allow it, as their words.

    Args:
        found: what is to be allowed.
        principal: of a party, whose name stands in `PARTY`.
        begin: how each command begins.
    """
    # What one command may say: an operation on several things of one pattern.
    together: dict[tuple[str, str, str], dict[Acl, None]] = {}
    for acl in found:
        spoken_as = _of(principal, acl.party), acl.operation, acl.pattern
        together.setdefault(spoken_as, {})[acl._replace(party="")] = None
    for (user, operation, pattern), of_it in together.items():
        words = [*begin, "--add", "--allow-principal", user, "--operation", operation]
        if pattern != "literal":
            words += ["--resource-pattern-type", pattern]
        yield words + [word for acl in of_it for word in (f"--{acl.resource}", acl.name)]


def _rows(found: Iterable[Acl], principal: str) -> list[dict[str, str]]:
    return [{"principal": _of(principal, acl.party), **acl._asdict()} for acl in found]


def _print(found: Iterable[Acl], principal: str) -> None:
    from stream.kafka.access.acls import COMMANDS

    named: dict[str, dict[str, list[str]]] = {}
    for acl in found:
        many = "groups beginning with" if acl.pattern == "prefixed" else "group"
        name = acl.name if acl.resource == "topic" else f"{many} {acl.name}"
        named.setdefault(acl.party, {}).setdefault(acl.operation, []).append(name)
    out = Console(highlight=False, markup=False)
    for party, allowed in named.items():
        what = f": tidecast {COMMANDS[party]}" if party in COMMANDS else ""
        out.print(f"{party}, as {_of(principal, party)}{what}", style="bold")
        table = Table(box=None, show_header=False, pad_edge=True)
        for operation, names in allowed.items():
            table.add_row("", operation, ", ".join(names))
        out.print(table)


def _of(principal: str, party: str) -> str:
    return principal.replace(PARTY, party)
