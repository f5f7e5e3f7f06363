"""Text to vectors: `minilm` (the weights that come along) and `onnx` (a local folder) on the CPU, `openai` by URL."""
