"""Prompts in any of their forms: texts, ids, chats, images; and what to say of them."""
