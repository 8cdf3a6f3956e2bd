"""MiniLM on onnxruntime: texts to unit vectors of 384 dimensions.

Called by `server`. One text is one run of the model: the 8-bit weights scale their activations by
all that is in a run, so a text in a batch would get another vector than the text alone, and a
redelivered record must get the same. It costs nothing: alone is as fast as padded, and `embed` may
be called from several threads at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import MissingExtra
from .weights import EMBEDDINGS, paths

DIMENSIONS = 384
MAX_TOKENS = 256  # what the model was trained for; the rest of a text is left out


@dataclass(frozen=True, slots=True)
class Embedding:
    """A vector of length one, as little-endian 32-bit floats, and the tokens that were read."""

    vector: bytes
    tokens: int


class Embedder:
    """The loaded model: tokenizer, session, mean pooling, L2 norm."""

    def __init__(self) -> None:
        files = paths(EMBEDDINGS)
        try:
            import onnxruntime
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra(str(error.name), "ai", f"the embedded model '{EMBEDDINGS.name}'") from error
        self._tokenizer = Tokenizer.from_file(str(files[".json"]))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._session = onnxruntime.InferenceSession(
            str(files[".onnx"]), _one_thread(onnxruntime), providers=["CPUExecutionProvider"]
        )

    def embed(self, text: str) -> Embedding:
        import numpy as np

        encoded = self._tokenizer.encode(text)
        rows = {
            "input_ids": encoded.ids,
            "attention_mask": encoded.attention_mask,
            "token_type_ids": encoded.type_ids,
        }
        inputs = {name: np.array([row], dtype=np.int64) for name, row in rows.items()}
        states = self._session.run(None, inputs)[0][0]
        mean = states.mean(axis=0)  # no padding, so every state counts
        unit = mean / np.linalg.norm(mean)
        return Embedding(unit.astype("<f4").tobytes(), len(encoded.ids))


def _one_thread(onnxruntime: Any) -> Any:
    """Threads are spent on several texts at once, not inside one: twice the rate on two cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return options
