"""Serving: many requests at the same time, which come and go, with one owner of the models."""
