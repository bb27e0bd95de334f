-- name: tracks(playlist_id)
-- Tracks of a playlist.
-- @param playlist_id integer - the playlist's key
SELECT t.track_id, t.name, ar.name AS artist, t.milliseconds DIV 1000 AS seconds
FROM playlist_track pt
JOIN track t ON t.track_id = pt.track_id
LEFT JOIN album al ON al.album_id = t.album_id
LEFT JOIN artist ar ON ar.artist_id = al.artist_id
WHERE pt.playlist_id = :playlist_id
ORDER BY t.track_id;

-- name: add_track(playlist_id, track_id)!
-- Put a track on a playlist; nothing happens when it is there already.
-- @param playlist_id integer - the playlist's key
-- @param track_id integer - the track's key
INSERT INTO playlist_track (playlist_id, track_id)
SELECT :playlist_id, :track_id
FROM dual
WHERE NOT EXISTS (
    SELECT 1
    FROM playlist_track
    WHERE playlist_id = :playlist_id AND track_id = :track_id
);
