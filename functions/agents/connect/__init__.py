"""Agents that need a JVM: Kafka Connect's connectors, Camel's components. They are planned only."""
