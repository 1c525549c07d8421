"""The instructor's laws: independent oracles and hidden laws, one module a lesson.

Nothing of this folder is ever part of a learner's release.
"""
