"""Methods of decoding timed on the same prompts."""
