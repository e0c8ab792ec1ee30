"""Muon."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer
from lamina.optim.optimizer import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina.optim.optimizer import Params


class Muon(FusedOptimizer):
    """Muon: momentum of a matrix, made orthogonal before it is taken as the step.

    For the weights of hidden layers; biases, embeddings and the last layer are :class:`AdamW`'s.
    With G the gradient: ``B = momentum * B + (1 - momentum) * G``, and ``U = B`` or, with
    ``nesterov``, ``U = momentum * B + (1 - momentum) * G``. U is divided by its norm and then
    ``ns_steps`` times replaced by ``a U + (b U U^T + c (U U^T)^2) U``, which drives its singular
    values to about 1; ``p -= lr * weight_decay * p + lr * ratio * U``. Jordan et al., "Muon: an
    optimizer for hidden layers in neural networks", 2024; ``"match_rms_adamw"``: Liu et al., "Muon
    is scalable for LLM training", 2025.

    Parameters
    ----------
    weight_decay : float, default 0.1
        Share of the parameter taken off at each step, times ``lr``.
    momentum : float, default 0.95
        How much of the average is kept at each step.
    nesterov : bool, default True
        Look ahead along the momentum.
    ns_coefficients : tuple of three floats, default (3.4445, -4.775, 2.0315)
        The numbers a, b and c of the polynomial.
    eps : float, default 1e-7
        The least that U is divided by.
    ns_steps : int, default 5
        How often the polynomial is applied, below 100.
    adjust_lr_fn : {None, "original", "match_rms_adamw"}
        The ratio for a matrix of A rows and B columns: ``sqrt(max(1, A / B))``, which None means
        too, or ``0.2 * sqrt(max(A, B))``, for learning rates that were found for AdamW.
    params, lr, max_grad_norm
        As for every :class:`Optimizer`; all parameters must be matrices.

    Raises
    ------
    ValueError
        If a setting is out of range, or a parameter is no matrix.

    Notes
    -----
    The polynomial is evaluated in the parameter's dtype; PyTorch does it in bfloat16.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    >>> exact = (1.5, -0.5, 0.0)  # a polynomial that takes them to 1 itself
    >>> optimizer = lamina.optim.Muon([p], lr=0.5, weight_decay=0.0, ns_coefficients=exact)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [[round(x, 2) for x in row] for row in p.tolist()]
    [[0.5, 0.0], [0.0, 0.5]]
    """

    _method = "muon"
    _slots = ("momentum_buffer",)
    _settings = (
        "lr",
        "weight_decay",
        "momentum",
        "nesterov",
        ("ns_coefficients", 3),
        "eps",
        "ns_steps",
        ("adjust_lr_fn", "match_rms_adamw"),
    )
    _scalars = ("",)
    _at_least_zero = ("lr", "weight_decay", "momentum")

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, settings(locals()), max_grad_norm)

    def _validate(self, group: dict[str, Any]) -> None:
        super()._validate(group)
        if group["adjust_lr_fn"] not in (None, "original", "match_rms_adamw"):
            raise ValueError(
                "Muon: adjust_lr_fn must be None, 'original' or 'match_rms_adamw', "
                f"got {group['adjust_lr_fn']!r}"
            )
        if len(group["ns_coefficients"]) != 3:
            raise ValueError(
                f"Muon: ns_coefficients must be three numbers, got {group['ns_coefficients']}"
            )
        if group["ns_steps"] not in range(100):
            raise ValueError(
                f"Muon: ns_steps must be a whole number in [0, 100), got {group['ns_steps']}"
            )
        for place, param in enumerate(group["params"]):
            if param.ndim != 2:
                raise ValueError(
                    f"Muon: parameter {place} of the group must be a matrix, "
                    f"got {list(param.shape)}; give it to another optimizer"
                )
