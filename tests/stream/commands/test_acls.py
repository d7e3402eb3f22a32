"""`tidecast topics acls`: three forms of the same."""

import json
import shlex

from typer.testing import CliRunner

from stream.cli import app
from stream.kafka.access.acls import COMMANDS, Acl, acls
from stream.settings import Settings

ALL = acls(Settings())


def told(*arguments):
    done = CliRunner().invoke(app, ["topics", "acls", *arguments], env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    return done.stdout


def allowed(line):
    """What a line of kafka-acls.sh allows, each with its user."""
    words = iter(shlex.split(line))
    found = {"--resource-pattern-type": "literal"}
    things = []
    for word in words:
        if word in ("--topic", "--group"):
            things.append((word[2:], next(words)))
        elif word in ("--allow-principal", "--operation", "--resource-pattern-type"):
            found[word] = next(words)
    user = found["--allow-principal"].removeprefix("User:")
    return {
        Acl(user, found["--operation"], kind, name, found["--resource-pattern-type"])
        for kind, name in things
    }


def test_a_program_is_told_all_of_it():
    rows = json.loads(told("--json"))
    assert [row.pop("principal") for row in rows] == [f"User:{acl.party}" for acl in ALL]
    assert [Acl(**row) for row in rows] == ALL


def test_a_shell_is_told_all_of_it():
    lines = told("--commands", "--kafka", "a:1").splitlines()
    assert all(line.startswith("kafka-acls.sh --bootstrap-server a:1 --add ") for line in lines)
    assert set().union(*map(allowed, lines)) == set(ALL)


def test_commands_begin_as_they_are_told_to():
    line, *_ = told("--commands", "--tool", "kafka-acls.sh --command-config 'my file'").splitlines()
    assert line.startswith("kafka-acls.sh --command-config 'my file' --add ")


def test_who_does_everything_is_told_everything_once():
    lines = told("--commands", "--principal", "User:me").splitlines()
    assert set().union(*map(allowed, lines)) == {acl._replace(party="me") for acl in ALL}
    assert sum(len(allowed(line)) for line in lines) == len({acl[1:] for acl in ALL})


def test_a_person_is_told_all_of_it():
    said = told()
    for acl in ALL:
        assert f"{acl.party}, as User:{acl.party}" in said
        assert acl.name in said
    assert all(f": tidecast {what}\n" in said for what in COMMANDS.values())


def test_one_party():
    rows = json.loads(told("--json", "--party", "heart"))
    assert {row["party"] for row in rows} == {"heart"}


def test_two_forms_at_once_are_refused():
    done = CliRunner().invoke(app, ["topics", "acls", "--json", "--commands"])
    assert done.exit_code == 2
