"""How forward passes of a model run: eagerly, as captured graphs, or compiled."""
