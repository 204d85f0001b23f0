"""What a request says, and what is answered: JSON to prompts and options, texts to JSON."""
