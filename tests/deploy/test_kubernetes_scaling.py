"""deploy/kubernetes: how many workers of a role there are, and where those with models run."""

from __future__ import annotations

from typing import Any

import pytest

from stream import settings
from stream.gateway.roles import ROLES, reads
from tests.deploy.manifests import (
    OVERLAYS,
    build,
    environment,
    image_environment,
    main_container,
    of_kind,
    pod,
    workloads,
)

# What KEDA's trigger `kafka` takes, as its documentation lists it; the schema takes any name here.
# A name that ends in FromEnv is read from a variable of the scaled container.
KNOWN = {
    "bootstrapServersFromEnv", "consumerGroup", "topic", "lagThreshold", "offsetResetPolicy",
    "allowIdleConsumers", "sasl", "tls",
}  # fmt: skip


def configured(overlay: str, role: str) -> settings.Settings:
    """The settings of a role, without those that name files of the cluster."""
    objects = build(overlay)
    variables = environment(workloads(objects)[role], objects)
    return settings.load(
        environment={k: text for k, text in variables.items() if k.startswith(settings.PREFIX)}
    )


def scaled(role: str) -> dict[str, Any]:
    """What KEDA is told of a role."""
    return of_kind(build("autoscaling"), "ScaledObject")[role]["spec"]


def test_each_worker_is_scaled_and_only_by_keda() -> None:
    sets = of_kind(build("autoscaling"), "StatefulSet")
    objects = of_kind(build("autoscaling"), "ScaledObject")
    targets = {name: item["spec"]["scaleTargetRef"] for name, item in objects.items()}
    assert targets == {
        role: {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": role} for role in ROLES
    }
    assert set(sets) == set(ROLES)
    assert all("replicas" not in item["spec"] for item in sets.values())


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_scaled_on_the_lag_of_its_group_on_all_that_it_works_off(role: str) -> None:
    triggers = scaled(role)["triggers"]
    assert [trigger["type"] for trigger in triggers] == ["kafka"] * len(triggers)
    asked = [trigger["metadata"] for trigger in triggers]
    assert sorted(metadata["topic"] for metadata in asked) == sorted(reads(role))
    item = workloads(build("autoscaling"))[role]
    for metadata in asked:
        assert set(metadata) <= KNOWN
        assert metadata["consumerGroup"] == configured("autoscaling", role).group(role)
        assert metadata["offsetResetPolicy"] == "earliest"  # as the roles have it
        assert metadata["allowIdleConsumers"] == "false"
        assert int(metadata["lagThreshold"]) > 0
        own = {entry["name"] for entry in main_container(item)["env"]}
        given = environment(item, build("autoscaling"))
        assert metadata["bootstrapServersFromEnv"] in set(given) - own - set(image_environment())


def test_keda_shows_itself_to_kafka_as_the_roles_do() -> None:
    objects = build("autoscaling")
    [access] = of_kind(objects, "TriggerAuthentication").values()
    secrets = {
        volume["secret"]["secretName"]: {entry["key"] for entry in volume["secret"]["items"]}
        for volume in pod(workloads(objects)["tracker"])["spec"]["volumes"]
        if "secret" in volume
    }
    for source in access["spec"]["secretTargetRef"]:
        assert source["key"] in secrets[source["name"]]
    [name] = access["spec"]["env"]
    for role in ROLES:
        item = workloads(objects)[role]
        assert name["containerName"] == main_container(item)["name"]
        assert (
            environment(item, objects)[name["name"]]
            == configured("autoscaling", role).kafka_username
        )
        loaded = configured("autoscaling", role)
        for trigger in scaled(role)["triggers"]:
            assert trigger["authenticationRef"] == {"name": access["metadata"]["name"]}
            mechanism = loaded.kafka_sasl_mechanism.replace("-SHA-", "_SHA").lower()
            assert trigger["metadata"]["sasl"] == mechanism
            assert (trigger["metadata"]["tls"] == "enable") == loaded.kafka_security.endswith("tls")


@pytest.mark.parametrize("role", ROLES)
def test_there_are_no_more_workers_than_partitions_and_never_none(role: str) -> None:
    spec = scaled(role)
    assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
    assert spec["maxReplicaCount"] == configured("autoscaling", role).partitions


@pytest.mark.parametrize("role", ROLES)
def test_a_worker_leaves_only_after_many_times_what_its_leaving_costs(role: str) -> None:
    behavior = scaled(role)["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    timeout = configured("autoscaling", role).session_timeout
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 10 * timeout
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] >= 3 * timeout


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if name != "autoscaling"])
def test_replicas_are_at_most_the_partitions_and_at_least_one(overlay: str) -> None:
    for role in ROLES:
        replicas = workloads(build(overlay))[role]["spec"]["replicas"]
        assert 1 <= replicas <= configured(overlay, role).partitions


def test_production_survives_the_loss_of_a_node() -> None:
    for role in (*ROLES, "gateway"):
        assert workloads(build("production"))[role]["spec"]["replicas"] >= 2
        spread = pod(workloads(build("production"))[role])["spec"]["topologySpreadConstraints"]
        assert "kubernetes.io/hostname" in {constraint["topologyKey"] for constraint in spread}
        for constraint in spread:
            labels = pod(workloads(build("production"))[role])["metadata"]["labels"]
            assert constraint["labelSelector"]["matchLabels"].items() <= labels.items()
            assert set(constraint["matchLabelKeys"]) <= set(labels)
    configuration = configured("production", "tracker")
    assert configuration.replication >= 3
    assert configuration.partitions >= 12


def test_workers_are_replaced_one_at_a_time_and_start_all_at_once() -> None:
    for role in ROLES:
        spec = workloads(build("production"))[role]["spec"]
        assert spec["podManagementPolicy"] == "Parallel"
        assert spec["minReadySeconds"] >= 30
        assert spec.get("updateStrategy", {"type": "RollingUpdate"})["type"] == "RollingUpdate"


def test_only_the_roles_that_run_models_ask_for_a_gpu() -> None:
    asking = {
        name
        for name, item in workloads(build("gpu")).items()
        if "nvidia.com/gpu" in main_container(item)["resources"]["limits"]
    }
    assert asking == {"forecaster", "ranker"}
    for name, item in workloads(build("gpu")).items():
        spec = pod(item)["spec"]
        assert ("nodeSelector" in spec) == ("tolerations" in spec) == (name in asking)
    for overlay in set(OVERLAYS) - {"gpu"}:
        assert not any("nodeSelector" in pod(i)["spec"] for i in workloads(build(overlay)).values())
