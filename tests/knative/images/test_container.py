"""The whole way with real parts: packages from the index, Debian's registry, skopeo, umoci, a container.

Run by `make test-images`. The base is this machine's Debian Python; the container is buildah's, with chroot
isolation, as a user without a name. Nothing is skipped: a program that is missing fails the test.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import machine_base
from support.image_world import AMD, ARM, World, put_base, reference

from tidemill.application.planner import plan_directory
from tidemill.functions.unit import write_unit
from tidemill.knative.images import oci, runtime
from tidemill.knative.images.push import push
from tidemill.knative.images.references import Reference
from tidemill.knative.images.store import Store, remember_image

from .conftest import debian_registry, program

pytestmark = [pytest.mark.images, pytest.mark.timeout(600)]
