"""The names that scripts touch around training: devices, backends, compilation, precision."""

from __future__ import annotations

import lamina
import pytest
from lamina import nn


def test_the_usual_choice_of_a_device():
    device = lamina.device("cuda" if lamina.cuda.is_available() else "cpu")
    model = nn.Linear(2, 1).to(device)
    assert model(lamina.ones(1, 2, device=device)).device == device


def test_cuda_without_cuda():
    assert lamina.cuda.is_available() == lamina.cuda_info()["available"]
    assert lamina.cuda.device_count() == len(lamina.cuda_info()["devices"])
    if lamina.cuda.is_available():
        assert lamina.cuda.current_device() == 0
        return
    state = lamina.get_rng_state()
    lamina.cuda.manual_seed_all(1)
    lamina.cuda.manual_seed(1)
    lamina.cuda.empty_cache()
    assert lamina.equal(lamina.get_rng_state(), state)
    for ask in (lamina.cuda.current_device, lamina.cuda.get_device_name):
        with pytest.raises(RuntimeError, match=f"cuda.{ask.__name__}: no CUDA here: "):
            ask()


def test_accelerator_and_distributed():
    available = lamina.cuda.is_available()
    assert lamina.accelerator.is_available() == available
    assert lamina.accelerator.device_count() == lamina.cuda.device_count()
    assert (lamina.accelerator.current_accelerator() is None) != available
    assert not lamina.distributed.is_available()
    assert not lamina.distributed.is_initialized()


def test_backends():
    from lamina.backends import cudnn

    cudnn.benchmark = True
    assert lamina.backends.cudnn.benchmark
    cudnn.benchmark = False
    lamina.backends.cudnn.deterministic = True
    assert not cudnn.is_available()
    assert cudnn.version() is None
    assert not lamina.backends.mps.is_available()
    assert not lamina.backends.mps.is_built()
    lamina.backends.cuda.matmul.allow_tf32 = True
    built = not lamina.cuda_info()["reason"].startswith("this build has no CUDA")
    assert lamina.backends.cuda.is_built() == built


def test_compile_returns_what_it_gets():
    model = nn.Linear(2, 1)
    assert lamina.compile(model) is model
    assert lamina.compile(model, mode="max-autotune", fullgraph=True) is model

    @lamina.compile
    def double(x):
        return x * 2

    @lamina.compile(dynamic=True)
    def triple(x):
        return x * 3

    assert (double(2), triple(2)) == (4, 6)
    with pytest.raises(TypeError, match="compile: no option 'mod'"):
        lamina.compile(model, mod="default")
    with pytest.raises(TypeError, match="compile: needs a module or function, got int"):
        lamina.compile(3)


def test_mixed_precision_that_is_off():
    model = nn.Linear(2, 1)
    optimizer = lamina.optim.SGD(model.parameters(), lr=0.1)
    scaler = lamina.amp.GradScaler(enabled=False)
    before = model.bias.item()
    with lamina.amp.autocast("cuda", enabled=False):
        loss = model(lamina.ones(3, 2)).sum()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert model.bias.item() == pytest.approx(before - 0.3)
    assert not scaler.is_enabled()
    assert scaler.get_scale() == 1.0
    assert scaler.state_dict() == {}
    scaler.load_state_dict({})
    with lamina.cuda.amp.autocast(False):
        assert (lamina.ones(1) + 1).dtype is lamina.float32

    @lamina.amp.autocast("cpu", dtype=lamina.float32)
    def forward(x):
        return x + 1

    assert forward(1) == 2


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: lamina.amp.autocast("cpu"),
            NotImplementedError,
            "bfloat16, the default for cpu",
        ),
        (lambda: lamina.amp.autocast("cuda"), NotImplementedError, "float16.*pass enabled=False"),
        (lambda: lamina.cuda.amp.autocast(), NotImplementedError, "lamina has no 16-bit floats"),
        (
            lambda: lamina.amp.autocast("cpu", dtype=lamina.float64),
            NotImplementedError,
            "cannot run ops in lamina.float64",
        ),
        (lambda: lamina.amp.autocast("tpu", enabled=False), ValueError, "got 'tpu'"),
        (
            lambda: lamina.amp.GradScaler(),
            NotImplementedError,
            "no float16 yet; pass enabled",
        ),
    ],
)
def test_mixed_precision_that_is_asked_for_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize(
    "module", ["accelerator", "amp", "backends", "cuda", "distributed", "testing"]
)
def test_what_is_not_there_is_named(module):
    with pytest.raises(AttributeError, match=rf"lamina\.{module} has no 'nothing_like_it'"):
        getattr(lamina, module).nothing_like_it  # noqa: B018
