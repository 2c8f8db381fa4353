"""What README.md and the pages under docs/ show must work as written.

Every block of code is run, in the order of its page, in a folder that has what docs/README.md tells the reader to make
and what README.md makes of it. A block that is not run says why, in a comment above it: `<!-- not run: REASON -->`. A
block whose first line is a comment with the name of a YAML or Python file (`# sweep.yaml`) is written as that file.
"""

import contextlib
import glob
import importlib
import io
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from deepspec.__main__ import VERBS
from deepspec.errors import UserError
from deepspec.extensions import Extensible
from deepspec.preprocess import Preprocess

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
START = ROOT / "docs" / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
WRITTEN = [*PAGES, ROOT / "CONTRIBUTING.md"]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in WRITTEN}
FENCE = re.compile(r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    language: str
    text: str
    reason: str | None


def blocks(text):
    return [Block(match["language"], match["text"], match["reason"]) for match in FENCE.finditer(text)]


def commands(text):
    """The commands of a block, without comments, each as a list of words."""
    joined = text.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def expanded(words):
    """What a shell makes of `*`."""
    return [found for word in words for found in (sorted(glob.glob(word)) if "*" in word else [word])]


def run_command(words):
    """Run one command in this process."""
    program, *arguments = expanded(words)
    if program == "deepspec":
        verb, *options = arguments
        try:
            importlib.import_module(f"deepspec.{verb}").main(options)
        except SystemExit as stop:
            if stop.code:
                raise AssertionError(f"{shlex.join(words)}: exit status {stop.code}") from stop
    elif program == "cp":
        shutil.copy(*arguments)
    else:
        raise AssertionError(f"{shlex.join(words)}: expected deepspec or cp; say why another command is not run")


def without_numbers(text):
    """Words alone: numbers may differ in their last digits from machine to machine."""
    return re.sub(r"\d+(?:\.\d+)?", "#", " ".join(text.split()))


def run_page(path):
    """Run the blocks of a page in the current folder, and find what it says they print in what they do print."""
    names = {}
    printed = io.StringIO()
    shown = []
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.reason is not None:
            continue
        first = re.match(r"# ([\w-]+\.(?:yaml|py))\n", block.text)
        if first:
            Path(first[1]).write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            with contextlib.redirect_stdout(printed):
                for words in commands(block.text):
                    run_command(words)
        elif block.language == "python":
            with contextlib.redirect_stdout(printed):
                exec(compile(block.text, str(path), "exec"), names)
        elif block.language == "text":
            shown += block.text.splitlines()
        else:
            raise AssertionError(f"{path.name}: a block of '{block.language}' is neither run nor written as a file")
    text = without_numbers(printed.getvalue())
    for line in shown:
        assert without_numbers(line) in text, f"{path.name}: nothing printed {line!r}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with what the start of the documentation makes: a scan, shards, models, segmentations."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_page(START)
        run_page(README)
    return folder


@pytest.mark.slow
def test_the_start_and_readme_make_what_they_say(made):
    for name in ("shards/scan/manifest.json", "runs/scan/model.ckpt", "scan-segmentation/report.html",
                 "scan-segmentation-evaluation/report.html", "results/flower-segmentation/report.html"):  # fmt: skip
        assert (made / name).is_file(), name


@pytest.fixture
def tables_as_before(monkeypatch):
    """What a page adds to the tables of the package is taken away again, for other tests."""
    added, register = [], Extensible.register

    def noted(table, name, thing):
        added.append((table, name))
        return register(table, name, thing)

    monkeypatch.setattr(Extensible, "register", noted)
    yield
    for table, name in added:
        table.unregister(name)


@pytest.mark.slow
@pytest.mark.usefixtures("tables_as_before")
@pytest.mark.parametrize("path", [page for page in PAGES if page not in (README, START)], ids=lambda path: path.name)
def test_every_block_of_a_page_runs(path, made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(str(tmp_path / "here"))
    before = set(sys.modules)
    try:
        run_page(path)
    finally:
        for name in set(sys.modules) - before:
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("sh\nrm -r x", "expected deepspec or cp"),
        ("sh\ndeepspec compare none", "exit status 2"),
        ("toml\na = 1", "neither run nor written"),
        ("python\nassert 1 == 2, 'a false claim'", "a false claim"),
        ("text\nK = 4", "nothing printed 'K = 4'"),
    ],
)
def test_a_block_that_does_not_work_is_found(block, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"```{block}\n```\n")
    with pytest.raises(AssertionError, match=message):
        run_page(page)
    page.write_text(f"<!-- not run: it does not work -->\n```{block}\n```\n")
    run_page(page)


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").split()) < 1200


def test_every_verb_is_in_the_readmes_table():
    assert set(re.findall(r"^\| `(\w+)` \|", README.read_text(encoding="utf-8"), re.M)) >= set(VERBS)


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    folder = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
        if "://" in target:
            continue
        file, _, part = target.partition("#")
        path = folder / file if file else ROOT / name
        assert path.exists(), target
        if part:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert part in slugs, target


def test_every_page_is_in_the_index():
    index = START.read_text(encoding="utf-8")
    for path in PAGES[1:]:
        assert path == START or f"]({path.name})" in index, path.name


@pytest.mark.parametrize("name", TEXTS)
def test_files_and_make_targets_that_are_named_exist(name):
    for file in re.findall(r"`((?:experiments|sweeps|tests|deepspec)/[\w/]+\.\w+)`", TEXTS[name]):
        assert (ROOT / file).is_file(), file
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", TEXTS[name], re.M):
        assert target in targets, target


def test_pictures_are_small():
    pictures = list((ROOT / "docs" / "pictures").glob("*"))
    assert pictures
    for path in pictures:
        assert path.suffix == ".png", path
        assert path.stat().st_size < 200_000, path
        assert any(f"pictures/{path.name}" in text for text in TEXTS.values()), f"{path.name} is shown nowhere"


@pytest.fixture(scope="module")
def known_options():
    """Every option of every verb, and of the script that the pages show: the texts that list them."""
    shown = io.StringIO()
    asked = [(verb, ["--help"]) for verb in VERBS if verb != "synthesize"]
    asked += [("synthesize", [kind, "--help"]) for kind in ("xrf", "nebulae", "degrade")]
    asked += [("fit", ["--help.trainer"])]
    for verb, arguments in asked:
        with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
            importlib.import_module(f"deepspec.{verb}").main(arguments)
    scripts = [ROOT / "deepspec" / "__main__.py", ROOT / "experiments" / "methods.py"]
    return shown.getvalue() + "".join(path.read_text(encoding="utf-8") for path in scripts)


OTHERS = {"--index-url": "pip", "--nproc-per-node": "torchrun", "--array": "sbatch", "--nthreads": "dask worker"}


@pytest.mark.parametrize("name", TEXTS)
def test_every_option_that_is_named_exists(name, known_options):
    for option in re.findall(r"(?<=[\s`\[(])--[a-z][\w-]*(?:\.\w+)*", TEXTS[name]):
        if option in OTHERS or option.startswith(("--help.", "--overrides.")):
            continue
        assert re.search(rf"{re.escape(option)}(?![\w-])", known_options), option


def test_every_preprocessing_step_is_listed_and_every_listed_one_exists():
    section = TEXTS["docs/training.md"].split("## Preprocessing")[1].split("\n## ")[0]
    specs = [yaml.safe_load(spec) for spec in re.findall(r"^\| `(.+?)` \|", section, re.M)]
    for spec in specs:
        Preprocess(1024, [spec])
    with pytest.raises(UserError) as caught:
        Preprocess(64, ["0"])
    existing = re.search(r"\w+(?:, \w+)+$", str(caught.value)).group()  # the message ends with their names
    assert {spec if isinstance(spec, str) else spec["step"] for spec in specs} == set(existing.split(", "))


def test_the_citation_file_is_one_and_has_this_version():
    from deepspec import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == __version__
    assert citation["license"] == "BSD-3-Clause"
    paper = citation["references"][0]
    assert paper["title"] == "Datacube segmentation via Deep Spectral Clustering"
    assert len(paper["authors"]) == 5
