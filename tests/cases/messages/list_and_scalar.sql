SELECT * FROM t WHERE a IN (:ids) AND b = :ids
