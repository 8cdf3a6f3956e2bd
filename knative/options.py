"""What rendering needs to know besides the plan: where the objects go and what they run.

Made by `cli/` for a cluster and by `local/` for one machine; read by `render.py` and `objects.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

INGRESS = "http://kafka-broker-ingress.knative-eventing.svc.cluster.local"
# dev.local is a registry whose tags Knative does not look up: an image of the node's own.
IMAGE = "dev.local/tidemill:latest"
# What Knative's shipped `kafka-broker-config` names. A KafkaSource cannot refer to that ConfigMap and
# has to repeat the address.
BOOTSTRAP = "my-cluster-kafka-bootstrap.kafka:9092"


@dataclass(frozen=True, slots=True)
class ConfigMapRef:
    """A ConfigMap, perhaps of another namespace."""

    name: str
    namespace: str


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """Defaults are those of a stock Knative installation.

    Without `bootstrap_servers` here or in the plan's instance, Brokers refer to `broker_config`.
    `domain` is a host name of the user's for the gateway. `kafka_secret` names the Secret with
    Kafka's credentials, in the form that Knative's Brokers read.
    """

    namespace: str = "default"
    image: str = IMAGE
    ingress: str = INGRESS
    bootstrap_servers: tuple[str, ...] = ()
    broker_config: ConfigMapRef = ConfigMapRef("kafka-broker-config", "knative-eventing")
    kafka_secret: str | None = None
    domain: str | None = None
    ingress_class: str | None = None
