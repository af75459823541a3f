"""`merbench ask`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from merbench.cli import options
from merbench.cli.options import EXECUTION, INPUT, MODEL, OUTPUT, PROMPT
from merbench.cli.parser import option
from merbench.cli.printing import print_line, print_report, progress_bar, terminal_width
from merbench.errors import WITH_PROBLEMS, UsageError, examples, plural, problem_list

if TYPE_CHECKING:
    from merbench.asking import AskedRun, Estimate, Files, Grid, How
    from merbench.asking.settings import Model

Reading = StrEnum("Reading", "released careful")


def ask(
    track: options.Track,
    endpoint: str | None = option(MODEL, "--endpoint URL", "OpenAI-compatible endpoint, e.g. http://localhost:8000."),
    model: str | None = option(MODEL, "--model NAME", "Name of the model at the endpoint."),
    key_env: str | None = option(MODEL, "--key-env VAR", "Environment variable with the key of the endpoint."),
    local: str | None = option(
        MODEL, "--local DIR", "Folder of a transformers model on this machine instead; needs the extra language-models."
    ),
    text_model: str | None = option(MODEL, "--text-model NAME", "Another model for steps that see only text."),
    text_endpoint: str | None = option(MODEL, "--text-endpoint URL", "Its endpoint. [default: that of --endpoint]"),
    text_key_env: str | None = option(MODEL, "--text-key-env VAR", "Variable with the key of --text-endpoint."),
    temperature: float | None = option(MODEL, "--temperature T", "Temperature. [default: from the protocol]", min=0),
    max_tokens: int | None = option(
        MODEL, "--max-tokens N", "Longest answer, in tokens. [default: from the protocol]", min=1
    ),
    request: list[str] | None = option(
        MODEL, "--request NAME=VALUE", "Another setting of every request, such as seed=1; repeatable."
    ),
    mixed_models: bool = option(
        MODEL, "--mixed-models", "Go on where replies state another model than those before.", False
    ),
    split: options.Split = "test",
    media: list[Path] | None = option(INPUT, "--media DIR", "Folder of clips; repeatable: later ones are preferred."),
    send: list[str] | None = option(
        INPUT,
        "--send NAME",
        "What is sent of a sample: text, frames, faces, audio or video; repeatable. [default: text, with --media also "
        "frames, and audio where the model takes it]",
    ),
    column: str = option(INPUT, "--column NAME", "Column of the transcript.", "transcript"),
    frames: int | None = option(
        INPUT, "--frames N", "Frames or faces of a clip. [default: from the protocol]", min=1, max=64
    ),
    longest_side: int = option(INPUT, "--longest-side N", "Pictures are at most as large, in pixels.", 512, min=16),
    protocol: list[str] | None = option(
        PROMPT, "--protocol NAME|FILE", "How targets are asked about; repeatable. [default: by the kind of target]"
    ),
    n_examples: int = option(
        PROMPT, "--examples N", "Samples of the training split shown with what is right.", 0, min=0
    ),
    example_seed: int = option(PROMPT, "--example-seed N", "Seed of their choice.", 0, min=0),
    batch: int | None = option(
        PROMPT, "--batch N", "Samples in one request. [default: from the protocol]", min=1, max=100
    ),
    order_seed: int | None = option(
        PROMPT, "--order-seed N", "Permute the candidates by this seed. [default: as declared]", min=0
    ),
    paraphrase: int = option(PROMPT, "--paraphrase N", "Which of a protocol's texts.", 0, min=0),
    repeat: int = option(
        PROMPT, "--repeat N", "Number of the repetition; another number asks everything again.", 0, min=0
    ),
    orders: int = option(
        PROMPT,
        "--orders N",
        "Ask in N orders of candidates in turn, and report how the score spreads.",
        1,
        min=1,
        max=50,
    ),
    paraphrases: int = option(PROMPT, "--paraphrases N", "Likewise by N texts, from --paraphrase.", 1, min=1, max=50),
    repeats: int = option(PROMPT, "--repeats N", "Likewise N times, from --repeat.", 1, min=1, max=50),
    attempts: int = option(
        PROMPT, "--attempts N", "How often the same is asked for an answer that can be read.", 3, min=1, max=20
    ),
    reading: Reading = option(
        PROMPT, "--reading", "Read answers as the released evaluations do, or more carefully.", Reading.released
    ),
    in_flight: int = option(
        EXECUTION, "--in-flight N", "Requests sent to the endpoint at once, 1 to 256.", 32, min=1, max=256
    ),
    timeout: float = option(EXECUTION, "--timeout SECONDS", "Longest wait for an answer.", 120, min=1),
    dry_run: bool = option(EXECUTION, "--dry-run", "Ask nothing; count requests, tokens and money.", False),
    price_in: float | None = option(EXECUTION, "--price-in PRICE", "Price of a million tokens of requests.", min=0),
    price_out: float | None = option(EXECUTION, "--price-out PRICE", "Price of a million tokens of answers.", min=0),
    intervals: options.Intervals = True,
    unanswered: list[str] | None = option(
        OUTPUT, "--unanswered TARGET=VALUE", "Cell of samples without an answer. [default: by the track's policy]"
    ),
    stored: Path | None = option(
        INPUT, "--stored FILE", "Ask nothing: read the answers in this file, JSON Lines or CSV of sample_id and text."
    ),
    answers: Path | None = option(OUTPUT, "--answers DIR", "Folder of stored answers. [default: in the data home]"),
    output: Path | None = option(OUTPUT, "--output -o DIR", "Folder to write. [default: runs/TRACK/ask-MODEL]"),
    force: options.Force = False,
) -> None:
    """Ask a language model about every sample, and score it.

    Every answer is stored, so that the same command goes on after it was stopped and asks nothing twice.
    """
    from merbench.asking import Files, Grid, How, estimate, estimate_spread
    from merbench.asking import ask as run

    if stored is not None:
        _read_stored(track, stored, split, reading, Files(answers, output, force, intervals))
        return
    settings = options.named_values("--request", request, "seed=1")
    settings |= {} if temperature is None else {"temperature": temperature}
    settings |= {} if max_tokens is None else {"max_tokens": max_tokens}
    how = How(
        split=split,
        protocols=protocol or (),
        media=media or (),
        send=send,
        column=column,
        frames=frames,
        longest_side=longest_side,
        n_examples=n_examples,
        example_seed=example_seed,
        batch=batch,
        order_seed=order_seed,
        paraphrase=paraphrase,
        repeat=repeat,
        attempts=attempts,
        released=reading is Reading.released,
        settings=settings,
        mixed_models=mixed_models,
        unanswered=options.pairs("--unanswered", unanswered),
    )
    main = _model(endpoint, model, key_env, local, in_flight, timeout)
    other = _text_model(endpoint, text_model, text_endpoint, key_env, text_key_env, in_flight, timeout)
    models = (main, other or main)
    grid = Grid(orders, paraphrases, repeats) if max(orders, paraphrases, repeats) > 1 else None
    if dry_run:
        counted = (
            estimate(track, models, how, answers=answers)
            if grid is None
            else estimate_spread(track, models, grid, how, answers=answers)
        )
        print("\n".join(_estimated(counted, price_in, price_out)))
        return
    files = Files(answers, output, force, intervals)
    if grid is not None:
        _spread(track, models, grid, how, files)
        return
    with progress_bar() as show:
        asked = run(
            track,
            models,
            how,
            files=files,
            progress=show,
            note=lambda text: print(text, file=sys.stderr, flush=True),
        )
    _print(asked, main, price_in, price_out)
    if asked.problems or asked.is_refused:
        raise typer.Exit(WITH_PROBLEMS)


def _read_stored(track: str, stored: Path, split: str, reading: Reading, files: Files) -> None:
    """Read the answers in a file instead of asking, and print what became of them."""
    from merbench.asking import rescore

    read = rescore(
        track,
        stored,
        split=split,
        released=reading is Reading.released,
        output=files.output,
        replace=files.replace,
        intervals=files.intervals,
    )
    for name, counts in read.outcomes.items():
        shown = ", ".join(f"{n:,} {outcome}" for outcome, n in sorted(counts.items()))
        print_line(f"{read.candidates.track.key}, split '{split}', {name}: {shown}")
    print_line(f"wrote {read.folder}")
    print()
    print_report(read.report, read.withheld)
    if read.report is None and "does not accept" in read.withheld:
        raise typer.Exit(WITH_PROBLEMS)


def _spread(track: str, models: tuple[Model, Model], grid: Grid, how: How, files: Files) -> None:
    """Ask by several prompts, and print how the score spreads over them."""
    from merbench.asking import prompt_spread

    with progress_bar() as show:
        report = prompt_spread(
            track,
            models,
            grid,
            how,
            files=files,
            progress=show,
            note=lambda text: print(text, file=sys.stderr, flush=True),
        )
    print(report.to_text(terminal_width()), end="")


def _model(
    endpoint: str | None, name: str | None, key_env: str | None, local: str | None, in_flight: int, timeout_s: float
) -> Model:
    from merbench.language_models import Endpoint, LocalModel, key_from

    if (endpoint is None) == (local is None):
        raise UsageError("give --endpoint or --local, not both" if endpoint else "give either --endpoint or --local")
    if local is not None:
        return LocalModel(local, needs="asking a model on this machine", quiet=not sys.stderr.isatty())
    if not name:
        raise UsageError("--endpoint needs --model, the name of the model there")
    key = key_from(key_env) if key_env else None
    return Endpoint(str(endpoint), name, key, parallel=in_flight, timeout_s=timeout_s)


def _text_model(
    endpoint: str | None,
    name: str | None,
    own_endpoint: str | None,
    key_env: str | None,
    own_key_env: str | None,
    in_flight: int,
    timeout_s: float,
) -> Model | None:
    """Return the model of steps that see only text; a key is sent only to the endpoint that it is of."""
    if name is None:
        if own_endpoint or own_key_env:
            raise UsageError("--text-endpoint and --text-key-env need --text-model, the name of the model there")
        return None
    if own_endpoint is None and endpoint is None:
        raise UsageError("--text-model needs --text-endpoint where the other model is on this machine")
    key = own_key_env or (key_env if own_endpoint is None else None)
    return _model(own_endpoint or endpoint, name, key, None, in_flight, timeout_s)


def _estimated(counted: Estimate, price_in: float | None, price_out: float | None) -> list[str]:
    lines = [
        f"{plural(counted.n_requests, 'request')} to send, {counted.n_stored:,} stored; more where one cannot be read",
        f"about {counted.n_tokens_in:,} tokens of requests, at most {counted.most_tokens_out:,} of answers",
    ]
    if price_in is not None or price_out is not None:
        lines.append(f"about {counted.price(price_in or 0.0, price_out or 0.0):,.2f} at most")
    lines.append(
        "tokens are estimated: 4 characters of an alphabet are one, any other character is one, a picture has 85 and "
        "170 for each square of 512 pixels, sound has 25 a second, video 260 a second"
    )
    return lines


def _print(asked: AskedRun, model: Model, price_in: float | None, price_out: float | None) -> None:
    from merbench.asking.run import OUTCOMES

    counts, n = asked.counts(), len(asked.candidates)
    for kind, reason in asked.not_sent.items():
        print(f"{kind} is not sent: {reason}", file=sys.stderr)
    print_line(f"{model.model}, {asked.candidates.track.key}, split '{asked.candidates.split}': {plural(n, 'sample')}")
    print_line(", ".join(f"{counts[outcome]:,} {outcome}" for outcome in OUTCOMES if counts[outcome]))
    tokens_in, tokens_out = asked.n_tokens
    money = ""
    if price_in is not None or price_out is not None:
        money = f": {(tokens_in * (price_in or 0.0) + tokens_out * (price_out or 0.0)) / 1e6:,.2f}"
    counted = f"all requests have {tokens_in:,} tokens, their answers {tokens_out:,}{money}"
    if not tokens_in:
        counted = "the model's tokens are not counted"
    print_line(f"{plural(asked.n_new, 'request')} answered now; {counted}")
    if asked.problems:
        where = str(asked.candidates.track.key)
        print(problem_list(where, examples(asked.problems, lambda problem: problem)), file=sys.stderr)
    if asked.folder is None:
        print("no submission is written; the same command asks only what is missing", file=sys.stderr)
        return
    print_line(f"wrote {asked.folder}")
    print()
    print_report(asked.report, asked.withheld)
    if asked.report is None:
        track, split = asked.candidates.track, asked.candidates.split
        print_line(f"with references: merbench score {track.id} {asked.folder}/submission.csv --split {split}")
