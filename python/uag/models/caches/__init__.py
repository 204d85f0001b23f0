"""The KV caches of one model and one text: each kind of them."""
