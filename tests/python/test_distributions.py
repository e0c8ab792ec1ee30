"""`lamina.distributions`: laws against SciPy, draws against their moments, and refusals."""

from __future__ import annotations

import math

import lamina
import numpy as np
import pytest
import scipy.stats
from lamina import distributions
from lamina.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    Normal,
    Uniform,
    kl_divergence,
)

RNG = np.random.default_rng(0)
LOC, SCALE = RNG.normal(size=(2, 3)), RNG.uniform(0.3, 2, size=(2, 3))
PROBS = RNG.uniform(0.05, 0.95, size=(2, 3))
TABLE = RNG.uniform(0.1, 1, size=(2, 3, 4))
SHARES = TABLE / TABLE.sum(-1, keepdims=True)


def t(array):
    return lamina.tensor(np.asarray(array))


# Each with its law in SciPy.
LAWS = {
    "Normal": (lambda: Normal(t(LOC), t(SCALE)), scipy.stats.norm(LOC, SCALE)),
    "Uniform": (lambda: Uniform(t(LOC), t(LOC + SCALE)), scipy.stats.uniform(LOC, SCALE)),
    "Bernoulli": (lambda: Bernoulli(t(PROBS)), scipy.stats.bernoulli(PROBS)),
    "Bernoulli:logits": (
        lambda: Bernoulli(logits=t(np.log(PROBS / (1 - PROBS)))),
        scipy.stats.bernoulli(PROBS),
    ),
}
laws = pytest.mark.parametrize("name", LAWS)


def close(got, want, rtol=1e-12):
    assert tuple(got.shape) == np.shape(want)
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=rtol, atol=1e-13)


@laws
def test_a_law_is_scipys(name):
    make, law = LAWS[name]
    made = make()
    assert isinstance(made, Distribution)
    assert tuple(made.batch_shape) == (2, 3)
    assert tuple(made.event_shape) == ()
    close(made.mean, law.mean())
    close(made.variance, law.var())
    close(made.stddev, law.std())
    close(made.entropy(), law.entropy(), rtol=1e-9)
    close(made.perplexity(), np.exp(law.entropy()), rtol=1e-9)
    values = law.rvs((5, 2, 3), random_state=1)
    log = law.logpmf if "Bernoulli" in name else law.logpdf
    close(made.log_prob(t(values.astype("float64"))), log(values), rtol=1e-10)
    if "Bernoulli" not in name:
        close(made.cdf(t(values)), law.cdf(values), rtol=1e-10)
        close(made.icdf(t(law.cdf(values))), values, rtol=1e-8)


@laws
def test_draws_have_the_moments_of_the_law(name):
    lamina.manual_seed(0)
    make, law = LAWS[name]
    count = 20_000
    draws = make().sample((count,))
    assert tuple(draws.shape) == (count, 2, 3)
    assert draws.dtype == lamina.float64
    got = draws.numpy()
    # Six standard errors; that of the variance from the fourth moment of the law itself.
    assert (abs(got.mean(0) - law.mean()) < 6 * law.std() / math.sqrt(count)).all()
    kurtosis = law.stats(moments="k") + 3
    error = law.var() * np.sqrt((kurtosis - 1) / count)
    assert (abs(got.var(0) - law.var()) < 6 * error + 1e-4).all()
    if "Bernoulli" in name:
        assert set(np.unique(got)) == {0.0, 1.0}
    else:  # and the whole law, by Kolmogorov and Smirnov
        statistic = scipy.stats.kstest(law.cdf(got)[:, 0, 0], "uniform").pvalue
        assert statistic > 1e-6


@laws
def test_shapes_of_draws_and_expansion(name):
    made = LAWS[name][0]()
    assert tuple(made.sample().shape) == (2, 3)
    assert tuple(made.sample((4, 5)).shape) == (4, 5, 2, 3)
    assert tuple(made.sample(lamina.Size([0])).shape) == (0, 2, 3)
    assert not made.sample().requires_grad
    wide = made.expand((7, 2, 3))
    assert type(wide) is type(made)
    assert tuple(wide.batch_shape) == (7, 2, 3)
    close(wide.entropy(), np.broadcast_to(made.entropy().numpy(), (7, 2, 3)))
    assert tuple(wide.sample((4,)).shape) == (4, 7, 2, 3)
    with pytest.raises(TypeError, match=r"a tuple of integers, got 3; \(3,\) draws that many"):
        made.sample(3)


@pytest.mark.parametrize("given", ["probs", "logits"])
def test_categorical(given):
    made = Categorical(t(TABLE)) if given == "probs" else Categorical(logits=t(np.log(TABLE)))
    assert tuple(made.batch_shape) == (2, 3)
    assert tuple(made.param_shape) == (2, 3, 4)
    close(made.probs, SHARES)
    close(made.logits, np.log(SHARES))
    close(made.entropy(), scipy.stats.entropy(SHARES, axis=-1))
    assert made.mode.tolist() == SHARES.argmax(-1).tolist()
    assert made.mean.isnan().all()
    assert tuple(made.variance.shape) == (2, 3)
    values = RNG.integers(0, 4, size=(5, 2, 3))
    want = np.log(np.take_along_axis(np.broadcast_to(SHARES, (5, 2, 3, 4)), values[..., None], -1))
    close(made.log_prob(t(values)), want[..., 0])
    alike = np.log(np.moveaxis(SHARES, -1, 0))[values[:, 0, 0]]  # one value for the whole batch
    close(made.log_prob(t(values[:, :1, :1])), alike)
    close(made.expand((6, 2, 3)).entropy(), np.broadcast_to(made.entropy().numpy(), (6, 2, 3)))
    assert tuple(made.enumerate_support().shape) == (4, 2, 3)
    assert made.enumerate_support(expand=False).flatten().tolist() == [0, 1, 2, 3]
    lamina.manual_seed(1)
    draws = made.sample((20_000,))
    assert draws.dtype == lamina.int64
    for category in range(4):
        share = (draws.numpy() == category).mean(0)
        want = SHARES[..., category]
        assert (abs(share - want) < 6 * np.sqrt(want * (1 - want) / 20_000)).all()
    assert tuple(made.sample().shape) == (2, 3)
    assert tuple(Categorical(t([1.0, 1.0])).sample().shape) == ()
    assert tuple(made.sample((0,)).shape) == (0, 2, 3)


def test_what_is_impossible_is_as_improbable_as_rounding_allows():
    eps = np.finfo("float64").eps
    sure = Categorical(t([0.0, 1.0]))
    close(sure.log_prob(t([0, 1])), [math.log(eps), math.log(1 - eps)])
    close(Bernoulli(t(0.0)).log_prob(t(1.0)), math.log(eps), rtol=1e-9)
    assert Bernoulli(t([0.0, 1.0])).sample((50,)).tolist() == [[0.0, 1.0]] * 50
    assert sure.sample((50,)).tolist() == [1] * 50
    sharp = Categorical(logits=t([-np.inf, 0.0]))
    assert sharp.entropy().item() == 0.0
    assert sharp.probs.tolist() == [0.0, 1.0]


def test_modes():
    close(Normal(t(LOC), 1.0).mode, LOC)
    assert Bernoulli(t([0.2, 0.7])).mode.tolist() == [0.0, 1.0]
    assert Bernoulli(0.5).mode.isnan().item()
    assert Uniform(0.0, 1.0).mode.isnan().item()


def test_gradients_pass_through_rsample_and_log_prob():
    for law in (Normal, Uniform):
        low = t([0.0, 1.0]).requires_grad_()
        high = t([2.0, 4.0]).requires_grad_()
        made = law(low, high)
        assert made.has_rsample
        draw = made.rsample((3,))
        draw.sum().backward()
        noise = (draw.detach() - low.detach()) / (high - low if law is Uniform else high).detach()
        want = 3.0 - noise.numpy().sum(0) if law is Uniform else np.full(2, 3.0)
        close(low.grad, want, rtol=1e-9)
        close(high.grad, noise.numpy().sum(0), rtol=1e-9)
        same = lamina.get_rng_state()
        first = made.sample()
        lamina.set_rng_state(same)
        assert made.rsample().tolist() == first.tolist()
    logits = t([0.1, 0.2, 0.3]).requires_grad_()
    Categorical(logits=logits).log_prob(t(2)).backward()
    shares = np.exp([0.1, 0.2, 0.3]) / np.exp([0.1, 0.2, 0.3]).sum()
    close(logits.grad, np.array([0, 0, 1]) - shares)
    for made in (Bernoulli(0.5), Categorical(t([1.0]))):
        assert not made.has_rsample
        with pytest.raises(NotImplementedError, match=r"no gradient passes .* use sample\(\)"):
            made.rsample()


def test_numbers_take_the_tensors_dtype():
    assert Normal(0, 1).loc.dtype == lamina.float32
    assert Normal(t(LOC), 2).scale.dtype == lamina.float64
    assert tuple(Normal(t(LOC), 2).scale.shape) == (2, 3)
    assert Bernoulli(0.5).sample().dtype == lamina.float32
    assert tuple(Uniform(lamina.zeros(2, 1), lamina.ones(3)).batch_shape) == (2, 3)


def test_independent():
    base = Normal(t(LOC), t(SCALE))
    for ndims, batch, event in ((0, (2, 3), ()), (1, (2,), (3,)), (2, (), (2, 3))):
        made = Independent(base, ndims)
        assert (tuple(made.batch_shape), tuple(made.event_shape)) == (batch, event)
        axes = tuple(range(2 - ndims, 2))
        values = RNG.normal(size=(5, 2, 3))
        law = scipy.stats.norm(LOC, SCALE)
        close(made.log_prob(t(values)), law.logpdf(values).sum(tuple(a + 1 for a in axes)))
        close(made.entropy(), law.entropy().sum(axes), rtol=1e-9)
        close(made.mean, LOC)
        close(made.variance, SCALE**2)
        assert tuple(made.rsample((4,)).shape) == (4, 2, 3)
        assert tuple(made.expand((6, *batch)).batch_shape) == (6, *batch)
        assert tuple(made.expand((6, *batch)).event_shape) == event
        assert made.has_rsample
    bits = Independent(Bernoulli(t(PROBS)), 1)
    assert not bits.has_rsample
    assert tuple(bits.sample((3,)).shape) == (3, 2, 3)
    with pytest.raises(NotImplementedError, match="draws of several numbers are not listed"):
        bits.enumerate_support()
    assert tuple(Independent(Bernoulli(0.5), 0).enumerate_support().shape) == (2,)


# -- divergence ----------------------------------------------------------------------------------


def integral(p, q, low, high):
    """The divergence of two laws of SciPy, by quadrature."""

    def integrand(x):
        return p.pdf(x) * (p.logpdf(x) - q.logpdf(x))

    return scipy.integrate.quad(integrand, low, high, epsabs=1e-12)[0]


def test_divergences_of_densities():
    norm, uniform = scipy.stats.norm, scipy.stats.uniform
    got = kl_divergence(Normal(t(0.3), t(0.7)), Normal(t(-0.2), t(1.1)))
    close(got, integral(norm(0.3, 0.7), norm(-0.2, 1.1), -8, 8), rtol=1e-9)
    got = kl_divergence(Uniform(t(0.5), t(2.0)), Normal(t(-0.2), t(1.1)))
    close(got, integral(uniform(0.5, 1.5), norm(-0.2, 1.1), 0.5, 2.0), rtol=1e-9)
    got = kl_divergence(Uniform(t(0.5), t(2.0)), Uniform(t(0.0), t(3.0)))
    close(got, integral(uniform(0.5, 1.5), uniform(0, 3), 0.5, 2.0), rtol=1e-9)
    got = kl_divergence(Uniform(t([0.5, -1.0]), t(2.0)), Uniform(t(0.0), t([1.0, 3.0])))
    assert got.tolist() == [math.inf, math.inf]
    assert kl_divergence(Normal(t(LOC), 1.0), Uniform(0.0, 1.0)).tolist() == [[math.inf] * 3] * 2
    p, q = Normal(t(LOC), t(SCALE)), Normal(t(SCALE), t(1.0))
    each = kl_divergence(p, q)
    close(kl_divergence(Independent(p, 1), Independent(q, 1)), each.numpy().sum(-1))


def test_divergences_of_probabilities():
    p, q = RNG.uniform(0.1, 0.9, 5), RNG.uniform(0.1, 0.9, 5)
    want = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    close(kl_divergence(Bernoulli(t(p)), Bernoulli(t(q))), want, rtol=1e-9)
    other = np.roll(SHARES, 1, -1)
    want = (SHARES * np.log(SHARES / other)).sum(-1)
    close(kl_divergence(Categorical(t(SHARES)), Categorical(t(other))), want, rtol=1e-9)
    edges = kl_divergence(
        Bernoulli(t([0.0, 1.0, 0.5, 0.5])), Bernoulli(t([0.0, 1.0, 0.0, 1.0]))
    ).tolist()
    assert edges == [0.0, 0.0, math.inf, math.inf]
    none = Categorical(t([0.5, 0.5, 0.0]))
    close(kl_divergence(none, Categorical(t([0.5, 0.25, 0.25]))), 0.5 * math.log(2), rtol=1e-9)
    assert kl_divergence(Categorical(t([0.5, 0.5])), Categorical(t([1.0, 0.0]))).item() == math.inf


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda: Normal(0.0, -1.0), ValueError, "Normal: scale must be positive, got -1.0"),
        (lambda: Normal(math.nan, 1.0), ValueError, "Normal: loc must be real, got nan"),
        (lambda: Normal(t(LOC), 0), ValueError, r"scale must be positive, got a tensor \[2, 3\]"),
        (lambda: Normal("a", 1.0), ValueError, "must be tensors or numbers, got str"),
        (lambda: Normal(0.0, 1.0).log_prob(1.0), ValueError, "must be a Tensor, got float"),
        (lambda: Normal(0.0, 1.0).log_prob(t(math.nan)), ValueError, "must be real, got nan"),
        (
            lambda: Normal(t(LOC), 1.0).log_prob(t([0.0] * 5)),
            ValueError,
            r"does not fit\n  value  \[5\]\n  batch  \[2, 3\]\n  event  \[\]",
        ),
        (
            lambda: Independent(Normal(t(LOC), 1.0), 1).log_prob(t([0.0] * 4)),
            ValueError,
            "does not fit",
        ),
        (lambda: Uniform(1.0, 1.0), ValueError, "low must be less than high, got 1.0"),
        (lambda: Uniform(0.0, 1.0).log_prob(t(2.0)), ValueError, "between low and high, got 2.0"),
        (lambda: Bernoulli(1.5), ValueError, "probs must be between 0 and 1, got 1.5"),
        (lambda: Bernoulli(), ValueError, "give probs or logits, and not both"),
        (lambda: Bernoulli(0.5, 0.5), ValueError, "give probs or logits, and not both"),
        (lambda: Bernoulli(0.5).log_prob(t(0.5)), ValueError, "must be 0 or 1, got 0.5"),
        (lambda: Categorical(t(1.0)), ValueError, r"must have a dimension of categories, got \[\]"),
        (lambda: Categorical(t([-1.0, 2.0])), ValueError, "probs must be non-negative"),
        (lambda: Categorical(t([0.0, 0.0])), ValueError, "with a positive and finite sum"),
        (lambda: Categorical([1.0]), ValueError, "probs must be a Tensor, got list"),
        (lambda: Categorical(t([1.0, 1.0])).log_prob(t(2)), ValueError, "integer from 0 to 1, got"),
        (lambda: Categorical(t([1.0, 1.0])).log_prob(t(0.5)), ValueError, "integer from 0 to 1"),
        (
            lambda: Independent(Normal(0.0, 1.0), 1),
            ValueError,
            r"must be between 0 and 0, the dimensions of the batch \[\], got 1",
        ),
        (
            lambda: kl_divergence(Normal(0.0, 1.0), Bernoulli(0.5)),
            NotImplementedError,
            "no formula for Normal and Bernoulli; there is one for Normal-Normal, ",
        ),
        (
            lambda: kl_divergence(Independent(Normal(t(LOC), 1.0), 1), Independent(
                Normal(t(LOC), 1.0), 2)),
            NotImplementedError,
            "must reinterpret as many dimensions, got 1 and 2",
        ),
        (lambda: Distribution.set_default_validate_args(1), ValueError, "needs a bool, got 1"),
        (lambda: Distribution().mean, NotImplementedError, "Distribution has no mean"),
        (lambda: distributions.Norml, AttributeError, "no 'Norml'.*; nearest: Normal"),
        (lambda: distributions.Poisson, AttributeError, r"PyTorch's torch.distributions.Poisson"),
    ],
)  # fmt: skip
def test_bad_use(act, error, text):
    with pytest.raises(error, match=text):
        act()


def test_checks_can_be_left_out():
    assert Normal(0.0, -1.0, validate_args=False).scale.item() == -1.0
    uniform = Uniform(0.0, 1.0, validate_args=False)
    assert uniform.log_prob(t([1.0, -1.0])).tolist() == [-math.inf, -math.inf]
    assert uniform.expand((2,)).log_prob(t(3.0)).tolist() == [-math.inf] * 2
    Distribution.set_default_validate_args(False)
    try:
        assert Bernoulli(2.0).probs.item() == 2.0
    finally:
        Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Bernoulli(2.0)


def test_texts():
    assert repr(Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"
    assert repr(Normal(t(LOC), 1.0)) == "Normal(loc: a tensor [2, 3], scale: a tensor [2, 3])"
    assert repr(Bernoulli(logits=0.5)) == "Bernoulli(logits: 0.5)"
    text = repr(Independent(Uniform(t(LOC), 9.0), 1))
    assert text == "Independent(Uniform(low: a tensor [2, 3], high: a tensor [2, 3]), 1)"
