"""Special functions under the names that they have in `torch.special` and SciPy."""

from lamina._core import (
    erf,
    erfc,
    erfinv,
    exp2,
    expm1,
    log1p,
    log_softmax,
    logit,
    round,
    sinc,
    softmax,
    xlogy,
)
from lamina._core import sigmoid as expit

__all__ = [
    "erf",
    "erfc",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "log1p",
    "log_softmax",
    "logit",
    "round",
    "sinc",
    "softmax",
    "xlogy",
]
