"""One thread per process, which a tiny model needs and two test workers share; and no network."""

import gc
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def pytest_collection_finish() -> None:
    """What the imports have left is not looked at again by each collection of garbage, .3 s every time."""
    gc.collect()
    gc.freeze()
