"""SQLite, over aiosqlite."""
