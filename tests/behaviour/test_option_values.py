"""Whatever an option is given, a `UagError` comes out or a text; see the campaign for all of it."""

import random

from tests.campaigns.option_values import Trial, is_fault, outcome, trials

# About one value in forty, of every option and call.
SAMPLE = 450


def test_any_json_value_gives_a_text_or_an_error_of_ours() -> None:
    chosen = random.Random(0).sample([*trials()], SAMPLE)
    found = {str(trial): outcome(trial) for trial in chosen}
    assert {trial: result for trial, result in found.items() if is_fault(result)} == {}
    assert {"text", "OptionError", "PromptError"} <= {*found.values()}


def test_another_error_is_a_fault() -> None:
    class Broken:
        def __call__(self, *_: object) -> None:
            raise ZeroDivisionError

    assert is_fault(outcome(Trial("generate", "logits_processor", [Broken()])))
