"""What an instructor sees: batches, gradebooks, summaries, reports, likeness."""
