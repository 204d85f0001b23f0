"""What a caller asks for: prompts, chats, options, transformers' own calls."""
