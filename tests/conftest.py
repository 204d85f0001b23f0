"""Settings of the whole suite."""

import os

# Before transformers is imported: no test may wait for a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from hypothesis import settings

# The models are tiny: threads would only wait for each other.
torch.set_num_threads(1)

settings.register_profile("fast", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
