"""Puts the registry and the launchers, which lie beside the package in a checkout, into it when it is built."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithShippedFiles(build_py):
    """Copies ``benchmarks.yaml`` and ``launchers/`` to ``suite/shipped/``; an editable install reads the checkout's."""

    def run(self) -> None:
        """Build the package, then add the files."""
        super().run()
        if self.editable_mode:
            return
        for file in (Path("benchmarks.yaml"), *sorted(Path("launchers").glob("*.yaml"))):
            target = Path(self.build_lib, "suite", "shipped", file)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


setup(cmdclass={"build_py": WithShippedFiles})
