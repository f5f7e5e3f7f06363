"""Who answers: each module implements or wraps `ChatModel`.

`openai_compatible` speaks to vLLM, OpenAI and every such URL over our own HTTP client; `litellm` to every other
provider; `extractive` answers in the documents' own sentences; `fallback` tries the next one. `prices` knows what they
cost.
"""
