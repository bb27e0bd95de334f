-- How many rows each table has.
SELECT 'artist' AS table_name, count(*) AS row_count FROM artist
UNION ALL SELECT 'album', count(*) FROM album
UNION ALL SELECT 'genre', count(*) FROM genre
UNION ALL SELECT 'media_type', count(*) FROM media_type
UNION ALL SELECT 'track', count(*) FROM track
UNION ALL SELECT 'playlist', count(*) FROM playlist
UNION ALL SELECT 'playlist_track', count(*) FROM playlist_track
UNION ALL SELECT 'employee', count(*) FROM employee
UNION ALL SELECT 'customer', count(*) FROM customer
UNION ALL SELECT 'invoice', count(*) FROM invoice
UNION ALL SELECT 'invoice_line', count(*) FROM invoice_line
ORDER BY table_name;
