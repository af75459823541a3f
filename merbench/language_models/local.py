"""A language model of the `transformers` library on this machine.

Conventions:
    It decodes greedily unless a request has a temperature, so that its answer is the same every time; with one, tokens
    are sampled by the request's `seed`. Code in the model's folder is never executed.
"""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from merbench.errors import MissingExtra, UsageError, listed, plural
from merbench.files.paths import is_path
from merbench.files.reading import sha256_bytes, sha256_file
from merbench.language_models.reply import Reply, RequestRefused, Stopped

MOST_NEW_TOKENS = 512
"""The longest answer, in tokens, where a request has no `max_tokens`; an unfinished one cannot be used."""

SETTINGS = ("max_tokens", "temperature", "top_p", "seed")
"""The settings of a request that are applied."""

_JPEG = "data:image/jpeg;base64,"


class LocalModel:
    """A language model of the `transformers` library, which may read pictures; an `Asker`.

    Args:
        name_or_path: folder of a saved model and its tokenizer, or a name that the library finds.
        needs: what needs the library, for the message that it is missing.
        quiet: whether the library, in this process, shows no progress of loading.
    """

    decoding = "greedy"
    parallel = 1
    attempts = 1  # a second one would be equal

    def __init__(
        self, name_or_path: str, *, needs: str = "grouping words with a model on this machine", quiet: bool = False
    ) -> None:
        is_folder = Path(name_or_path).is_dir()
        if re.match(r"[./]", name_or_path) and not is_folder:
            raise UsageError(f"{name_or_path}: no such folder")
        if is_folder and not is_path(name_or_path):  # the library would take it for the model of that name
            raise UsageError(f"'{name_or_path}' is a folder of the working directory: write ./{name_or_path}")
        try:
            import torch
            from transformers import (
                AutoConfig,
                AutoModelForCausalLM,
                AutoModelForImageTextToText,
                AutoProcessor,
                AutoTokenizer,
            )
            from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
            from transformers.utils import logging
        except ImportError as error:
            raise MissingExtra(needs, "language-models") from error
        if quiet:
            logging.disable_progress_bar()
        try:
            self.reads_pictures = type(AutoConfig.from_pretrained(name_or_path)) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
            if self.reads_pictures:
                self._processor: Any = AutoProcessor.from_pretrained(name_or_path)
                self._tokenizer: Any = self._processor.tokenizer
                model: Any = AutoModelForImageTextToText.from_pretrained(name_or_path)
            else:
                self._tokenizer = AutoTokenizer.from_pretrained(name_or_path)
                model = AutoModelForCausalLM.from_pretrained(name_or_path)
        except (ImportError, OSError, ValueError, KeyError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UsageError(f"'{name_or_path}' is not a language model: {reason}") from error
        self._model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        self._name_or_path = name_or_path
        self._stopped = threading.Event()

    @property
    def source(self) -> str:
        """Where the model runs."""
        import transformers

        return f"transformers {transformers.__version__} on {self._model.device.type}"

    @cached_property
    def model(self) -> str:
        """Name of the model with its revision, or with the digest of its files if it is a folder."""
        folder = Path(self._name_or_path)
        if folder.is_dir():
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            digest = sha256_bytes(*(f"{path.relative_to(folder)} {sha256_file(path)}\n".encode() for path in files))
            return f"{folder.resolve().name}@{digest[:12]}"
        revision = getattr(self._model.config, "_commit_hash", None)
        return f"{self._name_or_path}@{revision[:12]}" if revision else self._name_or_path

    def stop(self) -> None:
        """Answer no further request."""
        self._stopped.set()

    def answer(self, prompt: str) -> str:
        """Return what the model answers; raise `UsageError` if the prompt is longer than the model can read."""
        return self.reply({"messages": [{"role": "user", "content": prompt}]}).text

    def reply(self, request: Mapping[str, Any]) -> Reply:
        """Return the reply to a request.

        Raises:
            RequestRefused: it is longer than the model reads, or has something that the model does not read.
            UsageError: it has another setting than `SETTINGS`.
            Stopped: after `stop`.
        """
        import torch

        if self._stopped.is_set():
            raise Stopped
        if unknown := sorted(set(request) - {"messages", *SETTINGS}):
            raise UsageError(f"model {self.model}: takes {listed(SETTINGS)}, not {listed(unknown)}")
        tokens = self._tokens(request["messages"]).to(self._model.device)
        n_given = int(tokens["input_ids"].shape[1])
        config = self._model.config.get_text_config()
        longest = getattr(config, "max_position_embeddings", None)
        wanted = int(request.get("max_tokens", MOST_NEW_TOKENS))
        n_new = wanted if longest is None else min(wanted, longest - n_given)
        if n_new < 1:
            raise RequestRefused(
                f"model {self.model}: the prompt has {plural(n_given, 'token')}, at most {longest:,} fit"
            )
        how: dict[str, Any] = {"do_sample": False}
        if temperature := request.get("temperature"):
            how = {"do_sample": True, "temperature": float(temperature), "top_p": float(request.get("top_p", 1.0))}
            torch.manual_seed(int(request.get("seed", 0)))
        with torch.inference_mode():
            written = self._model.generate(
                **tokens, num_beams=1, max_new_tokens=n_new, pad_token_id=self._tokenizer.eos_token_id, **how
            )
        new = written[0, n_given:]
        finish = "length" if len(new) == n_new and int(new[-1]) != self._tokenizer.eos_token_id else "stop"
        text = str(self._tokenizer.decode(new, skip_special_tokens=True))
        return Reply(text, self.model, finish, n_tokens=(n_given, len(new)))

    def _tokens(self, messages: Sequence[Mapping[str, Any]]) -> Any:
        """Return the tokens of messages, as turns of a conversation if the model was trained on those."""
        if self.reads_pictures:
            turns = [{**message, "content": list(map(_for_processor, _parts(message)))} for message in messages]
            return self._processor.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=True, return_tensors="pt", return_dict=True
            )
        turns = [{**message, "content": "\n".join(map(self._text, _parts(message)))} for message in messages]
        if not self._tokenizer.chat_template:
            texts = "\n".join(turn["content"] for turn in turns)
            return self._tokenizer(texts, return_tensors="pt", return_token_type_ids=False)
        return self._tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )

    def _text(self, part: Mapping[str, Any]) -> str:
        if part["type"] != "text":
            raise RequestRefused(f"model {self.model}: reads text, not {part['type']}")
        return str(part["text"])


def _parts(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _for_processor(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a part of a message as processors of the library take it."""
    if part["type"] == "text":
        return part
    if part["type"] != "image_url" or not part["image_url"]["url"].startswith(_JPEG):
        raise RequestRefused(f"a model on this machine reads text and pictures, not {part['type']}")
    from PIL import Image

    data = base64.b64decode(part["image_url"]["url"].removeprefix(_JPEG))
    return {"type": "image", "image": Image.open(io.BytesIO(data)).convert("RGB")}
