"""The author's side: from a lesson's sources to notebooks, stubs, recorded numbers."""
