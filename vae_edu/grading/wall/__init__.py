"""The wall: what a learner's code can reach, and the process that runs it.

A sandbox sees this whole folder, so it holds no secret: no answer, no oracle, no score.
"""
