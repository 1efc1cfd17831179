"""The merged root file system of an image as a directory."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from builder.actions.confinement import Places, confine_reading
from builder.actions.merge import merge
from builder.actions.opening import open_image, scratch_directory
from builder.additions.survey import check_outside, survey
from builder.events import Listener, Stage, ignore
from builder.files.workspace import workspace
from builder.options import BuildOptions
from builder.output.checks import check_directory, resolve_output
from builder.output.directory import Unrestored, write_directory
from builder.output.failures import failures_named
from builder.output.publish import Draft, publish_directory
from builder.sandbox.policy import policy
from builder.sources.resolve import resolve, say_foreign
from builder.tree.spool import open_spool


def unpack(
    reference: Path | str, directory: Path | str, options: BuildOptions | None = None, listen: Listener = ignore
) -> list[Unrestored]:
    """Write the merged root file system of `reference` to `directory`, which must be new or empty.

    Returns what could not be restored for want of privileges: nothing, for root. The directory appears complete or
    not at all. Raises BuilderError.
    """
    reference, options = os.fspath(reference), (options or BuildOptions()).settled()
    with failures_named():
        check_directory(Path(directory))
        directory = resolve_output(directory)
    check_outside(options.additions, [directory, *([options.tmpdir] if options.tmpdir else [])])
    with policy(options.sandbox), failures_named(), workspace(directory.parent, directory.name, listen) as beside:
        with (
            scratch_directory(options, beside, listen) as scratch,
            closing(open_image(reference, options, scratch, listen)) as source,
        ):
            with open_spool(scratch) as spool:
                image = resolve(source, reference, options.platform, listen)
                say_foreign(image, options.platform, listen)
                written = [directory.parent, *([options.tmpdir] if options.tmpdir else [])]
                confine_reading(source, reference, options, Places(changed=written), restores=True)
                tree = merge(source, image, spool, options, listen, survey(options.additions, options.limits, listen))
                listen(Stage("writing files"))
                unrestored = write_directory(tree, spool, beside.path / "root", directory)
        publish_directory(Draft(beside, "root", directory))
    return unrestored
