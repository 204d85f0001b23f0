"""Reads what a caller asks for: prompts, chats, options, and calls by transformers."""
