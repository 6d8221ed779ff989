"""Puts the registry, the launchers and the glossary, which lie beside the package in a checkout, into the wheel."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithShippedFiles(build_py):
    """Copies them to ``suite/shipped/``; an editable install reads the checkout's."""

    def run(self) -> None:
        """Build the package, then add the files."""
        super().run()
        if self.editable_mode:
            return
        for file in (Path("benchmarks.yaml"), Path("docs/architecture.md"), *sorted(Path("launchers").glob("*.yaml"))):
            target = Path(self.build_lib, "suite", "shipped", file)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


setup(cmdclass={"build_py": WithShippedFiles})
