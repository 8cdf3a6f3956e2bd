"""Names of Kubernetes objects: legal, short, stable, and without collisions.

Called by `render.py` for every object it makes. A name has a readable part and six characters of a
hash over the exact words, so that topics `Orders.v1` and `orders-v1`, or application `a` with unit
`b-c` and application `a-b` with unit `c`, never meet in one namespace. Equal words give equal names
in every version: renaming a Trigger loses its offsets. Changing this file is a breaking change.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re

LONGEST = 63  # a DNS label
# A revision is `<service>-00001`, and a traffic tag stands before the service in a host name: leave room.
LONGEST_SERVICE = 52

_NOT_DNS = re.compile(r"[^a-z0-9]+")
_SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def digest(text: str | bytes, length: int = 6) -> str:
    """The first letters of a hash, in lower-case base32 (legal anywhere in a name)."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return base64.b32encode(hashlib.sha256(raw).digest()).decode().lower()[:length]


def dns(text: str) -> str:
    """The nearest DNS-1035 label, of any length; different texts may give the same."""
    label = _NOT_DNS.sub("-", text.lower()).strip("-")
    return label if label[:1].isalpha() else f"x{label}"


def named(*words: str, longest: int = LONGEST) -> str:
    """`<words>-<hash of the words>`."""
    mark = digest(json.dumps(words))
    readable = dns("-".join(word for word in map(_part, words) if word))
    return f"{readable[: longest - len(mark) - 1].rstrip('-')}-{mark}"


def _part(word: str) -> str:
    return _NOT_DNS.sub("-", word.lower()).strip("-")


def of_broker(application: str, topic: str) -> str:
    return named(application, topic)


def of_unit(application: str, unit: str) -> str:
    """The Service of a unit, and its volume claim."""
    return named(application, unit, longest=LONGEST_SERVICE)


def of_trigger(application: str, unit: str, topic: str) -> str:
    """The Trigger, or the KafkaSource, between a topic and a unit."""
    return named(application, unit, topic)


def of_gateway(application: str) -> str:
    """Readable, since it is part of a public URL. No unit has it: their names end in a hash."""
    return f"{_fitting(application)}-gateway"


def of_kafka(application: str) -> str:
    """The ConfigMap with the address of Kafka."""
    return f"{_fitting(application)}-kafka"


def of_secret(application: str, secret: str) -> str:
    """`<application>-<secret id>`, as users write it by hand; with a hash where that is not legal."""
    plain = f"{application}-{secret}"
    return plain if len(plain) <= LONGEST and _SECRET_NAME.fullmatch(plain) else named(application, secret)


def with_content(name: str, content: bytes) -> str:
    """A name that changes with what it names (immutable ConfigMaps, Jobs)."""
    return f"{name[: LONGEST - 9].rstrip('-')}-{digest(content, 8)}"


def label(text: str) -> str:
    """A legal label value: the text itself where it can be."""
    return text if _LABEL_VALUE.fullmatch(text) else named(text)


def _fitting(application: str) -> str:
    legal = dns(application)
    return legal if legal == application and len(legal) <= 40 else named(application, longest=40)
