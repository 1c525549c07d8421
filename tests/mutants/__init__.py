"""Plausible wrong answers, one module a lesson, each naming its misconception."""
