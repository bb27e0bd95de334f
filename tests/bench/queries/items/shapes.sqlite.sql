-- name: nested^
-- @param id int
SELECT g.id, g.name,
       json((SELECT json_group_array(json_object('id', i.id, 'name', i.name, 'price', i.price))
        FROM item i WHERE i.id BETWEEN g.id * 10 + 1 AND g.id * 10 + 10)) AS items
FROM item g WHERE g.id = :id;

-- name: echo
-- @param rows json
SELECT value ->> 'id' AS id, value ->> 'name' AS name, value ->> 'price' AS price, value ->> 'active' AS active
FROM json_each(:rows);
