"""A kind of contract for import-linter: what modules import themselves is of a list."""

from __future__ import annotations

import sys

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowedContract(Contract):
    """The modules below `source_modules` import the standard library, each other, and what is below `allowed`."""

    source_modules = fields.SetField(subfield=fields.ModuleField())
    allowed = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Return every import of something else."""
        sources = {module.name for module in self.source_modules}
        allowed = {*sources, *self.allowed, *sys.stdlib_module_names}
        checked = {name for source in sources for name in (source, *graph.find_descendants(source))}
        broken = sorted(
            (importer, imported)
            for importer in checked
            for imported in graph.find_modules_directly_imported_by(importer)
            if not any(imported == name or imported.startswith(f"{name}.") for name in allowed)
        )
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print them."""
        for importer, imported in check.metadata["broken"]:
            output.print_error(f"{importer} imports {imported}")
