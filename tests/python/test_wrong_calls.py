"""What wrong calls say, for every native function: a new one is held to it without being listed.

From the signatures: wrong types, missing and unknown arguments, dims out of range, in-place writes
that must be refused. What only an op itself can refuse (sizes, labels, values) is in the `wrong`
rows of the op table, or here where several ops share it.
"""

from __future__ import annotations

import re

import lamina
import op_check
import op_table
import pytest
from lamina import _core, autograd
from lamina.nn import functional as F
from op_table_row import Wrong

FUNCTION, METHOD = 1, 2
FOREIGN = ("::", "pybind", "incompatible function arguments", "lamina._core", "0x")


class Parameter:
    def __init__(self, text):
        text, _, default = text.partition("=")
        kind, self.name = text.rsplit(" ", 1)
        self.optional = bool(default)
        self.none_allowed = kind.endswith("?")
        self.variadic = kind.startswith("*")
        self.kind = kind.removesuffix("?").removeprefix("*")


def attribute(name):
    """How Python finds the function: that of lamina.linalg has an underscore for its dot."""
    return name.replace(".", "_")


class Call:
    """One line of a binding: how it is called with arguments that fit."""

    def __init__(self, line, where):
        self.name, _, rest = line.partition("(")
        self.attribute = attribute(self.name)
        texts = rest.split(")")[0].split(", ")
        split = texts.index("*") if "*" in texts else len(texts)
        self.parameters = [Parameter(t) for t in texts if t not in ("", "*")]
        self.positional = {p.name for p in self.parameters[:split]}
        self.receiver = self.parameters[0].name if not where & FUNCTION else None

    def __call__(self, replaced=(), left_out=(), **extra):
        values = {p.name: fitting(p) for p in self.parameters if p.name not in left_out}
        values.update(replaced)
        if not self.receiver:
            return getattr(_core, self.attribute)(**values, **extra)
        tensor = values.pop(self.receiver)
        if tensor is None:  # of kind object
            tensor = lamina.ones(2, 3)
        return getattr(tensor, self.attribute)(**values, **extra)


FITTING = {
    "Tensor": lambda: lamina.ones(2, 3),
    "operand": lambda: lamina.ones(2, 3),
    "number": lambda: 1.0,
    "float": lambda: 0.5,
    "int": lambda: 0,
    "bool": lambda: False,
    "str": lambda: "none",
    "dtype": lambda: lamina.float32,
    "device": lambda: "cpu",
    "int[]": lambda: (1,),
    "Tensor[]": lambda: [lamina.ones(2, 3)],
    "Tensor?[]": lambda: [None],
    "object": lambda: None,
    "generator": lambda: None,
}


def fitting(parameter):
    return FITTING[parameter.kind]()


CALLS = [
    (line, where)
    for text, where, _ in _core._signatures()
    for line in [text]
    if not text.split("(")[0].startswith("_")
]
# An alias may be the same function, and then its errors name that.
FIRST_NAMES = {alias: row.name for row in op_table.ROWS for alias in row.aliases}
FIRST_NAMES |= {alias + "_": name + "_" for alias, name in FIRST_NAMES.items()}


def said(call, text):
    first = FIRST_NAMES.get(call.name, call.name)
    return first if text.startswith(f"{first}: ") else call.name


SINGLE = [Call(line, where) for line, where in CALLS if "\n" not in line]
ids = [call.name for call in SINGLE]


def error_of(call, kind=TypeError):
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    for word in FOREIGN:
        assert word not in text
    return text


# -- from the signature ----------------------------------------------------------------------------


@pytest.mark.parametrize("call", SINGLE, ids=ids)
def test_an_argument_of_the_wrong_type_is_named(call):
    class Nothing:
        pass

    for p in call.parameters:
        if p.kind == "object" or p.name == call.receiver:
            continue
        wrong = {p.name: Nothing()}
        text = error_of(lambda wrong=wrong: call(wrong))
        assert text.startswith(
            f"{said(call, text).removesuffix('_act')}: argument '{p.name}' must be "
        )
        assert text.endswith(", got Nothing")
        if not p.none_allowed:
            text = error_of(lambda p=p: call({p.name: None}))
            assert text.endswith(", got None")


@pytest.mark.parametrize("call", SINGLE, ids=ids)
def test_arguments_that_are_missing_or_unknown_are_named(call):
    for p in call.parameters:
        if not p.optional and p.name != call.receiver:
            text = error_of(lambda p=p: call(left_out=[p.name]))
            assert text.startswith(f"{said(call, text)}: argument '{p.name}' is missing; it takes ")
    text = error_of(lambda: call(sizzle=1))
    assert text.startswith(f"{said(call, text)}: unexpected keyword argument 'sizzle'; it takes ")


@pytest.mark.parametrize("name", sorted({t.split("(")[0] for t, _ in CALLS if "\n" in t}))
def test_overloads_list_their_forms(name):
    owner = _core if hasattr(_core, attribute(name)) else lamina.ones(2)
    function = getattr(owner, attribute(name))
    text = error_of(lambda: function(sizzle=1))
    assert text.startswith(f"{name}: takes ")
    assert text.endswith("\n  got   (sizzle=int)")


# -- dims ------------------------------------------------------------------------------------------

DIMS = ("dim", "dims", "dim0", "dim1", "dim2", "start_dim", "end_dim")
# What else a call needs to get as far as its dim, and functions whose "dim" is none.
BESIDE = {
    "index_select": {"index": lamina.tensor([0])},
    "narrow": {"start": 0, "length": 1},
    "split": {"split_size_or_sections": 1, "split_size": 1},
    "chunk": {"chunks": 1},
    "quantile": {"q": 0.5},
    "index_fill": {"index": lamina.tensor([0]), "value": 1.0},
    "linalg.norm": {"ord": "fro"},
    "permute": None,  # wants all of them at once: in its row
    "tile": None,  # its dims count copies
    "tensordot": None,  # its dims are a number of them; those of a list are in its row
}
BESIDE["index_fill_"] = BESIDE["index_fill"]
OF_MATRICES = ("linalg.norm", "linalg.matrix_norm")  # a pair of dims, of which one may be wrong


def with_dims():
    for text, where, _ in _core._signatures():
        for line in text.split("\n"):
            call = Call(line, where)
            for p in call.parameters:
                is_dim = p.name in DIMS and p.kind in ("int", "int[]")
                if is_dim and BESIDE.get(call.name, {}) is not None:
                    yield pytest.param(line, where, p.name, id=f"{call.name}-{p.name}")


@pytest.mark.parametrize(("line", "where", "name"), [*with_dims()])
def test_dims_out_of_range(line, where, name):
    call = Call(line, where)
    needed = [p.name for p in call.parameters if not p.optional]
    names = {p.name for p in call.parameters}
    given = {k: v for k, v in BESIDE.get(call.name, {}).items() if k in names}
    given[name] = 9
    left = [p.name for p in call.parameters if p.name not in given and p.name not in needed]
    for dim in (9, -9):
        given[name] = (0, dim) if call.name in OF_MATRICES else dim
        text = error_of(lambda: call(given, left), IndexError)
        assert text.startswith(f"{said(call, text)}: dim {dim} is out of range for a tensor of ")


# -- in place --------------------------------------------------------------------------------------

# Other arguments of in-place methods, where a tensor of ones would not do.
ROW = {"index": lamina.tensor([0])}
ENTRIES = {"index": lamina.zeros(1, 3, dtype=lamina.int64)}
BATCHES = {"batch1": lamina.ones(2, 2, 3), "batch2": lamina.ones(2, 3, 3)}
OPERANDS = {
    "masked_fill_": {"mask": lamina.ones(2, 3) > 0, "value": 2.0},
    "div_": {"rounding_mode": None},
    "scatter_": {**ENTRIES, "reduce": None},
    "scatter_add_": ENTRIES,
    "index_add_": {**ROW, "source": lamina.ones(1, 3)},
    "index_copy_": {**ROW, "source": lamina.ones(1, 3)},
    "index_fill_": {**ROW, "value": 2.0},
    "addmm_": {"mat2": lamina.ones(3, 3)},
    "addmv_": {"vec": lamina.ones(3)},
    "addr_": {"vec1": lamina.ones(2), "vec2": lamina.ones(3)},
    "baddbmm_": BATCHES,
    "addbmm_": BATCHES,
}
# The tensor that is written has two rows; the sizes of a row, where not [3].
ROW_SIZES = {"addmv_": (), "baddbmm_": (2, 3)}
NO_WRITE = {"requires_grad_", "detach_"}
FOR_INTEGERS = "bitwise_"
FIRST_FORMS = [Call(line.split("\n")[0], where) for line, where in CALLS]
IN_PLACE = [
    c for c in FIRST_FORMS if c.receiver and c.name.endswith("_") and c.name not in NO_WRITE
]
in_place = pytest.mark.parametrize("call", IN_PLACE, ids=[c.name for c in IN_PLACE])
RECORDED = [c for c in IN_PLACE if not c.name.startswith(FOR_INTEGERS)]
recorded = pytest.mark.parametrize("call", RECORDED, ids=[c.name for c in RECORDED])


def write(call, tensor):
    if call.name.startswith(FOR_INTEGERS):
        others = {p.name: lamina.ones(2, 3).int() for p in call.parameters}
        return call({**others, "self": tensor})
    return call({"self": tensor, **OPERANDS.get(FIRST_NAMES.get(call.name, call.name), {})})


def sizes(call, rows):
    return (rows, *ROW_SIZES.get(call.name, (3,)))


def ones(call, rows, requires_grad=False):
    integers = call.name.startswith(FOR_INTEGERS)
    dtype = lamina.int32 if integers else lamina.float32
    return lamina.ones(sizes(call, rows), dtype=dtype, requires_grad=requires_grad)


@recorded
def test_a_leaf_that_requires_grad_is_not_written(call):
    x = ones(call, 2, requires_grad=True)
    text = error_of(lambda: write(call, x), RuntimeError)
    assert text.startswith(
        f"{said(call, text)}: a leaf that requires grad can't be written in place"
    )
    assert "no_grad()" in text
    with lamina.no_grad():
        write(call, x)  # as the text says
    assert x._version > 0


@recorded
def test_a_view_of_such_a_leaf_is_not_written_either(call):
    x = ones(call, 4, requires_grad=True)
    text = error_of(lambda: write(call, x[:2]), RuntimeError)
    assert text.startswith(
        f"{said(call, text)}: a view of a leaf that requires grad can't be written"
    )


@in_place
def test_an_expanded_tensor_is_not_written(call):
    text = error_of(lambda: write(call, ones(call, 1).expand(sizes(call, 2))), RuntimeError)
    assert text.startswith(f"{said(call, text)}: the tensor has several indices for one element")
    assert "clone()" in text


@in_place
def test_read_only_memory_is_not_written(call):
    a = ones(call, 2).numpy()
    a.flags.writeable = False
    x = lamina.from_numpy(a)
    text = error_of(lambda: write(call, x), RuntimeError)
    assert text.startswith(f"{said(call, text)}: the tensor's memory is read-only")
    assert (a == 1).all()


@recorded
def test_a_tensor_saved_for_backward_that_was_written_is_refused(call):
    x = ones(call, 2, requires_grad=True)
    saved = x * 1
    y = saved.sin()
    write(call, saved)
    text = error_of(lambda: y.sum().backward(), RuntimeError)
    assert text.startswith("sin: backward needs its input as it was in the forward pass, but ")
    assert f"has changed it in place since\n  tensor {[*sizes(call, 2)]}\n" in text
    writer = re.search(r"but (\w+) has changed", text)[1]
    assert writer.rstrip("_") in (FIRST_NAMES.get(call.name, call.name).rstrip("_"), "copy", "fill")


@recorded
def test_a_result_that_the_tensor_cannot_hold_is_refused(call):
    x = lamina.ones(2, 3, dtype=lamina.int64)
    row = next((r for r in op_table.ROWS if r.name == call.name.removesuffix("_")), None)
    names = {p.name for p in call.parameters}
    if (
        row is None
        or row.dtypes not in ("float", "promote float")
        or not names <= {"self", "other"}
    ):
        return
    text = error_of(lambda: call(dict.fromkeys(names, x)))
    assert text.startswith(
        f"{said(call, text)}: the result is float32 and can't be written into a tensor"
    )
    assert "of int64" in text


# -- what ops refuse, beside the rows of the op table ----------------------------------------------

X = lamina.zeros(2, 3)
FOUR = lamina.zeros(4)
BROADCAST = r"sizes \[2, 3\] and \[4\] do not broadcast: 3 against 4 in dimension 1$"
NEGATIVE = r"a tensor's size cannot be negative, got \[-1\]$"


def no_broadcast(name, *more):
    return [
        Wrong(lambda: getattr(_core, name)(X, FOUR, *more), ValueError, f"^{name}: {BROADCAST}")
    ]


def negative(name, call):
    return [Wrong(call, ValueError, f"^{name}: {NEGATIVE}")]


def labels(name):
    call = getattr(F, name)
    x, y = lamina.zeros(2, 3), lamina.tensor([0, 1])
    many = lamina.zeros(2, 3, 4)
    return [
        Wrong(
            lambda: call(x, lamina.tensor([0, -1])),
            IndexError,
            rf"^{name}: target -1 at position 1 is out of range for 3 classes$",
        ),
        Wrong(
            lambda: call(many, lamina.full((2, 4), 3, dtype=lamina.int64)),
            IndexError,
            rf"^{name}: target 3 at position 0 is out of range for 3 classes$",
        ),
        Wrong(
            lambda: call(many, lamina.zeros(2, 3, dtype=lamina.int64)),
            ValueError,
            rf"^{name}: class targets must have sizes \[2, 4\] for this .*\n.*\n  target \[2, 3\]$",
        ),
        Wrong(
            lambda: call(x, y, weight=lamina.ones(3, dtype=lamina.float64)),
            TypeError,
            rf"^{name}: weight must have the input's dtype float32, got float64$",
        ),
        Wrong(
            lambda: call(x.long(), y),
            TypeError,
            rf"^{name}: input must be float32 or float64, got int64",
        ),
        Wrong(
            lambda: call(lamina.tensor(1.0), y),
            ValueError,
            rf"^{name}: the input needs a dimension of classes",
        ),
    ]


def same_sizes(name):
    call = getattr(F, name)
    return [
        Wrong(
            lambda target=target: call(lamina.zeros(2, 3), target),
            ValueError,
            rf"^{name}: input and target must have the same sizes \(a loss does not broadcast\)\n"
            rf"  input  \[2, 3\]\n  target {re.escape(str(list(target.shape)))}$",
        )
        for target in (lamina.zeros(3), lamina.zeros(1, 3), lamina.tensor(0.0))
    ]


MORE = {
    "logical_and": no_broadcast("logical_and"),
    "logical_xor": no_broadcast("logical_xor"),
    "logical_or": no_broadcast("logical_or"),
    "isclose": no_broadcast("isclose"),
    "allclose": no_broadcast("allclose"),
    "equal": [Wrong(lambda: _core.equal(X, 1), TypeError, "^equal: argument 'other' must be a Te")],
    "std": [
        Wrong(lambda: X.std(2), IndexError, "^std: dim 2 is out of range"),
        Wrong(lambda: X.long().std(), TypeError, "^std: .*float.*int64"),
        Wrong(lambda: X.std((0, 0)), ValueError, "^std: dim 0 appears twice"),
    ],
    "var_mean": [
        Wrong(lambda: lamina.var_mean(X, 2), IndexError, "^var_mean: dim 2 is out of range"),
        Wrong(lambda: lamina.var_mean(X.long()), TypeError, "^var_mean: .*float.*int64"),
    ],
    "std_mean": [
        Wrong(lambda: lamina.std_mean(X, 2), IndexError, "^std_mean: dim 2 is out of range"),
        Wrong(lambda: lamina.std_mean(X.long()), TypeError, "^std_mean: .*float.*int64"),
    ],
    "view_as": [Wrong(lambda: X.view_as(FOUR), ValueError, r"^view_as: sizes \[4\] hold 4 el.* 6")],
    "reshape_as": [
        Wrong(lambda: X.reshape_as(FOUR), ValueError, r"^reshape_as: sizes \[4\] hold 4 el.* 6")
    ],
    "broadcast_to": [
        Wrong(lambda: _core.broadcast_to(X, (4,)), ValueError, "^broadcast_to: 1 sizes are fewer"),
        Wrong(
            lambda: _core.broadcast_to(X, (2, 4)),
            ValueError,
            "^broadcast_to: dimension 1 has size 3, not 1, and can't become 4",
        ),
    ],
    "expand_as": [Wrong(lambda: X.expand_as(FOUR), ValueError, "^expand_as: 1 sizes are fewer")],
    "ones": negative("ones", lambda: lamina.ones(-1)),
    "full": negative("full", lambda: lamina.full((-1,), 0)),
    "eye": [Wrong(lambda: lamina.eye(1, -1), ValueError, r"^eye: .* negative, got \[1, -1\]$")],
    "new_zeros": negative("new_zeros", lambda: X.new_zeros(-1)),
    "new_ones": negative("new_ones", lambda: X.new_ones(-1)),
    "new_full": negative("new_full", lambda: X.new_full((-1,), 0)),
    "as_tensor": [Wrong(lambda: lamina.as_tensor("a"), TypeError, "^as_tensor: expected numbers")],
    "mul": [
        Wrong(
            lambda: lamina.ones(3).mul_(X),
            ValueError,
            r"^mul_: the operand does not broadcast to the tensor that is written\n"
            r"  tensor \[3\]\n  operand \[2, 3\]$",
        ),
        Wrong(
            lambda: lamina.tensor([1]).mul_(1.5),
            TypeError,
            "^mul_: the result is float32 and can't be written into a tensor of int64$",
        ),
    ],
    "where": [Wrong(lambda: lamina.where(X > 0, X, FOUR), ValueError, f"^where: {BROADCAST}")],
    "clamp": [
        Wrong(lambda: X.clamp(FOUR), ValueError, f"^clamp: {BROADCAST}"),
        Wrong(lambda: X.clip(), ValueError, "^clamp: needs min, max or both"),
    ],
    "masked_fill": [
        Wrong(lambda: X.masked_fill(FOUR > 0, 1), ValueError, r"^masked_fill: sizes .*\[4\]"),
        Wrong(lambda: X.clone().masked_fill_(FOUR > 0, 1), ValueError, "^masked_fill_: sizes "),
    ],
    "index_select": [
        Wrong(
            lambda: X.index_select(1, lamina.tensor([3])),
            IndexError,
            r"^index_select: index 3 is out of range for dimension 1 of size 3\n.*\[2, 3\]$",
        )
    ],
    "select": [
        Wrong(
            lambda: X.select(1, -4), IndexError, "^select: index -4 is out of range for dimension"
        )
    ],
    "cross_entropy": [
        *labels("cross_entropy"),
        Wrong(
            lambda: F.cross_entropy(X, lamina.zeros(2, 2)),
            ValueError,
            r"^cross_entropy: input and target must have the same sizes",
        ),
    ],
    "nll_loss": [
        *labels("nll_loss"),
        Wrong(
            lambda: F.nll_loss(X, lamina.zeros(2)),
            TypeError,
            "^nll_loss: class targets must be int64, got float32",
        ),
    ],
    "mse_loss": same_sizes("mse_loss"),
    "l1_loss": same_sizes("l1_loss"),
    "binary_cross_entropy_with_logits": [
        *same_sizes("binary_cross_entropy_with_logits"),
        *(
            Wrong(
                lambda name=name: F.binary_cross_entropy_with_logits(
                    X, X, **{name: lamina.ones(5, 2, 3)}
                ),
                ValueError,
                r"^binary_cross_entropy_with_logits: weights must broadcast to the sizes of the "
                r"input\n  input  \[2, 3\]\n  weight \[5, 2, 3\]$",
            )
            for name in ("weight", "pos_weight")
        ),
        Wrong(
            lambda: F.binary_cross_entropy_with_logits(X, X.long()),
            TypeError,
            "^binary_cross_entropy_with_logits: target must be float32 or float64, got int64",
        ),
    ],
    "dropout": [Wrong(lambda: F.dropout(X, -0.1), ValueError, r"^dropout: p must lie in .* -0.1")],
}

CASES = [(name, wrong) for name, wrongs in MORE.items() for wrong in wrongs]


@pytest.mark.parametrize(("name", "wrong"), CASES, ids=[name for name, _ in CASES])
def test_what_an_op_refuses(name, wrong):
    with pytest.raises(wrong.error, match=wrong.match):
        wrong.call()


RANDOM = [
    Wrong(lambda: X.uniform_(2, 1), ValueError, "^uniform_: from must not exceed to, got 2 and 1$"),
    Wrong(lambda: X.normal_(0, -1), ValueError, "^normal_: std must be at least 0, got -1$"),
    Wrong(lambda: X.bernoulli_(2), ValueError, r"^bernoulli_: p must lie in \[0, 1\], got 2$"),
    Wrong(lambda: lamina.normal(0.0, -1.0, (2,)), ValueError, "^normal: std must be at least 0"),
    Wrong(lambda: lamina.randint(5, 2, (2,)), ValueError, "^randint: low must be less than high"),
    Wrong(lambda: lamina.randperm(-1), ValueError, "^randperm: n must be at least 0, got -1$"),
    *negative("rand", lambda: lamina.rand(-1)),
    *negative("randn", lambda: lamina.randn(-1)),
    *negative("empty", lambda: lamina.empty(-1)),
]


@pytest.mark.parametrize("wrong", RANDOM, ids=[w.match[1:12] for w in RANDOM])
def test_what_the_random_functions_refuse(wrong):
    with pytest.raises(wrong.error, match=wrong.match):
        wrong.call()


def test_every_op_has_wrong_calls():
    """In its row, above, or none but wrong types: an op of one tensor and plain numbers."""
    bare = []
    for row in op_table.ROWS:
        name = op_check.name_of(row)
        if row.wrong or name in MORE:
            continue
        lines = op_check.SIGNATURES.get(row.name, [])
        kinds = [p.kind for line, where in lines for p in Call(line, where).parameters[1:]]
        if any(
            kind not in ("number", "float", "bool", "dtype", "device", "Tensor") for kind in kinds
        ) or any(
            p.kind == "Tensor" and p.name != "out"
            for line, where in lines
            for p in Call(line, where).parameters[1:]
        ):
            bare.append(row.name)
    assert bare == []


# -- graphs ----------------------------------------------------------------------------------------


def freed():
    y = lamina.ones(2, requires_grad=True).exp().sum()
    y.backward()
    return y


def unrelated():
    return lamina.ones(1, requires_grad=True)


W = lamina.ones(2, requires_grad=True)
GRAPHS = [
    Wrong(
        lambda: freed().backward(),
        RuntimeError,
        r"^exp: backward through this graph a second time, .*\n  fix    pass retain_graph=True",
    ),
    Wrong(
        lambda: (W * 2).backward(),
        RuntimeError,
        r"^backward: a gradient can be made up only for a scalar; reduce it .*\n  tensor \[2\]$",
    ),
    Wrong(
        lambda: lamina.ones(1).backward(),
        RuntimeError,
        "^backward: the tensor does not require grad and has no grad_fn",
    ),
    Wrong(
        lambda: (W * 2).backward(lamina.ones(3)),
        ValueError,
        r"^backward: the gradient must have the sizes of the .*\n  tensor \[2\]\n  grad   \[3\]$",
    ),
    Wrong(
        lambda: autograd.grad(W.sum(), unrelated()),
        RuntimeError,
        r"^grad: input 0 took no part in the outputs; pass allow_unused=True",
    ),
    Wrong(
        lambda: autograd.grad(W.sum(), lamina.ones(1)),
        RuntimeError,
        r"^grad: input 0 does not require grad",
    ),
    Wrong(
        lambda: lamina.tensor([1]).requires_grad_(),
        RuntimeError,
        r"^requires_grad_: only floating tensors can require grad, got int64$",
    ),
    Wrong(
        lambda: (W * 2).requires_grad_(False),
        RuntimeError,
        r"^requires_grad_: can't be switched off on a tensor that an op made; use detach\(\)$",
    ),
    Wrong(lambda: W.detach().retain_grad(), RuntimeError, "^retain_grad: .* not require grad"),
    Wrong(lambda: W[0:1].detach_(), RuntimeError, r"^detach_: .*a view .*use detach\(\)"),
    Wrong(lambda: W.detach().register_hook(print), RuntimeError, "^register_hook: .*require grad"),
]


@pytest.mark.parametrize("wrong", GRAPHS, ids=[w.match[1:30] for w in GRAPHS])
def test_what_graphs_refuse(wrong):
    with pytest.raises(wrong.error, match=wrong.match):
        wrong.call()
