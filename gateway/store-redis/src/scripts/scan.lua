-- Lists keys of the store, some at a time, on the server that has them.
-- KEYS[1] head. ARGV: cursor, pattern, count. Answers the next cursor and keys; a key may come twice.
return redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
