-- All playlists with their number of tracks.
SELECT p.playlist_id, p.name, count(pt.track_id) AS tracks
FROM playlist p
LEFT JOIN playlist_track pt ON pt.playlist_id = p.playlist_id
GROUP BY p.playlist_id, p.name
ORDER BY p.name, p.playlist_id;
