-- name: nested^
-- @param id int
SELECT g.id, g.name,
       (SELECT json_agg(json_build_object('id', i.id, 'name', i.name, 'price', i.price) ORDER BY i.id)
        FROM item i WHERE i.id BETWEEN g.id * 10 + 1 AND g.id * 10 + 10) AS items
FROM item g WHERE g.id = :id;

-- name: echo
-- @param rows json
SELECT * FROM jsonb_to_recordset(:rows::jsonb) AS r(id int, name text, price float, active boolean);
