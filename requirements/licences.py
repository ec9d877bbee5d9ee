# SPDX-License-Identifier: Apache-2.0
"""Write ``docs/licences.md``: the licence of every pinned distribution, as the installed one states it.

python requirements/licences.py > docs/licences.md
"""

import re
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.licenses import canonicalize_license_expression

CONSTRAINTS = Path(__file__).resolve().parent / "constraints.txt"
#: Words of older metadata -> SPDX.
WORDS = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
#: How a licence's text is recognised where metadata say no more than "BSD", or nothing.
TEXTS = {
    "BSD-3-Clause": r"neither the names? |may be used to endorse",
    "BSD-2-Clause": r"redistributions in binary form must reproduce",
    "Apache-2.0": r"apache license\s+version 2\.0",
}
HEAD = """# Licences

SpikeLink is under the Apache License 2.0 ([LICENSE](../LICENSE)). What the repository carries of others: D3 7.9.2 under
the ISC License (`service/nodes/dashboard/page/vendor/d3.LICENSE`), sample images in the public domain
(`service/nodes/dashboard/page/samples/SOURCES.md`).

What is installed beside it, pinned in `requirements/constraints.txt`, with the licence that each distribution states,
as an SPDX expression. `make licences` renews this page. `tests/test_supply_chain.py` fails where a pinned distribution
is not here or has a licence that is not among those agreed to. MPL-2.0, the one with conditions on changed files,
occurs in tools for development and in certifi, which comes with the extra `ray`; neither is changed or shipped.

| distribution | version | licence |
|---|---|---|
"""


def licence_of(found: Distribution) -> str:
    """An SPDX expression. Raises LookupError where nothing states a licence."""
    stated = found.metadata.get("License-Expression")
    if stated:
        return str(canonicalize_license_expression(stated))
    classifiers = found.metadata.get_all("Classifier", [])
    said = [found.metadata.get("License") or "", *(line.rpartition(" :: ")[2] for line in classifiers)]
    for words in said:
        if words in WORDS:
            return WORDS[words]
        if re.fullmatch(r"[A-Za-z]+-[\d.]+(-Clause)?|MIT|ISC", words):
            return str(canonicalize_license_expression(words))
    text = " ".join(" ".join(_texts(found)).lower().split())
    for licence, pattern in TEXTS.items():
        if re.search(pattern, text):
            return licence
    raise LookupError(f"{found.metadata['Name']} states no licence that is known here")


def _texts(found: Distribution) -> list[str]:
    """Its licence files, those of parts that it bundles left out, and what older metadata quote."""
    files = [file for file in found.files or () if re.match(r"(licen[cs]e|copying)(\.(txt|md|rst))?$", file.name, re.I)]
    own = [file for file in files if ".dist-info" in str(file)]
    return [found.metadata.get("License") or "", *(file.read_text() for file in own)]


def rows() -> list[tuple[str, str, str]]:
    """Name, pinned version and licence of each distribution."""
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]
    pinned = [line.partition("==") for line in lines]
    return [(name, version, licence_of(distribution(name))) for name, _, version in pinned]


if __name__ == "__main__":
    sys.stdout.write(HEAD + "".join(f"| {name} | {version} | {licence} |\n" for name, version, licence in rows()))
