-- What each genre sells, and its share of all revenue in percent.
SELECT
    g.genre_id,
    g.name,
    sum(l.quantity) AS sold,
    round(sum(l.unit_price * l.quantity), 2) AS revenue,
    round(100 * sum(l.unit_price * l.quantity) / sum(sum(l.unit_price * l.quantity)) OVER (), 2) AS percent
FROM invoice_line l
JOIN track t ON t.track_id = l.track_id
JOIN genre g ON g.genre_id = t.genre_id
GROUP BY g.genre_id, g.name
ORDER BY revenue DESC, g.genre_id;
