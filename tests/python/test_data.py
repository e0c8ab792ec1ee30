"""Datasets, samplers and loaders."""

import collections
import threading

import lamina
import numpy as np
import pytest
from lamina import _core
from lamina.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)


@pytest.fixture
def data():
    return TensorDataset(lamina.arange(30).view(10, 3), lamina.arange(10))


class Rows(Dataset):
    """The same items as `data`, read one by one."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return self.data[index]


def labels(loader):
    return [batch[1].tolist() for batch in loader]


# -------------------------------------------------------------------------- the native gather


def test_memory_is_gathered_not_read_by_row(data, monkeypatch):
    calls = {"gather": 0, "perm": 0}
    gather, perm = _core.gather_rows, _core.randperm

    def counted_gather(*args):
        calls["gather"] += 1
        return gather(*args)

    def counted_perm(*args, **options):
        calls["perm"] += 1
        return perm(*args, **options)

    def no_rows(*_):
        raise AssertionError("a row was read in Python")

    monkeypatch.setattr(_core, "gather_rows", counted_gather)
    monkeypatch.setattr(_core, "randperm", counted_perm)
    whole = DataLoader(data, 4, shuffle=True)
    nested = DataLoader(Subset(Subset(data, [9, 7, 5, 3]), [2, 0, 1]), 2, shuffle=True)
    calls.update(gather=0, perm=0)
    monkeypatch.setattr(lamina.Tensor, "__iter__", no_rows, raising=False)
    for _ in whole:
        pass
    assert calls == {"gather": 3 * 2, "perm": 1}  # 3 batches of 2 tensors
    calls.update(gather=0, perm=0)
    assert sorted(label for batch in labels(nested) for label in batch) == [5, 7, 9]
    assert calls["perm"] == 1
    assert calls["gather"] == 2 * 2 + 2  # and one for each level of indices


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"drop_last": True},
        {"shuffle": True, "generator": 5},
        {"sampler": [3, 1, 1, -1, 0]},
        {"sampler": range(9, 2, -1), "drop_last": True},
    ],
)
@pytest.mark.parametrize("batch_size", [1, 3, 10, 11])
def test_native_and_row_by_row_agree(data, options, batch_size):
    native = DataLoader(data, batch_size, **options)
    rows = DataLoader(Rows(data), batch_size, **options)
    assert len(native) == len(rows)
    for _ in range(2):
        count = 0
        for a, b in zip(native, rows, strict=True):
            assert [t.tolist() for t in a] == [t.tolist() for t in b]
            assert [t.dtype for t in a] == [t.dtype for t in b]
            assert type(a) is type(b) is list
            count += 1
        assert count == len(native)


def test_batches_are_not_views_of_the_data(data):
    for options in ({}, {"shuffle": True}):
        for x, y in DataLoader(data, 4, **options):
            x.zero_()
            y.zero_()
    assert data.tensors[0].tolist() == np.arange(30).reshape(10, 3).tolist()
    assert data.tensors[1].tolist() == list(range(10))


def test_data_that_wants_gradients_gets_them():
    x = lamina.ones(4, 2, requires_grad=True)
    (batch,) = next(iter(DataLoader(TensorDataset(x), 2, sampler=[3, 0])))
    batch.sum().backward()
    assert x.grad.tolist() == [[1, 1], [0, 0], [0, 0], [1, 1]]


def test_a_subclass_that_transforms_is_read_by_its_own_rule(data):
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x, 2 * y

    class Shifted(Subset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x, y + 100

    assert labels(DataLoader(Doubled(*data.tensors), 5)) == [[0, 2, 4, 6, 8], [10, 12, 14, 16, 18]]
    assert labels(DataLoader(Shifted(data, [4, 2]), 5)) == [[104, 102]]


def test_any_rank_and_dtype_are_gathered():
    tensors = [lamina.zeros(3, 2, 2, dtype=lamina.float64), lamina.tensor([True, False, True])]
    x, flags = next(iter(DataLoader(TensorDataset(*tensors), 3, sampler=[2, 1, 0])))
    assert list(x.shape) == [3, 2, 2]
    assert x.dtype == lamina.float64
    assert flags.tolist() == [True, False, True]


# ------------------------------------------------------------------------------------- orders


def test_shuffle_is_a_new_permutation_each_pass(data):
    lamina.manual_seed(3)
    loader = DataLoader(data, 10, shuffle=True)
    passes = [labels(loader)[0] for _ in range(20)]
    assert all(sorted(order) == list(range(10)) for order in passes)
    assert len({tuple(order) for order in passes}) > 15  # 10! orders; a repeat is a 1 in 19,000
    lamina.manual_seed(3)
    assert [labels(loader)[0] for _ in range(20)] == passes


def test_a_seeded_loader_leaves_the_generator_alone(data):
    lamina.manual_seed(3)
    expected = lamina.rand(4).tolist()
    lamina.manual_seed(3)
    first = DataLoader(data, 4, shuffle=True, generator=11)
    passes = [labels(first), labels(first)]
    assert lamina.rand(4).tolist() == expected
    again = DataLoader(data, 4, shuffle=True, generator=11)
    lamina.rand(5)
    assert [labels(again), labels(again)] == passes
    assert passes[0] != passes[1]


def test_samplers(data):
    assert list(SequentialSampler(data)) == list(range(10))
    assert len(RandomSampler(data, num_samples=25)) == 25
    longer = list(RandomSampler(data, num_samples=25))
    assert sorted(longer[:10]) == sorted(longer[10:20]) == list(range(10))
    drawn = list(RandomSampler(data, replacement=True, num_samples=1000))
    counts = np.bincount(drawn, minlength=10)
    assert counts.sum() == 1000
    assert counts.min() > 40  # mean 100, standard deviation 9.5: six of them
    assert list(RandomSampler([])) == []
    for bad in (0, -1, True):
        with pytest.raises(ValueError, match="num_samples"):
            RandomSampler(data, num_samples=bad)


def test_batch_sampler(data):
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert len(BatchSampler(range(5), 2, True)) == 2
    assert len(BatchSampler(range(5), 2, False)) == 3
    assert labels(DataLoader(data, batch_sampler=[[5, -1], [0]])) == [[5, 9], [0]]

    class Pairs(Sampler):
        def __iter__(self):
            return iter([[0, 1], [8, 9]])

    assert labels(DataLoader(data, batch_sampler=Pairs())) == [[0, 1], [8, 9]]
    with pytest.raises(IndexError, match="index 10"):
        labels(DataLoader(data, batch_sampler=[[10]]))


# ------------------------------------------------------------------------------------ threads


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_keep_the_order(data, workers):
    started = []
    options = {"num_workers": workers, "worker_init_fn": started.append, "prefetch_factor": 1}
    plain = labels(DataLoader(data, 3, shuffle=True, generator=2))
    assert labels(DataLoader(data, 3, shuffle=True, generator=2, **options)) == plain
    assert labels(DataLoader(Rows(data), 3, shuffle=True, generator=2, **options)) == plain
    assert set(started) <= set(range(workers))
    assert started


def test_threads_pass_errors_on_and_end():
    class Bad(Dataset):
        def __len__(self):
            return 100

        def __getitem__(self, index):
            if index == 7:
                raise KeyError("sample 7")
            return index

    before = threading.active_count()
    loader = DataLoader(Bad(), 2, num_workers=2)
    with pytest.raises(KeyError, match="sample 7"):
        list(loader)
    for _ in loader:
        break  # left early
    for thread in threading.enumerate():
        if thread.name.startswith("lamina-loader"):
            thread.join(10)
    assert threading.active_count() <= before


def test_timeout():
    gate = threading.Event()

    class Slow(Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            gate.wait(30)
            return index

    try:
        with pytest.raises(RuntimeError, match=r"more than timeout=0\.05"):
            list(DataLoader(Slow(), num_workers=1, timeout=0.05))
    finally:
        gate.set()


# ----------------------------------------------------------------------------------- the rest


def test_streams():
    class Count(IterableDataset):
        def __iter__(self):
            return iter(range(5))

    for workers in (0, 2):
        joined = [b.tolist() for b in DataLoader(Count(), 2, num_workers=workers)]
        assert joined == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in DataLoader(Count(), 2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(DataLoader(Count(), None)) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="own order"):
        DataLoader(Count(), shuffle=True)
    with pytest.raises(TypeError):
        len(DataLoader(Count()))


def test_no_batching_and_collate_fn(data):
    singles = list(DataLoader(data, None))
    assert [y.item() for _, y in singles] == list(range(10))
    assert list(DataLoader(data, 4, collate_fn=len)) == [4, 4, 2]
    assert list(DataLoader([3, 1], None, collate_fn=lambda v: v + 1)) == [4, 2]


def test_default_collate():
    Point = collections.namedtuple("Point", "x y")
    assert default_collate([1, 2]).dtype == lamina.int64
    assert default_collate([1.0, 2.0]).dtype == lamina.float64
    assert default_collate([True, False]).dtype == lamina.bool
    assert default_collate(["a", "b"]) == ["a", "b"]
    arrays = default_collate([np.zeros((2, 3), np.float32)] * 4)
    assert list(arrays.shape) == [4, 2, 3]
    assert default_collate([np.float32(1), np.float32(2)]).dtype == lamina.float32
    joined = default_collate([{"a": (1, [2.0])}, {"a": (3, [4.0])}])
    assert joined["a"][0].tolist() == [1, 3]
    assert joined["a"][1][0].tolist() == [2.0, 4.0]
    point = default_collate([Point(1, 2), Point(3, 4)])
    assert type(point) is Point
    assert point.y.tolist() == [2, 4]
    with pytest.raises(ValueError, match=r"different shapes: \[2\], \[3\]"):
        default_collate([lamina.zeros(2), lamina.zeros(3)])
    with pytest.raises(ValueError, match="different lengths"):
        default_collate([(1, 2), (1,)])
    with pytest.raises(TypeError, match="object"):
        default_collate([object()])
    with pytest.raises(ValueError, match="at least one"):
        default_collate([])


def test_tensor_dataset_errors():
    with pytest.raises(ValueError, match=r"as many rows(.|\n)*\[5, 2\](.|\n)*\[4\]"):
        TensorDataset(lamina.zeros(5, 2), lamina.zeros(4))
    with pytest.raises(ValueError, match="at least one"):
        TensorDataset()
    with pytest.raises(ValueError, match="no first dimension"):
        TensorDataset(lamina.tensor(1.0))
    with pytest.raises(TypeError, match="ndarray"):
        TensorDataset(np.zeros(3))


def test_subset_errors(data):
    with pytest.raises(IndexError, match="index 10 is outside a dataset of 10 items"):
        list(DataLoader(Subset(data, [0, 10]), 2))
    with pytest.raises(IndexError):
        Subset(data, [0, 10])[1]
    assert labels(DataLoader(Subset(data, lamina.tensor([2, -1])), 2)) == [[2, 9]]
    assert list(DataLoader(Subset(data, []), 2)) == []


def test_concat(data):
    both = ConcatDataset([data, Subset(data, [3])]) + data
    assert len(both) == 21
    assert [int(both[i][1]) for i in (0, 9, 10, 11, 20, -1, -11)] == [0, 9, 3, 0, 9, 9, 3]
    for index in (21, -22):
        with pytest.raises(IndexError, match="21 items"):
            both[index]
    with pytest.raises(ValueError, match="at least one"):
        ConcatDataset([])
    with pytest.raises(TypeError, match="stream"):
        ConcatDataset([IterableDataset()])


def test_random_split(data):
    parts = random_split(data, [0.5, 0.25, 0.25], generator=1)
    assert [len(part) for part in parts] == [6, 2, 2]  # floors 5, 2, 2 and one left over
    everything = [i for part in parts for i in part.indices]
    assert sorted(everything) == list(range(10))
    again = random_split(data, [0.5, 0.25, 0.25], generator=1)
    assert [p.indices for p in again] == [p.indices for p in parts]
    assert [len(p) for p in random_split(data, [7, 0, 3])] == [7, 0, 3]
    assert [len(p) for p in random_split([5], [0.5, 0.5])] == [1, 0]
    for bad in ([3, 3], [0.5, 0.4], [11, -1], [5.5, 4.5]):
        with pytest.raises(ValueError, match="random_split"):
            random_split(data, bad)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 0}, "batch_size must be a positive integer, got 0"),
        ({"batch_size": 2.0}, r"got 2\.0"),
        ({"batch_size": True}, "got True"),
        ({"shuffle": True, "sampler": [0]}, "exclude each other"),
        ({"batch_sampler": [[0]], "shuffle": True}, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "batch_size": 3}, "batch_sampler excludes"),
        ({"batch_size": None, "drop_last": True}, "drop_last needs"),
        ({"num_workers": -1}, "num_workers"),
        ({"timeout": -1}, "timeout"),
        ({"prefetch_factor": 0}, "prefetch_factor"),
    ],
)
def test_loader_options(data, options, text):
    with pytest.raises(ValueError, match=text):
        DataLoader(data, **options)
