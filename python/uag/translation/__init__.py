"""Two tokenizers: exact, incremental translation between their ids."""
