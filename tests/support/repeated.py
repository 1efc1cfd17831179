"""What a repetition of the tests leaves out: `pytest --repeated user`, `pytest --repeated release`.

Everything runs once. It runs again as another user, and again on another release of Debian; what can come out otherwise
there is what touches files, tools, permissions, processes and namespaces. The folders and files named here do not: they
give values to functions and look at values. Whoever is in doubt leaves a file out of these tables; that costs seconds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# Nothing but Python and packages whose versions are the same everywhere: it needs neither repetition. What installs the
# wheel as a CI service does is among it, for ci/test-debian13 installs the wheel there in all ways.
LOGIC = (
    "artifact/test_manifest.py",
    "artifact/test_pack.py",
    "batch/schedulers/test_killing.py",
    "batch/schedulers/test_placement.py",
    "batch/test_images.py",
    "batch/test_messages.py",
    "batch/test_naming.py",
    "batch/test_page.py",
    "batch/test_report.py",
    "batch/test_run.py",
    "batch/test_tables.py",
    "batch/test_timeline.py",
    "ci/test_cost.py",
    "ci/test_fuzz.py",
    "ci/test_mutants.py",
    "ci/test_pipelines.py",
    "ci/test_reruns.py",
    "ci/test_wheel.py",
    "containers_storage/test_chain.py",
    "containers_storage/test_records.py",
    "containers_storage/test_tarsplit.py",
    "disk/erofs/test_layout.py",
    "disk/erofs/test_limits.py",
    "disk/erofs/test_place.py",
    "disk/ext4/test_dirents.py",
    "disk/ext4/test_extents.py",
    "disk/test_numbering.py",
    "guest/test_process.py",
    "guest/test_stop_signal.py",
    "guest/test_users.py",
    "image",
    "layers",
    "registry/test_challenges.py",
    "registry/test_deadlines.py",
    "registry/test_http.py",
    "registry/test_oddities.py",
    "registry/test_redirects.py",
    "registry/test_tokens.py",
    "sources/docker/test_registries_conf.py",
    "sources/test_stored_name.py",
    "store/test_faults.py",
    "store/test_reference_files.py",
    "test_form.py",
    "test_options.py",
    "test_repeated.py",
    "test_structure.py",
    "test_words.py",
    "tree/test_hardlinks.py",
    "tree/test_history.py",
    "tree/test_inode.py",
    "tree/test_lookup.py",
    "tree/test_merge.py",
    "tree/test_merge_model.py",
    "tree/test_paths.py",
    "tree/test_times.py",
    "tree/test_tree.py",
    "tree/test_whiteouts.py",
    "vm/test_vmms.py",
)

# What else is the same for every user, but not with every version of Python, libarchive, man and the like.
LIBRARIES = (
    "actions/test_push.py",
    "archive/test_comparisons.py",
    "archive/test_compression.py",
    "archive/test_guard.py",
    "archive/test_index.py",
    "archive/test_names.py",
    "archive/test_sparse.py",
    "archive/test_tar.py",
    "archive/test_tolerance.py",
    "archive/test_writer.py",
    "batch/schedulers/test_dask.py",
    "batch/schedulers/test_local.py",
    "batch/test_process.py",
    "batch/test_ready.py",
    "ci/test_manual.py",
    "cli/test_cluster.py",
    "cli/test_console.py",
    "cli/test_messages.py",
    "cli/test_progress.py",
    "cli/test_startup.py",
    "fuzz/test_reached.py",
    "fuzz/test_targets.py",
    "guest/test_modules.py",
    "registry/test_authorization.py",
    "registry/test_download.py",
    "registry/test_tls.py",
    "registry/test_upload.py",
    "sources/test_contract.py",
)

# Machines whose images, kernels and emulator ci/setup brings for the first run alone, and a browser: they take minutes.
MACHINES = ("boot/test_debian.py", "boot/test_matrix.py", "batch/test_page_in_browser.py", "ci/test_in_other.py")

# Scripts of the checkout that whoever works on it runs by hand: nothing of them is the product's.
BY_HAND = ("ci/test_bench.py", "ci/test_scripts.py")

# What init does for its process: other releases have the same static program, and the rest of boot/ their kernels.
INIT = ("boot/test_process.py", "guest/test_configurations.py", "guest/test_init.py")

LEFT_OUT = {"user": (*LOGIC, *LIBRARIES, *MACHINES, *BY_HAND), "release": (*LOGIC, *MACHINES, *BY_HAND, *INIT)}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--repeated", choices=LEFT_OUT, help="Leave out what is the same for every user, or release.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = {TESTS / name for name in LEFT_OUT.get(config.getoption("repeated"), ())}
    if dropped := [item for item in items if not left_out.isdisjoint((item.path, *item.path.parents))]:
        kept = set(items).difference(dropped)
        items[:] = [item for item in items if item in kept]
        config.hook.pytest_deselected(items=dropped)
