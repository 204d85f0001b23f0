"""The check of a model that has never been seen: in which ways it can be read."""
