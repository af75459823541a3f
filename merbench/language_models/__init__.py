"""Language models: behind an OpenAI-compatible endpoint, or in a folder on this machine."""

from merbench.language_models.endpoint import Endpoint, completions_url, key_from
from merbench.language_models.local import LocalModel
from merbench.language_models.reply import NoReply, Reply, RequestRefused, Stopped

__all__ = [
    "Endpoint",
    "LocalModel",
    "NoReply",
    "Reply",
    "RequestRefused",
    "Stopped",
    "completions_url",
    "key_from",
]
