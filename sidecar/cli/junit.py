"""Results of policy tests in the JUnit XML that CI systems read."""

from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

from sidecar.cli.texts import printable
from sidecar.errors import Fault


def write(path: Path, suite: str, results: Iterable[tuple[str, list[str]]]) -> None:
    """Write one test case per result: its name, and the differences from what was expected.

    Raises:
        Fault: the file cannot be written.
    """
    cases = list(results)
    failures = str(sum(bool(differences) for _, differences in cases))
    counts = {"tests": str(len(cases)), "failures": failures, "errors": "0"}
    root = Element("testsuites", counts)
    parent = SubElement(root, "testsuite", {"name": suite, **counts})
    for name, differences in cases:
        case = SubElement(parent, "testcase", {"name": printable(name), "classname": suite})
        if differences:
            # XML cannot carry control characters at all, not even escaped.
            lines = [printable(line) for line in differences]
            SubElement(case, "failure", {"message": lines[0]}).text = "\n".join(lines)
    try:
        ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise Fault(f"{path}: cannot be written: {error.strerror}") from error
