"""Training: the loop, its history, the folder of a run, and ready-made multilayer perceptrons."""

from lamina.train.experiment import Experiment, Settings
from lamina.train.folder import RunFolder
from lamina.train.history import History
from lamina.train.measures import accuracy
from lamina.train.mlp import Standardize, build_mlp
from lamina.train.plot import draw_curves
from lamina.train.trainer import Trainer

__all__ = [
    "Experiment",
    "History",
    "RunFolder",
    "Settings",
    "Standardize",
    "Trainer",
    "accuracy",
    "build_mlp",
    "draw_curves",
]
