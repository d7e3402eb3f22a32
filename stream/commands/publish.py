"""`tidecast models publish`: tells the forecasters which version to serve."""

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


def publish(
    name: Annotated[str, typer.Argument(help="Of the model, such as boosting.")],
    version: Annotated[str, typer.Argument(help="To serve, such as 2.")],
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the registry, which every forecaster has to see under this path. "
            "Default: the setting `registry`, or the models that ship."
        ),
    ] = None,
    kafka: KafkaOption = None,
) -> None:
    """Tells running forecasters, and those that start later, to serve a version of a model.

    The version is loaded and asked here first; one that does not answer is not published. Those
    forecasters take it whose setting `forecaster` names the model, between two batches, without a
    pause. An earlier version is published in the same way.
    """
    from models import registry
    from stream.loading import describe, load

    settings = settings_module.load(kafka=kafka)
    if root is not None:
        settings = settings.having(registry=str(root))
    loaded = load(settings, name, version)
    update = describe(name, version, Path(settings.registry or registry.SHIPPED))
    asyncio.run(_send(settings, update))
    console.print(f"{loaded} is published on {settings.kafka}: {update.uri}")


async def _send(settings: Settings, update: ModelUpdate) -> None:
    """Writes the update and waits until all replicas have it.

    Raises:
        BrokerError: no broker answers, or the topic is missing.
    """
    from aiokafka import AIOKafkaProducer

    from stream import broker
    from topics.catalogue import MODEL_UPDATES

    await broker.partitions(settings, [MODEL_UPDATES.name])
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all") as producer:
        await producer.send_and_wait(
            MODEL_UPDATES.name, MODEL_UPDATES.codec.encode(update), key=update.name.encode()
        )
