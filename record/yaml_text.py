"""The YAML of spaces and study.yaml: PyYAML's, but stricter, and with the plain values of YAML 1.2.

`1e-3` is a number (PyYAML wants 1.0e-3); `1:30` and `2026-01-31` are text (PyYAML: 90 and a date). A key that occurs
twice in a mapping and a number with a leading zero (octal in YAML 1.1, decimal in 1.2) are refused.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from record.errors import UserError, one_line

Resolver = tuple[str, re.Pattern[str]]

TAG = "tag:yaml.org,2002:"
FLOAT: Resolver = (f"{TAG}float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"))
LEADING_ZERO: Resolver = (f"{TAG}int", re.compile(r"[-+]?0[0-9_]+$"))
SEXAGESIMAL: Resolver = (f"{TAG}str", re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$"))


class _Loader(yaml.SafeLoader):
    """Reads the plain values of YAML 1.2."""


class _Dumper(yaml.SafeDumper):
    """Quotes text that either version of YAML would read as something else."""


_Loader.yaml_implicit_resolvers = {
    first: [FLOAT, SEXAGESIMAL, *(r for r in resolvers if r[0] != f"{TAG}timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Dumper.yaml_implicit_resolvers = {
    first: [FLOAT, LEADING_ZERO, *resolvers] for first, resolvers in yaml.SafeDumper.yaml_implicit_resolvers.items()
}


def load(text: str, where: str) -> Any:
    """The value of a YAML document, None for an empty one. Raises UserError; where: the start of its message."""
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _check(root, where, (), (), set())
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        raise UserError(f"{where}: not a text file; YAML in UTF-8 is needed") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{where}{line}: not YAML: {one_line(error.problem or 'cannot be parsed')}") from error
    except (ValueError, OverflowError) as error:  # such as !!int x, and a number of thousands of digits
        if isinstance(error, UserError):
            raise
        raise UserError(f"{where}: not YAML: {one_line(error)}") from error
    except RecursionError as error:
        raise UserError(f"{where}: nested too deeply") from error


def dump(value: object) -> str:
    """YAML that `load` reads back as the same value, keys in their order."""
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    if load(text, "") != value:  # PyYAML writes some line breaks raw and reads them as spaces
        text = yaml.dump(value, Dumper=_Dumper, sort_keys=False)
    return text


def _check(node: Node, where: str, path: tuple[str, ...], parents: tuple[Node, ...], checked: set[Node]) -> None:
    """Refuse what PyYAML would read as something else than is meant."""
    at = f"{where}, line {node.start_mark.line + 1}: {'.'.join(path)}{': ' if path else ''}"
    if node in parents:
        raise UserError(f"{at}an alias of a value that contains it")
    if node in checked:  # another alias
        return
    checked.add(node)
    if isinstance(node, ScalarNode) and node.style is None and LEADING_ZERO[1].match(node.value):
        plain = re.sub("^([-+]?)0+(?=[0-9])", r"\1", node.value)
        raise UserError(f"{at}{node.value} has a leading zero; write {plain}, or '{node.value}' if it is text")
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            _check(item, where, (*path, str(index)), (*parents, node), checked)
    if isinstance(node, MappingNode):
        names: set[tuple[str, str]] = set()
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else "?"
            if (key.tag, name) in names and name != "?":
                at = f"{where}, line {key.start_mark.line + 1}: {'.'.join((*path, name))}"
                raise UserError(f"{at}: this key occurs twice")
            names.add((key.tag, name))
            _check(value, where, (*path, name), (*parents, node), checked)
