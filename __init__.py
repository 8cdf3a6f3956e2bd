"""Tidemill: event pipelines of AI agents as functions that scale to zero."""

__version__ = "0.1.0"
