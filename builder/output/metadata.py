"""The record of a build: what went in, what came out, and which tools took part. No clock, no host, no user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from builder.guest.facts import GuestFacts
from builder.image.config import ImageConfig
from builder.image.image import Image
from builder.output.known_disk import KnownDisk
from builder.output.schema import RecordedDisk, RecordedManifest
from builder.version import VERSION


def describe_image(image: Image) -> dict[str, Any]:
    """Describe an image as plain JSON values: reference, digests, platform, layers and config."""
    digest = None if image.digest is None else str(image.digest)
    return {
        "reference": image.reference,
        "manifest": msgspec.to_builtins(RecordedManifest(image.manifest.media_type, digest, image.manifest_size)),
        "platform": str(image.config.platform),
        "layers": [
            {
                "mediaType": layer.descriptor.media_type,
                "digest": str(layer.descriptor.digest),
                "size": layer.descriptor.size,
                "diffId": str(layer.diff_id),
            }
            for layer in image.layers
        ],
        "config": {"digest": str(image.config_digest), **_describe_config(image.config)},
    }


def describe_build(
    image: Image,
    guest: GuestFacts | None,
    disk: KnownDisk,
    options: Mapping[str, Any],
    lines: Mapping[str, str],
) -> dict[str, Any]:
    """Describe a build as plain JSON values: `options` say how it was asked for, `lines` are kernel lines by VMM."""
    return {
        "builder": VERSION,
        "image": describe_image(image),
        "options": options,
        "guest": guest and msgspec.to_builtins(guest),
        "kernelCommandLine": lines,
        "disk": msgspec.to_builtins(RecordedDisk.of(disk.facts, disk.digest)),
        "contents": disk.contents and msgspec.to_builtins(disk.contents),
        "verity": disk.facts.verity and msgspec.to_builtins(disk.facts.verity),
        "tools": disk.facts.tools,
    }


def _describe_config(config: ImageConfig) -> dict[str, Any]:
    """Describe a config under the names of config.md, leaving out what it does not say."""
    check = config.healthcheck
    stated = {
        "created": config.created,
        "author": config.author,
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "Env": list(config.env),
        "WorkingDir": config.working_dir,
        "User": config.user,
        "ExposedPorts": [str(port) for port in config.exposed_ports],
        "Volumes": list(config.volumes),
        "StopSignal": config.stop_signal,
        "Labels": dict(config.labels),
        "Healthcheck": check
        and {
            "Test": list(check.test),
            "Interval": check.interval_ns,
            "Timeout": check.timeout_ns,
            "StartPeriod": check.start_period_ns,
            "StartInterval": check.start_interval_ns,
            "Retries": check.retries,
        },
        "history": [
            {
                "created": step.created,
                "created_by": step.created_by,
                "author": step.author,
                "comment": step.comment,
                "empty_layer": step.empty_layer,
            }
            for step in config.history
        ],
    }
    return {name: value for name, value in stated.items() if value}
