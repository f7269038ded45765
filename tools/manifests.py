"""Write what is generated below ``deploy/k8s``; with ``--check``, say whether it is up to date.

That is the text of Envoy's configurations, which kustomize reads from its own folder alone, and
``rendered.yaml`` beside each overlay: what ``kubectl kustomize`` makes of it.
"""

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.kubectl import KUBECTL, kustomize

ROOT: Final = Path(__file__).parents[1]
MANIFESTS: Final = ROOT / "deploy" / "k8s"
RENDERED: Final = "rendered.yaml"

# Where an Envoy configuration goes, and which one it is.
ENVOY: Final = {
    "components/pair/envoy.yaml": "sidecar.yaml",
    "gateway/base/envoy.yaml": "gateway.yaml",
}


def overlays() -> list[Path]:
    """The folders of all overlays: those with a kustomization that is no component and no base."""
    return sorted(
        file.parent
        for file in MANIFESTS.rglob("kustomization.yaml")
        if "kind: Kustomization" in file.read_text().splitlines() and file.parent.name != "base"
    )


def envoy() -> Iterator[tuple[Path, str]]:
    """The files that hold the text of an Envoy configuration, each with what it should hold."""
    for target, source in ENVOY.items():
        yield MANIFESTS / target, (ROOT / "envoy" / source).read_text()


def rendered() -> Iterator[tuple[Path, str]]:
    """The rendered files, each with what it should hold."""
    for overlay in overlays():
        yield overlay / RENDERED, kustomize(overlay)


def outdated(files: Iterator[tuple[Path, str]]) -> Iterator[tuple[Path, str]]:
    """Those that hold something else."""
    for path, text in files:
        if not path.exists() or path.read_text() != text:
            yield path, text


def main() -> int:
    """Write or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    generated = [envoy]
    # kubectl is installed for x86-64 alone.
    missing = platform.machine() == "x86_64" and not KUBECTL.exists()
    if KUBECTL.exists() and platform.machine() == "x86_64":
        generated.append(rendered)
    else:
        print("kubectl is not there (make .kubectl): nothing is rendered", file=sys.stderr)
    found = False
    for files in generated:
        for path, text in outdated(files()):
            found = True
            print(f"{path.relative_to(ROOT)} is {'outdated' if check else 'written'}")
            if not check:
                path.write_text(text)
    if check and found:
        print("run: make manifests", file=sys.stderr)
    return int(check and (found or (missing and "CI" in os.environ)))


if __name__ == "__main__":
    sys.exit(main())
