"""The embedded models: chat and embeddings without a key, a network or a GPU.

`weights` says what the models are and brings their files into the user's cache;
`embeddings` and `chat` run them; `server` speaks OpenAI's protocol over both;
`process` keeps one such server per user on a Unix socket; `client` is how an agent reaches it.
"""
