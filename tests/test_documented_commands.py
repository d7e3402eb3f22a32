"""Every command that the documentation names is there, and is run by a test or a script.

Each `tidecast` line is parsed by the command line itself. What it is, its command and its options,
stands in `RUN_HERE` or in `RUN_BY`; a new one has to be entered in one of them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import typer
import yaml
from typer.testing import CliRunner

from models import registry
from stream.cli import app
from stream.kafka.broker import create_topics_now
from stream.local.embedded import embedded
from stream.settings import PREFIX, Settings
from tests.documented import PAGES, ROOT, Command, commands
from topics.errors import TidecastError

FOUND = commands()
COMMAND_LINE = typer.main.get_command(app)
# Options that every command takes alike.
EVERYWHERE = {"--kafka"}

# Run here, as they stand, against a broker that has the topics; with the code they end with.
RUN_HERE: dict[str, int] = {
    "topics create": 0,
    "topics acls": 0,
    "topics acls --json": 0,
    "topics acls --commands": 0,
    "formats list": 0,
    "formats show": 0,
    "settings": 0,
    "settings --json": 0,
    "settings --markdown": 0,
    "models list": 0,
    "models list --root": 0,
    "models show --scores": 0,
    "models publish --root": 0,
    "models rollback": 1,  # nothing was replaced
    "models promote --root": 1,  # it has no scores yet
    "dead-letters list --since": 0,
    "dead-letters list --error": 0,
    "dead-letters show": 1,  # there is none
    "dead-letters redrive --dry-run": 0,
    "dead-letters redrive": 0,
}
_UP = "tests/system/whole/test_up.py::"
_BEATS = (
    "tests/system/roles/test_heartbeats.py"
    "::test_they_pass_every_stage_and_the_one_that_dies_is_named"
)
_TRAFFIC = "tests/stream/commands/test_traffic.py::"
_EVALUATE = "tests/stream/commands/models/test_evaluate.py::"
_CACHING = "tests/stream/commands/models/test_evaluate_caching.py::"
_TRAINING = "tests/stream/commands/models/test_train.py::"
_RANKER = (
    "tests/stream/commands/models/test_train_ranker.py::test_a_version_is_trained_and_taken_up"
)
_CONTRACT = "tests/stream/commands/test_contract.py::"
# By whom the others are run: the test holds the words of the command and its options.
RUN_BY: dict[str, str] = {
    "up": _UP + "test_a_run_accounts_for_everything_and_leaves_nothing_behind",
    "up --cascades --requests": _UP + "test_files_are_replayed_to_their_end",
    "up --cascades --hold --rebase --step": _UP
    + "test_a_replay_is_held_stepped_on_and_left_standing",
    "broker": (
        "tests/system/kafka/test_broker.py::test_it_ends_with_its_server_and_keeps_what_it_holds"
    ),
    "formats try": (
        "tests/stream/commands/test_formats.py::test_each_line_is_shown_as_what_it_becomes"
    ),
    "doctor": "tests/system/whole/test_doctor.py::test_all_is_well",
    "topics acls --commands --tool": (
        "tests/stream/commands/test_acls.py::test_commands_begin_as_they_are_told_to"
    ),
    "tracker": _BEATS,
    "forecaster": "tests/system/whole/test_examples.py::test_a_model_of_ones_own_is_served",
    "gateway": _BEATS,
    "heart": _BEATS,
    "edge-agent --edge": "tests/system/whole/test_metrics.py"
    "::test_what_is_exported_is_told_of_and_what_is_told_of_is_exported",
    "replay cascades --speed": _TRAFFIC + "test_an_interrupt_stops_it_cleanly",
    "replay requests": _TRAFFIC + "test_what_was_sent_is_told",
    "simulate": _TRAFFIC + "test_what_was_sent_is_told",
    "simulate --speed": _TRAFFIC + "test_what_was_sent_is_told",
    "evaluate cascades --horizon --json --models --observe --seeds": _EVALUATE
    + "test_models_are_trained_measured_and_drawn",
    "evaluate cascades --horizon --models --observe --seeds": _EVALUATE
    + "test_models_are_trained_measured_and_drawn",
    "evaluate cascades --horizon --observe --pretrained": _EVALUATE
    + "test_the_models_that_ship_are_measured_by_default",
    "evaluate cascades --horizon --observe --pretrained --registry": _EVALUATE
    + "test_ready_models_are_tested_in_whole_on_files_that_they_have_not_seen",
    "evaluate cascades --prequential": _EVALUATE
    + "test_forecasts_follow_what_came_of_earlier_ones",
    "evaluate caching --json --sizes": _CACHING + "test_policies_are_replayed_measured_and_drawn",
    "evaluate caching --pretrained": _CACHING + "test_ready_policies_are_measured_by_default",
    "train served --cascades --output --version": _TRAINING + "test_the_mixture_is_trained",
    "train served --cascades --output --seed": _TRAINING + "test_the_mixture_is_trained",
    "train concat --components": _TRAINING + "test_a_network_is_trained",
    "train boosting": _TRAINING + "test_models_are_trained_written_and_listed",
    "train seismic": _TRAINING + "test_models_are_trained_written_and_listed",
    "train cachemamba --output --requests --version": _RANKER,
    "contract": _CONTRACT + "test_documents_that_are_written_pass_the_check",
    "contract --allow-breaking": _CONTRACT + "test_a_promise_is_taken_back_on_purpose",
}
# Who does what targets of make do.
MAKE_BY: dict[str, str] = {
    "help": "tests/deploy/test_makefile.py::test_make_alone_lists_what_there_is",
    "run": _UP + "test_a_run_accounts_for_everything_and_leaves_nothing_behind",
    "drill": "tests/system/drill/test_drill.py::test_an_alert_fires_and_goes_quiet",
    "kafka": "tests/system/kafka/test_fresh.py::test_a_person_has_brokers_until_ctrl_c",
    "fuzz": "tests/test_fuzzing.py::test_no_reader_breaks",
    "contract": _CONTRACT + "test_documents_that_are_written_pass_the_check",
    "docs": "tests/docs/test_site.py::test_the_strict_build_passes",
    "audit": "tests/deploy/test_audit.py::test_what_is_known_is_told",
    "lock": "tests/deploy/test_audit.py"
    "::test_the_lock_has_a_version_that_is_allowed_of_everything_asked_for",
}
# What is not tidecast's own, and why none of it is run here.
FOREIGN = {
    "curl": "asks a gateway or an agent that runs; tests ask the same addresses by HTTP",
    "kcat": "reads a broker that runs; tests/system/whole/test_up.py does so where it is installed",
    "docker": "needs an engine; tests/deploy/test_compose.py reads the services it names",
    "kubectl": "needs a cluster; tests/deploy builds the manifests it applies",
    "kind": "needs a cluster",
    "pip": "installs; make setup does it",
    "nginx": "needs root; tests/system/edge/test_nginx.py runs it by its configuration",
    "varnishd": "needs root; tests/system/edge/test_varnish.py runs it by its configuration",
}


def of(program: str) -> list[Command]:
    return [command for command in FOUND if command.words[0] == program]


def nested() -> Iterator[Command]:
    """Commands of tidecast that another program is to run, in a container or a pod."""
    for command in FOUND:
        words = command.words
        if words[:2] == ("docker", "compose") and "run" in words:
            yield command._replace(words=("tidecast", *words[words.index("--rm") + 2 :]))
        elif words[0] in ("docker", "kubectl") and "tidecast" in words[2:]:
            at = len(words) - words[::-1].index("tidecast") - 1
            if not words[at - 1].startswith("-n"):
                yield command._replace(words=words[at:])


def parsed(command: Command) -> str:
    """The command as `RUN_BY` names it, once the command line has taken it."""
    words = [re.sub(r"\$\w+", "0", word.strip("[]")) for word in command.words[1:]]
    words = [word for word in words if word not in ("...", "…", "COMMAND", "ROLE")]
    known = COMMAND_LINE
    path = []
    while hasattr(known, "commands") and words:
        if words[0].startswith("-") and not command.whole:
            break  # what all commands of the group have
        assert words[0] in known.commands, f"{command}: no command {words[0]!r}"
        path.append(words[0])
        known = known.commands[words.pop(0)]
    if hasattr(known, "commands"):
        assert not command.whole, f"{command}: a group is no command"
        return " ".join(path)
    try:
        known.make_context(path[-1], list(words))
    except typer.BadParameter as error:
        if command.whole or not error.format_message().startswith("Missing "):
            raise
    options = {word for word in words if word.startswith("--")} - EVERYWHERE
    return " ".join([*path, *sorted(options)])


OURS = [*of("tidecast"), *nested()]


@pytest.mark.parametrize("command", OURS, ids=str)
def test_the_command_line_takes_it_and_something_runs_it(command: Command) -> None:
    name = parsed(command)
    runs = {*RUN_HERE, *RUN_BY}
    if command.whole:
        assert name in runs, f"{command}: enter {name!r} in RUN_HERE or RUN_BY"
        return
    path, *options = name.split(" --")
    known = [one.split(" --") for one in runs if one.split(" --")[0].startswith(path)]
    assert known or not path, f"{command}: nothing runs {path!r}"
    missing = set(options) - {option for one in known for option in one[1:]}
    assert not missing, f"{command}: nothing runs it with --{', --'.join(sorted(missing))}"


@pytest.mark.parametrize(("name", "test"), [*RUN_BY.items(), *MAKE_BY.items()])
def test_who_is_said_to_run_it_does(name: str, test: str) -> None:
    file, _, function = test.partition("::")
    text = (ROOT / file).read_text()
    assert f"def {function}(" in text
    if name not in MAKE_BY:
        for word in name.split():
            assert word in text, f"{test}: nothing in it says {word}"


def test_nothing_is_said_to_be_run_that_nobody_documents() -> None:
    documented = {word for command in OURS for word in parsed(command).split()}
    assert {word for name in (*RUN_HERE, *RUN_BY) for word in name.split()} <= documented


@pytest.mark.parametrize("command", of("make"), ids=str)
def test_make_knows_its_target(command: Command) -> None:
    target = command.words[1]
    told = subprocess.run(
        ["make", "--dry-run", *command.words[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    # For minutes, or for ever.
    by_hand = {"test", "lint", "format", "setup", "bench", "soak", "mutants"}
    assert target in by_hand | MAKE_BY.keys()


@pytest.mark.parametrize("command", [*of("python"), *of("python3")], ids=str)
def test_a_script_is_there_and_has_its_options(command: Command) -> None:
    words = [word.strip("[]") for word in command.words[1:]]
    if words[0] == "-m":
        script = ROOT / (words[1].replace(".", "/") + ".py")
        if words[1] == "pytest":
            assert all((ROOT / word).is_file() for word in words if word.endswith(".py"))
            return
        if not script.exists():
            script = script.with_suffix("") / "__main__.py"
    elif words[0] == "-":
        assert command.page.name in ("data.md", "README.md")  # what it reads stands below it
        return
    else:
        script = next(path for path in (ROOT / words[0], command.page.parent / words[0])
                      if path.is_file())  # fmt: skip
    for option in words:
        if option.startswith("--"):
            assert f'"{option}"' in script.read_text(), f"{command}: no option {option}"


def test_every_other_program_is_known() -> None:
    own = {"tidecast", "make", "python", "python3"}
    assert {command.words[0] for command in FOUND} == own | FOREIGN.keys()


@pytest.mark.parametrize(
    "command", [one for one in of("docker") if one.words[1:2] == ("compose",)], ids=str
)
def test_services_of_docker_compose_are_there(command: Command) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    verbs = {"ps", "logs", "up", "restart", "run"}
    verb = next(at for at, word in enumerate(command.words) if word in verbs)
    named = [word for word in command.words[verb + 1 :] if re.fullmatch(r"[a-z-]+", word)]
    for word in [one for one in named if not one.startswith("-")][:1]:
        assert word in services, f"{command}: no service {word}"


def test_settings_that_are_given_are_settings() -> None:
    known = {PREFIX + name.upper() for name in Settings.__dataclass_fields__}
    known |= {f"{PREFIX}{name}" for name in ("CONFIG",)}
    for page in PAGES:
        for name in re.findall(rf"\b({PREFIX}[A-Z_]+)\b", page.read_text()):
            assert name.rstrip("_") in known or name.endswith("_"), f"{page}: no setting {name}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with a registry `models` of three versions, and a broker with the topics."""
    folder = tmp_path_factory.mktemp("documented")
    for version in ("1", "2", "3"):
        copy = folder / "models" / "boosting" / version
        shutil.copytree(registry.SHIPPED / "boosting" / "1", copy)
        card = registry.read_card("boosting", "1")
        registry.write_card(copy, msgspec.structs.replace(card, version=version))
    shutil.copytree(ROOT / "docs" / "contract", folder / "docs" / "contract")
    with embedded(folder / "broker") as (address, _):
        create_topics_now(Settings(kafka=address))
        yield folder, address


def as_they_stand() -> list[Command]:
    """Those of `RUN_HERE`, each once, but where a word stands for one of the reader's own."""
    found = {
        command.words: command
        for command in OURS
        if parsed(command) in RUN_HERE
        and not any(re.fullmatch(r"[A-Z/]{2,}", word) for word in command.words)
    }
    return list(found.values())


@pytest.mark.system
@pytest.mark.parametrize("command", as_they_stand(), ids=str)
def test_it_runs_as_it_stands(
    command: Command, place: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = place
    monkeypatch.chdir(folder)
    monkeypatch.setenv(PREFIX + "KAFKA", address)
    words = list(command.words[1:])
    if "--kafka" in words:
        words[words.index("--kafka") + 1] = address
    result = CliRunner().invoke(app, words)
    expected = RUN_HERE[parsed(command)]
    assert result.exit_code == expected, (result.output, result.exception)
    if expected:
        assert isinstance(result.exception, TidecastError), result.exception
