"""Each module has its test in its place, `stream/secret.py` in `tests/stream/test_secret.py`.

Those that have none are listed here, with the test that goes through them: one that imports them,
by whatever way, or a system test, which starts the roles that do.
"""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
PACKAGES = ("topics", "models", "stream")
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for package in PACKAGES
    for file in (ROOT / package).rglob("*.py")
    if file.name != "__init__.py"
}

# Whose test is another's, and why that is enough.
THROUGH = {
    # topics
    "topics.errors": ("test_hostile_input.py", "a name; what is told has its test where it is"),
    "topics.heartbeat": ("stream/workers/test_heartbeats.py", "what all roles do with them"),
    "topics.schemas": ("topics/test_compatibility.py", "changes of the contract, one by one"),
    # models: data
    "models.cascades.batch": ("models/cascades/test_features.py", "what is read out of it"),
    "models.cascades.clock": ("models/forecasters/networks/test_flows.py", "states by that clock"),
    "models.cascades.graphwave_reference": (
        "models/cascades/test_graphwave.py",
        "the slow twin there",
    ),
    "models.cascades.observations": (
        "models/forecasters/test_boosting_training.py",
        "what is observed, weighed and pooled",
    ),
    "models.cascades.power_law": ("models/forecasters/test_seismic.py", "estimates by formula"),
    "models.cascades.recordings": ("models/cascades/test_replays.py", "what is read is trained on"),
    "models.cascades.timing": ("models/cascades/test_features.py", "part of the features"),
    "models.judging.evaluation": (
        "models/forecasters/test_boosting_training.py",
        "fitted models by window",
    ),
    "models.cascades.windows": ("models/forecasters/test_baselines.py", "what is fitted for one"),
    "models.files": ("models/test_registry.py", "cards and digests of versions"),
    "models.kernels.heap": ("models/caches/test_scorecache.py", "against a cache that sorts"),
    # models: forecasters
    "models.forecasters.boosting": (
        "models/forecasters/test_boosting_training.py",
        "trained, saved, and asked again",
    ),
    "models.forecasters.concat": ("models/forecasters/test_neural.py", "as it is served"),
    "models.forecasters.mlp": ("models/forecasters/test_neural.py", "as it is served"),
    "models.forecasters.networks.encoder": (
        "models/forecasters/jump_ode/test_encoder_states.py",
        "the slow twin of the kernel",
    ),
    "models.forecasters.networks.concat": ("models/forecasters/test_neural.py", "and its kernels"),
    "models.forecasters.networks.mlp": ("models/forecasters/test_neural.py", "and its kernels"),
    "models.forecasters.jump_ode.scan": (
        "models/forecasters/networks/test_jump_ode.py",
        "the kernel beside its slow twin",
    ),
    "models.forecasters.casft": ("models/forecasters/test_neural.py", "as it is served"),
    "models.forecasters.jump_ode.trend_states": (
        "models/forecasters/test_neural.py",
        "the kernel beside the network",
    ),
    "models.forecasters.quantiles": (
        "models/forecasters/test_boosting_training.py",
        "means of what quantiles draw",
    ),
    "models.forecasters.reading": ("models/test_interface.py", "each forecaster by the interface"),
    "models.forecasters.served_training": ("models/forecasters/test_served.py", "trained there"),
    "models.forecasters.window_boosting": (
        "models/judging/test_comparison.py",
        "compared there, as it is for",
    ),
    # models: caches
    "models.caches.classical": ("models/judging/test_cache_policies.py", "as in their papers"),
    "models.caches.networks.cachemamba": ("models/caches/networks/test_ranker.py", "both networks"),
    "models.caches.networks.rank_transformer": (
        "models/caches/networks/test_ranker.py",
        "both networks",
    ),
    "models.caches.networks.selective_scan_kernel": (
        "models/caches/networks/test_selective_scan.py",
        "the kernel beside its slow twin",
    ),
    "models.caches.mamba_step": (
        "models/caches/networks/test_ranker.py",
        "the kernel beside its network",
    ),
    "models.caches.stepper": (
        "models/caches/networks/test_ranker.py",
        "what each network keeps to",
    ),
    "models.extras": ("system/roles/test_core_alone.py", "what is missing, by its extra"),
    "models.kernels.threads": (
        "models/forecasters/networks/test_jump_ode.py",
        "the same on one thread and on more",
    ),
    "models.learning.weights": ("models/forecasters/test_neural.py", "weights that do not fit"),
    "models.caches.model": ("models/caches/networks/test_ranker.py", "saved and read again"),
    "models.caches.networks.material": (
        "models/caches/networks/test_ranker.py",
        "what is trained on",
    ),
    "models.caches.training": ("models/caches/networks/test_ranker.py", "trained there"),
    "models.caches.neural": ("models/caches/networks/test_ranker.py", "steps through histories"),
    # models: training and judging
    "models.learning.checkpoint": ("models/learning/test_loop.py", "trainings interrupted"),
    "models.training": ("models/forecasters/test_neural_recipes.py", "each is run once"),
    "models.judging.caching_plot": ("models/judging/test_caching.py", "a picture, looked at"),
    "models.judging.candidates": ("models/judging/test_comparison.py", "kept and found again"),
    "models.judging.comparison_plot": (
        "stream/commands/models/test_evaluate.py",
        "a picture, drawn by the command",
    ),
    "models.learning.network_files": ("models/forecasters/test_neural.py", "saved and read again"),
    "models.learning.recipes": ("models/judging/test_comparison.py", "what is made by each"),
    # stream: what stands below roles
    "stream.settings.domain": ("stream/settings/test_loading.py", "what is refused, by name"),
    "stream.settings.cascades": ("stream/settings/test_loading.py", "what is refused, by name"),
    "stream.settings.edges": ("stream/settings/test_loading.py", "what is refused, by name"),
    "stream.settings.edge_agents": ("stream/settings/test_loading.py", "what is refused, by name"),
    "stream.settings.models": ("stream/settings/test_loading.py", "what is refused, by name"),
    "stream.settings.kafka": ("stream/settings/test_loading.py", "what is refused, by name"),
    "stream.settings.http_access": ("stream/settings/test_loading.py", "what is refused, by name"),
    "stream.settings.telemetry": ("stream/settings/test_loading.py", "what is refused, by name"),
    "stream.settings.checkpoints": ("stream/settings/test_together.py", "names, defaults, reasons"),
    "stream.settings.gateway": ("stream/settings/test_together.py", "names, defaults, reasons"),
    "stream.settings.kafka_security": (
        "stream/settings/test_together.py",
        "names, defaults, reasons",
    ),
    "stream.settings.scores": ("stream/settings/test_together.py", "names, defaults, reasons"),
    "stream.kafka.all_to_one": ("system/roles/test_scorer.py", "one calibrator, and its successor"),
    "stream.kafka.broker": ("system/kafka/test_broker.py", "topics on a broker that there is"),
    "stream.kafka.follow": ("system/kafka/logs/test_tail.py", "logs that go on, and become others"),
    "stream.kafka.partitions": ("stream/sources/test_feed.py", "as librdkafka and Java lay keys"),
    "stream.kafka.past": (
        "system/kafka/messages/test_transactions.py",
        "what is read again, markers among it",
    ),
    "stream.kafka.resuming": (
        "system/kafka/logs/test_replaced_logs.py",
        "groups on logs made anew",
    ),
    "stream.kafka.tail": ("system/kafka/logs/test_tail.py", "logs that go on, and become others"),
    "stream.kafka.watch": ("system/kafka/logs/test_tail.py", "logs that go on, and become others"),
    "stream.processes.lifeline": ("stream/processes/test_children.py", "parents that are killed"),
    "stream.processes.roles": (
        "system/whole/test_up.py",
        "roles that are started, watched, stopped",
    ),
    "stream.telemetry.noticed": ("stream/gateway/test_noticed.py", "as health tells it"),
    "stream.telemetry.setup": (
        "system/whole/test_metrics.py",
        "the metrics and the log of each role",
    ),
    # stream: workers and serving
    "stream.serving.loading": ("stream/serving/test_current.py", "loaded as updates come"),
    "stream.serving.model_watch": ("system/roles/test_models.py", "updates on their topic"),
    "stream.workers.assignment": (
        "system/kafka/logs/test_replaced_logs.py",
        "partitions on logs made anew",
    ),
    "stream.workers.handler": ("stream/tracker/test_role.py", "its protocol, kept by a role"),
    "stream.workers.ingest": (
        "system/roles/test_tracker.py",
        "the worker, by all that it promises",
    ),
    "stream.workers.intake": ("stream/tracker/test_role.py", "what decodes, and what does not"),
    "stream.workers.membership": (
        "stream/workers/publishing/test_delivery.py",
        "the expelled send nothing",
    ),
    "stream.workers.publishing.output": ("stream/tracker/test_role.py", "what a role gives out"),
    "stream.workers.refusals": ("stream/telemetry/test_log_lines.py", "lines, and their traces"),
    # stream: roles
    "stream.forecaster.answers": ("stream/forecaster/test_role.py", "from snapshots to forecasts"),
    "stream.forecaster.batch": ("stream/forecaster/test_role.py", "from snapshots to forecasts"),
    "stream.forecaster.snapshots": ("stream/forecaster/test_role.py", "what cannot be used, too"),
    "stream.heart.role": ("system/roles/test_heartbeats.py", "heartbeats through all roles"),
    "stream.historian.window": ("stream/historian/test_histories.py", "windows, open and closed"),
    "stream.ranker.metrics": ("stream/ranker/test_batch.py", "what obeying gains"),
    "stream.ranker.role": ("system/roles/test_ranker.py", "decisions, whoever dies"),
    "stream.ranker.shadow_caches": ("stream/ranker/test_decisions.py", "hit ratios of epochs"),
    "stream.scorer.role": ("system/roles/test_scorer.py", "scores, whoever dies"),
    "stream.tracker.activity": ("stream/tracker/test_store.py", "against the slow, obvious store"),
    "stream.tracker.columns": ("stream/tracker/test_store.py", "against the slow, obvious store"),
    "stream.tracker.kernel": ("stream/tracker/test_store.py", "against the slow, obvious store"),
    "stream.tracker.key_table": ("stream/tracker/test_store.py", "against the slow, obvious store"),
    "stream.tracker.packing": ("stream/tracker/test_store.py", "against the slow, obvious store"),
    "stream.tracker.saving": ("stream/tracker/test_store.py", "restored at any cut"),
    "stream.tracker.timers": ("stream/tracker/test_store.py", "against the slow, obvious store"),
    # stream: what people and caches touch
    "stream.doctor.checks": ("system/whole/test_doctor.py", "against a broker that there is"),
    "stream.doctor.input": ("system/whole/test_doctor.py", "against a broker that there is"),
    "stream.edge.metrics": ("stream/edge/test_service.py", "what tells the staleness"),
    "stream.edge.news": ("stream/edge/test_service.py", "who waits, and is woken"),
    "stream.edge.varnish": ("system/edge/test_varnish.py", "a Varnish that there is"),
    "stream.gateway.address": ("stream/http/test_listening.py", "addresses of all servers"),
    "stream.gateway.guard": ("stream/gateway/test_api.py", "what stands before each answer"),
    "stream.gateway.impatience": ("stream/gateway/test_server.py", "over real sockets"),
    "stream.gateway.openapi": ("stream/gateway/test_api.py", "the document of all endpoints"),
    "stream.gateway.problems": ("stream/gateway/test_api.py", "what is refused, and how"),
    "stream.gateway.queries": ("stream/gateway/test_api.py", "what is asked, and refused"),
    "stream.gateway.state": ("stream/gateway/test_api.py", "all that is answered comes of it"),
    "stream.gateway.tables.views": ("stream/gateway/test_api.py", "the types of all answers"),
    "stream.local.embedded": ("system/kafka/test_broker.py", "the broker that it starts"),
    "stream.local.observer": ("stream/local/test_board.py", "as it is shown"),
    # stream: sources
    "stream.sources.branching": ("stream/sources/test_process.py", "the laws, drawn by it"),
    "stream.sources.formats.conditions": (
        "stream/sources/formats/test_format.py",
        "what is passed over",
    ),
    "stream.sources.formats.errors": ("stream/sources/formats/test_format.py", "what is refused"),
    "stream.sources.formats.fields": ("stream/sources/formats/test_format.py", "fields, filled"),
    "stream.sources.messages": ("stream/sources/test_feed.py", "batches, fed"),
    "stream.sources.parameters": ("stream/sources/test_simulate.py", "the file, read and refused"),
    "stream.sources.too_late": ("stream/commands/test_traffic.py", "what the command refuses"),
    # stream: the command line
    "stream.__main__": ("system/whole/test_up.py", "how `tidecast up` starts roles"),
    "stream.commands.broker": ("system/kafka/test_broker.py", "the broker in the foreground"),
    "stream.commands.dead_letters": (
        "system/kafka/messages/test_dead_letters.py",
        "letters on a broker",
    ),
    "stream.commands.models.evaluate_display": (
        "stream/commands/models/test_evaluate.py",
        "what the command says",
    ),
    "stream.commands.models.options": (
        "stream/commands/models/test_evaluate.py",
        "options, given",
    ),
    "stream.commands.models.publish": ("system/whole/test_promotion.py", "versions that take over"),
    "stream.commands.models.report": ("stream/commands/models/test_train.py", "what is told"),
    "stream.commands.models.show": ("system/whole/test_promotion.py", "what a version has done"),
}
# What is started and not imported.
PROCESSES = {"stream.processes.lifeline"}


def mirror_of(module: str) -> Path:
    """Where the test of a module belongs."""
    *room, name = module.split(".")
    return TESTS.joinpath(*room, f"test_{name}.py")


def imported_by(test: Path) -> set[str]:
    """What a test imports, and what it shares with other tests: modules, and names in modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(test.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            found |= names
            for name in names:
                shared = ROOT.joinpath(*name.split(".")).with_suffix(".py")
                if name.startswith("tests.") and shared.exists():
                    found |= imported_by(shared)
    return found


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Who imports whom in the product."""
    return grimp.build_graph(*PACKAGES, cache_dir=None)


@pytest.mark.parametrize("module", sorted(MODULES | THROUGH.keys()))
def test_a_module_has_its_test_or_says_whose_it_is(module: str) -> None:
    assert module in MODULES, "it is gone: so its line may go"
    assert mirror_of(module).exists() != (module in THROUGH), (
        f"{mirror_of(module).relative_to(ROOT)}: a test there, or a line here, and not both"
    )


@pytest.mark.parametrize("module", sorted(THROUGH))
def test_whose_test_it_is_goes_through_the_module(module: str, graph: grimp.ImportGraph) -> None:
    path, reason = THROUGH[module]
    test = TESTS / path
    assert test.exists()
    assert reason
    if not path.startswith("system/") and module not in PROCESSES:
        imported = imported_by(test) & graph.modules
        assert module in imported.union(*map(graph.find_upstream_modules, imported))
