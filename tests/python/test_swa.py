"""`lamina.optim.swa_utils`: averages of models."""

from __future__ import annotations

import lamina
import numpy as np
import pytest
from lamina import nn
from lamina.optim import swa_utils


def model():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to(lamina.float64)


def train(average, m, steps=6):
    """Six models, of which each is averaged; their states."""
    rng = np.random.default_rng(4)
    states = []
    for _ in range(steps):
        with lamina.no_grad():
            for tensor in [*m.parameters(), *m.buffers()]:
                if tensor.is_floating_point():
                    values = rng.normal(size=tuple(tensor.shape)).tolist()
                    tensor.copy_(lamina.tensor(values, dtype=lamina.float64))
                else:
                    tensor += 2
        average.update_parameters(m)
        states.append({k: np.array(v.tolist()) for k, v in m.state_dict().items()})
    return states


def plain_mean(values):
    return np.mean(values, axis=0)


def fading(values, decay=0.9):
    found = values[0]
    for value in values[1:]:
        found = decay * found + (1 - decay) * value
    return found


KINDS = [
    ({}, plain_mean),
    ({"avg_fn": swa_utils.get_swa_avg_fn()}, plain_mean),
    ({"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}, plain_mean),
    ({"avg_fn": swa_utils.get_ema_avg_fn(0.9)}, fading),
    ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.9)}, fading),
]


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize(("options", "expected"), KINDS)
def test_averages(options, expected, use_buffers):
    m = model()
    average = swa_utils.AveragedModel(m, use_buffers=use_buffers, **options)
    states = train(average, m)
    found = average.state_dict()
    assert set(found) == {"n_averaged", *(f"module.{key}" for key in m.state_dict())}
    assert found["n_averaged"].item() == 6
    assert found["n_averaged"].dtype == lamina.int64
    parameters = {name for name, _ in m.named_parameters()}
    for key in states[0]:
        value = found[f"module.{key}"]
        if key not in parameters and not use_buffers:
            np.testing.assert_array_equal(value.tolist(), states[-1][key])
        elif value.is_floating_point():
            want = expected([state[key] for state in states])
            np.testing.assert_allclose(value.tolist(), want, rtol=1e-12, atol=1e-15)
        else:  # an integer average is cut off at each step
            assert states[0][key] <= value.item() <= states[-1][key]


def test_the_copy_is_a_model_of_its_own():
    m = model().eval()
    average = swa_utils.AveragedModel(m)
    average.update_parameters(m)
    x = lamina.ones(4, 3, dtype=lamina.float64)
    np.testing.assert_array_equal(average(x).tolist(), m(x).tolist())
    assert average.module[0].weight is not m[0].weight
    assert all(p.is_leaf for p in average.parameters())
    other = swa_utils.AveragedModel(model())
    other.load_state_dict(average.state_dict())
    assert other.n_averaged.item() == 1
    np.testing.assert_array_equal(other.eval()(x).tolist(), m(x).tolist())


def test_an_equal_model_does_not_move_the_average():
    m = model()
    average = swa_utils.AveragedModel(m, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.999))
    for _ in range(50):
        average.update_parameters(m)
    assert average.module[0].weight.tolist() == m[0].weight.tolist()


def test_update_bn():
    rng = np.random.default_rng(2)
    batches = [rng.normal(size=(8, 2)) * 3 + 1 for _ in range(3)]
    m = nn.Sequential(nn.BatchNorm1d(2, momentum=0.3), nn.Dropout(0.5)).double().eval()
    loader = [(lamina.tensor(b.tolist(), dtype=lamina.float64), None) for b in batches]
    swa_utils.update_bn(loader, m)
    np.testing.assert_allclose(m[0].running_mean.tolist(), np.mean([b.mean(0) for b in batches], 0))
    variances = [b.var(0, ddof=1) for b in batches]
    np.testing.assert_allclose(m[0].running_var.tolist(), np.mean(variances, 0))
    assert m[0].momentum == 0.3
    assert not m.training
    assert m[0].num_batches_tracked.item() == 3
    swa_utils.update_bn([None], nn.Linear(1, 1))  # without batch norm there is nothing to do


def test_momenta_come_back_after_an_error():
    m = nn.Sequential(nn.BatchNorm1d(2))
    with pytest.raises(ValueError, match="batch_norm"):
        swa_utils.update_bn([lamina.ones(3, 5)], m)
    assert m[0].momentum == 0.1


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"decay of an average must be in \[0, 1\], got 1.5"):
        swa_utils.get_ema_avg_fn(1.5)
    with pytest.raises(ValueError, match=r"decay of an average must be in \[0, 1\], got -1"):
        swa_utils.get_ema_multi_avg_fn(-1)
    with pytest.raises(ValueError, match="AveragedModel: give avg_fn or multi_avg_fn, not both"):
        swa_utils.AveragedModel(
            model(),
            avg_fn=swa_utils.get_swa_avg_fn(),
            multi_avg_fn=swa_utils.get_swa_multi_avg_fn(),
        )
    with pytest.raises(ValueError, match="lerp_many: source does not fit its tensor"):
        swa_utils.get_swa_multi_avg_fn()([lamina.ones(2)], [lamina.ones(3)], 1)
