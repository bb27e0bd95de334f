-- The tracks of a list of keys.
-- @param ids integer[] - keys of tracks
SELECT track_id, name, unit_price
FROM track
WHERE track_id IN (:ids)
ORDER BY track_id;
