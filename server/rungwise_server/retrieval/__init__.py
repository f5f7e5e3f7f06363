"""Finding passages: embedders (`minilm`, `onnx`, `openai_embeddings`), term weights (`sparse`), indexes, `hybrid`."""
