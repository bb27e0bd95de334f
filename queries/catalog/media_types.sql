-- Kinds of files on sale, with the number and the total size of their tracks.
SELECT m.media_type_id, m.name, count(t.track_id) AS tracks, coalesce(sum(t.bytes), 0) AS bytes
FROM media_type m
LEFT JOIN track t ON t.media_type_id = m.media_type_id
GROUP BY m.media_type_id, m.name
ORDER BY m.media_type_id;
