"""Agents that read objects from stores."""
