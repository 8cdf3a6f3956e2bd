"""The tables of resource and asset types name models that exist, and no model is forgotten."""

from __future__ import annotations

from tidemill.application.catalogue import AI_TYPES, ASSET_TYPES, SCRIPTED, SERVICES, assets, model, resources
from tidemill.application.catalogue.base import Settings


def test_every_row_names_a_model_and_every_model_has_a_row() -> None:
    named = {model(place) for table in (AI_TYPES, SERVICES, ASSET_TYPES) for place in table.values()}
    defined = {
        found
        for module in (resources, assets)
        for name, found in vars(module).items()
        if isinstance(found, type) and found.__module__ == module.__name__ and not name.startswith("_")
    }
    assert defined - {assets.SolrStatement} == named
    assert all(issubclass(found, Settings) for found in named)


def test_scripted_assets_have_statements() -> None:
    for name in SCRIPTED:
        assert "delete_statements" in model(ASSET_TYPES[name]).model_fields
