"""robots.txt as RFC 9309 reads it: the group of the longest fitting name, the longest fitting rule.

Used by the crawler. A crawler is named by the first word of its User-Agent, or by the word that ends
in the product's name inside it; groups that fit no name fall back to `*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

_LINE = re.compile(r"\s*([A-Za-z-]+)\s*:\s*([^#]*)")
_MAX_BYTES = 512 * 1024


class Rule(Struct, frozen=True):
    pattern: re.Pattern[str]
    length: int
    allowed: bool


class Robots(Struct, frozen=True):
    """What one host asks of a crawler. `delay` in seconds."""

    rules: tuple[Rule, ...] = ()
    delay: float | None = None
    sitemaps: tuple[str, ...] = ()

    def allows(self, url: str) -> bool:
        """The longest rule that fits decides; of equals, the one that allows."""
        parts = urlsplit(url)
        path = _normal(parts.path or "/") + (f"?{_normal(parts.query)}" if parts.query else "")
        fitting = [(rule.length, rule.allowed) for rule in self.rules if rule.pattern.match(path)]
        return max(fitting)[1] if fitting else True


NOTHING = Robots(rules=(Rule(re.compile(""), 0, False),))


class _Group(Struct):
    agents: list[str]
    rules: list[Rule]
    delay: float | None = None


def parse_robots(content: bytes, user_agent: str) -> Robots:
    """Never fails: what cannot be read asks for nothing."""
    groups: list[_Group] = []
    sitemaps: list[str] = []
    open_group = False  # lines of agents go on
    for name, value in _lines(content):
        if name == "user-agent":
            if not open_group:
                groups.append(_Group([], []))
            groups[-1].agents.append(value.lower())
        elif name == "sitemap":
            sitemaps.append(value)
            continue
        elif groups:
            _add(groups[-1], name, value)
        open_group = name == "user-agent"
    chosen = _chosen(groups, user_agent.lower())
    delays = [group.delay for group in chosen if group.delay is not None]
    rules = tuple(rule for group in chosen for rule in group.rules)
    return Robots(rules, max(delays, default=None), tuple(sitemaps))


def _lines(content: bytes) -> Iterator[tuple[str, str]]:
    for line in content[:_MAX_BYTES].decode("utf-8-sig", "replace").splitlines():
        if found := _LINE.match(line):
            yield found[1].lower(), found[2].strip()


def _add(group: _Group, name: str, value: str) -> None:
    if name in ("allow", "disallow") and value:
        group.rules.append(Rule(_pattern(value), len(value), name == "allow"))
    elif name == "crawl-delay":
        try:
            group.delay = min(max(0.0, float(value)), 3600.0)
        except ValueError:
            return


def _pattern(path: str) -> re.Pattern[str]:
    """`*` is any text, `$` at the end the end."""
    ends = path.endswith("$")
    parts = (re.escape(_normal(part)) for part in path.removesuffix("$").split("*"))
    return re.compile(".*".join(parts) + ("$" if ends else ""), re.DOTALL)


def _normal(text: str) -> str:
    """One spelling of percent-encoded text."""
    return quote(unquote(text), safe="/%?=&+,;:@!$'()~*[]")


def _chosen(groups: Sequence[_Group], user_agent: str) -> list[_Group]:
    names = {agent for group in groups for agent in group.agents if agent != "*" and agent in user_agent}
    name = max(names, key=len, default="*")
    return [group for group in groups if name in group.agents]
