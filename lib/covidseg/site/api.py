"""The reference: a page for each module, read from its text. Nothing is imported, so nothing can run."""

import ast
import html
import re
from pathlib import Path

from covidseg.lessons.cells import highlighted
from covidseg.site.book import Page

__all__ = ["module_page", "pages"]

PACKAGE = Path(__file__).resolve().parents[1]
CODE = re.compile(r"``([^`\n]+)``|`([^`\n]+)`")
EXAMPLE = re.compile(r"^((?:>>> .*)(?:\n.+)*)$", re.M)  # up to an empty line
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def pages(only: list[str] | None = None) -> list[Page]:
    """A page that lists the modules, and a page for each. only : names of modules, for a part of the book."""
    files = {name: path for name, path in _modules().items() if only is None or name in only}
    made = {name: module_page(name, path) for name, path in files.items()}
    return [_list(made), *made.values()]


def module_page(name: str, path: Path) -> Page:
    """One module: what it says of itself, its public functions and classes with theirs, and its text, folded."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    about = ast.get_docstring(tree) or ""
    members = [node for node in tree.body if isinstance(node, DEFINITIONS) and node.name in _public(tree)]
    parts = [f"<h1><code>{name}</code></h1>", _doc(about), *(_member(node) for node in members)]
    parts.append(f'<details class="source"><summary>The file, {text.count(chr(10))} lines</summary>')
    parts.append(f"{highlighted(text)}</details>")
    source = path.relative_to(PACKAGE.parents[1]).as_posix()
    words = (name, *(f"{name}.{node.name}" for node in members))
    return Page(f"api/{name}.html", name, "\n".join(parts), source, about.partition("\n")[0], names=words)


def _modules() -> dict[str, Path]:
    """Name -> file, of every module whose name does not begin with _; a folder goes by its own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            found[".".join(parts)] = path
    return dict(sorted(found.items()))


def _public(tree: ast.Module) -> set[str]:
    """What ``__all__`` lists, or else every name without an underscore in front."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return {item.value for item in ast.walk(node.value) if isinstance(item, ast.Constant)}
    return {node.name for node in tree.body if isinstance(node, DEFINITIONS) and not node.name.startswith("_")}


def _member(node, level: int = 2) -> str:
    """A function or class with its docstring; of a class its public methods and the fields it declares."""
    parts = [f'<section class="member" id="{node.name}"><h{level}><code>{node.name}</code></h{level}>']
    parts.append(f'<div class="signature">{highlighted(_signature(node))}</div>{_doc(ast.get_docstring(node) or "")}')
    if isinstance(node, ast.ClassDef):
        methods = [one for one in node.body if isinstance(one, DEFINITIONS) and not one.name.startswith("_")]
        parts += [
            _member(one, level + 1).replace(f' id="{one.name}"', f' id="{node.name}.{one.name}"') for one in methods
        ]
    return "".join([*parts, "</section>"])


def _signature(node) -> str:
    decorators = [f"@{ast.unparse(one)}" for one in node.decorator_list]
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        fields = [f"    {ast.unparse(one)}" for one in node.body if isinstance(one, ast.AnnAssign)]
        return "\n".join([*decorators, f"class {node.name}({bases}):" if bases else f"class {node.name}:", *fields])
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return "\n".join([*decorators, f"def {node.name}({ast.unparse(node.args)}){returns}"])


def _doc(text: str) -> str:
    """A docstring as it was laid out, its code words as code."""
    if not text:
        return ""
    made = []
    for place, part in enumerate(EXAMPLE.split(text)):
        if place % 2:
            made.append(f'<pre class="example">{html.escape(part, quote=False)}</pre>')
        elif part.strip():
            said = CODE.sub(lambda m: f"<code>{m[1] or m[2]}</code>", html.escape(part.strip("\n"), quote=False))
            made.append(f'<pre class="doc">{said}</pre>')
    return "".join(made)


def _list(made: dict[str, Page]) -> Page:
    rows = [
        f'<tr><td><a href="{page.address.partition("/")[2]}"><code>{name}</code></a></td>'
        f"<td>{html.escape(page.summary)}</td></tr>"
        for name, page in made.items()
    ]
    words = "<p>Every module of the kit, as its docstrings describe it.</p>"
    body = f"<h1>Reference</h1>{words}<table><tr><th>module</th><th>what it is</th></tr>{''.join(rows)}</table>"
    return Page("api/index.html", "All modules", body, menu=True)
