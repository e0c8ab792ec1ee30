"""A training script as a user writes it, typed: test_types.py runs it and has mypy read it."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
from lamina import Tensor, nn, optim
from lamina.testing import assert_close


class Net(nn.Module):
    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.first = nn.Linear(2, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.last = nn.Linear(hidden, 2)
        self.scale = nn.Parameter(lamina.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(x)))
        out: Tensor = self.last(x)
        return out * self.scale


def batches(x: Tensor, y: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    order = lamina.randperm(len(x))
    return [(x[i], y[i]) for i in order.split(size)]


def train(epochs: int = 30) -> tuple[float, float]:
    lamina.manual_seed(0)
    device = lamina.device("cuda" if lamina.cuda.is_available() else "cpu")
    x = lamina.rand(128, 2, device=device) * 2 - 1
    y = (x[:, 0] * x[:, 1] > 0).long()

    model = Net().to(device)
    optimizer = optim.AdamW(model.parameters(), lr=0.05, weight_decay=1e-3)
    model.train()
    for _ in range(epochs):
        for inputs, labels in batches(x, y, 32):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()

    model.eval()
    with lamina.no_grad():
        logits: Tensor = model(x)
        accuracy = (logits.argmax(dim=1) == y).float().mean().item()
    values, indices = logits.max(1)
    assert values.shape == indices.shape == y.shape
    return loss.item(), accuracy


def arrays() -> None:
    x = lamina.arange(6, dtype=lamina.float32).reshape(2, 3)
    row: Tensor = x[0]
    row += 1
    total: float = x.sum().item()
    sizes: tuple[int, ...] = x.shape
    rows, columns = x.size(0), x.shape[1]
    assert (rows, columns) == sizes
    parts: list[Tensor] = list(x.unbind(0))
    assert_close(lamina.stack(parts).sum(), lamina.tensor(total))
    assert_close(lamina.from_dlpack(x), lamina.asarray(x.numpy()))
    y = lamina.ones(2, requires_grad=True)
    (gradient,) = lamina.autograd.grad((y * y).sum(), [y])
    assert gradient is not None
    state: dict[str, Tensor] = dict(Net().state_dict())
    assert "first.weight" in state


if __name__ == "__main__":
    arrays()
    print("loss {:.4f}  accuracy {:.3f}".format(*train()))
