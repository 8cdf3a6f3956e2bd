"""Agents that speak HTTP as clients."""
