"""Random numbers: the law of every function at fixed seeds, generators, and reproducible bits."""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import subprocess
import sys

import lamina
import numpy as np
import pytest
from lamina import _core
from scipy import stats

N = 20000
# A correct law gives a smaller p-value than this for one seed in a thousand; the seeds are fixed.
REJECT = 1e-3


def follows(sample, cdf):
    """Kolmogorov and Smirnov's test of a continuous law."""
    assert stats.kstest(np.asarray(sample, np.float64).reshape(-1), cdf).pvalue > REJECT


def counts(observed, probabilities):
    """The chi-square test of a discrete law."""
    probabilities = np.asarray(probabilities, np.float64)
    expected = probabilities / probabilities.sum() * np.sum(observed)
    assert (np.asarray(observed)[expected == 0] == 0).all()
    kept = expected > 0
    if kept.sum() == 1:  # certain, and so it was
        return
    assert stats.chisquare(np.asarray(observed)[kept], expected[kept]).pvalue > REJECT


def tally(values, low, high):
    values = np.asarray(values.numpy() if isinstance(values, lamina.Tensor) else values, np.int64)
    assert values.min() >= low
    assert values.max() < high
    return np.bincount(values.reshape(-1) - low, minlength=high - low)


UNIFORM = {
    "rand": lambda kind: lamina.rand(N, dtype=kind),
    "rand_like": lambda kind: lamina.rand_like(lamina.zeros(N, dtype=kind)),
    "uniform_": lambda kind: (lamina.empty(N, dtype=kind).uniform_(-3, 5) + 3) / 8,
}
NORMAL = {
    "randn": lambda kind: lamina.randn(N, dtype=kind),
    "randn_like": lambda kind: lamina.randn_like(lamina.zeros(N, dtype=kind)),
    "normal_": lambda kind: (lamina.empty(N, dtype=kind).normal_(-1, 2) + 1) / 2,
    "normal of numbers": lambda kind: (lamina.normal(3.0, 0.5, (N,), dtype=kind) - 3) * 2,
    "normal of a mean": lambda kind: lamina.normal(lamina.full((N,), 3.0, dtype=kind)) - 3,
    "normal of a std": lambda kind: lamina.normal(0.0, lamina.full((N,), 2.0, dtype=kind)) / 2,
    "normal of both": lambda kind: (
        lamina.normal(lamina.arange(10, dtype=kind), lamina.ones(N // 10, 1, dtype=kind))
        - lamina.arange(10, dtype=kind)
    ),
}
INTEGERS = {
    "randint": lambda: lamina.randint(-2, 8, (N,)),
    "randint of int32": lambda: lamina.randint(-2, 8, (N,), dtype=lamina.int32),
    "randint of float32": lambda: lamina.randint(-2, 8, (N,), dtype=lamina.float32),
    "randint_like": lambda: lamina.randint_like(lamina.zeros(N), -2, 8),
    "random_": lambda: lamina.empty(N, dtype=lamina.int64).random_(-2, 8),
    "random_ of a top": lambda: lamina.empty(N).random_(10) - 2,
}
COINS = {
    "bernoulli": lambda p: lamina.bernoulli(lamina.full((N,), p)),
    "bernoulli of float64": lambda p: lamina.bernoulli(lamina.full((N,), p).double()),
    "bernoulli of one p": lambda p: lamina.bernoulli(lamina.empty(N), p),
    "bernoulli_": lambda p: lamina.empty(N).bernoulli_(p),
    "bernoulli_ of int64": lambda p: lamina.empty(N, dtype=lamina.int64).bernoulli_(p),
    "bernoulli_ of a tensor": lambda p: lamina.empty(N // 8, 8).bernoulli_(lamina.full((8,), p)),
    "dropout": lambda p: 1 - (lamina.dropout(lamina.ones(N), p, True) > 0).float(),
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", [lamina.float32, lamina.float64])
@pytest.mark.parametrize("draw", UNIFORM.values(), ids=UNIFORM)
def test_uniform_law(draw, kind, seed):
    lamina.manual_seed(seed)
    x = draw(kind)
    assert x.dtype == kind
    follows(x.numpy(), "uniform")
    # Neighbours are independent: pairs fall evenly into the cells of a square.
    cells = (x.numpy().reshape(-1, 2) * 8).astype(int)
    counts(np.bincount(cells[:, 0] * 8 + cells[:, 1], minlength=64), np.ones(64))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", [lamina.float32, lamina.float64])
@pytest.mark.parametrize("draw", NORMAL.values(), ids=NORMAL)
def test_normal_law(draw, kind, seed):
    lamina.manual_seed(seed)
    x = draw(kind)
    assert x.dtype == kind
    follows(x.numpy(), "norm")
    z = x.numpy().reshape(-1, 2).astype(np.float64)
    follows(np.hypot(z[:, 0], z[:, 1]), stats.rayleigh.cdf)  # of independent pairs


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("draw", INTEGERS.values(), ids=INTEGERS)
def test_integer_law(draw, seed):
    lamina.manual_seed(seed)
    counts(tally(draw(), -2, 8), np.ones(10))


@pytest.mark.parametrize("p", [0.3, 0.9, 0.0, 1.0])
@pytest.mark.parametrize("draw", COINS.values(), ids=COINS)
def test_coin_law(draw, p):
    lamina.manual_seed(3)
    counts(tally(draw(p), 0, 2), [1 - p, p])


def test_bernoulli_of_different_probabilities():
    lamina.manual_seed(4)
    p = lamina.tensor([0.0, 0.1, 0.5, 0.8, 1.0])
    ones = lamina.bernoulli(p.expand(N, 5)).sum(0).numpy()
    for heads, chance in zip(ones, p.tolist(), strict=True):
        counts([N - heads, heads], [1 - chance, chance])


@pytest.mark.parametrize("seed", [1, 2])
def test_permutations_are_equally_likely(seed):
    lamina.manual_seed(seed)
    orders = list(itertools.permutations(range(4)))
    drawn = [orders.index(tuple(lamina.randperm(4).tolist())) for _ in range(4800)]
    counts(np.bincount(drawn, minlength=24), np.ones(24))


WEIGHTS = [0.5, 0.0, 3.0, 1.5, 0.0, 2.0]


def test_multinomial_law_with_replacement():
    lamina.manual_seed(5)
    counts(tally(lamina.multinomial(lamina.tensor(WEIGHTS), N, True), 0, 6), WEIGHTS)
    rows = lamina.tensor([WEIGHTS, WEIGHTS[::-1], [0, 0, 0, 7, 0, 0]]).double()
    drawn = rows.multinomial(N, replacement=True)
    for weights, row in zip(rows.tolist(), drawn, strict=True):
        counts(tally(row, 0, 6), weights)
    # Many positions: the running sums of the weights are what a draw is compared with.
    many = np.random.default_rng(1).uniform(size=3001)
    drawn = lamina.multinomial(lamina.tensor(many), 50 * 3001, True)
    counts(tally(drawn, 0, 3001), many)


def test_multinomial_law_without_replacement():
    """The first two of a draw: w_i / W, then w_j / (W - w_i)."""
    lamina.manual_seed(6)
    weights = np.array(WEIGHTS)
    pairs = lamina.multinomial(lamina.tensor(WEIGHTS).expand(N, 6), 2).numpy()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    total = weights.sum()
    chance = np.outer(weights, weights) / total / (total - weights)[:, None]
    np.fill_diagonal(chance, 0)
    counts(np.bincount(pairs[:, 0] * 6 + pairs[:, 1], minlength=36), chance.reshape(-1))
    for row in lamina.multinomial(lamina.tensor(WEIGHTS).expand(50, 6), 4).tolist():
        assert sorted(row) == [0, 2, 3, 5]


def test_multinomial_never_draws_what_has_no_weight():
    lamina.manual_seed(7)
    tiny, huge = 5e-324, 1.7e308
    for weights in ([0.0, tiny, 0.0], [huge / 4, 0, tiny, 0], [0.0] * 63 + [1.0, 0.0, 1e-300]):
        x = lamina.tensor(weights, dtype=lamina.float64)
        drawn = lamina.multinomial(x, 5000, True)
        assert (x[drawn] > 0).all()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: x.long().multinomial(1), TypeError, "input must be float32 or float64"),
        (lambda x: x.multinomial(0), ValueError, "num_samples must be positive, got 0"),
        (lambda x: (x - 1).multinomial(1), ValueError, "finite and not negative, got -1"),
        (lambda x: (x / 0).multinomial(1), ValueError, "finite and not negative, got"),
        (lambda x: (x * 0).multinomial(1), ValueError, "positive, finite sum, got 0"),
        (
            lambda x: x.multinomial(3),
            ValueError,
            r"3 different .* only 2 have .*(\n.*)*replacement",
        ),
        (lambda x: x.sum().multinomial(1), ValueError, "weights of one draw"),
        (lambda x: lamina.ones(0).multinomial(1), ValueError, "positive, finite sum"),
    ],
)
def test_multinomial_refuses(call, error, match):
    with pytest.raises(error, match=rf"^multinomial: .*{match}"):
        call(lamina.tensor([0.0, 1.0, 2.0]))


# -- integers over all 64 bits ---------------------------------------------------------------------

LOW, HIGH = -(2**63), 2**63 - 1


def test_randint_is_exact_over_64_bits():
    lamina.manual_seed(8)
    x = lamina.randint(LOW, HIGH, (N,)).numpy()
    follows(x / 2.0**64 + 0.5, "uniform")
    for bit in range(64):  # a double in between would leave the low ones zero
        counts(np.bincount(x >> bit & 1, minlength=2), [1, 1])
    near = lamina.randint(2**62 - 3, 2**62 + 2, (N,))
    counts(tally(near - (2**62 - 3), 0, 5), np.ones(5))
    whole = lamina.empty(N, dtype=lamina.int64).random_(LOW, None).numpy()
    follows(whole / 2.0**64 + 0.5, "uniform")
    top = lamina.empty(N, dtype=lamina.int64).random_().numpy()
    assert top.min() >= 0
    follows(top / 2.0**63, "uniform")


def test_random_fills_what_a_dtype_counts_to():
    lamina.manual_seed(9)
    counts(tally(lamina.empty(N * 4, dtype=lamina.uint8).random_(), 0, 256), np.ones(256))
    counts(tally(lamina.empty(N, dtype=lamina.bool).random_(), 0, 2), [1, 1])
    follows(lamina.empty(N, dtype=lamina.int32).random_().numpy() / 2**31, "uniform")
    follows(lamina.empty(N).random_().numpy() / (2**24 + 1), "uniform")
    doubles = lamina.empty(N, dtype=lamina.float64).random_().numpy()
    follows(doubles / 2**53, "uniform")
    assert (doubles % 2 == 1).any()
    with pytest.raises(ValueError, match=r"^random_: uint8 does not hold every .* 0 to 256"):
        lamina.empty(3, dtype=lamina.uint8).random_(257)
    with pytest.raises(ValueError, match=r"^randint: int32 does not hold every integer"):
        lamina.randint(2**31, 2**31 + 5, (2,), dtype=lamina.int32)
    with pytest.raises(ValueError, match=r"^random_: from must be less than to, got 3 and 3"):
        lamina.empty(3).random_(3, 3)


# -- generators --------------------------------------------------------------------------------

DRAWN = {
    "rand": lambda g: lamina.rand(50, generator=g),
    "randn": lambda g: lamina.randn(50, generator=g),
    "randint": lambda g: lamina.randint(0, 99, (50,), generator=g),
    "randint to": lambda g: lamina.randint(99, (50,), generator=g),
    "randperm": lambda g: lamina.randperm(50, generator=g),
    "normal": lambda g: lamina.normal(0.0, 1.0, (50,), generator=g),
    "normal of tensors": lambda g: lamina.normal(lamina.zeros(50), lamina.ones(50), generator=g),
    "normal of a mean": lambda g: lamina.normal(lamina.zeros(50), 2, generator=g),
    "normal of a std": lambda g: lamina.normal(0, lamina.ones(50), generator=g),
    "bernoulli": lambda g: lamina.bernoulli(lamina.full((50,), 0.5), generator=g),
    "bernoulli of one p": lambda g: lamina.bernoulli(lamina.ones(50), 0.5, generator=g),
    "multinomial": lambda g: lamina.multinomial(lamina.ones(50), 50, generator=g),
    "uniform_": lambda g: lamina.empty(50).uniform_(generator=g),
    "normal_": lambda g: lamina.empty(50).normal_(generator=g),
    "bernoulli_": lambda g: lamina.empty(50).bernoulli_(generator=g),
    "bernoulli_ of a tensor": lambda g: lamina.empty(50).bernoulli_(
        lamina.full((50,), 0.5), generator=g
    ),
    "random_": lambda g: lamina.empty(50).random_(generator=g),
    "random_ to": lambda g: lamina.empty(50).random_(1000, generator=g),
    "random_ from": lambda g: lamina.empty(50).random_(-9, 1000, generator=g),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_a_generator_is_a_stream_of_its_own(draw):
    g = lamina.Generator()
    assert g.manual_seed(21) is g
    outside = lamina.get_rng_state()
    first, second = draw(g), draw(g)
    assert lamina.get_rng_state().tolist() == outside.tolist()
    assert first.tolist() != second.tolist()
    g.manual_seed(21)
    assert draw(g).tolist() == first.tolist()
    state = g.get_state()
    assert draw(g).tolist() == second.tolist()
    g.set_state(state)
    assert draw(g).tolist() == second.tolist()
    lamina.manual_seed(21)  # the process-wide generator gives the same for the same seed
    assert draw(None).tolist() == first.tolist()
    with pytest.raises(TypeError, match=r"a lamina.Generator or None, got int|takes (.*\n)*.*got"):
        draw(21)


def test_generator_objects():
    g, h = lamina.Generator(), lamina.Generator(device="cpu")
    assert lamina.rand(3, generator=g).tolist() == lamina.rand(3, generator=h).tolist()
    assert g.device == lamina.device("cpu")
    assert g.manual_seed(2**64 - 1).initial_seed() == g.manual_seed(-1).initial_seed() == 2**64 - 1
    seeds = {g.seed() for _ in range(8)}
    assert len(seeds) == 8
    assert g.initial_seed() in seeds
    assert lamina.manual_seed(3) is lamina.default_generator
    assert lamina.default_generator.initial_seed() == lamina.initial_seed() == 3
    assert lamina.rand(2, generator=lamina.default_generator).tolist() != lamina.rand(2).tolist()
    found = lamina.seed()
    assert found == lamina.initial_seed()
    assert found != lamina.seed()
    with pytest.raises(TypeError, match=r"^manual_seed: the seed must be an int, got float"):
        g.manual_seed(1.5)
    with pytest.raises(OverflowError):
        g.manual_seed(2**64)
    with pytest.raises(ValueError, match=r"^set_state: needs what get_state returned"):
        g.set_state(lamina.zeros(3))
    with pytest.raises(TypeError, match=r"^set_state: needs a Tensor, got int"):
        g.set_state(3)
    with pytest.raises(TypeError, match=r"^Generator: device must be"):
        lamina.Generator(3)
    with pytest.raises(TypeError):
        pickle.dumps(g)


def test_draws_have_no_slope():
    """As in PyTorch, what is drawn takes part in the graph with a gradient of zeros."""
    for draw in (lamina.bernoulli, lamina.normal, lambda p: lamina.normal(0.0, p)):
        p = lamina.full((4,), 0.5, requires_grad=True)
        draw(p).sum().backward()
        assert p.grad.tolist() == [0.0] * 4
    x = lamina.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        x.random_()
    y = x * 2
    y.random_(5).sum().backward()
    assert x.grad.tolist() == [0.0] * 3


# -- the same bits everywhere ----------------------------------------------------------------------

DIGEST = """
import hashlib, lamina
lamina.manual_seed(77)
f, d = lamina.float32, lamina.float64
drawn = [lamina.rand(70001), lamina.rand(70001, dtype=d), lamina.randint(-5, 2**40, (70001,)),
         lamina.empty(300, 70).t().random_(), lamina.randperm(7001), lamina.empty(70001).uniform_(-1, 3),
         lamina.bernoulli(lamina.rand(70001)), lamina.empty(70001, dtype=d).bernoulli_(0.3),
         lamina.multinomial(lamina.rand(300, 70), 20), lamina.multinomial(lamina.rand(3000), 9000, True),
         lamina.randn(70001), lamina.normal(lamina.rand(70001), 2)]
print(hashlib.sha256(b"".join(x.contiguous().numpy().tobytes() for x in drawn)).hexdigest())
"""  # noqa: E501


def test_the_same_numbers_on_every_isa_and_thread_count():
    digests = {}
    for isa, threads in itertools.product(_core.cpu_info()["available"], ("1", "3")):
        env = {**os.environ, "LAMINA_ISA": isa, "LAMINA_NUM_THREADS": threads}
        run = subprocess.run(
            [sys.executable, "-c", DIGEST], env=env, capture_output=True, text=True, check=True
        )
        digests[isa, threads] = run.stdout.strip()
    assert len(digests) >= 4
    assert len(set(digests.values())) == 1, digests
    assert len(run.stdout.strip()) == 2 * hashlib.sha256().digest_size
