"""A two-layer model made here answers for real: as it comes, with random weights, and after it learnt one answer."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from merbench.errors import MissingExtra, UsageError
from merbench.synonyms import Question, fill_groups
from merbench.synonyms.filling import prompt
from merbench.synonyms.language_models import LocalModel

WORDS = ("glad", "happy", "sad")
ANSWER = '[ [ "glad" , "happy" ] , [ "sad" ] ]'


def tokenizer() -> Any:
    """Return one token per word of the prompt and of the answer."""
    tokenizers = pytest.importorskip("tokenizers", reason="transformers is not installed")
    from transformers import PreTrainedTokenizerFast

    texts = f"{prompt(WORDS)} {ANSWER}".split()
    vocabulary = {token: code for code, token in enumerate(dict.fromkeys(["<end>", "<unknown>", *texts]))}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unknown>"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unknown>", eos_token="<end>")


def model_of(words: Any, positions: int) -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    end = words.eos_token_id
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": positions, "vocab_size": len(words)}
    return GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=end, eos_token_id=end, pad_token_id=end))


def learn(model: Any, words: Any) -> None:
    """Teach a model to answer the one prompt with the one answer."""
    import torch

    given = words(prompt(WORDS), return_tensors="pt")["input_ids"]
    wanted = words(f"{ANSWER} <end>", return_tensors="pt")["input_ids"]
    tokens = torch.cat([given, wanted], dim=1)
    labels = torch.cat([torch.full_like(given, -100), wanted], dim=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        loss = model(input_ids=tokens, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def saved(folder: Path, *, learnt: bool, positions: int = 256, template: str | None = None) -> Path:
    words = tokenizer()
    words.chat_template = template
    model = model_of(words, positions)
    if learnt:
        learn(model, words)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "random", learnt=False)


@pytest.fixture(scope="module")
def learnt_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "learnt", learnt=True)


def test_random_weights_give_the_same_answer_every_time(random_model: Path) -> None:
    answers = [LocalModel(str(random_model)).answer(prompt(WORDS)) for _ in range(2)]
    assert answers[0] == answers[1] != ""


def test_nothing_is_shown_while_a_model_is_loaded_quietly(
    random_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    LocalModel(str(random_model), quiet=True)
    assert capfd.readouterr() == ("", "")


def test_random_weights_give_nothing_that_can_be_used(random_model: Path) -> None:
    filled = fill_groups("mine", [Question("x", WORDS)], LocalModel(str(random_model)), n_runs=1)
    assert (filled.n_new, filled.n_missing) == (0, 1)
    assert str(filled.problems[0]).startswith("E634  sample x, run 0: '")


def test_an_answer_that_was_learnt_is_stored(learnt_model: Path) -> None:
    asker = LocalModel(str(learnt_model))
    filled = fill_groups("mine", [Question("x", ("sad", "happy", "glad"))], asker, n_runs=1)
    assert filled.problems == ()
    assert list(filled.groups.runs[0].values()) == [(("glad", "happy"), ("sad",))]
    assert filled.groups.decoding == "greedy"
    assert filled.groups.source.startswith("transformers ")
    stands_for = filled.groups.representatives(["x"], [(("happy",), ("glad", "sad"))], 0)
    assert stands_for == [{"happy": "glad", "glad": "glad", "sad": "sad"}]


def test_a_model_is_named_by_its_files(learnt_model: Path, random_model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(learnt_model, tmp_path / "learnt")
    names = [LocalModel(str(folder)).model for folder in (learnt_model, copy, random_model)]
    assert names[0] == names[1]
    assert names[0].startswith("learnt@")
    (copy / "generation_config.json").unlink()
    assert LocalModel(str(copy)).model != names[0]


def test_a_model_of_conversations_gets_a_turn(tmp_path: Path) -> None:
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}<end>"
    spoken = LocalModel(str(saved(tmp_path / "chat", learnt=False, template=template)))
    plain = LocalModel(str(saved(tmp_path / "plain", learnt=False)))
    assert spoken.answer("glad happy") == plain.answer("glad happy<end>") != plain.answer("glad happy")


def test_a_prompt_that_is_too_long_is_told(tmp_path: Path) -> None:
    asker = LocalModel(str(saved(tmp_path / "short", learnt=False, positions=16)))
    n_tokens = len(prompt(WORDS).split())
    told = rf"^model short@[0-9a-f]{{12}}: the prompt has {n_tokens} tokens, at most 16 fit$"
    with pytest.raises(UsageError, match=told):
        asker.answer(prompt(WORDS))


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    with pytest.raises(UsageError, match="is not a language model: "):
        LocalModel(str(tmp_path))
    with pytest.raises(UsageError, match=rf"^{tmp_path}/nothing: no such folder$"):
        LocalModel(f"{tmp_path}/nothing")


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    told = r"^grouping words with a model on this machine needs the extra 'language-models': pip install 'merbench\["
    with pytest.raises(MissingExtra, match=told):
        LocalModel("any")


def test_a_bare_name_never_means_a_folder_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # transformers itself would read the folder.
    (tmp_path / "gpt2").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^'gpt2' is a folder of the working directory: write \./gpt2$"):
        LocalModel("gpt2")
