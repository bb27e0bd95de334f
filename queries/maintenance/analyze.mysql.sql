-- :result :script
-- Let the database count what the tables hold, so that it plans queries well.
ANALYZE TABLE
    artist, album, genre, media_type, track, playlist, playlist_track, employee, customer, invoice, invoice_line;
