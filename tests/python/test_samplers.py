"""Samplers, streams and workers beyond the loader's own paths."""

from __future__ import annotations

import threading

import lamina
import numpy as np
import pytest
from lamina.utils import data
from lamina.utils.data import (
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_convert,
    get_worker_info,
)


class Count(IterableDataset):
    def __init__(self, start, stop):
        self.start, self.stop = start, stop

    def __iter__(self):
        return iter(range(self.start, self.stop))

    def __len__(self):
        return self.stop - self.start


# -- weights and subsets -------------------------------------------------------------------------


def test_weighted_draws_follow_the_weights():
    sampler = WeightedRandomSampler([1.0, 0.0, 3.0], 8000, generator=3)
    drawn = np.bincount(list(sampler), minlength=3)
    assert len(sampler) == 8000 == drawn.sum()
    assert drawn[1] == 0
    assert abs(drawn[0] - 2000) < 6 * np.sqrt(8000 * 0.25 * 0.75)
    assert sorted(WeightedRandomSampler([1.0, 2.0, 3.0], 3, replacement=False)) == [0, 1, 2]
    again = WeightedRandomSampler([1.0, 0.0, 3.0], 8000, generator=3)
    assert list(again) == list(WeightedRandomSampler(lamina.tensor([1, 0, 3]), 8000, generator=3))
    assert list(again) != list(again)  # each pass draws anew


def test_weighted_draws_of_memory_are_gathered(monkeypatch):
    rows = TensorDataset(lamina.arange(3), lamina.arange(6.0).view(3, 2))
    sampler = WeightedRandomSampler([0.0, 1.0, 0.0], 5)
    monkeypatch.setattr(WeightedRandomSampler, "__iter__", None)  # nothing goes row by row
    batches = list(DataLoader(rows, batch_size=2, sampler=sampler))
    assert [x.tolist() for x, _ in batches] == [[1, 1], [1, 1], [1]]
    assert batches[0][1].tolist() == [[2.0, 3.0], [2.0, 3.0]]
    with pytest.raises(IndexError, match="index 3 is out of range"):
        list(DataLoader(rows, sampler=WeightedRandomSampler([0, 0, 0, 1.0], 2), batch_size=2))


def test_a_subset_in_random_order():
    sampler = SubsetRandomSampler([5, 3, 9, 7], generator=0)
    passes = [list(sampler) for _ in range(20)]
    assert len(sampler) == 4
    assert {tuple(sorted(p)) for p in passes} == {(3, 5, 7, 9)}
    assert len({tuple(p) for p in passes}) > 5
    rows = TensorDataset(lamina.arange(10))
    loader = DataLoader(rows, batch_size=4, sampler=SubsetRandomSampler([5, 3, -1, 7]))
    ((batch,),) = loader
    assert sorted(batch.tolist()) == [3, 5, 7, 9]


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda: WeightedRandomSampler([1.0], 0), ValueError, "num_samples must be a positive int"),
        (lambda: WeightedRandomSampler([1.0], True), ValueError, "positive integer, got True"),
        (
            lambda: WeightedRandomSampler([1.0], 1, 1),
            ValueError,
            "replacement must be a bool, got 1",
        ),
        (lambda: WeightedRandomSampler([[1.0]], 1), ValueError, r"one dimension, got \[1, 1\]"),
        (
            lambda: list(WeightedRandomSampler([0.0, 1.0], 2, replacement=False)),
            ValueError,
            "can't draw 2 different positions where only 1",
        ),
        (lambda: list(WeightedRandomSampler([-1.0, 1.0], 2)), ValueError, "multinomial"),
        (
            lambda: ChainDataset([TensorDataset(lamina.ones(1))]),
            TypeError,
            "not an IterableDataset",
        ),
        (lambda: Count(0, 2) + range(1), TypeError, "dataset 1 is a range, not an IterableDataset"),
        (lambda: ConcatDataset([Count(0, 2)]), TypeError, "dataset 0 is a stream"),
        (lambda: data.DataLoder, AttributeError, "no 'DataLoder'.*nearest: DataLoader"),
        (lambda: lamina.utils.dta, AttributeError, "lamina.utils has no 'dta'.*nearest: data"),
    ],
)
def test_bad_use(act, error, text):
    with pytest.raises(error, match=text):
        act()


# -- streams -------------------------------------------------------------------------------------


def test_streams_joined():
    joined = Count(0, 3) + Count(7, 9)
    assert type(joined) is ChainDataset
    assert list(joined) == list(joined) == [0, 1, 2, 7, 8]
    assert len(joined) == 5
    loader = DataLoader(joined, batch_size=2, drop_last=True)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 7]]
    assert len(loader) == 2


# -- samples -------------------------------------------------------------------------------------


def test_single_samples_become_tensors():
    class Pairs(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return {"x": np.full(2, index), "name": f"n{index}", "pair": (np.float32(1.5), index)}

    first, _ = DataLoader(Pairs(), batch_size=None)
    assert isinstance(first["x"], lamina.Tensor)
    assert first["x"].tolist() == [0, 0]
    assert first["name"] == "n0"
    assert first["pair"][0].dtype == lamina.float32
    assert first["pair"][1] == 0
    kept = lamina.ones(1)
    assert default_convert(kept) is kept
    assert default_convert(np.array(["a"])).tolist() == ["a"]
    (raw, _) = DataLoader(Pairs(), batch_size=None, collate_fn=lambda sample: sample)
    assert isinstance(raw["x"], np.ndarray)


def test_a_dataset_that_reads_a_batch_at_once():
    class Many(Dataset):
        calls = 0

        def __len__(self):
            return 5

        def __getitems__(self, indices):
            self.calls += 1
            return [index * 10 for index in indices]

    many = Many()
    assert [b.tolist() for b in DataLoader(many, batch_size=3)] == [[0, 10, 20], [30, 40]]
    assert many.calls == 2


# -- workers -------------------------------------------------------------------------------------


def test_a_worker_knows_who_it_is():
    ready = threading.Barrier(2, timeout=60)  # so that both threads read one
    seen = {}

    class Asks(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            ready.wait()
            seen[index] = get_worker_info()
            return index

    asks = Asks()
    started = []
    loader = DataLoader(
        asks,
        num_workers=2,
        worker_init_fn=lambda number: started.append((number, get_worker_info().id)),
    )
    assert [batch.tolist() for batch in loader] == [[0], [1]]
    assert sorted(started) == [(0, 0), (1, 1)]
    assert {info.id for info in seen.values()} == {0, 1}
    assert len({info.seed for info in seen.values()}) == 2
    for info in seen.values():
        assert info.num_workers == 2
        assert info.dataset is asks
    assert get_worker_info() is None


def test_a_stream_is_read_by_one_thread_whatever_the_number_of_workers():
    class Asks(IterableDataset):
        def __iter__(self):
            info = get_worker_info()
            first, step = (0, 1) if info is None else (info.id, info.num_workers)
            return iter(range(first, 6, step))

    for workers in (0, 1, 3):
        loader = DataLoader(Asks(), batch_size=2, num_workers=workers, in_order=False)
        assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]


def test_random_sampler_rounds():
    drawn = list(RandomSampler(range(3), num_samples=7))
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == [0, 1, 2]
    assert len(drawn) == 7
