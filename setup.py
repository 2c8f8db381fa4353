"""Puts the experiments and sweeps, which stand at the top of the tree, into the package that is built."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PRESETS = [*sorted((ROOT / "experiments").glob("*.yaml")), *sorted((ROOT / "sweeps").glob("*.yaml"))]
PRESETS.append(ROOT / "experiments" / "README.md")


class BuildWithPresets(build_py):
    """An editable install needs no copies: the package finds the folders beside it (deepspec/presets.py)."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if not self.editable_mode:
            for path in PRESETS:
                target = self._target(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(str(path), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """What is installed, the presets among it."""
        return [*super().get_outputs(include_bytecode), *(str(self._target(path)) for path in PRESETS)]

    def get_source_files(self) -> list[str]:
        """What a source distribution needs."""
        return [*super().get_source_files(), *(str(path.relative_to(ROOT)) for path in PRESETS)]

    def _target(self, path: Path) -> Path:
        return Path(self.build_lib, "deepspec", "presets", path.parent.name, path.name)


setup(cmdclass={"build_py": BuildWithPresets})
