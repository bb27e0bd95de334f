-- name: nested^
-- @param id int
SELECT g.id, g.name,
       (SELECT JSON_ARRAYAGG(JSON_OBJECT('id', i.id, 'name', i.name, 'price', i.price))
        FROM item i WHERE i.id BETWEEN g.id * 10 + 1 AND g.id * 10 + 10) AS items
FROM item g WHERE g.id = :id;

-- name: echo
-- @param rows json
SELECT id, name, price, active FROM JSON_TABLE(:rows, '$[*]' COLUMNS (
  id int PATH '$.id', name varchar(100) PATH '$.name', price double PATH '$.price', active boolean PATH '$.active')) AS r;
