"""Words in their context: MiniLM's six layers (Wang et al. 2020), as Sentence-BERT trained them.

The network alone; ``quantize.data.word_embeddings`` reads its weights (all-MiniLM-L6-v2) and cuts
words to pieces.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

SIZE, LAYERS, HEADS, PIECES, LONGEST = 384, 6, 12, 30_522, 512


class SentenceEncoder(nn.Module):
    """Word pieces (B, N) of one length, [CLS] and [SEP] among them -> states (B, N, 384).

    BERT (Devlin et al. 2019): every state depends on the whole sentence. No padding, hence no mask.
    """

    def __init__(self, layers: int = LAYERS, pieces: int = PIECES) -> None:
        super().__init__()
        self.words = nn.Embedding(pieces, SIZE)
        self.places = nn.Embedding(LONGEST, SIZE)
        self.kind = nn.Parameter(torch.zeros(SIZE))
        """The embedding of "first sentence"; there is no second."""
        self.norm = nn.LayerNorm(SIZE, eps=1e-12)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                SIZE, HEADS, 4 * SIZE, 0.1, "gelu", layer_norm_eps=1e-12, batch_first=True
            )
            for _ in range(layers)
        )

    def forward(self, pieces: Tensor) -> Tensor:
        """Read one sentence, or several of one length."""
        places = torch.arange(pieces.shape[1])
        x = self.norm(self.words(pieces) + self.places(places) + self.kind)
        for layer in self.layers:
            x = layer(x)
        return x


def from_bert(stored: Mapping[str, Tensor], layers: int = LAYERS) -> dict[str, Tensor]:
    """Weights under the names of Hugging Face's BertModel to a ``SentenceEncoder``'s state."""
    state = {
        "words.weight": stored["embeddings.word_embeddings.weight"],
        "places.weight": stored["embeddings.position_embeddings.weight"],
        "kind": stored["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": stored["embeddings.LayerNorm.weight"],
        "norm.bias": stored["embeddings.LayerNorm.bias"],
    }
    theirs = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for k in range(layers):
        at = f"encoder.layer.{k}."
        for part in ("weight", "bias"):
            three = [stored[f"{at}attention.self.{n}.{part}"] for n in ("query", "key", "value")]
            state[f"layers.{k}.self_attn.in_proj_{part}"] = torch.cat(three)
            for ours, name in theirs.items():
                state[f"layers.{k}.{ours}.{part}"] = stored[f"{at}{name}.{part}"]
    return state
