"""Data to learn on: the UCI digits that ship with the package, Fashion-MNIST, toys, your files."""

from lamina.datasets.fashion import fashion_mnist
from lamina.datasets.files import digits, load_npz
from lamina.datasets.idx import read_idx
from lamina.datasets.splits import DataSplits, split_rule
from lamina.datasets.toys import moons, spirals, xor

__all__ = [
    "DataSplits",
    "digits",
    "fashion_mnist",
    "load_npz",
    "moons",
    "read_idx",
    "spirals",
    "split_rule",
    "xor",
]
