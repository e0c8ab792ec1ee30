"""Optimizers and schedules, PyTorch's formulae and defaults; the update is one native call."""

from lamina.optim.adam import Adam
from lamina.optim.adamw import AdamW
from lamina.optim.optimizer import Optimizer
from lamina.optim.rmsprop import RMSprop
from lamina.optim.sgd import SGD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lamina.optim import lr_scheduler, swa_utils
    from lamina.optim.adadelta import Adadelta
    from lamina.optim.adagrad import Adagrad
    from lamina.optim.adamax import Adamax
    from lamina.optim.asgd import ASGD
    from lamina.optim.lbfgs import LBFGS
    from lamina.optim.lion import Lion
    from lamina.optim.muon import Muon
    from lamina.optim.nadam import NAdam
    from lamina.optim.radam import RAdam
    from lamina.optim.rprop import Rprop
    from lamina.optim.sparseadam import SparseAdam

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]


def __getattr__(name: str) -> object:
    # What few programs use is loaded when it is asked for.
    if name not in __all__:
        from lamina._errors import absent

        raise absent(__name__, name, __all__)
    import importlib

    module = importlib.import_module(f"{__name__}.{name.lower()}")
    found = module if name in ("lr_scheduler", "swa_utils") else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
