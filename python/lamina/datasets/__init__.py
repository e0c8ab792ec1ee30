"""Data to learn on: the UCI digits that ship with the package, toy problems, your own ``.npz``."""

from lamina.datasets.files import digits, load_npz
from lamina.datasets.splits import DataSplits, split_rule
from lamina.datasets.toys import moons, spirals, xor

__all__ = ["DataSplits", "digits", "load_npz", "moons", "spirals", "split_rule", "xor"]
