-- @flag with_deleted - deleted ones too
SELECT * FROM t WHERE d = :with_deleted
