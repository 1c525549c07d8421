"""What a check tries, how it compares, and what it says: laws, inputs, recorded numbers."""
