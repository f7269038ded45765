"""The places of credentials, and which credential a text is where several share a place.

Three segments joined by dots are a JWT and nothing else: one that is refused is never introspected.
Five are a session token where the gateway's own sessions have that place. Any other text is opaque.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from sidecar.check.extract import Credential, HeaderSource, TokenSource
from sidecar.check.refusal import Refusal
from sidecar.gateway.settings import Form
from sidecar.model import Reason


class Placed(Protocol):
    """A credential of the configuration, or what verifies it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def source(self) -> TokenSource:
        """The header or cookie that carries it."""
        ...

    @property
    def form(self) -> Form:
        """The form of its text."""
        ...


T = TypeVar("T", bound=Placed)


class Places(Generic[T]):
    """Finds the one of ``credentials`` that a text is, among those whose name is in ``accepted``.

    At one place there is at most one of each form. One that is not accepted still has its form: no
    other credential is tried for such a text.
    """

    def __init__(self, credentials: Iterable[T], accepted: Collection[str]) -> None:
        places: dict[TokenSource, dict[Form, T]] = {}
        sources: dict[TokenSource, TokenSource] = {}
        for each in credentials:
            source = sources.setdefault(_place(each.source), each.source)
            places.setdefault(source, {})[each.form] = each
        self._alone: dict[TokenSource, T] = {}
        self._shared: dict[TokenSource, dict[Form, T]] = {}
        for source, forms in places.items():
            usable = [each for each in forms.values() if each.name in accepted]
            if usable and len(forms) == 1:
                self._alone[source] = usable[0]
            elif usable:
                self._shared[source] = forms
        self._accepted = frozenset(accepted)
        # In the order of the configuration.
        self.sources = tuple(each for each in places if each in self._alone | self._shared)

    def find(self, credential: Credential) -> T | Refusal:
        """The one that a credential from one of ``sources`` is, or why it is none."""
        alone = self._alone.get(credential.source)
        if alone is not None:
            return alone
        forms = self._shared[credential.source]
        form = _form(credential.text, forms)
        found = forms.get(form)
        if found is not None and found.name in self._accepted:
            return found
        names = [each.value for each, one in forms.items() if one.name in self._accepted]
        detail = f"it is {form.value}; accepted in this place: {'; '.join(names)}"
        return Refusal(Reason.MALFORMED_TOKEN, detail)


def _form(text: str, there: Collection[Form]) -> Form:
    """The form of a text at a place for the forms of ``there``."""
    dots = text.count(".")
    if dots == 2:
        return Form.JWT
    return Form.SESSION if dots == 4 and Form.SESSION in there else Form.OPAQUE


def _place(source: TokenSource) -> TokenSource:
    """The source as places are compared: an authentication scheme has no case (RFC 9110 §11.1)."""
    if isinstance(source, HeaderSource) and source.scheme is not None:
        return replace(source, scheme=source.scheme.lower())
    return source
