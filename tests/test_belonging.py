"""Files for other programs' use: workflows, issue forms, hooks, container and recipe name what exists here."""

import re
import shlex
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml

from deepspec import __version__
from deepspec.__main__ import VERBS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))
WORKFLOW = yaml.load((ROOT / ".github" / "workflows" / "test.yml").read_text(), yaml.BaseLoader)
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
RECIPE = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def commands(text):
    return [shlex.split(line) for line in text.splitlines() if line.strip()]


def test_what_the_workflow_runs_exists():
    assert set(WORKFLOW) == {"name", "on", "permissions", "concurrency", "env", "jobs"}
    made = set()
    for name, job in WORKFLOW["jobs"].items():
        assert job["runs-on"] == "ubuntu-24.04", name
        assert any(step.get("uses", "").startswith("actions/checkout@") for step in job["steps"]), name
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), name
            for program, *words in commands(step.get("run", "")):
                if program == "make":
                    assert set(words) <= TARGETS, words
                    made |= set(words)
                elif program == "deepspec":
                    assert words[0] in VERBS
                else:
                    assert program in ("python", "test"), program
    assert {"lint", "type", "test-fast", "test-lowest", "test", "demo"} <= made


def test_the_workflow_tries_every_python_from_the_lowest_on():
    tried = [tuple(map(int, v.split("."))) for v in WORKFLOW["jobs"]["newest"]["strategy"]["matrix"]["python"]]
    lowest = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    assert tried == [(3, minor) for minor in range(lowest[1], lowest[1] + 4)]
    pythons = [step["with"]["python-version"] for step in WORKFLOW["jobs"]["lowest"]["steps"] if "with" in step]
    assert pythons == [PROJECT["requires-python"].removeprefix(">=")]


@pytest.mark.parametrize("path", [path for path in FORMS if path.stem != "config"], ids=lambda path: path.stem)
def test_an_issue_form_is_one(path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form) <= {"name", "description", "labels", "body", "title"}
    ids = [part["id"] for part in form["body"]]
    assert len(ids) == len(set(ids))
    for part in form["body"]:
        assert part["type"] in ("textarea", "input", "checkboxes", "dropdown")
        assert set(part) <= {"type", "id", "attributes", "validations"}
        known = {"label", "description", "placeholder", "render", "value", "options"}
        assert {"label"} <= set(part["attributes"]) <= known
        assert set(part.get("validations", {"required": True})) == {"required"}
        assert (part["type"] == "checkboxes") == ("options" in part["attributes"])
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_the_hooks_are_those_of_make_lint():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    for repository in hooks["repos"]:
        assert set(repository) == {"repo", "rev", "hooks"}
        assert re.fullmatch(r"v\d+\.\d+\.\d+", repository["rev"])
    (ruff,) = [repository for repository in hooks["repos"] if "ruff" in repository["repo"]]
    assert [hook["id"] for hook in ruff["hooks"]] == ["ruff-check", "ruff-format"]
    assert "ruff check ." in MAKEFILE
    assert "ruff format --check ." in MAKEFILE


def test_the_container_has_what_building_needs_and_the_torch_of_make():
    copied = [word for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.M) for word in line.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text().split()
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name
    # What the wheel is built of, as the test of the wheel in an empty folder takes it.
    assert set(copied) == {"pyproject.toml", "setup.py", "README.md", "LICENSE", "deepspec", "experiments", "sweeps"}
    torch = re.search(r"^TORCH \?= (\S+)$", MAKEFILE, re.M)
    assert f"ARG TORCH={torch[1]}\n" in DOCKERFILE
    python = re.search(r"^FROM python:(\d+\.\d+)", DOCKERFILE, re.M)[1]
    assert python in WORKFLOW["jobs"]["newest"]["strategy"]["matrix"]["python"]
    assert 'ENTRYPOINT ["deepspec"]' in DOCKERFILE


def test_the_recipe_asks_for_what_the_package_does():
    own = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    wanted = {}
    for requirement in PROJECT["dependencies"]:
        name, bounds = re.fullmatch(r"([\w-]+)(?:\[\w+\])?(.*)", requirement).groups()
        wanted[own.get(name, name)] = bounds
    run = dict(entry.split(" ", 1) for entry in RECIPE["requirements"]["run"])
    extras = {"python", "docstring_parser", "typeshed_client"}
    assert run.pop("python") == PROJECT["requires-python"]
    assert {name: bounds for name, bounds in run.items() if name not in extras} == wanted
    # conda has no extras: what jsonargparse[signatures] brings is named.
    brought = {re.match(r"[\w-]+", text)[0] for text in requires("jsonargparse") if 'extra == "signatures"' in text}
    assert {name.replace("-", "_") for name in brought} - {"jsonargparse"} <= {*run, *extras}
    assert RECIPE["context"]["version"] == __version__ == PROJECT["version"]
    assert RECIPE["about"]["license"] == PROJECT["license"]
    entry = RECIPE["build"]["python"]["entry_points"]
    assert entry == [f"deepspec = {PROJECT['scripts']['deepspec']}"]
    scripts = next(test["script"] for test in RECIPE["tests"] if "script" in test)
    assert all(words[0] == "deepspec" and words[1] in {*VERBS, "--version"} for words in map(shlex.split, scripts))
