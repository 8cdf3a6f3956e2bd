"""The door of an application: produce, consume, chat and service over WebSocket and HTTP."""
