"""What the workflows that handle pull requests of others may do, read from their files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = Path(__file__).parent.parent / ".github" / "workflows"

pytestmark = pytest.mark.skipif(not WORKFLOWS.is_dir(), reason="workflows: this is not a checkout")


def workflow(name: str) -> dict[Any, Any]:
    return yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text(encoding="utf-8"))


def triggers(content: dict[Any, Any]) -> Any:
    return content[True]  # YAML 1.1 reads the key `on` as true


def steps(content: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in content["jobs"].values() for step in job["steps"]]


def test_a_pull_request_is_validated_without_secrets_and_with_a_token_that_reads() -> None:
    content = workflow("validate-submissions")
    assert list(triggers(content)) == ["pull_request"]
    assert content["permissions"] == {"contents": "read"}
    assert all("permissions" not in job and "environment" not in job for job in content["jobs"].values())
    assert "secrets." not in (WORKFLOWS / "validate-submissions.yml").read_text(encoding="utf-8")


def test_nothing_of_a_pull_request_is_installed_or_run() -> None:
    content = steps(workflow("validate-submissions"))
    checkouts = {
        step["with"]["path"]: step["with"] for step in content if step.get("uses", "").startswith("actions/checkout")
    }
    assert checkouts["trusted"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert checkouts["proposed"]["sparse-checkout"] == "submissions"
    assert all(checkout["persist-credentials"] is False for checkout in checkouts.values())
    commands = [step for step in content if "run" in step]
    assert [step["run"] for step in commands] == [
        "python -m pip install --constraint trusted/constraints.txt ./trusted",
        "merbench validate-entries --submissions submissions --format github",
    ]
    assert [step.get("working-directory") for step in commands] == [None, "proposed"]


def test_the_board_is_rebuilt_on_main_only_one_run_at_a_time() -> None:
    content = workflow("leaderboard")
    assert set(triggers(content)) == {"push", "workflow_dispatch"}
    assert triggers(content)["push"]["branches"] == ["main"]
    assert content["permissions"] == {"contents": "read"}
    assert content["concurrency"] == {"group": "leaderboard", "cancel-in-progress": False}
    (job,) = content["jobs"].values()
    assert job["permissions"] == {"contents": "write"}
    (checkout,) = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout")]
    assert checkout["with"]["ref"] == "main"
    # A sweep over everything: no step depends on what the event changed.
    assert "merbench leaderboard" in [step.get("run") for step in job["steps"]]


def test_a_release_publishes_the_files_that_were_tested() -> None:
    jobs = workflow("release")["jobs"]
    scripts = [step.get("run", step.get("uses", "")) for step in jobs["build"]["steps"]]
    build, wheel, tests, upload = scripts[-4:]
    assert build.endswith("\npython -m build\n")
    assert [script for script in scripts if "-m build" in script] == [build]
    assert {"tracks", "score mer-multi answers.csv"} <= set(re.findall(r"^wheel/bin/merbench (.*)$", wheel, re.M))
    assert tests == ".ci/run"
    assert jobs["build"]["steps"][-2]["env"] == {"MERBENCH_TEST_DIST": "dist"}
    assert upload.startswith("actions/upload-artifact@")
    assert "run" not in str([list(step) for step in jobs["publish"]["steps"]])


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.stem)
def test_every_workflow_is_bounded(path: Path) -> None:
    content = workflow(path.stem)
    assert "permissions" in content
    assert all("timeout-minutes" in job or "environment" in job for job in content["jobs"].values())
    assert not {"pull_request_target", "workflow_run"} & set(triggers(content))
    # What somebody else may write (a title, a branch) never becomes part of a script.
    for step in steps(content):
        assert not re.search(r"\$\{\{", step.get("run", "")), step


def test_actions_are_pinned_to_a_commit_and_say_their_version() -> None:
    # A tag or a branch can be moved to other code; a commit cannot.
    content = {
        line
        for path in WORKFLOWS.glob("*.yml")
        for line in re.findall(r"uses: *(.*)", path.read_text(encoding="utf-8"))
    }
    assert [
        line for line in sorted(content) if not re.fullmatch(r"[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
    ] == []
    names = [line.partition("@")[0] for line in content]
    assert len(set(names)) == len(names)  # one version of each
