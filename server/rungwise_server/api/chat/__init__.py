"""OpenAI's chat, the wire that most clients and all models here speak: the request read, the answer written."""
