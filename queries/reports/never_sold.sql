-- Tracks of a genre that nobody has bought yet.
-- @param genre text - name of the genre
SELECT t.track_id, t.name, t.unit_price
FROM track t
JOIN genre g ON g.genre_id = t.genre_id
WHERE g.name = :genre
  AND NOT EXISTS (
      SELECT 1
      FROM invoice_line l
      WHERE l.track_id = t.track_id
  )
ORDER BY t.track_id;
