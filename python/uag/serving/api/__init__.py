"""Endpoints: what is read from a connection and written to it."""
