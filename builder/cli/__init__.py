"""The command line: one file per command, and the only place that prints or exits.

`main` has the table of commands, `command` what all of them share; `console` says things, `streams` are where, and
`stages` and `drawing` show how far a build is. A command's file is imported when it is used.
"""
