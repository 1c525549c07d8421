"""What a check tries, how it compares, what it says: laws, inputs, recorded numbers."""
