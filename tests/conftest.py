"""Settings of the whole suite."""

import gc
import os
import tempfile

# Before transformers is imported: no test may wait for a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# What checks of models found is kept for the suite alone; read when huggingface_hub is imported.
kept = tempfile.TemporaryDirectory()
os.environ["HF_ASSETS_CACHE"] = kept.name
# The models are tiny: threads would only wait for each other, also in processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Generated code is compiled here, not in processes that import torch for it.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)

settings.register_profile("fast", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def pytest_collection_finish() -> None:
    """What was imported stays: no search for garbage has to go through it again."""
    gc.collect()
    gc.freeze()
