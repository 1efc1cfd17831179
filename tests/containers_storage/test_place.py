"""Where a reference says that the store is."""

from __future__ import annotations

import pytest

from builder.containers_storage.place import Place, split_place
from builder.errors import InvalidReference


@pytest.mark.parametrize(
    ("text", "place", "name"),
    [
        ("busybox", None, "busybox"),
        ("a@b", None, "a@b"),
        ("[/root]busybox:1", Place("/root"), "busybox:1"),
        ("[overlay@/root]busybox", Place("/root", driver="overlay"), "busybox"),
        ("[overlay2@/root]x", Place("/root", driver="overlay"), "x"),
        ("[vfs@/root]x", Place("/root", driver="vfs"), "x"),
        ("[overlay@/root+/run]x", Place("/root", driver="overlay"), "x"),
        ("[overlay@/a b/c+/run:overlay.mountopt=nodev]x@y", Place("/a b/c", driver="overlay"), "x@y"),
        ("[overlay@/r:overlay.imagestore=/a,.imagestore=/b,x=y]n", Place("/r", ("/a", "/b"), "overlay"), "n"),
        ("[/r:additionalimagestore=/a]n", Place("/r", ("/a",)), "n"),
        ("[/root]", Place("/root"), ""),
    ],
)
def test_a_store_stands_in_brackets_before_the_name(text: str, place: Place | None, name: str) -> None:
    assert split_place(text, "R") == (place, name)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[/root", "has no ]"),
        ("[]x", "'' is not absolute"),
        ("[root]x", "'root' is not absolute"),
        ("[overlay@root]x", "'root' is not absolute"),
        ("[overlay@/root+run]x", "'run' is not absolute"),
        ("[@/root]x", "names no driver"),
    ],
)
def test_what_names_no_store_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        split_place(text, "R")
    assert reason in caught.value.reason
