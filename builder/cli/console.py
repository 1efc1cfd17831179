"""Everything the command says: answers on standard output; on standard error progress, notices and failures."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from builder.cli.stages import Display, JsonLines, Nothing, Plain, event_line, json_line, of_image, took
from builder.events import Event, Listener, Notice, Stopwatch, Took, ignore
from builder.sandbox.refused import told
from builder.words import legible

LOG_FORMATS = ("text", "json")
PROGRESS = ("auto", "plain", "json", "none")


class Console:
    """How much to say and in which form: the options of all commands set these attributes.

    `image` is what all is about, by the disk that is made of it, where there is one.
    """

    def __init__(self) -> None:
        self.quiet = False
        self.verbose = False
        self.log_format: str | None = None
        self.progress = "auto"
        self.image: str | None = None
        self._display: Display = Nothing()
        self._stopwatch = Stopwatch(ignore)

    def listener(self) -> Listener:
        """Begin to show progress as `--progress` says, until `end`; return what is to be told."""
        self.end()
        self._display = display = self._chosen_display()

        def listen(event: Event) -> None:
            if isinstance(event, Notice):
                self.notice(of_image(event, event.text), event.image)
            elif isinstance(event, Took) and not isinstance(display, JsonLines):
                self._took(event)
            else:
                display.hear(event)

        self._stopwatch = Stopwatch(listen)
        return self._stopwatch

    def notices(self, event: Event) -> None:
        """Listen, but say notices only."""
        if isinstance(event, Notice):
            self.notice(event.text, event.image)

    @property
    def shows_each(self) -> bool:
        """Whether, of many builds, it is of interest how far each is."""
        return self.verbose or self.progress != "auto" or self._display.shows_each

    @property
    def shows_progress(self) -> bool:
        """Whether steps on the way to the result are to be shown at all."""
        return self.progress != "none" and not (self.quiet and self.progress == "auto")

    def say(self, text: str, image: str | None = None) -> None:
        """Say how something ended, all of it or one of many images, unless asked to be quiet."""
        if image is None:
            self._stopwatch.stop()
        if not self.quiet:
            self._write("info", text, image)

    def notice(self, text: str, image: str | None = None) -> None:
        """Say what the user should know though nothing failed, unless asked to be quiet."""
        if not self.quiet:
            self._write("notice", text, image)

    def fail(self, error: BaseException, image: str | None = None) -> None:
        """Say in one line what went wrong; with -v, also what caused it, one line per cause."""
        self.abandon(image)
        self._write("error", told(error), image)
        cause = error.__cause__
        while self.verbose and cause is not None:
            self._write("cause", f"{type(cause).__name__}: {cause}", image)
            cause = cause.__cause__

    def abandon(self, image: str | None = None) -> None:
        """Forget the stages of an image, or of all, that are going on: they have not ended, and took no time."""
        self._stopwatch.fail(image)

    def answer(self, text: bytes) -> None:
        """Write what was asked for to standard output, as it is, and a newline. Raises OutputError."""
        # A terminal may be both: what is drawn goes first.
        self.end()
        sys.stdout.buffer.write(text + b"\n")
        sys.stdout.buffer.flush()

    def answer_in_pieces(self, pieces: Iterable[bytes]) -> None:
        """Write to standard output what may be too long to have in memory, as it is. Raises OutputError."""
        self.end()
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    def end(self) -> None:
        """Show no more progress, and leave nothing of it on a terminal."""
        self._stopwatch.stop()
        self._display.end()
        self._display = Nothing()

    def _took(self, event: Took) -> None:
        """Say, with -v, what a stage took."""
        if self.verbose and not self.quiet:
            self._display.write(event_line(event, self.image) if self._json else took(event))

    @property
    def _json(self) -> bool:
        # Who reads progress as JSON wants to read nothing else between.
        return self.log_format == "json" or (self.log_format is None and self.progress == "json")

    def _chosen_display(self) -> Display:
        if not self.shows_progress:
            return Nothing()
        if self.progress == "json" or (self.progress == "auto" and self._json):
            return JsonLines(image=self.image)
        if self.progress == "auto" and sys.stderr.isatty() and (os.environ.get("TERM") or "dumb") != "dumb":
            # Here, so that nobody waits for it who does not see it.
            from builder.cli.drawing import Drawing

            return Drawing()
        return Plain()

    def _write(self, level: str, text: str, image: str | None = None) -> None:
        line = legible(text)
        if self._json:
            line = json_line({"level": level, "message": line, "image": image or self.image})
        elif level != "info":
            line = f"rootfs-builder: {level}: {line}"
        self._display.write(line)
