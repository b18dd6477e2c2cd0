"""The paper as data: Tables 1 to 10, class groups, hyper-parameters and claims of the text, as printed.

`reader` gives the numbers, `compare.beside` puts runs beside them,
`collect` finds what was run, `show`, `grids` and `plots` render and export.
What was mended in the text the tables were read from stands in MENDED.md of this folder.
"""

from pnoc_lib.paper.compare import beside, settings, standing, title
from pnoc_lib.paper.reader import (
    cells,
    claims,
    class_groups,
    hyper_parameters,
    newer_methods,
    printed,
    same_cells,
    table,
    table_info,
    table_names,
    tables,
)

__all__ = [
    "beside",
    "cells",
    "claims",
    "class_groups",
    "hyper_parameters",
    "newer_methods",
    "printed",
    "same_cells",
    "settings",
    "standing",
    "table",
    "table_info",
    "table_names",
    "tables",
    "title",
]
