"""The compiled trees against LightGBM, which grew them, and against the plain walk down a tree."""

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from models.kernels import trees


def grown(leaves: int, rounds: int, objective: str = "quantile") -> lightgbm.Booster:
    rng = np.random.default_rng(leaves)
    rows = rng.normal(size=(3_000, 6))
    # Two columns of few values, so that rows lie on thresholds.
    rows[:, 4:] = rng.integers(0, 4, (3_000, 2))
    target = rows[:, 0] * rows[:, 4] + np.sin(3 * rows[:, 1]) + rng.normal(size=3_000)
    parameters = {
        "objective": objective,
        "alpha": 0.75,
        "num_leaves": leaves,
        "min_data_in_leaf": 5,
        "verbose": -1,
        "num_threads": 1,
    }
    return lightgbm.train(parameters, lightgbm.Dataset(rows, target), rounds)


def rows_for(count: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(count, 6))
    rows[:, 4:] = rng.integers(-1, 5, (count, 2))
    return rows


@pytest.mark.parametrize("leaves", [2, 3, 31, 64])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 300])
def test_the_sums_are_those_of_lightgbm_to_the_bit(leaves: int, count: int) -> None:
    models = [grown(leaves, 20), grown(2, 3)]
    got = trees.predict(trees.parse([m.model_to_string() for m in models]), rows_for(count))
    assert got.shape == (count, 2)
    for column, model in enumerate(models):
        if count:
            np.testing.assert_array_equal(got[:, column], model.predict(rows_for(count)))


def test_a_model_that_found_nothing_to_split_is_a_constant() -> None:
    flat = lightgbm.train(
        {"objective": "regression", "verbose": -1, "min_data_in_leaf": 10_000},
        lightgbm.Dataset(np.zeros((50, 6)), np.full(50, 3.0)),
        2,
    )
    got = trees.predict(trees.parse([flat.model_to_string()]), rows_for(5))
    np.testing.assert_array_equal(got[:, 0], flat.predict(rows_for(5)))


def test_rows_fall_where_a_walk_down_the_tree_leads() -> None:
    model = grown(40, 1)
    tree = model.dump_model()["tree_info"][0]["tree_structure"]

    def walk(row: NDArray[np.float64]) -> float:
        node = tree
        while "leaf_value" not in node:
            left = row[node["split_feature"]] <= node["threshold"]
            node = node["left_child" if left else "right_child"]
        return float(node["leaf_value"])

    got = trees.predict(trees.parse([model.model_to_string()]), rows_for(200))[:, 0]
    assert got.tolist() == [walk(row) for row in rows_for(200)]


def test_more_leaves_than_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="65 leaves; expected up to 64"):
        trees.parse([grown(65, 1).model_to_string()])


@pytest.mark.parametrize("text", ["", "tree\nversion=v4\n", "\nTree=0\nleaf_value=1\n"])
def test_what_is_not_a_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a model"):
        trees.parse([text])


def test_a_tree_without_its_thresholds_is_refused() -> None:
    text = grown(3, 1).model_to_string().replace("\nthreshold=", "\nother=")
    with pytest.raises(ValueError, match="no threshold"):
        trees.parse([text])


def test_categorical_splits_are_refused() -> None:
    rows = np.random.default_rng(0).integers(0, 5, (500, 1)).astype(float)
    model = lightgbm.train(
        {"verbose": -1, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1},
        lightgbm.Dataset(rows, (rows[:, 0] % 2), categorical_feature=[0]),
        1,
    )
    with pytest.raises(ValueError, match="categories"):
        trees.parse([model.model_to_string()])
