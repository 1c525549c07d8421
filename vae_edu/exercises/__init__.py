"""The exercises: one built module of stubs for each lesson.

Importing from here gives the learner's own answer where `work/` has one. The modules are
built from the instructor's sources by `make build`; do not edit them by hand.
"""
