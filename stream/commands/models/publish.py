"""`tidecast models publish`, `promote` and `rollback`: which version forecasters serve."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stream import settings as settings_module
from stream.commands.traffic import KafkaOption

if TYPE_CHECKING:
    from stream.settings import Settings
    from topics.records import ModelUpdate

console = Console(stderr=True, soft_wrap=True, highlight=False)

NameArgument = Annotated[str, typer.Argument(help="Of the model, such as boosting.")]
VersionArgument = Annotated[str, typer.Argument(help="To serve, such as 2.")]
RootOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the registry, which every forecaster has to see under this path. "
        "Default: the setting `registry`, or the models that ship."
    ),
]


def publish(
    name: NameArgument,
    version: VersionArgument,
    root: RootOption = None,
    kafka: KafkaOption = None,
) -> None:
    """Tells running forecasters, and those that start later, to serve a version of a model.

    The version is loaded and asked here first; one that does not answer is not published. Those
    forecasters take it whose setting `forecaster` names the model, between two batches, without a
    pause, and those rankers whose setting `ranker` does. `rollback` goes back.
    """
    settings = _settings(root, kafka)
    _announce(settings, _checked(settings, name, version))


def promote(
    name: NameArgument,
    version: VersionArgument,
    root: RootOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Publish it however it has done so far.")
    ] = False,
    kafka: KafkaOption = None,
) -> None:
    """Publishes a version that has been tried as a shadow, if it is better than what is served.

    Better means: its squared error of log2(1 + increment) is lower on outcomes that have come, on
    the same snapshots and horizons, with 95 % confidence. The test is sequential, so you may ask as
    often as you like while scores come in. It needs 150 cascades at least. Have a version tried
    with TIDECAST_SHADOWS=boosting:2.
    """
    from stream.scorer import versions

    settings = _settings(root, kafka)
    update = _checked(settings, name, version)
    served = asyncio.run(versions.served_version(settings, name))
    if served == version:
        console.print(f"{name} {version} is served already")
        return
    if not force:
        with console.status("reading the scores"):
            scores = asyncio.run(versions.read_scores(settings))
        found = versions.compare(scores, name, served or "", version)
        versions.assert_better(found, name, served or "(none)", version)
        console.print(
            f"{name} {version}: squared error {found.candidate:.4f} against {found.served:.4f} of "
            f"{name} {served} on {found.cascades} cascades, lower by {found.surely:.4f} at least"
        )
    _announce(settings, update)


def rollback(name: NameArgument, kafka: KafkaOption = None) -> None:
    """Publishes the version that the latest `publish` or `promote` replaced.

    Twice goes forth and back. To any other version: `publish`.
    """
    from stream.scorer import versions

    settings = _settings(None, kafka)
    _announce(settings, asyncio.run(versions.way_back(settings, name)))


def _settings(root: Path | None, kafka: str | None) -> Settings:
    settings = settings_module.load(kafka=kafka)
    return settings if root is None else settings.having(registry=str(root))


def _checked(settings: Settings, name: str, version: str) -> ModelUpdate:
    """The update to a version of the registry, once it has been loaded and asked."""
    from models import registry
    from stream.scorer import versions
    from stream.serving.loading import describe

    root = Path(settings.registry or registry.SHIPPED)
    registry.read_card(name, version, root)  # says what there is, if it is not there
    update = describe(name, version, root)
    versions.check(settings, update)
    return update


def _announce(settings: Settings, update: ModelUpdate) -> None:
    from stream.scorer import versions

    update = asyncio.run(versions.announce(settings, update))
    instead = "" if update.replaces is None else f", in place of {update.replaces}"
    console.print(
        f"{update.name} {update.version} is published on {settings.kafka}{instead}: {update.uri}"
    )
