-- The artists who earn most.
-- @param top integer = 10 min 1 max 100 - how many
WITH earned AS (
    SELECT al.artist_id, round(sum(l.unit_price * l.quantity), 2) AS revenue, sum(l.quantity) AS sold
    FROM invoice_line l
    JOIN track t ON t.track_id = l.track_id
    JOIN album al ON al.album_id = t.album_id
    GROUP BY al.artist_id
)

SELECT rank() OVER (ORDER BY e.revenue DESC) AS place, ar.artist_id, ar.name, e.sold, e.revenue
FROM earned e
JOIN artist ar ON ar.artist_id = e.artist_id
ORDER BY place, ar.artist_id
LIMIT :top;
