"""The user code that the Python agents' examples name."""

import threading

from langstream import Processor, Record, Service, SimpleRecord, Sink, Source


class Exclamation(Processor):
    def process(self, record: Record) -> list[Record]:
        value = record.value()
        if value is None:
            return [record]
        return [SimpleRecord(f"{value}!", record.key(), record.headers())]


class Collector(Sink):
    def init(self, config, context) -> None:
        self.seen = []

    def write(self, record: Record) -> None:
        self.seen.append(record)


class Counter(Source):
    def init(self, config) -> None:
        self.left = [1, 2]
        self.committed = []

    def read(self) -> list[tuple[int, str]]:
        found, self.left = [(number, "k") for number in self.left], []
        return found

    def commit(self, record: Record) -> None:
        self.committed.append(record.value())


class Server(Service):
    def init(self, config) -> None:
        self.closed = threading.Event()

    def main(self) -> None:
        self.closed.wait()

    def close(self) -> None:
        self.closed.set()
