"""Folders of models that pairs are inspected of."""

import pytest

from tests.support.files import folders_of_pairs


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return folders_of_pairs(tmp_path_factory.mktemp("folders"))
