"""Lookahead: how many ids to draft in the next round."""
