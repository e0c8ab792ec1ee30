"""`lamina.summary`: rows, numbers, text; and the model is afterwards what it was."""

from __future__ import annotations

import lamina
import pytest
from lamina import _macs, nn


class Net(nn.Module):
    """A layer used twice, a weight shared, one part frozen, and a part never called."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(lamina.ones(5))
        self.encode = nn.Linear(6, 4)
        self.body = nn.Sequential(nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 6))
        self.again = self.encode
        self.decode = nn.Linear(4, 6, bias=False)
        self.decode.weight = self.body[3].weight
        self.unused = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, x):
        y = self.again(self.body(self.encode(x)))
        return self.decode(y), {"y": y}


def test_the_numbers():
    found = lamina.summary(Net(), (10, 6), verbose=False)
    assert [(row.path, row.kind, row.depth) for row in found.rows] == [
        ("", "Net", 0),
        ("encode", "Linear", 1),
        ("body", "Sequential", 1),
        ("body.0", "BatchNorm1d", 2),
        ("body.1", "ReLU", 2),
        ("body.2", "Dropout", 2),
        ("body.3", "Linear", 2),
        ("again", "Linear", 1),
        ("decode", "Linear", 1),
        ("unused", "Linear", 1),
    ]
    by_path = {row.path: row for row in found.rows}
    assert by_path[""].output_shapes == [(10, 6), (10, 4)]
    assert by_path["encode"].output_shapes == [(10, 4)]
    assert by_path["unused"].output_shapes == []
    assert {path: row.parameters for path, row in by_path.items() if row.parameters} == {
        "": 5,
        "encode": 6 * 4 + 4,
        "body.0": 4 + 4,
        "body.3": 4 * 6 + 6,
        "unused": 2 * 2 + 2,  # decode's weight is counted where it comes first
    }
    assert found.total_parameters == 5 + 28 + 8 + 30 + 6
    assert found.trainable_parameters == 5 + 28 + 8 + 30
    assert found.non_trainable_parameters == 6
    assert found.buffers == 4 + 4 + 1
    assert {path: row.macs for path, row in by_path.items() if row.macs} == {
        "encode": 2 * 10 * 6 * 4,
        "body.3": 10 * 4 * 6,
        "decode": 10 * 4 * 6,
    }
    assert found.macs == 10 * 24 * 4
    assert by_path["encode"].calls == 2
    assert by_path["again"].shared
    assert found.input_bytes == 10 * 6 * 4
    assert found.parameter_bytes == 4 * found.total_parameters
    assert found.buffer_bytes == 4 * 4 + 4 * 4 + 8
    # encode twice, the four of the body, decode
    assert found.output_bytes == 4 * (2 * 40 + 3 * 40 + 60 + 60)


def test_the_text(capsys):
    found = lamina.summary(Net(), (10, 6))
    text = str(found)
    assert capsys.readouterr().out == text + "\n"
    assert repr(found) == "<Summary of Net: 77 parameters, 960 multiply-adds>"
    lines = text.split("\n")
    assert lines[0].split() == ["Layer", "Output", "Parameters", "Multiply-adds"]
    assert lines[2].split() == ["Net", "[10,", "6],", "[10,", "4]", "5", "-"]
    assert lines[3].startswith("  encode: Linear")
    assert lines[3].split("  ")[-1].strip() == "480"
    assert "[10, 4] x 2" in lines[3]
    assert "(see above)" in next(line for line in lines if "again" in line)
    assert any(line.split() == ["parameters", "77"] for line in lines)
    assert any(line.split() == ["not", "trainable", "6"] for line in lines)
    assert max(len(line) for line in lines[:13]) == len(
        lines[1]
    )  # the rule is as wide as the table


def test_without_an_input_there_are_parameters_only(capsys):
    found = lamina.summary(nn.Linear(2, 3))
    assert found.total_parameters == 9
    assert found.macs == found.output_bytes == 0
    assert found.rows[0].output_shapes == []
    assert "Linear" in capsys.readouterr().out


class Restless(nn.Module):
    """Writes into a buffer, replaces another, draws random numbers, in any mode."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", lamina.zeros(1))
        self.register_buffer("last", lamina.full((1,), float("nan")))
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        self.count += 1
        self.last = x.sum().reshape(1)
        return self.norm(x) + lamina.randn(3)


def test_the_model_is_what_it_was():
    model = Restless()
    model.norm.eval()
    buffer, values = model.last, {k: v.tolist() for k, v in model.norm.state_dict().items()}
    lamina.manual_seed(3)
    state = lamina.get_rng_state()
    lamina.summary(model, (4, 3), verbose=False)
    assert lamina.equal(lamina.get_rng_state(), state)
    assert model.training
    assert not model.norm.training
    assert model.count.item() == 0.0
    assert model.last is buffer
    assert model.last.isnan().all()
    assert {k: v.tolist() for k, v in model.norm.state_dict().items()} == values
    assert all(module._hooks is None for module in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_and_after_an_error_too():
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    with pytest.raises(ValueError, match="linear: input has 5 features but weight expects 3"):
        lamina.summary(model, (4, 5), verbose=False)
    assert model.training
    assert all(module._hooks is None for module in model.modules())


def test_kinds_of_input():
    class Add(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(2, 2).double()

        def forward(self, x, y=None):
            return self.one(x) + (0 if y is None else y)

    x = lamina.ones(3, 2, dtype=lamina.float64)
    for given in (
        {"input_size": (3, 2)},
        {"input_size": [(3, 2), (3, 2)]},
        {"input_data": x},
        {"input_data": (x, x)},
        {"input_data": {"x": x, "y": x}},
        {"input_size": x},
    ):
        found = lamina.summary(Add(), **given, verbose=False)
        assert found.macs == 12, given
        assert found.rows[0].output_shapes == [(3, 2)]
    tokens = lamina.summary(nn.Identity(), (3,), dtype=lamina.int64, verbose=False)
    assert tokens.input_bytes == 24


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda: lamina.summary(3), TypeError, "model must be a Module, got int"),
        (lambda: lamina.summary(nn.ReLU(), (1, "a")), TypeError, "tuple of integers or a list"),
        (
            lambda: lamina.summary(nn.ReLU(), (1,), lamina.ones(1)),
            ValueError,
            "give input_size or input_data, not both",
        ),
    ],
)
def test_bad_use(act, error, text):
    with pytest.raises(error, match=text):
        act()


def layer_macs(name, make, inputs):
    if not hasattr(nn, name):
        pytest.skip(f"needs nn.{name}")
    return lamina.summary(make(), input_data=inputs(), verbose=False).macs


def ones(*shape):
    return lambda: lamina.ones(*shape)


@pytest.mark.parametrize(
    ("name", "make", "inputs", "want"),
    [
        ("Linear", lambda: nn.Linear(5, 7), ones(2, 3, 5), 2 * 3 * 5 * 7),
        (
            "Bilinear",
            lambda: nn.Bilinear(3, 4, 5),
            lambda: (lamina.ones(2, 3), lamina.ones(2, 4)),
            2 * 5 * (3 * 4 + 4),
        ),
        ("Conv1d", lambda: nn.Conv1d(2, 6, 3), ones(4, 2, 10), 4 * 6 * 8 * 2 * 3),
        (
            "Conv2d",
            lambda: nn.Conv2d(4, 6, (3, 5), stride=2, padding=1, groups=2),
            ones(2, 4, 9, 9),
            2 * 6 * 5 * 4 * (4 // 2) * 3 * 5,
        ),
        (
            "ConvTranspose2d",
            lambda: nn.ConvTranspose2d(4, 6, 3, groups=2),
            ones(2, 4, 5, 5),
            2 * 4 * 5 * 5 * (6 // 2) * 3 * 3,
        ),
        # A gate is a product with the input and one with the state.
        ("RNN", lambda: nn.RNN(3, 5), ones(7, 2, 3), 7 * 2 * 5 * (3 + 5)),
        (
            "LSTM",
            lambda: nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True),
            ones(2, 7, 3),
            7 * 2 * 2 * 4 * 5 * ((3 + 5) + (10 + 5)),
        ),
        ("GRU", lambda: nn.GRU(3, 5), ones(7, 3), 7 * 3 * 5 * (3 + 5)),
        ("LSTMCell", lambda: nn.LSTMCell(3, 5), ones(2, 3), 2 * 4 * 5 * (3 + 5)),
        (
            "MultiheadAttention",
            lambda: nn.MultiheadAttention(8, 2, batch_first=True),
            lambda: (lamina.ones(3, 5, 8), lamina.ones(3, 6, 8), lamina.ones(3, 6, 8)),
            # three projections and the last one, then the scores and what they weigh
            3 * ((5 + 6 + 6 + 5) * 8 * 8 + 2 * 5 * 6 * 8),
        ),
    ],
)
def test_multiply_adds(name, make, inputs, want):
    assert layer_macs(name, make, inputs) == want


def test_a_subclass_counts_as_its_class_and_a_stranger_does_not():
    class Mine(nn.Linear):
        pass

    assert _macs.formula_of(Mine(1, 1)) is _macs.FORMULAS["Linear"]

    class Linear(nn.Module):  # of the same name, not of ours
        pass

    assert _macs.formula_of(Linear()) is None


def test_what_a_formula_counts_is_not_counted_again_inside(monkeypatch):
    class Wrapped(nn.Linear):
        def __init__(self):
            super().__init__(2, 3)
            self.inner = nn.Linear(2, 2)

        def forward(self, x):
            return super().forward(self.inner(x))

    assert lamina.summary(Wrapped(), (4, 2), verbose=False).macs == 4 * 2 * 3
