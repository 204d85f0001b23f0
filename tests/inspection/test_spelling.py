"""The sample texts that pairs are compared on."""

from uag.inspection.spelling import sample_texts


def test_samples_are_texts_of_many_kinds() -> None:
    texts = sample_texts()
    assert {"English", "Arabic", "Chinese", "Python"} <= set(texts) and len(texts) >= 12
    assert all(len(text.encode()) > 150 for text in texts.values())
