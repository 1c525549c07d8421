"""Right answers written differently, one module a lesson: none may be refused."""
