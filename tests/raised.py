"""The message of an error that a user causes, compared as a whole by the tests."""

import pytest

from hf_lesion.errors import InputError


def refusal(function, *arguments, **options):
    """Return the message of the InputError that a call raises."""
    with pytest.raises(InputError) as caught:
        function(*arguments, **options)
    return str(caught.value)
