"""Configuration models of resources and assets, as strict about names as those of agents."""
