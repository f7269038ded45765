"""The public keys of every trusted issuer, as one immutable snapshot."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from sidecar.jose.jwk import VerificationKey


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one trust entry, and until when (Unix seconds) they may be used."""

    keys: frozenset[VerificationKey]
    usable_until: float
    by_kid: Mapping[str | None, tuple[VerificationKey, ...]] = field(compare=False, repr=False)

    @classmethod
    def of(cls, keys: tuple[VerificationKey, ...], usable_until: float) -> "KeySet":
        """A key set indexed by kid; keys without a kid have the index ``None``."""
        by_kid: defaultdict[str | None, list[VerificationKey]] = defaultdict(list)
        for key in keys:
            by_kid[key.kid].append(key)
        indexed = {kid: tuple(same) for kid, same in by_kid.items()}
        return cls(frozenset(keys), usable_until, indexed)

    def is_usable(self, now: float) -> bool:
        """Whether there are keys, and not too old at ``now`` (Unix seconds)."""
        return bool(self.keys) and now < self.usable_until

    def knows(self, kid: str | None) -> bool:
        """Whether any key has this kid. A token without one (None) may be signed by any key."""
        return kid is None or kid in self.by_kid

    @property
    def has_unnamed(self) -> bool:
        """Whether a key has no kid."""
        return None in self.by_kid

    def candidates(
        self, kid: str | None, algorithm: str, issuer: str | None = None
    ) -> Iterator[VerificationKey]:
        """The keys that may have signed a token: those with this kid, else those without one.

        A token without a kid may be signed by any key of its issuer. A key that is published for
        another issuer alone is no candidate, unless ``issuer`` is None.
        """
        pool: Iterator[VerificationKey]
        if kid is None:
            pool = chain.from_iterable(self.by_kid.values())
        else:
            pool = iter(self.by_kid.get(kid) or self.by_kid.get(None, ()))
        return (
            key
            for key in pool
            if algorithm in key.algorithms
            and (key.issuer is None or issuer is None or key.signs_for(issuer))
        )


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """Every trust entry's key set by the entry's name. An entry never fetched is absent."""

    sets: Mapping[str, KeySet] = field(default_factory=dict)

    def usable(self, trust: str, now: float) -> KeySet | None:
        """The key set of a trust entry; None when it was never fetched, is too old or is empty."""
        keys = self.sets.get(trust)
        return keys if keys is not None and keys.is_usable(now) else None
