"""How many ids to draft in the next round."""
