"""Other forms of the same requests and answers, which coding agents speak."""
