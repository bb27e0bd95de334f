"""Finding out what is slow, and why: what calls took (`statistics`), and how the database runs them (`plans`)."""
