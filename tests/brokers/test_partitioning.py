import pytest

from tidemill.brokers.partitioning import murmur2, partition_of


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # the values of Kafka's own tests, which are signed
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_kafka(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected & 0xFFFFFFFF


def test_the_partition_is_that_of_kafka() -> None:
    assert partition_of("21", 12) == (-973932308 & 0x7FFFFFFF) % 12
    assert partition_of("ключ", 1) == 0
    assert {partition_of(f"key {number}", 5) for number in range(100)} == set(range(5))


def test_a_kafka_client_agrees() -> None:
    client = pytest.importorskip("kafka.partitioner.default")
    for number in range(500):
        key = "é" * (number % 5) + str(number)
        assert murmur2(key.encode()) == client.murmur2(key.encode()) & 0xFFFFFFFF
