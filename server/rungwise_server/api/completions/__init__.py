"""OpenAI's legacy completions, over the same workloads."""
