"""Reading text without a model: sentences, words, and how far two texts share them. Every room may import this one."""
