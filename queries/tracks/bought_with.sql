-- What customers bought together with a track, most often first.
-- @param track_id integer - the track's key
SELECT t.track_id, t.name, count(*) AS times
FROM invoice_line this
JOIN invoice_line other ON other.invoice_id = this.invoice_id AND other.track_id <> this.track_id
JOIN track t ON t.track_id = other.track_id
WHERE this.track_id = :track_id
GROUP BY t.track_id, t.name
ORDER BY times DESC, t.track_id;
