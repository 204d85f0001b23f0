"""The page at / for a chat with the served model."""
