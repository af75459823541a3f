"""A prompt goes in, the answer of a language model on this machine comes out, the same every time: greedy decoding."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

from merbench.errors import MissingExtra, UsageError, plural
from merbench.files import is_path, sha256_bytes, sha256_file

MOST_NEW_TOKENS = 512
"""The longest answer, in tokens; one that is not done by then cannot be used."""


class LocalModel:
    """A causal language model of the `transformers` library; an `Asker`.

    Args:
        name_or_path: folder of a saved model and its tokenizer, or a name that the library finds.
        quiet: whether the library, in this process, shows no progress of loading.

    Raises:
        MissingExtra: transformers or torch is not installed.
        UsageError: there is no such model.
    """

    decoding = "greedy"
    parallel = 1
    attempts = 1  # a second one would be equal

    def __init__(self, name_or_path: str, *, quiet: bool = False) -> None:
        is_folder = Path(name_or_path).is_dir()
        if re.match(r"[./]", name_or_path) and not is_folder:
            raise UsageError(f"{name_or_path}: there is no such folder")
        if is_folder and not is_path(name_or_path):  # the library would take it for the model of that name
            raise UsageError(f"'{name_or_path}' is a folder of the working directory: write ./{name_or_path}")
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
            from transformers.utils import logging
        except ImportError as error:
            raise MissingExtra("grouping words with a model on this machine", "language-models") from error
        if quiet:
            logging.disable_progress_bar()
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name_or_path)
            model: Any = AutoModelForCausalLM.from_pretrained(name_or_path)
        except (ImportError, OSError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UsageError(f"'{name_or_path}' is no language model: {reason}") from error
        self._model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        self._name_or_path = name_or_path

    @property
    def source(self) -> str:
        """Where the model runs."""
        import transformers

        return f"transformers {transformers.__version__} on {self._model.device.type}"

    @cached_property
    def model(self) -> str:
        """Name of the model, with its revision, or with the digest of its files where it is a folder."""
        folder = Path(self._name_or_path)
        if folder.is_dir():
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            digest = sha256_bytes(*(f"{path.relative_to(folder)} {sha256_file(path)}\n".encode() for path in files))
            return f"{folder.resolve().name}@{digest[:12]}"
        revision = getattr(self._model.config, "_commit_hash", None)
        return f"{self._name_or_path}@{revision[:12]}" if revision else self._name_or_path

    def answer(self, prompt: str) -> str:
        """Return what the model answers.

        Raises:
            UsageError: the prompt is longer than the model can read.
        """
        import torch

        tokens = self._tokens(prompt).to(self._model.device)
        n_given = tokens["input_ids"].shape[1]
        longest = getattr(self._model.config, "max_position_embeddings", None)
        room = MOST_NEW_TOKENS if longest is None else min(MOST_NEW_TOKENS, longest - n_given)
        if room < 1:
            told = f"the prompt has {plural(n_given, 'token')}, and the model reads {longest:,}"
            raise UsageError(f"model {self.model}: {told}")
        with torch.inference_mode():
            written = self._model.generate(
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
                do_sample=False,
                num_beams=1,
                max_new_tokens=room,
                pad_token_id=self._tokenizer.eos_token_id,
            )
        return str(self._tokenizer.decode(written[0, n_given:], skip_special_tokens=True))

    def _tokens(self, prompt: str) -> Any:
        """Return the tokens of a prompt, as a turn of a conversation where the model was trained on those."""
        if not self._tokenizer.chat_template:
            return self._tokenizer(prompt, return_tensors="pt")
        turn = [{"role": "user", "content": prompt}]
        return self._tokenizer.apply_chat_template(
            turn, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
