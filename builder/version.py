"""This program's version: here, because what reads it from an installation takes a tenth of a build's start."""

VERSION = "0.4.0"
