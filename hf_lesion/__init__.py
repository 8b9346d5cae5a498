"""Honest classification of dermoscopic skin lesions on the Hugging Face stack."""

from types import ModuleType

import wrapt

__version__ = "0.1.0"


# `import hf_lesion` must make `pipeline()` know our CNN, yet stay as quick as a script's `--help`
# needs: so the CNN is registered when transformers' own model mapping is loaded, before or after.
@wrapt.when_imported("transformers.models.auto.modeling_auto")
def _register_cnn(_: ModuleType) -> None:
    from hf_lesion.models.registration import register_cnn

    register_cnn()
