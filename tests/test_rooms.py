"""The order of the rooms: a room imports from rooms below it alone, and the README shows the same house."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "jaxal").rglob("*.py"))


def rooms_of_readme() -> list[str]:
    """The rooms from top to bottom, as the README's layout lists them."""
    layout = re.search(r"^## Layout\n.*?^```\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    assert layout, "README.md has no fenced layout"
    return [line.split()[0].rstrip("/").removesuffix(".py") for line in layout[1].splitlines()[1:]]


def room(path: Path) -> str:
    return path.relative_to(ROOT / "jaxal").parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names of the jaxal modules that a module imports, inside of functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jaxal":
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "jaxal"}
    return found


def test_no_public_name_is_that_of_a_module():
    """Importing the module would put it in the place of what is public."""
    public = set(re.findall(r"import \w+ as (\w+)", (ROOT / "jaxal" / "__init__.pyi").read_text()))
    assert public and not public & {room(path) for path in MODULES}


def test_the_readme_lists_every_room():
    there = {room(path) for path in MODULES} - {"__init__"}
    listed = rooms_of_readme()
    assert len(listed) == len(set(listed))
    assert set(listed) - {"__init__"} == there


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_from_rooms_below_it_alone(path):
    order = rooms_of_readme()
    if room(path) == "__init__":
        return  # names the public parts of every room, and loads them when they are asked for
    floor = order.index(room(path))
    for name in imports(path):
        below = name.split(".")[1]
        assert below in order, f"{path.name} imports {name} from the package itself; name the room"
        assert order.index(below) >= floor, f"{room(path)} is below {below}, and imports {name}"


def test_no_module_imports_in_a_circle():
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in MODULES}
    edges = {}
    for path in MODULES:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        targets = {name if name in names else name.rsplit(".", 1)[0] for name in imports(path)}
        edges[module] = targets & names - {"jaxal"}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above[above.index(module) :], module))
        if module not in done:
            for target in sorted(edges[module]):
                visit(target, (*above, module))
            done.add(module)

    for module in sorted(edges):
        if module != "jaxal":
            visit(module, ())
