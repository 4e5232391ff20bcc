-- Says that a node runs on the store, or that it does so no more, and tells whether a verb of the command line has the store.
-- KEYS[1] head. ARGV: tag, node, milliseconds for which it counts as running; 0 when it has ended, and then the number of its opening: a name that
-- a newer opening has taken stays.
-- Answers who has the store, if anybody, whether an import has not ended, and the nonce of the node's last commit.
local tag = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nonce = redis.call('HGET', tag .. 'nodes', ARGV[2])
redis.call('ZREMRANGEBYSCORE', tag .. 'alive', '-inf', now)
if ARGV[3] == '0' then
    if not nonce or string.match(nonce, '^%d+') == ARGV[4] then redis.call('ZREM', tag .. 'alive', ARGV[2]) end
else
    redis.call('ZADD', tag .. 'alive', now + ARGV[3], ARGV[2])
end
return { redis.call('GET', tag .. 'offline'), redis.call('EXISTS', tag .. 'importing'), nonce }
