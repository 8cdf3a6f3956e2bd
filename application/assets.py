"""Assets of the plan, with the rules of each type.

Used by the planner. They keep the order of their declaration, because a table comes after its
keyspace. In the plan an asset's `datasource` is the whole resource, so that a setup job needs
nothing else.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import Position
from ..functions.unit import ResourceSpec
from .catalogue import ASSET_TYPES, SCRIPTED, model
from .model import Application, Asset
from .plan import AssetPlan
from .problems import Problems, did_you_mean, listed
from .resolving import Resolver
from .resources import ResourceTable
from .validation import check, without_nulls


def plan_assets(
    application: Application, resolver: Resolver, resources: ResourceTable, problems: Problems
) -> tuple[AssetPlan, ...]:
    planned: dict[str, tuple[AssetPlan, Position]] = {}
    for pipeline in application.pipelines:
        for asset in pipeline.assets:
            found = _plan_asset(asset, resolver, resources, problems)
            first, at = planned.setdefault(asset.id, (found, asset.at))
            if first != found:
                what = f"Asset {asset.id} already exists in module {pipeline.module}"
                problems.add(what, asset.at, why=f"it is declared differently at {at}")
    return tuple(asset for asset, _ in planned.values())


def _plan_asset(asset: Asset, resolver: Resolver, resources: ResourceTable, problems: Problems) -> AssetPlan:
    config = without_nulls(resolver.value(asset.config))
    place = ASSET_TYPES.get(asset.type.raw)
    if place is None:
        why, hint = f"there are {listed(ASSET_TYPES)}", did_you_mean(asset.type.raw, ASSET_TYPES)
        problems.add(f"Unknown asset type '{asset.type.raw}'", asset.type.at, why=why, hint=hint)
    else:
        subject = f"asset configuration (asset: '{asset.id}', type: '{asset.type.raw}')"
        check(model(place), config, asset.config, subject, problems)
    _check_statements(asset, config, problems)
    named = config.get("datasource")
    at = asset.config.entries.get("datasource", asset.config).at
    datasource = resources.use(named, at, f"datasource in asset {asset.id}")
    if datasource:
        _check_astra(asset, datasource, at, problems)
        config["datasource"] = msgspec.to_builtins(datasource)
    return AssetPlan(
        id=asset.id,
        type=asset.type.raw,
        creation_mode=asset.creation_mode,
        deletion_mode=asset.deletion_mode,
        config=config,
        datasource=named if isinstance(named, str) else None,
    )


def _check_statements(asset: Asset, config: dict[str, Any], problems: Problems) -> None:
    if asset.type.raw not in SCRIPTED:
        return
    stated = asset.config.entries.get("delete-statements")
    if asset.deletion_mode == "delete" and not config.get("delete-statements"):
        what = f"delete-statements must be set when deletion-mode=delete (asset {asset.id})"
        problems.add(what, asset.config.at)
    if asset.deletion_mode != "delete" and "delete-statements" in config and stated:
        what = f"delete-statements must be set only if deletion-mode=delete (asset {asset.id})"
        problems.add(what, asset.config.keys["delete-statements"])


def _check_astra(asset: Asset, datasource: ResourceSpec, at: Position, problems: Problems) -> None:
    known = datasource.configuration
    bundle, database = "secureBundle" in known, "database" in known or "database-id" in known
    if asset.type.raw == "cassandra-keyspace" and (bundle or "database" in known):
        what = f"asset {asset.id}: a keyspace of Astra cannot be made with statements"
        problems.add(what, asset.type.at, hint="use the asset-type astra-keyspace")
    if asset.type.raw == "astra-keyspace" and not ("token" in known and database):
        why = "it needs an Astra database with 'token' and 'database' or 'database-id'"
        problems.add(f"asset {asset.id}: the datasource '{datasource.id}' does not fit", at, why=why)
