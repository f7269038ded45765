"""What a hostile server of keys sends is read or refused in little time, at the largest size."""

import contextlib
from time import thread_time

import pytest

from sidecar.clients.http import ANSWER_BYTES
from sidecar.errors import SourceFault
from sidecar.jose.key_documents import parse
from sidecar.keys.sources.file import MAXIMUM_BYTES
from tests.support.hard_documents import hard_documents

# CPU seconds of this thread, several times what the hardest takes. Quadratic time is minutes.
BUDGET = 0.5


@pytest.mark.parametrize("size", [ANSWER_BYTES, MAXIMUM_BYTES], ids=["fetched", "from a file"])
@pytest.mark.parametrize("name", hard_documents(1024))
def test_the_hardest_documents_cost_little(name: str, size: int) -> None:
    document = hard_documents(size)[name]
    assert size / 20 < len(document) <= size

    began = thread_time()
    with contextlib.suppress(SourceFault):
        parse(document)

    assert thread_time() - began < BUDGET
