"""The part of a notebook that some of its cells need: what names each cell makes and takes, without running it."""

import ast
from copy import deepcopy
from symtable import symtable

DEFINITIONS = ast.Assign | ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef


def needed_for(notebook, words: tuple[str, ...]):
    """A copy with the code cells that hold one of ``words``, and those that decide the names these cells take."""
    wanted, chosen = set(), []
    for cell in reversed([cell for cell in notebook.cells if cell.cell_type == "code"]):
        statements = ast.parse(cell.source).body
        if any(word in cell.source for word in words) or wanted & set().union(*map(made, statements)):
            chosen.insert(0, cell)
            for statement in reversed(statements):
                if isinstance(statement, DEFINITIONS):  # else the name may have been there before
                    wanted -= made(statement)
                wanted |= taken(statement)
    part = deepcopy(notebook)
    part.cells = deepcopy(chosen)
    return part


def taken(statement: ast.stmt) -> set[str]:
    """Names that a statement takes from its module, also inside functions and comprehensions."""
    return _of_tables(symtable(ast.unparse(statement), "<cell>", "exec"))


def _of_tables(table) -> set[str]:
    top = table.get_type() == "module"
    own = {s.get_name() for s in table.get_symbols() if s.is_referenced() and (top or s.is_global())}
    return own.union(*map(_of_tables, table.get_children()))


def made(statement: ast.stmt) -> set[str]:
    """Names that a statement makes, or changes an item of."""
    symbols = symtable(ast.unparse(statement), "<cell>", "exec").get_symbols()
    items = [n for n in ast.walk(statement) if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store)]
    names = {item.value.id for item in items if isinstance(item.value, ast.Name)}
    return names | {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
