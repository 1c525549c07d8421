"""What judges: from a submission's cells to a grade. No sandbox sees this folder."""
