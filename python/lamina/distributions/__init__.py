"""Probability distributions: drawing from them, and how probable a value is.

Batches of distributions of one kind are held in tensors of parameters. ``batch_shape`` is the
shape of the batch, ``event_shape`` that of one draw from one of them; ``sample(shape)`` gives
``shape + batch_shape + event_shape``. ``rsample`` draws so that gradients reach the parameters.
"""

from lamina.distributions.bernoulli import Bernoulli
from lamina.distributions.categorical import Categorical
from lamina.distributions.distribution import Distribution
from lamina.distributions.independent import Independent
from lamina.distributions.kl import kl_divergence
from lamina.distributions.normal import Normal
from lamina.distributions.uniform import Uniform

__all__ = [
    "Bernoulli",
    "Categorical",
    "Distribution",
    "Independent",
    "Normal",
    "Uniform",
    "kl_divergence",
]


def __getattr__(name: str) -> object:
    from lamina._errors import absent

    raise absent(__name__, name, __all__)
