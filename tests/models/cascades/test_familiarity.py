"""How strange cascades are: by the plain definition, at the bounds, alone as beside others."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.cascades.batch import gather
from models.cascades.familiarity import COLUMNS, Familiarity, familiarity_of
from models.cascades.features import HORIZON_NAMES, NAMES, features_of
from models.cascades.observations import Observations, end_of, observe
from models.data.datasets import snapshot_at
from tests.models.recorded import made

CASCADES = made(60)


@pytest.fixture(scope="module")
def seen() -> list[Observations]:
    rng = np.random.default_rng(0)
    return list(observe(CASCADES, end_of(CASCADES), rng, ages=6, horizons=2))


@pytest.fixture(scope="module")
def familiarity(seen: list[Observations]) -> Familiarity:
    return familiarity_of(seen)


def rows_of(seen: list[Observations]) -> NDArray[np.float64]:
    rows = [features_of(one.batch, one.horizons) for one in seen]
    return np.concatenate([each.reshape(-1, each.shape[-1]) for each in rows])


def test_the_hours_of_a_day_are_left_out() -> None:
    names = [*NAMES, *HORIZON_NAMES]
    left = {names[index] for index in set(range(len(names))) - set(COLUMNS.tolist())}
    assert left == {name for name in names if "hour" in name}
    assert len(left) == 6


def test_a_hundredth_of_the_training_observations_is_strange(
    seen: list[Observations], familiarity: Familiarity
) -> None:
    strange = familiarity.strangeness(rows_of(seen))
    assert (strange > 0).mean() == pytest.approx(0.01, abs=0.002)
    assert (strange == 1).mean() == pytest.approx(0.001, abs=0.001)


def test_distances_are_mahalanobis_distances(
    seen: list[Observations], familiarity: Familiarity
) -> None:
    rows = rows_of(seen)
    scaled = np.clip((rows[:, COLUMNS] - familiarity.centre) / familiarity.scale, -6, 6)
    covariance = np.cov(scaled.T) + 0.02 * np.eye(len(COLUMNS))
    inverse = np.linalg.inv(covariance)
    distance = np.sqrt(np.einsum("ni,ij,nj->n", scaled, inverse, scaled) / len(COLUMNS))
    near, far = np.quantile(distance, [0.99, 0.999])
    np.testing.assert_allclose(familiarity.bounds, [near, far], rtol=1e-6)
    expected = np.clip((distance - near) / (far - near), 0, 1)
    np.testing.assert_allclose(familiarity.strangeness(rows), expected, atol=1e-5)


def test_what_is_far_out_is_wholly_strange(familiarity: Familiarity) -> None:
    snapshots = [snapshot_at(cascade, 3_600.0) for cascade in CASCADES[:5]]
    rows = features_of(gather(snapshots), np.full((5, 3), 86_400.0))
    assert familiarity.strangeness(rows).shape == (5, 3)
    assert (familiarity.strangeness(rows + 50.0) == 1).all()


def test_one_row_does_not_depend_on_the_others_to_the_bit(
    seen: list[Observations], familiarity: Familiarity
) -> None:
    rows = rows_of(seen)
    farthest = rows[np.argsort(familiarity.strangeness(rows))[-40:]]
    together = familiarity.strangeness(farthest)
    alone = [familiarity.strangeness(farthest[i : i + 1])[0] for i in range(len(farthest))]
    np.testing.assert_array_equal(alone, together)


def test_it_comes_back_from_its_file(familiarity: Familiarity, tmp_path: Path) -> None:
    familiarity.save(tmp_path / "file")
    for one, other in zip(familiarity, Familiarity.load(tmp_path / "file"), strict=True):
        np.testing.assert_array_equal(one, other)
    (tmp_path / "file").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="file: "):
        Familiarity.load(tmp_path / "file")
