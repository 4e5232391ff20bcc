-- Gives back the leases that a node held before it started anew: their work is due when it was before.
-- KEYS[1] head. ARGV: tag, node. Answers how many they were.
local tag = ARGV[1]
local leases = redis.call('HGETALL', tag .. 'leases')
local released, lanes = 0, {}
for i = 1, #leases, 2 do
    local node, wake, lane = string.match(leases[i + 1], '^%d+:([^:]*):([^:]*):(.*)$')
    if node == ARGV[2] then
        redis.call('HDEL', tag .. 'leases', leases[i])
        redis.call('ZADD', tag .. 'lane:' .. lane, 'XX', wake, leases[i])
        lanes[lane] = true
        released = released + 1
    end
end
for lane in pairs(lanes) do
    local first = redis.call('ZRANGE', tag .. 'lane:' .. lane, 0, 0, 'WITHSCORES')
    if first[1] then redis.call('ZADD', tag .. 'lanes', first[2], lane) end
end
return released
