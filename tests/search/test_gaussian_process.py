import numpy as np
import pytest

from phylon.search.forest import Forest
from phylon.search.gaussian_process import Floats, GaussianProcess, Setting

SETTING = Setting(length=1.0, noise=1e-3, power=0.0)
NONE = np.zeros((0, 2))


def plane(n: int, seed: int = 0) -> tuple[Floats, Floats]:
    x = np.random.default_rng(seed).uniform(-1, 1, (n, 2))
    return x, np.sin(3 * x[:, 0]) + x[:, 1]


def test_left_out_predictions_are_those_of_a_process_without_the_point() -> None:
    x, y = plane(12)
    found = GaussianProcess(x, y, np.zeros(12), SETTING).left_out()
    for i in range(12):
        rest = np.arange(12) != i
        without = GaussianProcess(x[rest], y[rest], np.zeros(11), SETTING)
        assert found[i] == pytest.approx(without.predict(x[[i]], NONE)[0][0], abs=1e-8)


def test_what_was_measured_is_certain_and_what_is_far_is_not() -> None:
    x, y = plane(30)
    process = GaussianProcess(x, y, np.zeros(30), SETTING)
    mean, deviation = process.predict(np.vstack([x[:3], [[9.0, 9.0]]]), NONE)
    np.testing.assert_allclose(mean[:3], y[:3], atol=0.1)
    assert deviation[:3].max() < 0.2 * deviation[3]
    assert mean[3] == pytest.approx(0, abs=1e-6)


def test_noisy_points_count_less() -> None:
    x, y = np.zeros((2, 2)), np.array([1.0, -1.0])
    trusted = GaussianProcess(x, y, np.array([0.0, 10.0]), SETTING)
    assert trusted.predict(x[:1], NONE)[0][0] > 0.9


@pytest.mark.parametrize("kind", [GaussianProcess, Forest])
def test_near_pending_points_less_is_unknown_but_nothing_else_is_expected(
    kind: type[GaussianProcess] | type[Forest],
) -> None:
    x, y = plane(60)
    noise = np.random.default_rng(1).normal(0, 0.3, 60)
    model = (
        GaussianProcess(x, y + noise, np.zeros(60), SETTING)
        if kind is GaussianProcess
        else Forest(x, y + noise, 0)
    )
    points = np.array([[1.5, 1.5], [-1.5, -1.5]])
    before, after = (model.predict(points, soon) for soon in (NONE, points[:1]))
    np.testing.assert_allclose(before[0], after[0])
    assert after[1][0] < 0.2 * before[1][0]
    assert after[1][1] > 0.9 * before[1][1]


def test_the_likeliest_setting_tells_smooth_from_noisy() -> None:
    x, y = plane(60)
    smooth = GaussianProcess.likeliest(x, y, np.zeros(60))
    chance = np.random.default_rng(2).normal(size=60)
    noisy = GaussianProcess.likeliest(x, chance, np.zeros(60))
    assert smooth.noise < noisy.noise


def test_columns_that_say_nothing_are_found_to_count_less() -> None:
    """With 30 columns of chance, what is relevant is foreseen far better if that is told apart."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (100, 32))
    y = np.square(x[:, 0]) * 3 + x[:, 1]
    nothing = np.zeros(100)
    chosen = GaussianProcess.likeliest(x, y, nothing)
    assert chosen.power > 0
    alike = Setting(chosen.length, chosen.noise, power=0.0)
    errors = [
        np.abs(GaussianProcess(x, y, nothing, each).left_out() - y).mean()
        for each in (chosen, alike)
    ]
    assert errors[0] < 0.7 * errors[1]


def test_forests_foresee_what_they_have_not_seen() -> None:
    x, y = plane(300)
    forest = Forest(x, y, 0)
    assert np.corrcoef(forest.left_out(), y)[0, 1] > 0.9
    again, truth = plane(50, seed=1)
    assert np.corrcoef(forest.predict(again, NONE)[0], truth)[0, 1] > 0.9
